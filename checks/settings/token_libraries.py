from collections import defaultdict
from collections.abc import Iterator, Sequence

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Remedy,
    Status,
    Step,
    check,
)
from backend_doctor.backends.settings.libraries import Libraries
from backend_doctor.backends.settings.library_lists import Named
from backend_doctor.backends.settings.library_rules import (
    FLAWS,
    REPLACEMENTS,
    SPELLINGS,
    Flaw,
    release,
)


def _spelled(one: Named) -> str:
    return f"{SPELLINGS.get(one.name, one.name)} {one.version}".rstrip()


def _flaws(one: Named) -> tuple[Flaw, ...]:
    return tuple(f for f in FLAWS if f.library == one.name and f.concerns(one.version))


def _unsure(one: Named) -> bool:
    """Whether its list allows releases with a flaw, and does not say which one it is."""
    last = max((release(flaw.fixed) for flaw in FLAWS if flaw.library == one.name), default=())
    return not release(one.version) and release(one.least) < last


def _remedies(one: Named, flaws: Sequence[Flaw]) -> Iterator[Remedy]:
    yield Remedy(
        step=Step.CONFIRM,
        command=f"python -m pip show {one.name}",
        effect="run where the application runs: says which release is really installed",
        language="sh",
    )
    instead = REPLACEMENTS.get(one.name)
    if instead:
        effect = "another library: change the imports, name the algorithms in each decode, test"
    else:
        fixed = max((flaw.fixed for flaw in flaws), key=release)
        instead = f"{SPELLINGS.get(one.name, one.name)}>={fixed}"
        effect = "in the list; then install, run the tests, and restart"
    yield Remedy(
        step=Step.CURE, command=instead, effect=effect, changes_state=True, language="text"
    )


def _finding(named: Sequence[Named], flaws: Sequence[Flaw]) -> Finding:
    first = named[0]
    label = "cors.library_unsafe" if first.name == "flask-cors" else "token.library_unsafe"
    return Finding(
        status=Status.WARNING,
        summary=f"{_spelled(first)} is listed ({first.place}); it {flaws[0].what}.",
        evidence=(
            *(
                Evidence(
                    key="library",
                    value=_spelled(one),
                    text=f"{one.place}: {_spelled(one)}"
                    + ("" if one.version else ", not pinned")
                    + (", where its marker holds" if one.conditional else ""),
                    source="list of libraries",
                )
                for one in named
            ),
            *(
                Evidence(
                    key="flaw",
                    value=flaw.source,
                    text=f"{flaw.source}: it {flaw.what}"
                    + (f"; mended in {flaw.fixed}" if flaw.fixed else ""),
                    source="table of known flaws",
                )
                for flaw in flaws
            ),
        ),
        cause=Cause(
            label=label,
            confidence=Confidence.LIKELY,
            because="the application's own list names a release with published flaws; whether its "
            "code reaches them is not looked at",
        ),
        remedies=tuple(_remedies(first, flaws)),
    )


def _untold(libraries: Libraries) -> Iterator[str]:
    pinned = {one.name for one in libraries.named if release(one.version)}
    for one in libraries.named:
        if one.name not in pinned and _unsure(one):
            yield f"{_spelled(one)} is not pinned ({one.place}): cannot tell which release runs"
    yield from libraries.unread


@check
def token_libraries(libraries: Libraries) -> Iterator[Finding]:
    """A library that reads tokens or answers browsers has known flaws in its pinned release."""
    unsafe: dict[str, list[Named]] = defaultdict(list)
    for one in libraries.named:
        if _flaws(one):
            unsafe[one.name].append(one)
    for group in unsafe.values():
        flaws = dict.fromkeys(flaw for one in group for flaw in _flaws(one))
        yield _finding(group, tuple(flaws))
    if unsafe:
        return
    if untold := tuple(_untold(libraries)):
        yield Finding(
            status=Status.SKIPPED,
            summary="Which releases are in use cannot be told: name a lock_file.",
            notes=untold,
        )
        return
    named = ", ".join(dict.fromkeys(map(_spelled, libraries.named)))
    yield Finding(
        status=Status.OK,
        summary=f"Listed without a known flaw: {named}."
        if named
        else "No library of tokens or CORS that has known flaws is listed.",
        notes=tuple(f"read {file}" for file in libraries.files),
    )
