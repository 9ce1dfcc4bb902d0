"""The declared sample token: what it says of its times, and whether its signature is right."""

import time
from typing import Literal, Self

from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.backends.token.decoding import Claim, decode
from backend_doctor.backends.token.weak import PLACEHOLDERS, SHORTEST
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance


class SampleToken(Fact, frozen=True):
    """A token without what is personal; the fields are those of :class:`Decoded`.

    ``signature`` says whether the declared secret verifies it. ``guessed`` when a well-known
    placeholder (or the service's name) does. ``observed`` is our clock, seconds since 1970.
    """

    alg: str = ""
    typ: str = ""
    kid: bool = False
    refresh: bool = False
    encrypted: bool = False
    exp: Claim = Claim()
    iat: Claim = Claim()
    nbf: Claim = Claim()
    signature: Literal["verified", "wrong", "unchecked"] = "unchecked"
    guessed: bool = False
    problem: str = ""
    observed: float = 0.0
    notes: tuple[str, ...] = ()

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
    async def collect(cls, tokens: TokenConnection, instance: Instance) -> Self:
        """Decodes the sample; nothing is sent. Raises Absent where none is declared."""
        found = decode(tokens.sample().reveal())
        return cls(
            **{name: getattr(found, name) for name in found.__struct_fields__},
            signature=_signature(tokens, found.alg),
            guessed=_guessed(tokens, found.alg, instance.service),
            observed=time.time(),
        )


def nothing_to_judge(reason: str) -> Absent:
    """For a check to raise: skipped, as token.lifetime says what is wrong with a bad sample."""
    return Absent(reason, kind=AbsenceKind.NOT_APPLICABLE)


def _signature(tokens: TokenConnection, alg: str) -> Literal["verified", "wrong", "unchecked"]:
    try:
        key = tokens.secret().reveal()
    except Absent:
        return "unchecked"
    verified = tokens.verifies(alg, key)
    if verified is None:
        return "unchecked"
    return "verified" if verified else "wrong"


def _guessed(tokens: TokenConnection, alg: str, service: str) -> bool:
    if alg not in SHORTEST:
        return False
    guesses = (*PLACEHOLDERS, service, f"{service}-secret", f"{service}_secret")
    return any(tokens.verifies(alg, guess) for guess in guesses if guess)
