from collections.abc import Iterator

from backend_doctor import Cause, Confidence, Evidence, Finding, Remedy, Status, Subject, check
from backend_doctor.backends.http.redirects import End, Redirects
from backend_doctor.backends.http.remedies import (
    ask_at_its_place,
    look_at_answers,
    one_slash_rule,
    tell_the_scheme,
    walk_redirects,
)


def _evidence(found: Redirects) -> Iterator[Evidence]:
    way = [found.steps[0].url, *(step.target or "no usable URL" for step in found.steps)]
    statuses = ", ".join(str(step.status) for step in found.steps)
    yield Evidence(
        key="redirects",
        value=tuple(way),
        text=f"{' -> '.join(way)} ({statuses})",
        source="Location of each answer, queries left out",
    )
    if found.end is End.ANSWER:
        yield Evidence(
            key="redirected_status",
            value=found.status,
            text=f"what the last one leads to answers {found.status or found.problem}",
            source=f"GET {way[-1]}",
        )


def _slashes(found: Redirects) -> bool:
    return all(step.slash_only for step in found.steps)


def _looping(found: Redirects) -> str:
    secure = found.url.startswith("https://")
    if _slashes(found):
        return "one rule adds the slash at the end and another takes it away"
    if secure and all(step.url == step.target for step in found.steps):
        return (
            "it leads to where it came from: what stands behind the proxy is not told that its "
            "clients come by https, and sends them there again; or it sends them on until a cookie "
            "that it does not get"
        )
    return "the rules of the proxy and of the application send clients to each other"


def _fault(
    found: Redirects, status: Status, summary: str, cause: Cause, *remedies: Remedy
) -> Finding:
    left = found.end in (End.INSECURE, End.ELSEWHERE)
    return Finding(
        status=status,
        summary=f"GET {found.path} {summary}.",
        evidence=tuple(_evidence(found)),
        cause=cause,
        remedies=remedies,
        subjects=(Subject(kind="endpoint", value=found.path),),
        notes=("it was not followed",) if left else (),
    )


def _loop(found: Redirects) -> Finding:
    circle = found.end is End.LOOP
    repeats = "lead back to where they began" if circle else "have not ended"
    cause = Cause(
        label="http.redirect_loop",
        confidence=Confidence.CERTAIN if circle else Confidence.LIKELY,
        because=_looping(found),
    )
    summary = f"is never answered: {len(found.steps)} redirects {repeats}"
    cures = (one_slash_rule(),) if _slashes(found) else tell_the_scheme()
    remedies = (walk_redirects(found.url), *cures)
    return _fault(found, Status.CRITICAL, summary, cause, *remedies)


def _insecure(found: Redirects) -> Finding:
    cause = Cause(
        label="http.redirect_insecure",
        confidence=Confidence.CERTAIN,
        because="who follows sends what it carries unencrypted, and browsers refuse to follow "
        "from a page; mostly the application is not told that its clients came by https",
    )
    summary = f"by https is sent on to {found.steps[-1].target}, in the clear"
    remedies = (walk_redirects(found.url), *tell_the_scheme())
    return _fault(found, Status.WARNING, summary, cause, *remedies)


def _elsewhere(found: Redirects) -> Finding:
    cause = Cause(
        label="http.redirect_elsewhere",
        confidence=Confidence.CERTAIN,
        because="the service itself is not asked any more: another host's health is shown in its "
        "place, and clients drop Authorization on the way there",
    )
    summary = f"is sent on to another host, {found.steps[-1].target}"
    remedies = (walk_redirects(found.url), ask_at_its_place(found.path))
    return _fault(found, Status.WARNING, summary, cause, *remedies)


def _broken(found: Redirects) -> Finding:
    cause = Cause(
        label="http.redirect_broken",
        confidence=Confidence.CERTAIN,
        because="whoever takes a redirect for health, as many load balancers do, does not notice "
        "that nothing good comes of it",
    )
    summary = f"answers by a redirect to what fails ({found.status or found.problem})"
    if found.end is End.NOWHERE:
        summary = "answers by a redirect that names no place"
    fails = found.status == 0 or found.status >= 500
    remedies = (look_at_answers(found.url), ask_at_its_place(found.path))
    return _fault(found, Status.CRITICAL if fails else Status.WARNING, summary, cause, *remedies)


def _fine(found: Redirects) -> Finding:
    if not found.steps:
        return Finding(status=Status.OK, summary=f"GET {found.path} is answered at its place.")
    return Finding(
        status=Status.OK,
        summary=f"GET {found.path} is sent on {len(found.steps)} times"
        + (f" and then answers {found.status}." if found.end is End.ANSWER else "."),
        evidence=tuple(_evidence(found)),
    )


@check
def redirects(found: Redirects) -> Iterator[Finding]:
    """The health path leads in circles, out of https, to another host, or to an error.

    What is asked is the configured host only, and nothing private is sent. Where no health path
    is declared, only a circle and the way out of https are faults.
    """
    failed = found.end is End.NOWHERE or found.status == 0 or found.status >= 400
    if found.end in (End.LOOP, End.ENDLESS):
        yield _loop(found)
    elif found.end is End.INSECURE:
        yield _insecure(found)
    elif found.declared and found.end is End.ELSEWHERE:
        yield _elsewhere(found)
    elif found.declared and found.steps and failed:
        yield _broken(found)
    else:
        yield _fine(found)
