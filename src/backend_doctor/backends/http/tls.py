"""Which versions of TLS the server speaks."""

import ssl
from typing import Self

from backend_doctor.backends.http.connection import HttpConnection
from backend_doctor.backends.http.secured import handshake
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance, Login, Problem

# what OpenSSL says where it is us who cannot offer a version
_OURS = {"NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE"}


async def _agreed(instance: Instance, *, old: bool) -> tuple[str, str]:
    """The version agreed on, or "", and why it could not be asked for, or ""."""
    try:
        return (await handshake(instance.host, instance.port, old=old)).version, ""
    except ssl.SSLError as error:
        return "", "this machine's OpenSSL has none to offer" if error.reason in _OURS else ""
    except TimeoutError:
        return "", "the server did not answer in time"
    except OSError:
        return "", ""


class TlsVersions(Fact, frozen=True):
    """``agreed`` is the version that a client of today gets (``TLSv1.3``), "" where it gets none;
    ``old`` is what one gets that offers TLS 1.0 and 1.1 only, and ``doubt`` says why that could
    not be asked for.
    """

    agreed: str
    old: str = ""
    doubt: str = ""

    @classmethod
    async def collect(cls, http: HttpConnection | None, login: Login, instance: Instance) -> Self:
        """The connection's own version, and one handshake more that offers old ones only.

        Raises Absent for plain HTTP, and where nobody answers.
        """
        if http is None and login.problem is not Problem.TLS:
            raise Absent(f"no login to {login.address}", kind=AbsenceKind.LOGIN)
        if http is None:
            # what is refused for its certificate agrees on a version all the same
            agreed, doubt = await _agreed(instance, old=False)
            if doubt:
                return cls(agreed=agreed, doubt=doubt)
        elif http.secured is None:
            raise Absent("plain HTTP has no TLS", kind=AbsenceKind.NOT_APPLICABLE)
        else:
            agreed = http.secured.version
        old, doubt = await _agreed(instance, old=True)
        return cls(agreed=agreed, old=old, doubt=doubt)
