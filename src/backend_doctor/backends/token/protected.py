"""How a protected endpoint answers without a token, to what is none, and to the sample."""

import hashlib
import re
import time
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

import msgspec

from backend_doctor.backends.cors.fetch import Request, Seen, cors_check
from backend_doctor.backends.http.connection import Reply
from backend_doctor.backends.token.compact import bare
from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.backends.token.decoding import Decoded, decode
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance

Challenge = Literal["", "bearer", "basic", "other"]
# in a token's form, so that it reaches what decodes tokens
GARBAGE = "backend-doctor.no-token.garbage"
_TOO_MANY_REQUESTS = 429
_WORD = re.compile(r"[\w:.+-]+")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. ``status`` 0 when none came, and ``problem`` says why.

    ``readable`` whether a page of the declared origin may read it, None without one. ``alike``
    whether it says the same as the answer to a request without a token.
    """

    status: int
    challenge: Challenge = ""
    readable: bool | None = None
    alike: bool = True
    problem: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the request was let in."""
        return 200 <= self.status <= 299

    @property
    def refused(self) -> bool:
        """Whether it was refused for want of a token or right."""
        return self.status in (401, 403)

    @property
    def failed(self) -> bool:
        """Whether the server failed."""
        return self.status >= 500


class ProtectedAnswers(Fact, frozen=True, kw_only=True):
    """Answers of ``path`` to a GET ``without`` a token, with an ``empty`` one, with ``garbage``,
    and with the ``sample`` where that is an access token that can be read.

    ``throttled`` when the server said that these were too many. ``observed`` is our clock.
    """

    seconds_limit: ClassVar[float] = 18.0

    path: str
    origin: str = ""
    without: Answer
    empty: Answer | None = None
    garbage: Answer | None = None
    sample: Answer | None = None
    throttled: bool = False
    observed: float = 0.0

    @property
    def told(self) -> tuple[tuple[str, Answer], ...]:
        """What was tried without a valid token, in words, and its answer."""
        tried = {
            "without a token": self.without,
            "to an empty token": self.empty,
            "to garbage": self.garbage,
        }
        return tuple((words, answer) for words, answer in tried.items() if answer)

    @classmethod
    async def collect(cls, tokens: TokenConnection, instance: Instance) -> Self:
        """Three or four GETs, one after the other; it stops when told that they are too many.

        Raises Absent where no protected endpoint is declared.
        """
        url = instance.settings.get("protected")
        if not isinstance(url, str):
            raise Absent("no protected endpoint is declared", kind=AbsenceKind.NOT_APPLICABLE)
        asking = _Asking(tokens, url, instance)
        answers: dict[str, Answer] = {"without": await asking.answer()}
        for name, token in _tokens(tokens):
            if asking.throttled or not answers["without"].status:
                break
            answers[name] = await asking.answer(token)
        return cls(
            path=urlsplit(url).path or "/",
            origin=asking.origin,
            throttled=asking.throttled,
            observed=time.time(),
            **answers,
        )


def _tokens(tokens: TokenConnection) -> tuple[tuple[str, str], ...]:
    invalid = (("empty", ""), ("garbage", GARBAGE))
    try:
        text, _ = bare(tokens.sample().reveal())
    except Absent:
        return invalid
    return (*invalid, ("sample", text)) if _is_access(decode(text)) else invalid


def _is_access(sample: Decoded) -> bool:
    return not (sample.problem or sample.encrypted or sample.refresh)


class _Asking:
    """Asks one URL as a page of the declared origin would."""

    def __init__(self, tokens: TokenConnection, url: str, instance: Instance) -> None:
        self._tokens, self._url = tokens, url
        self.origin = str(instance.settings.get("origin", ""))
        mode: Literal["include", "same-origin"] = (
            "include" if instance.settings.get("credentials") else "same-origin"
        )
        self._page = Request(self.origin, credentials=mode)
        self._first = ""
        self.throttled = False

    async def answer(self, token: str | None = None) -> Answer:
        """The answer to a GET with that token, or without any."""
        headers = [("Origin", self.origin)] if self.origin else []
        if token is not None:
            headers.append(("Authorization", f"Bearer {token}".rstrip()))
        reply = await self._tokens.get(self._url, headers)
        self.throttled = reply.status == _TOO_MANY_REQUESTS
        said = _said(reply)
        self._first = self._first or said
        seen = Seen(reply.status, reply.headers)
        return Answer(
            status=reply.status,
            challenge=_challenge(reply.headers.get("www-authenticate", "")),
            readable=not cors_check(self._page, seen).blocked if self.origin else None,
            alike=said == self._first,
            problem=reply.problem,
        )


def _said(reply: Reply) -> str:
    """A fingerprint of what an answer says, without what changes by itself."""
    challenge = reply.headers.get("www-authenticate", "")
    words = _WORD.findall(f"{challenge}\n{reply.body}")
    # numbers, times and ids of requests differ from answer to answer without a meaning
    lasting = " ".join(word for word in words if not any(map(str.isdigit, word)))
    digest = hashlib.sha256(lasting.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{reply.status} {digest}"


def _challenge(header: str) -> Challenge:
    schemes = {word.lower() for word in re.findall(r"(?:^|,\s*)([A-Za-z]+)", header)}
    if "bearer" in schemes:
        return "bearer"
    if "basic" in schemes:
        return "basic"
    return "other" if header else ""
