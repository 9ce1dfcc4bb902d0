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

_SHOWN, _REPAIRED = 10, 3
_ELSEWHERE = (
    "a replica counts its own scans: one that is never used here may serve reports there",
    "a job that runs once a month or a year may need it; an index that is younger than the "
    "statistics had less time to be used",
)


def _why_not(found: SchemaIndexes, days: float, least: float) -> str:
    if found.in_recovery:
        return "this is a standby, whose primary counts its own scans"
    if days < least:
        return f"the statistics cover {days:.1f} days for sure: too short to tell ({least:g} days)"
    return "none is large"


def _on_replicas(index: SchemaIndex) -> Remedy:
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT s.idx_scan, d.stats_reset, pg_postmaster_start_time()\n"
        "  FROM pg_stat_user_indexes s, pg_stat_database d\n"
        f" WHERE s.indexrelid = to_regclass({quote_literal(index.quoted)})\n"
        "   AND d.datname = current_database();",
        effect="run it on every replica too: it must be 0 on all of them, over as long a time",
    )


def _drop(index: SchemaIndex) -> Remedy:
    return Remedy(
        step=Step.CURE,
        command=f"SET lock_timeout = '30s';\nDROP INDEX CONCURRENTLY {index.quoted};",
        effect=f"frees {index.size}; keep its definition (pg_get_indexdef) to make it again. Only "
        "after replicas and rare jobs were asked; outside of a transaction",
        changes_state=True,
    )


def _unused(found: SchemaIndexes, large: Sequence[SchemaIndex], days: float) -> Finding:
    first, more = large[0], len(large) - 1
    others = f", nor were {more} more" if more else ""
    replicas = (f"{found.replicas} replicas are attached now",) if found.replicas else ()
    return Finding(
        status=Status.WARNING,
        summary=f"The index {first.schema}.{first.name} on {first.on} ({first.size}) was not used "
        f"on this server in {days:.0f} days{others}.",
        evidence=(
            *(
                Evidence(
                    key="unused_index",
                    value=index.name,
                    text=f"{index.schema}.{index.name} on {index.on}: {index.size}, no scan, "
                    f"while {index.writes} writes went to its table",
                    source="pg_stat_user_indexes.idx_scan",
                )
                for index in large[:_SHOWN]
            ),
            Evidence(
                key="statistics_days",
                value=round(days, 1),
                text=f"the statistics cover {days:.1f} days or more",
                source="pg_stat_database.stats_reset, pg_postmaster_start_time()",
            ),
        ),
        cause=Cause(
            label="index.unused",
            confidence=Confidence.POSSIBLE,
            because=f"no query of this server read it in {days:.0f} days, and neither a "
            "constraint nor a foreign key needs it",
        ),
        remedies=(_on_replicas(first), *map(_drop, large[:_REPAIRED])),
        subjects=tuple(
            Subject(kind="table", value=value)
            for value in dict.fromkeys(f"{index.schema}.{index.table}" for index in large[:_SHOWN])
        ),
        notes=(*replicas, *_ELSEWHERE),
    )


@check
def unused_indexes(
    found: SchemaIndexes,
    *,
    days: float = 30.0,
    megabytes: float = 100.0,
    database_share: float = 0.01,
) -> Iterator[Finding]:
    """A large index was not used for a month.

    Told when the statistics surely cover ``days``, the index has ``megabytes`` (MiB) and
    ``database_share`` of the database, and neither uniqueness, a constraint nor a foreign key
    needs it. Younger statistics, and standbys, give a note: a monthly job must have had its turn.
    """
    age = found.statistics_seconds / 86_400
    large = [
        index
        for index in found.unread
        if index.bytes >= megabytes * 2**20
        and index.pages >= database_share * max(1, found.database_pages)
    ]
    measure = Measure(
        name="unused_index_bytes", value=sum(index.bytes for index in large), unit="B"
    )
    if large and age >= days and not found.in_recovery:
        yield msgspec.structs.replace(_unused(found, large, age), measures=(measure,))
        return
    notes: tuple[str, ...] = ()
    if found.unread:
        names = ", ".join(f"{index.name} ({index.size})" for index in found.unread[:_SHOWN])
        notes = (
            f"never used so far: {names}; {_why_not(found, age, days)}",
            _ELSEWHERE[0],
        )
    yield Finding(
        status=Status.OK,
        summary="No large index can be called unused.",
        notes=notes,
        measures=(measure,),
    )
