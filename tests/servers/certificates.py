"""Certificates made for a test: an authority, an intermediate, and a server's own."""

import datetime
import ipaddress
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

_ISSUERS = AuthorityInformationAccessOID.CA_ISSUERS


class Issued:
    """A certificate and its key; ``days`` are those left, ``begins`` those until it begins."""

    def __init__(
        self,
        name: str,
        by: "Issued | None" = None,
        *,
        hosts: tuple[str, ...] = (),
        days: float = 60,
        begins: float = -90,
        authority: bool = False,
        fetchable: bool = False,
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = by or self
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(issuer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=begins))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName(list(map(_name, hosts)))
            builder = builder.add_extension(names, critical=False)
        if fetchable:
            place = x509.UniformResourceIdentifier("http://authority.invalid/ca.crt")
            told = x509.AuthorityInformationAccess([x509.AccessDescription(_ISSUERS, place)])
            builder = builder.add_extension(told, critical=False)
        self._built = builder.sign(issuer.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self._built.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self._built.public_bytes(serialization.Encoding.DER)

    def written(self, folder: Path, *others: Self) -> tuple[str, str]:
        """The files of the certificate, ``others`` sent along, and of its key."""
        files = folder / "cert.pem", folder / "key.pem"
        files[0].write_bytes(b"".join(one.pem for one in (self, *others)))
        files[1].write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(files[0]), str(files[1])


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
