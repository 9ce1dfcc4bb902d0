from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Measure,
    Remedy,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.cors.fetch import decide
from backend_doctor.backends.cors.preflights import Preflights, hops
from backend_doctor.backends.cors.remedies import (
    allow_credentials,
    allow_headers,
    allow_methods,
    allow_origins,
    answer_preflights,
    ask_as_a_browser,
    ask_for_the_answer,
    cors_outermost,
    headers_on_errors,
    no_redirect,
    one_header,
)
from backend_doctor.backends.cors.verdicts import (
    Blockade,
    blockade,
    unanswered,
)

_CODES = {
    "wildcard-credentials": "wildcard",
    "header-wildcard-credentials": "header",
    "header-not-allowed": "header",
    "method-wildcard-credentials": "method",
    "method-not-allowed": "method",
    "acao-missing": "origin",
    "acao-mismatch": "origin",
    "acao-multiple": "duplicate",
    "acac-not-true": "credentials",
    "preflight-auth": "auth",
    "preflight-redirect": "redirect",
    "preflight-unanswered": "unanswered",
    "preflight-status": "unanswered",
    "redirect-without-cors": "hop",
    "redirect-null-origin": "hop",
    "redirect-preflight": "hop",
}


def _sort(found: Blockade) -> str:
    """Which cause a blockade belongs to."""
    if found.code == "preflight-credentials":
        return "wildcard" if found.detail == "*" else "credentials"
    if found.code == "malformed-list":
        return "method" if found.detail.startswith("access-control-allow-methods") else "header"
    if found.code == "error-without-cors":
        return "server_error" if found.status >= 500 else "error"
    return _CODES[found.code]


def _cause(sort: str, found: Blockade) -> Cause:
    label, because = {
        "origin": (
            "cors.origin_not_allowed",
            "the server does not list this origin: every page from there is shut out",
        ),
        "header": (
            "cors.header_not_allowed",
            f"the preflight does not allow the header ({found.detail}) that the client sends",
        ),
        "method": (
            "cors.method_not_allowed",
            f"the preflight does not allow the method ({found.detail})",
        ),
        "wildcard": (
            "cors.wildcard_with_credentials",
            "the server answers `*`, which browsers refuse to every client that sends credentials",
        ),
        "credentials": (
            "cors.credentials_not_allowed",
            "the client sends credentials, and Access-Control-Allow-Credentials is not exactly "
            "`true`",
        ),
        "duplicate": (
            "cors.duplicate_header",
            "two places set Access-Control-Allow-Origin; browsers refuse more than one value",
        ),
        "auth": (
            "cors.preflight_blocked_by_auth",
            "something in front of CORS wants credentials, and a preflight never carries any",
        ),
        "redirect": (
            "cors.preflight_redirect",
            "the preflight is redirected, which no browser follows",
        ),
        "unanswered": (
            "cors.preflight_fails",
            "the preflight fails: nothing there answers OPTIONS as CORS asks",
        ),
        "hop": (
            "cors.redirect_without_headers",
            "the request is redirected, and a step on the way does not allow this origin",
        ),
        "server_error": (
            "cors.error_masks_5xx",
            "the request is allowed and fails on the server; the error lacks the CORS headers, so "
            "the browser calls it a CORS error",
        ),
        "error": (
            "cors.error_without_headers",
            "errors lack the CORS headers that other answers have: clients cannot tell a 401 "
            "from a broken network",
        ),
    }[sort]
    return Cause(label=label, confidence=Confidence.CERTAIN, because=because)


def _remedies(sort: str, group: Sequence[Blockade], url: str) -> tuple[Remedy, ...]:
    first, exchanges = group[0], [one.exchange for one in group]
    missing = first.detail if first.code.startswith("header") else ""
    cure = {
        "origin": lambda: allow_origins(exchanges),
        "header": lambda: allow_headers(exchanges, missing),
        "method": lambda: allow_methods(exchanges),
        "wildcard": lambda: allow_credentials(exchanges),
        "credentials": lambda: allow_credentials(exchanges),
        "duplicate": one_header,
        "auth": cors_outermost,
        "redirect": no_redirect,
        "unanswered": answer_preflights,
        "hop": no_redirect,
        "server_error": headers_on_errors,
        "error": headers_on_errors,
    }[sort]()
    at_answer = sort in ("server_error", "error", "hop")
    ask = ask_for_the_answer if at_answer else ask_as_a_browser
    return ask(first.exchange, url), cure


def _denial(sort: str, group: Sequence[Blockade], wanted: int, url: str) -> Finding:
    first = group[0]
    errors = tuple(dict.fromkeys(error for one in group for error in one.errors))
    only_errors = sort == "error" or max(one.share for one in group) < 0.5
    said = f"; the answers name {', '.join(errors)}" if errors else ""
    status = f" (status {first.status})" if sort in ("server_error", "error", "unanswered") else ""
    return Finding(
        status=Status.WARNING if only_errors else Status.CRITICAL,
        summary=f"A browser denies {len(group)} of {wanted} declared requests, such as "
        f"{first.exchange.text}{status}{said}.",
        evidence=tuple(
            Evidence(
                key=one.code.replace("-", "_"),
                value=one.answer.allow_origin or "",
                text=one.text,
                source="OPTIONS and GET as a browser sends them, judged by the Fetch standard",
            )
            for one in group[:4]
        ),
        cause=_cause(sort, first),
        remedies=_remedies(sort, group, url),
        subjects=tuple(
            Subject(kind=kind, value=value)
            for kind, values in (
                ("endpoint", [one.exchange.path for one in group]),
                ("error", errors),
                ("setting", ["allow_origins"] if sort == "wildcard" else []),
            )
            for value in dict.fromkeys(values)
        ),
    )


def _notes(seen: Preflights) -> Iterator[str]:
    if seen.cut:
        yield f"time was up after {len(seen.exchanges)} of {seen.wanted} declared requests"
    unsent = sorted({one.method for one in seen.exchanges if not one.answers})
    if unsent:
        methods = ", ".join(unsent)
        yield f"of {methods} only the preflight was judged; the actual answer is unverified"
    for one in seen.exchanges:
        errors = sorted({s.status for s in one.samples if s.failed and s.status})
        if errors and blockade(one) is None:
            text = f"{one.text} fails with {', '.join(map(str, errors))} and the right CORS headers"
            yield f"{text}: an error of the application, not of CORS"
    warnings = (decide(one.request, hops(steps)).warning for one in seen.exchanges
                for steps in one.answers)  # fmt: skip
    yield from dict.fromkeys(filter(None, warnings))


@check
def preflight(seen: Preflights) -> Iterator[Finding]:
    """Browsers deny a declared client its answer: says by which rule, and where to mend it."""
    groups: dict[str, list[Blockade]] = defaultdict(list)
    for one in seen.exchanges:
        found = blockade(one)
        if found is not None:
            groups[_sort(found)].append(found)
    count = len(seen.exchanges)
    findings = [_denial(sort, group, count, seen.url) for sort, group in groups.items()]
    silent = [one for one in seen.exchanges if unanswered(one)]
    if not findings and silent:
        findings = [Finding(status=Status.UNKNOWN, summary=f"No answer to {silent[0].text}.")]
    if not findings:
        summary = f"A browser lets {count} of {seen.wanted} declared requests through."
        findings = [Finding(status=Status.OK, summary=summary)]
    denied = sum(map(len, groups.values()))
    measure = Measure(name="denied_requests", value=denied, maximum=count)
    yield msgspec.structs.replace(findings[0], measures=(measure,), notes=tuple(_notes(seen)))
    yield from findings[1:]
