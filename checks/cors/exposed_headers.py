from collections.abc import Iterator

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
    Evidence,
    Finding,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.cors.exchanges import Exchange, Response
from backend_doctor.backends.cors.fetch import hidden_headers
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.backends.cors.remedies import ask_for_the_answer, expose_headers
from backend_doctor.backends.cors.verdicts import blockade


def _readable(seen: Preflights) -> Iterator[tuple[Exchange, Response]]:
    """The first good answer to each client that gets one."""
    for one in seen.exchanges:
        good = (steps[-1].actual for steps in one.answers if 200 <= steps[-1].actual.status < 300)
        answer = next(good, None)
        if answer is not None and blockade(one) is None:
            yield one, answer


def _hidden(one: Exchange, answer: Response, hidden: tuple[str, ...], seen: Preflights) -> Finding:
    names = ", ".join(hidden)
    said = answer.headers.get("access-control-expose-headers", "")
    return Finding(
        status=Status.WARNING,
        summary=f"The page's script cannot read {names} of {one.text}.",
        evidence=(
            Evidence(
                key="access_control_expose_headers",
                value=said,
                text=f"{one.text}: Access-Control-Expose-Headers is "
                f"{said or 'missing'}, and the client declares that it reads {names}",
                source="GET as a browser sends it",
            ),
        ),
        cause=Cause(
            label="cors.header_not_exposed",
            confidence=Confidence.CERTAIN,
            because="a browser hides all but seven plain headers from a script of another origin, "
            "however clearly the network tab shows them"
            + ("; with credentials `*` exposes nothing" if "*" in said else ""),
        ),
        remedies=(ask_for_the_answer(one, seen.url), expose_headers(hidden, seen.layers)),
        subjects=(Subject(kind="endpoint", value=one.path),),
    )


@check
def exposed_headers(seen: Preflights) -> Iterator[Finding]:
    """A header that the client says it reads is hidden from its script."""
    if not seen.expose:
        yield Finding(status=Status.SKIPPED, summary="No header is declared that scripts read.")
        return
    readable = list(_readable(seen))
    if not readable:
        raise Absent("no client got an answer to GET or HEAD that it may read")
    for one, answer in readable:
        hidden = hidden_headers(one.request, answer.seen, seen.expose)
        if hidden:
            yield _hidden(one, answer, hidden, seen)
            return
    yield Finding(
        status=Status.OK,
        summary=f"Scripts can read {', '.join(seen.expose)} of {len(readable)} answers.",
    )
