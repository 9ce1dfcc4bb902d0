from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from backend_doctor import (
    Evidence,
    Finding,
    Measure,
    Remedy,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.cors.denial_rules import DENIALS, cause_of, kind_of
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.backends.cors.remarks import matrix, remarks
from backend_doctor.backends.cors.remedies import (
    allow_credentials,
    allow_headers,
    allow_methods,
    allow_origins,
    ask_as_a_browser,
    ask_for_the_answer,
    cure,
)
from backend_doctor.backends.cors.verdicts import Blockade, blockade, unanswered

_FAILED = ("server_error", "error", "locked", "proxy", "unanswered")
# denials of whatever is answered, a 401 included
_HIDES_ALL = {"origin", "wildcard", "credentials", "duplicate", "auth", "locked"}


def _remedies(kind: str, group: Sequence[Blockade], seen: Preflights) -> tuple[Remedy, ...]:
    first, exchanges, layers = group[0], [one.exchange for one in group], seen.layers
    missing = first.detail if first.code.startswith("header") else ""
    lists = {
        "origin": lambda: allow_origins(exchanges, layers),
        "header": lambda: allow_headers(exchanges, missing, layers),
        "method": lambda: allow_methods(exchanges, layers),
        "credentials": lambda: allow_credentials(exchanges, layers),
    }
    named = DENIALS[kind].cure
    at_answer = first.code.startswith(("error-", "redirect-"))
    ask = ask_for_the_answer if at_answer else ask_as_a_browser
    cured = lists[named]() if named in lists else cure(named, layers)
    return ask(first.exchange, seen.url), cured


def _denial(kind: str, group: Sequence[Blockade], wanted: int, seen: Preflights) -> Finding:
    first = group[0]
    errors = tuple(dict.fromkeys(error for one in group for error in one.errors))
    only_errors = kind in ("error", "locked") or max(one.share for one in group) < 0.5
    said = f"; the answers name {', '.join(errors)}" if errors else ""
    status = f" (status {first.status})" if kind in _FAILED else ""
    return Finding(
        status=Status.WARNING if only_errors else Status.CRITICAL,
        summary=f"A browser denies {len(group)} of {wanted} declared requests, such as "
        f"{first.exchange.text}{status}{said}.",
        evidence=tuple(
            Evidence(
                key=one.code.replace("-", "_"),
                value=one.origin,
                text=one.text,
                source="OPTIONS and GET as a browser sends them, judged by the Fetch standard",
            )
            for one in group[:4]
        ),
        cause=cause_of(kind, first, seen),
        remedies=_remedies(kind, group, seen),
        explains=("token.unauthorized_unreadable",) if kind in _HIDES_ALL else (),
        subjects=tuple(
            Subject(kind=subject, value=value)
            for subject, values in (
                ("endpoint", [one.exchange.path for one in group]),
                ("error", errors),
                ("setting", ["allow_origins"] if kind == "wildcard" else []),
            )
            for value in dict.fromkeys(values)
        ),
    )


@check
def preflight(seen: Preflights) -> Iterator[Finding]:
    """Browsers deny a declared client its answer: says by which rule, and where to mend it."""
    groups: dict[str, list[Blockade]] = defaultdict(list)
    for one in seen.exchanges:
        found = blockade(one)
        if found is not None:
            groups[kind_of(found)].append(found)
    count = len(seen.exchanges)
    findings = [_denial(kind, group, count, seen) for kind, group in groups.items()]
    silent = [one for one in seen.exchanges if unanswered(one)]
    if not findings and silent:
        findings = [Finding(status=Status.UNKNOWN, summary=f"No answer to {silent[0].text}.")]
    if not findings:
        summary = f"A browser lets {count} of {seen.wanted} declared requests through."
        findings = [Finding(status=Status.OK, summary=summary)]
    denied = sum(map(len, groups.values()))
    first = findings[0]
    tells_more = count > 1 or not denied
    yield msgspec.structs.replace(
        first,
        evidence=(*first.evidence, matrix(seen)) if tells_more else first.evidence,
        measures=(Measure(name="denied_requests", value=denied, maximum=count),),
        notes=remarks(seen),
    )
    yield from findings[1:]
