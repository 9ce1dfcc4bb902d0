"""From observed exchanges to what is wrong with them, in the words of the decision's codes."""

from collections.abc import Iterator, Sequence

import msgspec

from backend_doctor.backends.cors.exchanges import Exchange, Response, hops
from backend_doctor.backends.cors.fetch import (
    Request,
    Verdict,
    cors_check,
    decide,
    needs_preflight,
    preflight_check,
)
from backend_doctor.backends.cors.stacks import NAMES
from backend_doctor.text import shorten

_AUTH = (401, 403, 407)
# what a target says may be megabytes
_SHOWN = 200


class Blockade(msgspec.Struct, frozen=True):
    """One exchange that the browser denies. ``code`` says why, ``answer`` the one that did it.

    ``errors`` are known errors named by the failing answers; ``share`` of the answers failed.
    """

    exchange: Exchange
    code: str
    detail: str
    answer: Response
    status: int
    errors: tuple[str, ...] = ()
    share: float = 1.0

    @property
    def origin(self) -> str:
        """What the answer lets in, as far as it can be shown."""
        return shorten(self.answer.allow_origin or "", _SHOWN)

    @property
    def fault(self) -> str:
        """The detail, as far as it can be shown."""
        return shorten(self.detail, _SHOWN)

    @property
    def text(self) -> str:
        """What the browser objects to, for people."""
        named = self.answer.allow_origin is not None
        said = f"Access-Control-Allow-Origin: {self.origin}" if named else "no CORS origin"
        detail = f" ({self.fault})" if self.detail else ""
        author = f", written by {NAMES[self.answer.author]}" if self.answer.author else ""
        return f"{self.exchange.text}: {self.code}{detail}; status {self.status}{author}, {said}"


def _preflight_code(request: Request, answer: Response) -> tuple[str, str]:
    """Which rule a failed preflight breaks, past its status where its headers tell more."""
    found = preflight_check(request, answer.seen)
    if found.code == "preflight-acao":
        return _acao_code(request, answer)
    if found.code != "preflight-status":
        return found.code, found.detail
    if answer.status in _AUTH:
        return "preflight-auth", found.detail
    if answer.refused:
        return _said_code(request, answer)
    if answer.allow_origin is None:
        return "preflight-unanswered", found.detail
    accepted = Response(status=200, headers=answer.headers)
    deeper = preflight_check(request, accepted.seen)
    if deeper.code == "preflight-acao":
        return _acao_code(request, answer)
    return (deeper.code, deeper.detail) if deeper.blocked else ("preflight-status", found.detail)


def _acao_code(request: Request, answer: Response) -> tuple[str, str]:
    found = cors_check(request, answer.seen)
    return found.code, found.detail


def _said_code(request: Request, answer: Response) -> tuple[str, str]:
    """Starlette says which part it refuses: origin, method, headers."""
    parts = {part.strip() for part in answer.refused.split(",")}
    if "origin" in parts:
        return "acao-missing", ""
    if "method" in parts:
        return "method-not-allowed", request.normal_method
    deeper = preflight_check(request, Response(status=200, headers=answer.headers).seen)
    return "header-not-allowed", deeper.detail


def unanswered(exchange: Exchange) -> bool:
    """Whether nothing at all came back where something was asked."""
    answers = [steps[-1].actual for steps in exchange.answers]
    if exchange.preflight is not None and needs_preflight(exchange.request):
        answers.append(exchange.preflight)
    return bool(answers) and all(answer.status == 0 for answer in answers)


def blockade(exchange: Exchange) -> Blockade | None:
    """Why the declared client is denied; None where it is served, or nothing answered."""
    request, preflight = exchange.request, exchange.preflight
    if unanswered(exchange):
        return None
    asked = preflight if needs_preflight(request) else None
    if asked is not None and preflight_check(request, asked.seen).blocked:
        code, detail = _preflight_code(request, asked)
        return Blockade(exchange, code, detail, asked, asked.status)
    denied = list(_denied(exchange))
    if not denied:
        return None
    errors = dict.fromkeys(error for *_, error in denied if error)
    # a rule that good answers break too says more than an error that lacks the headers
    verdict, answer, _ = min(denied, key=lambda one: one[0].code == "error-without-cors")
    code = verdict.code
    if code == "error-without-cors" and preflight is not None and _refuses_origin(preflight):
        code = "acao-missing"
    return Blockade(
        exchange,
        code,
        verdict.detail,
        answer,
        answer.status,
        tuple(errors),
        len(denied) / len(exchange.answers),
    )


def _refuses_origin(preflight: Response) -> bool:
    """Whether the CORS middleware is there and does not let this origin in."""
    silent = 200 <= preflight.status <= 299 and preflight.allow_origin is None
    return silent or "origin" in preflight.refused


def _denied(exchange: Exchange) -> Iterator[tuple[Verdict, Response, str]]:
    for steps, sample in zip(exchange.answers, exchange.samples, strict=True):
        if any(step.actual.status == 0 for step in steps):
            continue
        verdict = decide(exchange.request, hops(steps))
        if verdict.blocked and verdict.code != "preflight-missing":
            yield verdict, steps[-1].actual, sample.error


def echoed(exchange: Exchange) -> tuple[bool, bool]:
    """Whether an origin that nobody declared is let in: (at all by its own name, and with
    credentials)."""
    answers = [step.actual for steps in exchange.answers for step in steps]
    # a preflight that is refused by its status lets nobody in
    if exchange.preflight is not None and 200 <= exchange.preflight.status <= 299:
        answers.append(exchange.preflight)
    named = [answer for answer in answers if (answer.allow_origin or "").strip() == exchange.origin]
    return bool(named), any(echoes_credentials(answer, exchange.origin) for answer in named)


def _precedes(answer: Response) -> bool:
    """Whether the origin stands before the credentials."""
    names = list(answer.headers)
    both = ("access-control-allow-origin", "access-control-allow-credentials")
    return all(name in names for name in both) and names.index(both[0]) < names.index(both[1])


def by_wildcard(declared: Sequence[Exchange], strangers: Sequence[Exchange]) -> bool:
    """Whether `*` is what lets strangers in: it is sent as such, or Starlette puts the origin in
    its place, which leaves the origin before the credentials in an answer, where a list or a
    pattern puts it behind them, as every preflight of Starlette's does."""
    answers = [answer for one in strangers for answer in one.responses]
    if any(echoes_credentials(answer, "*") for answer in answers):
        return True
    behind = any(
        echoes_credentials(one.preflight, one.origin) and not _precedes(one.preflight)
        for one in declared
        if one.preflight is not None
    )
    return behind and any(map(_precedes, answers))


def echoes_credentials(answer: Response, origin: str) -> bool:
    """Whether an answer names the origin and allows credentials."""
    allowed = answer.headers.get("access-control-allow-credentials", "").strip() == "true"
    return (answer.allow_origin or "").strip() == origin and allowed


def is_admitted(exchange: Exchange) -> bool:
    """Whether an answer lets the origin in, by its name or as any other."""
    return echoed(exchange)[0] or open_to_all(exchange)


def open_to_all(exchange: Exchange) -> bool:
    """Whether any origin may read, without credentials."""
    return any(
        (step.actual.allow_origin or "").strip() == "*"
        for steps in exchange.answers
        for step in steps
    )


def lacks_vary(exchange: Exchange) -> bool:
    """Whether an answer names this origin and does not tell caches so."""
    for steps in exchange.answers:
        answer = steps[-1].actual
        named = (answer.allow_origin or "").strip() == exchange.origin
        fields = {part.strip().lower() for part in answer.headers.get("vary", "").split(",")}
        if named and not fields & {"origin", "*"}:
            return True
    return False


def is_cached(exchange: Exchange) -> bool:
    """Whether a shared cache keeps the answer, or says that it did."""
    for steps in exchange.answers:
        headers = steps[-1].actual.headers
        control = headers.get("cache-control", "").lower()
        if "public" in control or "s-maxage" in control or {"age", "x-cache"} & headers.keys():
            return True
    return False
