"""The declared signing secret: how easily it is guessed, never what it is."""

from typing import Literal, Self

from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.backends.token.weak import Weakness, long_enough, weakness
from backend_doctor.facts import Fact, Instance


class SigningSecret(Fact, frozen=True):
    """``kind`` tells a shared secret from a key in PEM form, of which nothing else is judged.

    ``long_enough`` are the HMAC algorithms for which it has the length that RFC 7518 asks;
    ``rsa_bits`` is the size of an RSA key, 0 for any other.
    """

    kind: Literal["shared", "public key", "private key"] = "shared"
    weakness: Weakness = ""
    long_enough: tuple[str, ...] = ()
    rsa_bits: int = 0

    @classmethod
    async def collect(cls, tokens: TokenConnection, instance: Instance) -> Self:
        """Looks at the secret here; nothing is sent. Raises Absent where none is declared."""
        secret = tokens.secret().reveal()
        if "-----BEGIN" in secret:
            return cls(
                kind="private key" if "PRIVATE KEY-----" in secret else "public key",
                rsa_bits=tokens.rsa_bits(secret),
            )
        return cls(weakness=weakness(secret, instance.service), long_enough=long_enough(secret))
