from collections.abc import Iterator

import msgspec

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
    Evidence,
    Finding,
    Measure,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.postgres.sequences import Sequence, Sequences
from backend_doctor.backends.sql import quote_identifier, quote_literal

_SHOWN = 10
_TYPES = {2: "smallint", 4: "integer", 8: "bigint"}


def _binding(one: Sequence) -> str:
    """What sets the limit."""
    ends = {
        size: (2 ** (8 * size - 1) - 1 if one.increment > 0 else -(2 ** (8 * size - 1)))
        for size in _TYPES
    }
    if one.table and one.limit == ends[one.column_bytes]:
        return f"the type {_TYPES[one.column_bytes]} of its column {one.feeds}"
    if one.limit == ends[one.sequence_bytes]:
        return f"its own type {_TYPES[one.sequence_bytes]}"
    return "its own maximum" if one.increment > 0 else "its own minimum"


def _used(one: Sequence, digits: int) -> float:
    """The share of its values that is gone, rounded; never all of them while one is left."""
    share = round(one.used, digits)
    return min(share, round(1 - 10**-digits, digits)) if one.left else share


def _evidence(one: Sequence) -> Iterator[Evidence]:
    feeds = f", which feeds {one.feeds}," if one.feeds else ""
    yield Evidence(
        key="sequence",
        value=one.place,
        text=f"{one.place}{feeds} is at {one.last} of {one.limit}, set by {_binding(one)}",
        source="pg_sequences, pg_attribute",
    )
    yield Evidence(
        key="sequence_used_share",
        value=_used(one, 4),
        text=f"{_used(one, 3):.1%} of its values are gone",
        source="pg_sequences.last_value",
        repeats=True,
    )
    yield Evidence(
        key="values_left",
        value=one.left,
        text="1 value is left" if one.left == 1 else f"{one.left} values are left",
        source="pg_sequences.last_value",
        repeats=True,
    )


def _widen_sequence(one: Sequence) -> str:
    far = "NO MAXVALUE" if one.increment > 0 else "NO MINVALUE"
    kind = " AS bigint" if one.sequence_bytes < 8 else ""
    return f"ALTER SEQUENCE {one.quoted}{kind} {far};"


def _lowest(one: Sequence) -> int:
    """Where the negative half of what both types hold begins."""
    return -(1 << (8 * min(one.column_bytes, one.sequence_bytes) - 1))


def _may_be_negative(one: Sequence) -> bool:
    """Whether the negative half is taken, or can be before the column gets wider: counting on
    from there would lead through zero into the numbers that are taken already."""
    return bool(one.table) and one.increment > 0 and (one.maximum < 0 or one.column_bytes < 8)


def _lines(one: Sequence) -> Iterator[str]:
    """The statements that make room; for a sequence that may stand in the negative half, beyond
    all numbers that are taken, whether it does or not."""
    wider = (
        f"ALTER TABLE {one.table_place} ALTER COLUMN {quote_identifier(one.column)} TYPE bigint;"
    )
    if not _may_be_negative(one):
        yield _widen_sequence(one)
        if one.column_bytes < 8:
            yield wider
        return
    kind = " AS bigint" if one.sequence_bytes < 8 else ""
    # a type that changes takes a minimum at its end along, which the value may be below
    low = min(_lowest(one), one.minimum)
    yield f"ALTER SEQUENCE {one.quoted}{kind} MINVALUE {low} NO MAXVALUE;"
    if one.column_bytes < 8:
        yield wider
    taken = max(one.last or 0, 1)
    yield f"SELECT setval({quote_literal(one.quoted)}, greatest({taken},"
    yield f"  (SELECT max({quote_identifier(one.column)}) FROM {one.table_place}),"
    yield f"  (SELECT last_value FROM {one.quoted})));"
    least, start = (1, 1) if one.maximum < 0 else (one.minimum, one.start)
    yield f"ALTER SEQUENCE {one.quoted} MINVALUE {least} START WITH {start};"


def _cure(one: Sequence) -> Remedy:
    lines = "\n".join(("BEGIN;", "SET LOCAL lock_timeout = '2s';", *_lines(one), "COMMIT;"))
    if one.column_bytes < 8:
        return Remedy(
            step=Step.CURE,
            command=f"{lines}\n-- and so every column of other tables that refers to it",
            effect=f"rewrites {one.table} and its indexes under a lock that keeps readers out "
            "until it is done: only while the application is stopped, with room for a second copy; "
            "the runbook has the way for a large table in use",
            changes_state=True,
        )
    return Remedy(
        step=Step.CURE,
        command=lines,
        effect="raises the limit at once and rewrites nothing; first find out whether the limit "
        "was set on purpose (a document number of fixed length)",
        changes_state=True,
    )


def _negative(one: Sequence) -> Remedy | None:
    """The other half of the numbers, until the column is wider."""
    if one.increment <= 0 or one.column_bytes > 4 or one.minimum < 0:
        return None
    low = _lowest(one)
    return Remedy(
        step=Step.STOP,
        command=f"SET lock_timeout = '2s';\n"
        f"ALTER SEQUENCE {one.quoted} MINVALUE {low} MAXVALUE -1\n"
        f"  START WITH {low} RESTART WITH {low};",
        effect=f"gains {-low} values within a moment, all below zero: only if neither the "
        "application, nor an export, nor an ORDER BY on the id expects them to be positive; "
        "the cure leads back above all ids",
        changes_state=True,
    )


def _finding(one: Sequence, *, critical: float) -> Finding:
    end = "runs out" if one.left else "has run out: inserts fail"
    grave = one.used >= critical
    negative = _negative(one) if grave else None
    look = Remedy(
        step=Step.CONFIRM,
        command=f"SELECT last_value, is_called FROM {one.quoted};",
        effect="look twice, an hour apart: the difference says how long the rest will last",
    )
    return Finding(
        status=Status.CRITICAL if grave else Status.WARNING,
        summary=f"The sequence {one.place} {end}: {_used(one, 3):.1%} used, {one.left} left.",
        evidence=tuple(_evidence(one)),
        cause=Cause(
            label="sequence.exhausted",
            confidence=Confidence.CERTAIN,
            because=f"{_binding(one)} ends at {one.limit}, and it is at {one.last}",
        ),
        remedies=(*((negative,) if negative else ()), look, _cure(one)),
        subjects=(
            (Subject(kind="table", value=f"{one.table_schema}.{one.table}"),) if one.table else ()
        ),
    )


def _notes(found: Sequences) -> Iterator[str]:
    hidden = [one for one in found.sequences if not one.readable]
    locked = [one for one in found.sequences if one.locked and one.readable]
    if hidden:
        many = "1 sequence is" if len(hidden) == 1 else f"{len(hidden)} sequences are"
        yield (
            f"role {found.role} cannot see how far {many}; "
            f"GRANT pg_read_all_data TO {quote_identifier(found.role)};"
        )
    if locked:
        names = ", ".join(one.place for one in locked[:_SHOWN])
        yield f"not looked at, since another session alters or locks them: {names}"
    if found.candidates + found.passed_over > len(found.sequences):
        yield (
            f"of {found.candidates + found.passed_over} sequences the {len(found.sequences)} were "
            "read whose tables are fullest: each costs the server a lock"
        )


@check
def sequences(
    found: Sequences, *, warning: float = 0.80, critical: float = 0.95
) -> Iterator[Finding]:
    """A sequence, or the integer column that it feeds, runs out of values.

    The limit is the narrower of the sequence's maximum and the column's type; sequences that
    begin again by themselves (CYCLE) do not count. ``warning`` and ``critical`` are shares of
    the values.
    """
    known = [one for one in found.sequences if one.readable and not one.locked]
    used = [one for one in known if one.last is not None]
    near = sorted((one for one in used if one.used >= warning), key=lambda one: -one.used)
    notes = tuple(_notes(found))
    measure = Measure(
        name="fullest_sequence_share",
        value=max((_used(one, 4) for one in used), default=0.0),
        warning=warning,
        critical=critical,
        maximum=1,
    )
    hidden = sum(not one.readable for one in found.sequences)
    if not near and hidden:
        raise Absent(
            f"role {found.role} cannot see how far {hidden} of {found.candidates} sequences are",
            remedy=f"GRANT pg_read_all_data TO {quote_identifier(found.role)};"
            "   -- or SELECT on the sequences",
        )
    if not near:
        summary = (
            f"The fullest of {found.candidates} sequences that can run out is {measure.value:.0%} "
            "used."
            if found.candidates
            else "No sequence can run out in practice."
        )
        yield Finding(status=Status.OK, summary=summary, notes=notes, measures=(measure,))
        return
    if len(near) > _SHOWN:
        notes = (*notes, f"{len(near) - _SHOWN} more sequences are as full")
    for number, one in enumerate(near[:_SHOWN]):
        finding = _finding(one, critical=critical)
        if number == 0:
            finding = msgspec.structs.replace(finding, notes=notes, measures=(measure,))
        yield finding
