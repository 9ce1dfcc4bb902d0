"""The test account: logs in and renews, where the command line allows that."""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from backend_doctor.backends.http.connection import Reply
from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.facts import AbsenceKind, Absent, Instance
from backend_doctor.secret import Secret

_NESTED = ("data", "token", "tokens", "result")
_COOKIE = re.compile(r"(?:^|,\s*)([^=;,\s]*refresh[^=;,\s]*)=([^;,\s]+)", re.IGNORECASE)


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What a login or a refresh gave; never part of a fact.

    ``access`` and ``refresh`` are None where the answer has none; ``cookie`` when the latter came
    as one.
    """

    status: int
    access: Secret | None = None
    refresh: Secret | None = None
    cookie: bool = False
    expires_in: float | None = None
    problem: str = ""

    @property
    def granted(self) -> bool:
        """Whether there is a new access token."""
        return 200 <= self.status <= 299 and self.access is not None


def asked_for(instance: Instance, option: str) -> bool:
    """Whether the command line gave ``--login``, ``--replay`` or ``--forge``."""
    return option in instance.texts("try")


class Account:
    """Posts to the declared login and refresh URLs, and nowhere else."""

    def __init__(self, tokens: TokenConnection, instance: Instance) -> None:
        """Raises Absent where --login was not given."""
        if not asked_for(instance, "login"):
            raise Absent("needs --login", kind=AbsenceKind.NOT_APPLICABLE)
        self._tokens = tokens
        self._login = str(instance.settings.get("login", ""))
        self._refresh = str(instance.settings.get("refresh", ""))
        self._as_json = instance.settings.get("body") == "json"
        self._field = str(instance.settings.get("user_field", "username"))

    @property
    def can_renew(self) -> bool:
        """Whether a refresh URL is declared."""
        return bool(self._refresh)

    async def log_in(self) -> Pair:
        """One login with the declared name and password."""
        name, password = (self._tokens.credential(key).reveal() for key in ("username", "password"))
        fields = {self._field: name, "password": password}
        extra = {} if self._as_json else {"grant_type": "password"}
        return self._kept(await self._post(self._login, {**extra, **fields}))

    async def renew(self, pair: Pair) -> Pair:
        """One refresh with the pair's refresh token. Raises Absent where it has none."""
        if pair.refresh is None:
            raise Absent("there is no refresh token", kind=AbsenceKind.NOT_APPLICABLE)
        token = pair.refresh.reveal()
        if pair.cookie:
            return self._kept(await self._post(self._refresh, {}, cookie=token))
        extra = {} if self._as_json else {"grant_type": "refresh_token"}
        return self._kept(await self._post(self._refresh, {**extra, "refresh_token": token}))

    async def _post(self, url: str, fields: Mapping[str, str], cookie: str = "") -> Pair:
        reply = await self._tokens.post(url, fields, as_json=self._as_json, cookie=cookie)
        return pair_of(reply)

    def _kept(self, pair: Pair) -> Pair:
        if pair.granted:
            self._tokens.newest = pair.access
        return pair


def pair_of(reply: Reply) -> Pair:
    """The tokens in an answer. Never raises: ``problem`` says what it is instead."""
    if reply.problem or not 200 <= reply.status <= 299:
        problem = reply.problem or f"the answer has status {reply.status}"
        return Pair(status=reply.status, problem=problem)
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        kind = reply.headers.get("content-type", "").partition(";")[0][:60] or "no type"
        return Pair(status=reply.status, problem=f"the answer is no JSON but {kind}")
    found = _holder(answer)
    if found is None:
        return Pair(status=reply.status, problem="the answer has no access_token")
    refresh = _text(found, "refresh_token")
    cookie = _COOKIE.search(reply.headers.get("set-cookie", ""))
    if refresh is None and cookie:
        refresh = Secret(f"{cookie[1]}={cookie[2]}")
    return Pair(
        status=reply.status,
        access=_text(found, "access_token"),
        refresh=refresh,
        cookie=bool(cookie) and "refresh_token" not in found,
        expires_in=_seconds(found.get("expires_in")),
    )


def _holder(answer: Any) -> dict[str, Any] | None:
    """The object with the access token: the answer itself, or one right within."""
    if not isinstance(answer, dict):
        return None
    for one in (answer, *(answer.get(name) for name in _NESTED)):
        if isinstance(one, dict) and _text(one, "access_token"):
            return one
    return None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e12 else None


def _text(found: Mapping[str, Any], name: str) -> Secret | None:
    value = found.get(name)
    return Secret(value) if isinstance(value, str) and value else None
