import re
from collections.abc import Iterator

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
from backend_doctor.backends.postgres.remedies import old_transactions
from backend_doctor.backends.postgres.schema_indexes import SchemaIndex, SchemaIndexes
from backend_doctor.backends.sql import quote_identifier

_SHOWN, _REPAIRED = 10, 5
# what REINDEX CONCURRENTLY calls its new index, and its old one while it drops it
_LEFT_BEHIND = r"_cc(new|old)\d*"


def _repair(index: SchemaIndex) -> Remedy:
    if index.twin or re.search(_LEFT_BEHIND, index.name):
        done = f"{index.twin} does its work" if index.twin else "a REINDEX left it behind"
        command = f"DROP INDEX CONCURRENTLY {index.quoted};"
        effect = f"removes it: {done}"
    else:
        command = f"REINDEX INDEX CONCURRENTLY {index.quoted};"
        effect = (
            "builds it again while the table is in use. Nobody needs it? Then DROP INDEX "
            "CONCURRENTLY instead"
        )
        if index.unique:
            effect += ". It is unique: rows that are there twice must go first, or it fails again"
    return Remedy(
        step=Step.CURE,
        command=f"SET lock_timeout = '30s';\n{command}",
        effect=f"{effect}. Outside of a transaction; it waits for old transactions and gives up "
        "after 30 s",
        changes_state=True,
    )


def _text(index: SchemaIndex) -> str:
    cost = "every write pays for it" if index.maintained else "writes leave it out"
    return (
        f"{index.schema}.{index.name} on {index.on}, {index.size}, is not valid: no query uses it, "
        f"and {cost}; no session builds or drops it now"
    )


def _building(index: SchemaIndex) -> str:
    return f"{index.name} on {index.on} is being built or dropped now"


@check
def invalid_indexes(found: SchemaIndexes) -> Iterator[Finding]:
    """An index was never finished: it costs writes and serves no query.

    CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY leave one behind when they fail. One that
    is being built or dropped at this moment is not told, nor one of a partitioned table, which
    is not valid until each partition has its part.
    """
    measure = Measure(name="invalid_indexes", value=len(found.invalid))
    building = tuple(_building(index) for index in found.building[:_SHOWN])
    if not found.invalid:
        yield Finding(
            status=Status.OK,
            summary="No index is left invalid.",
            notes=building,
            measures=(measure,),
        )
        return
    if found.hidden_builds:
        raise Absent(
            f"{len(found.invalid)} indexes are invalid and {found.hidden_builds} are being built, "
            f"but role {found.role} cannot see which",
            remedy=f"GRANT pg_monitor TO {quote_identifier(found.role)};",
        )
    first, more = found.invalid[0], len(found.invalid) - 1
    others = f", and {more} more" if more else ""
    yield Finding(
        status=Status.WARNING,
        summary=f"The index {first.schema}.{first.name} on {first.on} was never finished and "
        f"serves no query{others}.",
        evidence=tuple(
            Evidence(
                key="invalid_index",
                value=index.name,
                text=_text(index),
                source="pg_index.indisvalid, pg_stat_progress_create_index",
            )
            for index in found.invalid[:_SHOWN]
        ),
        cause=Cause(
            label="index.invalid",
            confidence=Confidence.CERTAIN,
            because="a build failed or was cut off, and what it had made stayed",
        ),
        remedies=(old_transactions(), *map(_repair, found.invalid[:_REPAIRED])),
        subjects=tuple(
            Subject(kind="table", value=value)
            for value in dict.fromkeys(
                f"{index.schema}.{index.table}" for index in found.invalid[:_SHOWN]
            )
        ),
        notes=building,
        measures=(measure,),
    )
