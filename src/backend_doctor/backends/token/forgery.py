"""Forged tokens, tried on the declared protected endpoint by GET; only with --forge."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from backend_doctor.backends.token.account import asked_for
from backend_doctor.backends.token.compact import (
    MalformedError,
    bare,
    json_object,
    parts_of,
    unpack,
)
from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.backends.token.grants import Grants
from backend_doctor.backends.token.keyset import FetchedKeySet, keys_in
from backend_doctor.backends.token.protected import ProtectedAnswers
from backend_doctor.backends.token.replay import Replay
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance

_MOST_KEYS = 3


class Forgery(Fact, frozen=True, kw_only=True):
    """Statuses of ``path`` to a valid token (``genuine``) and to forged copies of it.

    ``unsigned`` lacks the signature, ``tampered`` has another payload beneath the old one,
    ``none`` says that its alg is none, ``confused`` is signed by HS256 with the text of the public
    key for a secret (None without a public key; the most telling status of several).
    """

    seconds_limit: ClassVar[float] = 25.0

    path: str
    genuine: int
    unsigned: int = 0
    tampered: int = 0
    none: int = 0
    confused: int | None = None

    @classmethod
    async def collect(
        cls,
        tokens: TokenConnection,
        instance: Instance,
        answers: ProtectedAnswers,
        published: FetchedKeySet | None,
        grants: Grants | None,
        replay: Replay | None,
    ) -> Self:
        """Up to seven GETs, the last that a run sends. Raises Absent without --forge, or where
        there is no valid token."""
        if not asked_for(instance, "forge"):
            raise Absent("needs --forge", kind=AbsenceKind.NOT_APPLICABLE)
        url = str(instance.settings["protected"])
        token = bare((tokens.newest or tokens.sample()).reveal())[0]
        try:
            forging = _Forging(token)
        except MalformedError as error:
            raise Absent(f"the token cannot be copied: {error}") from error

        async def status(text: str) -> int:
            headers = [("Authorization", f"Bearer {text}")]
            return (await tokens.get(url, headers)).status

        genuine, path = await status(token), urlsplit(url).path or "/"
        if not 200 <= genuine <= 299 or not answers.garbage or not answers.garbage.refused:
            return cls(path=path, genuine=genuine)
        confused = [await status(forging.confused(key)) for key in _public_keys(tokens)]
        return cls(
            path=path,
            genuine=genuine,
            unsigned=await status(forging.unsigned),
            tampered=await status(forging.tampered),
            none=await status(forging.none),
            confused=min(confused, default=None),
        )


def _public_keys(tokens: TokenConnection) -> Iterator[str]:
    """The texts of public keys that a confused verifier may take for a secret."""
    with suppress(Absent):
        secret = tokens.secret().reveal()
        if "-----BEGIN PUBLIC KEY" in secret:
            yield secret
    with suppress(Absent, MalformedError):
        for key in keys_in(tokens.key_set().reveal())[:_MOST_KEYS]:
            if pem := tokens.public_pem(key):
                yield pem


def _packed(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class _Forging:
    """Copies of one token with the same claims. Raises MalformedError."""

    def __init__(self, token: str) -> None:
        parts = parts_of(token)
        if len(parts) != 3:
            raise MalformedError("it is encrypted")
        self._header, self._payload, self._signature = parts
        self._claims: dict[str, Any] = json_object(unpack(self._payload, "payload"), "payload")

    @property
    def unsigned(self) -> str:
        """Without its signature."""
        return f"{self._header}.{self._payload}."

    @property
    def tampered(self) -> str:
        """With one claim more beneath the old signature."""
        payload = _packed({**self._claims, "backend-doctor": "forged"})
        return f"{self._header}.{payload}.{self._signature}"

    @property
    def none(self) -> str:
        """That says of itself that it is not signed."""
        return f"{_packed({'alg': 'none', 'typ': 'JWT'})}.{self._payload}."

    def confused(self, public_key: str) -> str:
        """Signed with a public text."""
        signed = f"{_packed({'alg': 'HS256', 'typ': 'JWT'})}.{self._payload}"
        key = public_key.encode("utf-8", "surrogatepass")
        return f"{signed}.{_packed(hmac.digest(key, signed.encode(), hashlib.sha256))}"
