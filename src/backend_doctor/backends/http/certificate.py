"""The server's certificate and those that it sends along, read also where they do not verify."""

import ipaddress
import time
from typing import TYPE_CHECKING, Self

import msgspec

from backend_doctor.backends.http.connection import HttpConnection
from backend_doctor.backends.http.secured import handshake
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance, Login, Problem
from backend_doctor.text import storable

if TYPE_CHECKING:
    from cryptography import x509

_MOST_LINKS = 10
_MOST_NAMES = 250


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that is sent along with the server's own; ``expires`` as there."""

    subject: str
    issuer: str
    expires: str
    seconds_left: float

    @property
    def self_signed(self) -> bool:
        """Whether it is an authority's own: clients have it, or do not trust it."""
        return self.subject == self.issuer


class Certificate(Fact, frozen=True):
    """``expires`` is RFC 3339 in UTC, ``seconds_left`` counts from the moment of reading, and so
    does ``seconds_ahead`` to its beginning.

    ``verified`` whether a client like ours accepts it; ``problem`` says why not. ``names`` are
    those of its subjectAltName, the only ones that browsers read; ``chain`` what is sent along;
    ``fetchable`` whether it says where its issuer's certificate is to be had.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    expires: str
    seconds_left: float
    seconds_ahead: float = 0.0
    verified: bool = True
    problem: str = ""
    chain: tuple[Link, ...] = ()
    fetchable: bool = False

    @property
    def self_signed(self) -> bool:
        """Whether nobody else vouches for it."""
        return self.subject == self.issuer

    def covers(self, host: str) -> bool:
        """Whether one of its names is the host's; a ``*`` stands for one label (RFC 9525)."""
        wanted = host.lower().rstrip(".")
        try:
            return str(ipaddress.ip_address(wanted)) in self.names
        except ValueError:
            known = {name.lower() for name in self.names}
            return wanted in known or f"*.{wanted.partition('.')[2]}" in known

    @classmethod
    async def collect(cls, http: HttpConnection | None, login: Login, instance: Instance) -> Self:
        """From the connection, or by one more handshake where TLS was refused by us.

        Raises Absent where there is none, or no connection.
        """
        secured = http.secured if http is not None else None
        if http is not None and secured is None:
            raise Absent("plain HTTP has no certificate", kind=AbsenceKind.NOT_APPLICABLE)
        if secured is None:
            if login.problem is not Problem.TLS:
                raise Absent(f"no login to {login.address}", kind=AbsenceKind.LOGIN)
            try:
                secured = await handshake(instance.host, instance.port)
            except (OSError, TimeoutError) as error:
                raise Absent("the TLS handshake fails, whatever the certificate") from error
        if not secured.chain:
            raise Absent("the server shows no certificate")
        return cls.of(secured.chain, "" if http is not None else login.message)

    @classmethod
    def of(cls, chain: tuple[bytes, ...], problem: str = "") -> Self:
        """What stands in certificates, the server's own first. Raises Absent for one that cannot
        be read."""
        from cryptography import x509

        try:
            own, *others = [x509.load_der_x509_certificate(der) for der in chain[:_MOST_LINKS]]
            links = tuple(map(_link, others))
            known = _link(own)
            begins = own.not_valid_before_utc.timestamp()
        except ValueError as error:
            raise Absent("the server's certificate cannot be read") from error
        return cls(
            subject=known.subject,
            issuer=known.issuer,
            names=_names(own),
            expires=known.expires,
            seconds_left=known.seconds_left,
            seconds_ahead=round(begins - time.time(), 1),
            verified=not problem,
            problem=problem,
            chain=links,
            fetchable=_fetchable(own),
        )


def _link(found: "x509.Certificate") -> Link:
    expires = found.not_valid_after_utc
    return Link(
        subject=storable(found.subject.rfc4514_string()),
        issuer=storable(found.issuer.rfc4514_string()),
        expires=expires.isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds_left=round(expires.timestamp() - time.time(), 1),
    )


def _names(found: "x509.Certificate") -> tuple[str, ...]:
    from cryptography import x509

    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return tuple(storable(str(name.value)) for name in extension.value)[:_MOST_NAMES]
    except (x509.ExtensionNotFound, ValueError):
        return ()


def _fetchable(found: "x509.Certificate") -> bool:
    from cryptography import x509

    try:
        told = found.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except (x509.ExtensionNotFound, ValueError):
        return False
    places = x509.oid.AuthorityInformationAccessOID.CA_ISSUERS
    return any(one.access_method == places for one in told.value)
