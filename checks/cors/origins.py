from collections.abc import Iterator, Sequence

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Measure,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.cors.exchanges import Exchange
from backend_doctor.backends.cors.hole_rules import Hole, has_credentials, holes, severity
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.backends.cors.remedies import ask_for_the_answer, cure
from backend_doctor.backends.cors.stacks import Layers
from backend_doctor.backends.cors.verdicts import is_admitted, is_cached, lacks_vary


def _evidence(intruders: Sequence[Exchange], with_them: str) -> Iterator[Evidence]:
    names = ", ".join(dict.fromkeys(exchange.origin for exchange in intruders))
    source = "OPTIONS and GET with these origins, with a meaningless cookie and without"
    yield Evidence(
        key="origins_let_in",
        value=tuple(exchange.origin for exchange in intruders),
        text=f"Access-Control-Allow-Origin on {intruders[0].path} admits {names}{with_them}",
        source=source,
    )
    if with_them:
        yield Evidence(
            key="allow_credentials",
            value="true",
            text="Access-Control-Allow-Credentials: true, so that cookies go along",
            source=source,
        )


def _opened(hole: Hole, intruders: Sequence[Exchange], status: Status, seen: Preflights) -> Finding:
    with_them = " with credentials" if has_credentials(intruders) else ""
    own = [exchange.origin for exchange in seen.exchanges]
    return Finding(
        status=status,
        summary=f"{len(intruders)} origins that nobody declared are let in{with_them}, such as "
        f"{intruders[0].origin}.",
        evidence=tuple(_evidence(intruders, with_them)),
        cause=hole.cause,
        remedies=(
            cure(hole.cure, seen.layers, origins=own),
            ask_for_the_answer(intruders[0], seen.url),
        ),
        subjects=(
            Subject(kind="endpoint", value=intruders[0].path),
            Subject(kind="setting", value="allow_origins"),
        ),
    )


def _missing_vary(exchange: Exchange, layers: Layers) -> Finding:
    return Finding(
        status=Status.WARNING,
        summary=f"A cache keeps {exchange.path} and is not told that it depends on the origin.",
        evidence=(
            Evidence(
                key="vary",
                value="",
                text=f"{exchange.text}: the origin is named in the answer, a shared cache may "
                "keep it, and Vary lacks Origin",
                source="GET as a browser sends it",
            ),
        ),
        cause=Cause(
            label="cors.missing_vary",
            confidence=Confidence.LIKELY,
            because="one origin's answer may be served to another, whose browser refuses it",
        ),
        remedies=(cure("vary", layers),),
        subjects=(Subject(kind="endpoint", value=exchange.path),),
    )


def _varies(seen: Preflights) -> bool:
    """Whether the header differs by origin at all: a constant one needs no Vary."""
    own = {one.origin for one in seen.exchanges}
    return any(
        (step.actual.allow_origin or "").strip() not in own | {other.origin}
        for other in (*seen.refused, *seen.strangers)
        for steps in other.answers
        for step in steps
    )


def _faults(seen: Preflights) -> Iterator[Finding]:
    """One for each cause: several ways through one pattern are mended at once."""
    by_label: dict[str, Finding] = {}
    for hole, intruders in holes(seen):
        status = severity(hole, intruders)
        if status is not None:
            by_label.setdefault(hole.label, _opened(hole, intruders, status, seen))
    yield from by_label.values()


def _advice(seen: Preflights, unkeyed: Sequence[Exchange]) -> Iterator[str]:
    if unkeyed:
        yield "answers name the origin without Vary: Origin; a shared cache would mix them up"
    for hole, intruders in holes(seen):
        if severity(hole, intruders) is None:
            public = "without credentials, which is fine for what is public"
            because = hole.because if has_credentials(intruders) else public
            yield f"{intruders[0].origin} is let in: {because}"


@check
def origins(seen: Preflights) -> Iterator[Finding]:
    """Origins are let in that should not be, or a cache mixes up the answers to several.

    Tried are the origins that are declared as refused, and made-up ones: a strange one, ``null``,
    and look-alikes of a declared one, with a cookie that means nothing and without.
    """
    others = (*seen.refused, *seen.strangers)
    unkeyed = [one for one in seen.exchanges if lacks_vary(one)] if _varies(seen) else []
    mixed = [one for one in unkeyed if is_cached(one)]
    findings = [*_faults(seen), *(_missing_vary(one, seen.layers) for one in mixed[:1])]
    count = sum(is_admitted(one) for one in others)
    measure = Measure(name="foreign_origins_let_in", value=count, maximum=len(others))
    if not findings and not others:
        yield Finding(status=Status.UNKNOWN, summary="Time was up before any origin was tried.")
        return
    if not findings:
        summary = f"None of {len(others)} origins that nobody declared is let in where it matters."
        findings = [Finding(status=Status.OK, summary=summary)]
    notes = tuple(_advice(seen, [] if mixed else unkeyed))
    yield msgspec.structs.replace(findings[0], measures=(measure,), notes=notes)
    yield from findings[1:]
