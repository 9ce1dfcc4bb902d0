"""The server's certificate, read also where it does not verify."""

import asyncio
import ssl
import time
from typing import Self

from backend_doctor.backends.http.connection import HttpConnection
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance, Login, Problem

_READ_SECONDS = 3.0


async def _presented(host: str, port: int) -> bytes | None:
    """The certificate that a TLS handshake shows, unverified, in DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(_READ_SECONDS):
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return secured.getpeercert(binary_form=True)
    finally:
        writer.transport.abort()


class Certificate(Fact, frozen=True):
    """``expires`` is RFC 3339 in UTC, ``seconds_left`` counts from the moment of reading.

    ``verified`` whether a client like ours accepts it; ``problem`` says why not.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    expires: str
    seconds_left: float
    verified: bool = True
    problem: str = ""

    @classmethod
    async def collect(cls, http: HttpConnection | None, login: Login, instance: Instance) -> Self:
        """From the connection, or by one more handshake where TLS was refused by us.

        Raises Absent where there is none, or no connection.
        """
        der = http.certificate if http is not None else None
        if http is not None and der is None:
            raise Absent("plain HTTP has no certificate", kind=AbsenceKind.NOT_APPLICABLE)
        if http is None:
            if login.problem is not Problem.TLS:
                raise Absent(f"no login to {login.address}", kind=AbsenceKind.LOGIN)
            try:
                der = await _presented(instance.host, instance.port)
            except (OSError, TimeoutError) as error:
                raise Absent("the TLS handshake fails, whatever the certificate") from error
        if der is None:
            raise Absent("the server shows no certificate")
        return cls.of(der, "" if http is not None else login.message)

    @classmethod
    def of(cls, der: bytes, problem: str = "") -> Self:
        """What stands in a certificate. Raises Absent for one that cannot be read."""
        from cryptography import x509

        try:
            found = x509.load_der_x509_certificate(der)
            expires = found.not_valid_after_utc
        except ValueError as error:
            raise Absent("the server's certificate cannot be read") from error
        try:
            extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            names = tuple(str(name.value) for name in extension.value)
        except (x509.ExtensionNotFound, ValueError):
            names = ()
        return cls(
            subject=found.subject.rfc4514_string(),
            issuer=found.issuer.rfc4514_string(),
            names=names[:50],
            expires=expires.isoformat(timespec="seconds").replace("+00:00", "Z"),
            seconds_left=round(expires.timestamp() - time.time(), 1),
            verified=not problem,
            problem=problem,
        )
