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
from backend_doctor.backends.cors.preflights import Exchange, Preflights
from backend_doctor.backends.cors.remedies import ask_for_the_answer, exact_list, vary
from backend_doctor.backends.cors.verdicts import (
    by_wildcard,
    echoed,
    is_cached,
    lacks_vary,
    open_to_all,
)


def _intruders(seen: Preflights) -> tuple[list[Exchange], bool]:
    """Origins let in that should not be, and whether with credentials.

    A stranger counts only where credentials go along; all sites may read what is public.
    """
    refused = [one for one in seen.refused if echoed(one)[0] or open_to_all(one)]
    strangers = [one for one in seen.strangers if echoed(one)[1]]
    return refused + strangers, any(echoed(one)[1] for one in (*refused, *strangers))


def _reflection(intruders: Sequence[Exchange], credentials: bool, url: str) -> Finding:
    names = ", ".join(exchange.origin for exchange in intruders)
    with_them = " with credentials" if credentials else ""
    label, because = (
        "cors.reflects_any_origin",
        "whatever origin asks is allowed, cookies included: any site can act as a signed-in user",
    )
    if not credentials:
        because = "an origin that the configuration says must be refused is allowed to read"
    elif all(by_wildcard(exchange) for exchange in intruders):
        label, because = (
            "cors.wildcard_with_credentials",
            "allow_origins=['*'] together with allow_credentials: the server then lets in every "
            "origin by its name, and any site can act as a signed-in user",
        )
    return Finding(
        status=Status.CRITICAL if credentials else Status.WARNING,
        summary=f"{len(intruders)} origins that nobody declared are let in{with_them}, such as "
        f"{intruders[0].origin}.",
        evidence=(
            Evidence(
                key="origins_let_in",
                value=tuple(exchange.origin for exchange in intruders),
                text=f"Access-Control-Allow-Origin admits {names}{with_them}",
                source="OPTIONS and GET with these origins and a meaningless cookie",
            ),
        ),
        cause=Cause(label=label, confidence=Confidence.CERTAIN, because=because),
        remedies=(exact_list(), ask_for_the_answer(intruders[0], url)),
        subjects=(
            Subject(kind="endpoint", value=intruders[0].path),
            Subject(kind="setting", value="allow_origins"),
        ),
    )


def _missing_vary(exchange: Exchange) -> Finding:
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
        remedies=(vary(),),
        subjects=(Subject(kind="endpoint", value=exchange.path),),
    )


def _varies(seen: Preflights) -> bool:
    """Whether the header differs by origin at all: a constant one needs no Vary."""
    return any(not echoed(one)[0] for one in (*seen.refused, *seen.strangers))


@check
def origins(seen: Preflights) -> Iterator[Finding]:
    """Origins are let in that should not be, or a cache mixes up the answers to several.

    Tried are the origins that are declared as refused, two made-up ones, ``null`` and
    look-alikes of a declared one, each with a cookie that means nothing.
    """
    others = (*seen.refused, *seen.strangers)
    intruders, credentials = _intruders(seen)
    measure = Measure(name="foreign_origins_let_in", value=len(intruders), maximum=len(others))
    unkeyed = [one for one in seen.exchanges if lacks_vary(one)] if _varies(seen) else []
    mixed = [one for one in unkeyed if is_cached(one)]
    if intruders:
        found = _reflection(intruders, credentials, seen.url)
        yield msgspec.structs.replace(found, measures=(measure,))
    if mixed:
        yield _missing_vary(mixed[0])
    if intruders or mixed:
        return
    notes: tuple[str, ...] = ()
    if unkeyed:
        notes = ("answers name the origin without Vary: Origin; a shared cache would mix them up",)
    if not others:
        yield Finding(status=Status.UNKNOWN, summary="Time was up before any origin was tried.")
        return
    yield Finding(
        status=Status.OK,
        summary=f"None of {len(others)} origins that nobody declared is let in with credentials.",
        measures=(measure,),
        notes=notes,
    )
