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
    Step,
    Subject,
    check,
)
from backend_doctor.backends.postgres.schema_indexes import SchemaIndex, SchemaIndexes
from backend_doctor.backends.sql import quote_literal

_SHOWN, _REPAIRED = 10, 5


def _spare(group: Sequence[SchemaIndex]) -> tuple[SchemaIndex, list[SchemaIndex]]:
    """The index to keep, and those that do nothing which it does not do."""
    keep, *others = sorted(
        group, key=lambda one: (not one.constrained, not one.unique, -one.scans, one.name)
    )
    spare = [
        one
        for one in others
        if not one.constrained
        and (
            not one.unique
            or (keep.unique and keep.immediate and keep.nulls_equal == one.nulls_equal)
        )
    ]
    return keep, spare


def _drop(index: SchemaIndex) -> Remedy:
    concurrently = "" if index.partitioned else " CONCURRENTLY"
    harm = (
        "the table can neither be read nor written while it waits and drops: it gives up after 2 s"
        if index.partitioned
        else "the table is read and written meanwhile; outside of a transaction. If it gives up, "
        "the index is left invalid: run it again"
    )
    wait = "2s" if index.partitioned else "30s"
    return Remedy(
        step=Step.CURE,
        command=f"SET lock_timeout = '{wait}';\nDROP INDEX{concurrently} {index.quoted};",
        effect=f"frees {index.size}; {harm}",
        changes_state=True,
    )


def _definitions(indexes: Sequence[SchemaIndex]) -> Remedy:
    names = ", ".join(f"to_regclass({quote_literal(index.quoted)})" for index in indexes)
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT i.indexrelid::regclass, s.idx_scan, pg_get_indexdef(i.indexrelid)\n"
        "  FROM pg_index i JOIN pg_stat_user_indexes s USING (indexrelid)\n"
        f" WHERE i.indexrelid IN ({names});",
        effect="shows that they are the same; keep the text, it makes the index again",
    )


def _duplicate(pairs: list[tuple[SchemaIndex, SchemaIndex]], notes: tuple[str, ...]) -> Finding:
    total = sum(index.bytes for index, _ in pairs)
    index, keep = pairs[0]
    more = f", and {len(pairs) - 1} more are twins" if len(pairs) > 1 else ""
    evidence = [
        Evidence(
            key="duplicate_index",
            value=one.name,
            text=f"{one.schema}.{one.name} on {one.on} is the same as {other.name}: columns, "
            f"operators, order and predicate; {one.size}, used {one.scans} times",
            source="pg_index, pg_stat_user_indexes",
        )
        for one, other in pairs[:_SHOWN]
    ]
    evidence += [
        Evidence(
            key="kept_index",
            value=keep.name,
            text=f"{keep.name} stays and serves both"
            + (", since a constraint needs it" if keep.constrained else ""),
            source="pg_constraint",
        ),
        Evidence(
            key="duplicate_bytes",
            value=total,
            text=f"together {total / 2**20:.1f} MiB, as of the last VACUUM or ANALYZE",
            source="pg_class.relpages",
            repeats=len(pairs) == 1,
        ),
    ]
    shown = [one for pair in pairs[:_REPAIRED] for one in pair]
    return Finding(
        status=Status.WARNING,
        summary=f"The index {index.schema}.{index.name} on {index.on} is the same as {keep.name} "
        f"({index.size}){more}.",
        evidence=tuple(evidence),
        cause=Cause(
            label="index.duplicate",
            confidence=Confidence.CERTAIN,
            because="no query is served by the one and not by the other, and every write that "
            "touches their columns pays for both",
        ),
        remedies=(
            _definitions(list(dict.fromkeys(shown))),
            *(_drop(one) for one, _ in pairs[:_REPAIRED]),
        ),
        subjects=tuple(
            Subject(kind="table", value=value)
            for value in dict.fromkeys(f"{one.schema}.{one.table}" for one, _ in pairs[:_SHOWN])
        ),
        notes=notes,
    )


def _notes(
    small: list[tuple[SchemaIndex, SchemaIndex]],
    bound: list[tuple[SchemaIndex, SchemaIndex]],
    prefixes: Sequence[SchemaIndex],
) -> Iterator[str]:
    if small:
        names = ", ".join(f"{one.name} = {other.name}" for one, other in small[:_SHOWN])
        yield f"{len(small)} small twins: {names}"
    if bound:
        names = ", ".join(f"{one.name} = {other.name}" for one, other in bound[:_SHOWN])
        yield f"twins that constraints need, each its own: {names}"
    if prefixes:
        names = ", ".join(f"{one.name} ({one.size}) of {one.wider}" for one in prefixes[:_SHOWN])
        yield (
            f"{len(prefixes)} are the beginning of a wider index, which may serve their queries "
            f"too, though less quickly: {names}"
        )


@check
def redundant_indexes(found: SchemaIndexes, *, megabytes: float = 1.0) -> Iterator[Finding]:
    """Two indexes of a table are the same.

    The same means method, columns, operator classes, collations, order, included columns,
    expressions and predicate. Told when one that nothing else needs is of ``megabytes`` (MiB) or
    more. The beginning of a wider index is noted only: it is smaller, and may be faster.
    """
    pairs, bound = [], []
    for group in found.twins:
        keep, spare = _spare(group)
        pairs += [(one, keep) for one in spare]
        bound += [(one, keep) for one in group if one is not keep and one not in spare]
    pairs.sort(key=lambda pair: (-pair[0].bytes, pair[0].name))
    large = [pair for pair in pairs if pair[0].bytes >= megabytes * 2**20]
    small = [pair for pair in pairs if pair not in large]
    notes = tuple(_notes(small, bound, found.prefixes))
    measure = Measure(
        name="duplicate_index_bytes", value=sum(one.bytes for one, _ in pairs), unit="B"
    )
    if not large:
        summary = "No index is a large twin of another."
        yield Finding(status=Status.OK, summary=summary, notes=notes, measures=(measure,))
        return
    yield msgspec.structs.replace(_duplicate(large, notes), measures=(measure,))
