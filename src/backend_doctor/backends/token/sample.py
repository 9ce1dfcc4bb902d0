"""The declared sample token: what it says of its times, and whether its signature is right."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal, Self

from backend_doctor.backends.token.compact import MalformedError
from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.backends.token.decoding import Decoded, decode, key_id
from backend_doctor.backends.token.header import SHARED_SECRET
from backend_doctor.backends.token.keyset import FetchedKeySet, Key, keys_in, named
from backend_doctor.backends.token.weak import PLACEHOLDERS
from backend_doctor.facts import AbsenceKind, Absent, Instance

Signature = Literal["verified", "wrong", "confused", "unchecked"]


class SampleToken(Decoded, frozen=True):
    """A token without what is personal.

    ``signature`` says whether the declared secret or a key of the declared set verifies it, or,
    "confused", the text of the declared public key does as if it were a secret. ``guessed`` when
    a well-known placeholder (or the service's name) does. ``observed`` is our clock, seconds
    since 1970.
    """

    signature: Signature = "unchecked"
    guessed: bool = False
    observed: float = 0.0

    @property
    def readable(self) -> bool:
        """Whether its claims could be read."""
        return not self.problem and not self.encrypted

    @property
    def words(self) -> str:
        """What it is, in words."""
        kind = "a refresh token" if self.refresh else "a token"
        return f"{kind} signed by {self.alg}" if self.alg not in ("none", "") else kind

    @classmethod
    async def collect(
        cls, tokens: TokenConnection, instance: Instance, published: FetchedKeySet | None = None
    ) -> Self:
        """Decodes the sample; nothing is sent, but a ``published`` key set has to be at hand
        before. Raises Absent where none is declared."""
        accepted = (instance.texts(key) for key in ("audience", "issuer"))
        found = decode(tokens.sample().reveal(), *accepted)
        return cls(
            **{name: getattr(found, name) for name in found.__struct_fields__},
            signature=_signature(tokens, found.alg),
            guessed=_guessed(tokens, found.alg, instance.service),
            observed=time.time(),
        )


def nothing_to_judge(reason: str) -> Absent:
    """For a check to raise: skipped, as token.form says what is wrong with a bad sample."""
    return Absent(reason, kind=AbsenceKind.NOT_APPLICABLE)


def _keys(tokens: TokenConnection) -> Iterator[str | Key]:
    with suppress(Absent):
        yield tokens.secret().reveal()
    with suppress(Absent, MalformedError):
        yield from named(key_id(tokens.sample().reveal()), keys_in(tokens.key_set().reveal()))


def _signature(tokens: TokenConnection, alg: str) -> Signature:
    keys = list(_keys(tokens))
    verdicts = [tokens.verifies(alg, key) for key in keys]
    if True in verdicts:
        return "verified"
    pems = [key for key in keys if isinstance(key, str) and "-----BEGIN" in key]
    if alg in SHARED_SECRET and any(tokens.confuses(alg, pem) for pem in pems):
        return "confused"
    return "wrong" if False in verdicts else "unchecked"


def _guessed(tokens: TokenConnection, alg: str, service: str) -> bool:
    if alg not in SHARED_SECRET:
        return False
    guesses = (*PLACEHOLDERS, service, f"{service}-secret", f"{service}_secret")
    return any(tokens.verifies(alg, guess) for guess in guesses if guess)
