"""Hypothesis strategies: reports whose every text is as hostile as a target can make it."""

from hypothesis import strategies as st

from backend_doctor.model import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Fold,
    Measure,
    Remedy,
    Report,
    Result,
    Status,
    Step,
    Subject,
    Target,
)

HOSTILE = (
    "\x1b[2J\x1b[1;1H",
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x85",
    "\r\nHEALTHY  14 ok",
    "\u202egnp.exe\u2066\u200b",
    "\u2028\u2029\ufeff",
    "[bold red][/x][link=http://evil.example]",
    "\ud800\udfff",
    "a | 'x'=1;2;3",
    'label="} evil 1\n# TYPE x gauge\n',
    "\\",
    "\x00",
    "\t",
    "<script>alert(1)</script>",
    'it\'s "quoted" = `here` $(rm)',
    "日本語 ünïcode 😀",
    "x" * 200,
    "",
)
_word = st.text(st.characters(), max_size=30)
hostile = st.one_of(
    st.sampled_from(HOSTILE), _word, st.builds("".join, st.lists(st.sampled_from(HOSTILE)))
)
_numbers = st.floats(allow_nan=True, allow_infinity=True)
_limits = st.none() | _numbers
_scalars = st.one_of(hostile, st.integers(), _numbers)
_values = st.one_of(_scalars, st.booleans(), st.none(), st.lists(_scalars, max_size=3).map(tuple))
_texts = st.lists(hostile, max_size=2).map(tuple)
_subjects = st.lists(st.builds(Subject, kind=hostile, value=hostile), max_size=4).map(tuple)
_evidence = st.builds(Evidence, key=hostile, value=_values, text=hostile, source=hostile)
_causes = st.builds(Cause, label=hostile, confidence=st.sampled_from(Confidence), because=hostile)
_remedies = st.builds(
    Remedy,
    step=st.sampled_from(Step),
    command=hostile,
    effect=hostile,
    changes_state=st.booleans(),
    language=st.sampled_from(("sql", "sh", "text")) | hostile,
)
measures = st.builds(
    Measure,
    name=st.sampled_from(("connections_used", "commits_total", "used_percent")) | hostile,
    value=_numbers,
    unit=st.sampled_from(("", "s", "B", "c", "%")) | hostile,
    warning=_limits,
    critical=_limits,
    minimum=_limits,
    maximum=_limits,
)
findings = st.builds(
    Finding,
    status=st.sampled_from(Status),
    summary=hostile,
    evidence=st.lists(_evidence, max_size=2).map(tuple),
    cause=st.none() | _causes,
    remedies=st.lists(_remedies, max_size=2).map(tuple),
    explains=_texts,
    subjects=_subjects,
    measures=st.lists(measures, max_size=3).map(tuple),
    notes=_texts,
)
# folds point to results, to themselves, in circles and to nothing
_folds = st.none() | st.builds(
    Fold, under=st.sampled_from(("f0", "f1", "f2", "f9")), shared=_subjects
)
_names = st.sampled_from(("shop", "redis", "default", "")) | hostile


@st.composite
def results(draw: st.DrawFn) -> tuple[Result, ...]:
    """Up to five results, each with an id of its own."""
    return tuple(
        Result(
            id=f"f{number}",
            check=draw(hostile),
            service=draw(_names),
            backend=draw(_names),
            instance=draw(_names),
            finding=draw(findings),
            explained_by=draw(_folds),
        )
        for number in range(draw(st.integers(0, 5)))
    )


targets = st.builds(
    Target,
    service=_names,
    backend=_names,
    instance=_names,
    address=hostile,
    server=hostile,
    seconds=_numbers,
    statements=st.integers(0, 100),
    connections=st.integers(0, 3),
    notes=_texts,
)
reports = st.builds(
    Report,
    tool_version=hostile,
    started=st.just("2026-11-22T18:00:00Z") | hostile,
    seconds=_numbers,
    window=_numbers,
    source=hostile,
    targets=st.lists(targets, max_size=3).map(tuple),
    results=results(),
    interrupted=st.just("") | hostile,
    warnings=_texts,
)
