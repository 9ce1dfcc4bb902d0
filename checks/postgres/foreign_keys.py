from collections.abc import Iterator

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Looks,
    Measure,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.backends.postgres.foreign_keys import ForeignKey, ForeignKeys
from backend_doctor.backends.postgres.remedies import GIVE_UP, GIVES_UP, old_transactions
from backend_doctor.backends.postgres.write_rates import Rates, price, write_rates, written
from backend_doctor.backends.sql import quote_identifier

_SHOWN, _REPAIRED = 10, 3


def _changes(key: ForeignKey) -> int:
    return key.parent_deletes + key.parent_updates


def _seen(key: ForeignKey, days: float) -> str:
    return (
        f"{key.parent_deletes} deletes and {key.parent_updates} updates that wrote new index "
        f"entries in {key.parent_schema}.{key.parent}, in statistics that cover {days:.1f} days "
        "or more"
    )


def _evidence(found: ForeignKeys, bad: list[ForeignKey]) -> Iterator[Evidence]:
    days = found.statistics_seconds / 86_400
    for key in bad[:_SHOWN]:
        also = f"; {key.extendable} covers a part of it" if key.extendable else ""
        also = f"; {key.broken} would serve, and is invalid" if key.broken else also
        yield Evidence(
            key="unindexed_foreign_key",
            value=f"{key.schema}.{key.table}",
            text=f"{key.text} references {key.parent_schema}.{key.parent}, and no index begins "
            f"with its columns: about {key.rows:.0f} rows; {_seen(key, days)}{also}",
            source="pg_constraint, pg_index, pg_stat_user_tables",
        )
    worst = bad[0]
    yield Evidence(
        key="rows",
        value=round(worst.rows),
        text=f"{worst.schema}.{worst.table} holds about {worst.rows:.0f} rows",
        source="pg_class.reltuples",
        repeats=True,
    )
    yield Evidence(
        key="parent_deletes",
        value=worst.parent_deletes,
        text=f"{worst.parent_deletes} rows were deleted from {worst.parent_schema}.{worst.parent}",
        source="pg_stat_user_tables.n_tup_del",
        repeats=True,
    )


def _command(key: ForeignKey) -> str:
    columns = ", ".join(map(quote_identifier, key.new_columns))
    if key.partitioned:
        return (
            f"CREATE INDEX {quote_identifier(key.new_index)} ON ONLY {key.place} ({columns});\n"
            "-- then for each partition: CREATE INDEX CONCURRENTLY, and\n"
            "-- ALTER INDEX ... ATTACH PARTITION; the parent's index is valid when all are in"
        )
    if key.broken:
        return (
            f"REINDEX INDEX CONCURRENTLY {quote_identifier(key.schema)}."
            f"{quote_identifier(key.broken)};"
        )
    name = quote_identifier(key.new_index)
    return f"CREATE INDEX CONCURRENTLY {name}\n    ON {key.place} ({columns});"


def _build(key: ForeignKey, rates: Rates) -> Remedy:
    cost = price(rates.get((key.schema, key.table)))
    also = (
        f" It begins with the columns of {key.extendable} and serves its queries too: that one "
        "can be dropped afterwards."
        if key.extendable and not key.broken
        else ""
    )
    return Remedy(
        step=Step.CURE,
        command=GIVE_UP + _command(key),
        effect=f"builds the index while {key.table} is read and written; each command outside of "
        f"a transaction, on the primary. {GIVES_UP}; {cost}.{also}",
        changes_state=True,
        builds=(f"{key.schema}.{key.table}", *key.new_columns),
    )


def _missing(
    found: ForeignKeys, bad: list[ForeignKey], rest: list[ForeignKey], rates: Rates
) -> Finding:
    worst, more = bad[0], len(bad) - 1
    rate = rates.get((worst.schema, worst.table))
    others = f", and {more} more foreign keys have none" if more > 1 else ""
    others = ", and 1 more foreign key has none" if more == 1 else others
    because = (
        f"each delete from {worst.parent} reads all of {worst.table} to find the rows that refer "
        "to it, and deletes were seen"
        if worst.parent_deletes
        else f"a delete from {worst.parent} or a change of its key reads all of {worst.table} "
        "to find the rows that refer to it"
    )
    return Finding(
        status=Status.WARNING,
        summary=f"No index leads from {worst.parent_schema}.{worst.parent} to its rows in "
        f"{worst.text}, about {worst.rows:.0f} rows{others}.",
        evidence=(*_evidence(found, bad), *written(f"{worst.schema}.{worst.table}", rate)),
        cause=Cause(
            label="index.missing_on_foreign_key",
            confidence=Confidence.CERTAIN if worst.parent_deletes else Confidence.LIKELY,
            because=because,
        ),
        remedies=(old_transactions(), *(_build(key, rates) for key in bad[:_REPAIRED])),
        subjects=tuple(
            Subject(kind="table", value=value)
            for value in dict.fromkeys(f"{key.schema}.{key.table}" for key in bad[:_SHOWN])
        ),
        notes=tuple(_listed(rest)),
    )


def _listed(keys: list[ForeignKey]) -> Iterator[str]:
    if keys:
        largest = sorted(keys, key=lambda key: key.rows, reverse=True)
        names = ", ".join(
            f"{key.text} -> {key.parent} (about {key.rows:.0f} rows)" for key in largest[:_SHOWN]
        )
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        yield f"no index, but small or without deletes of the parent: {names}{more}"


@check
def foreign_keys(
    found: ForeignKeys,
    counters: Looks[Counters] | None,
    *,
    rows: int = 10_000,
    rows_alone: int = 1_000_000,
    lookup_rows: int = 100,
) -> Iterator[Finding]:
    """A foreign key has no index on its own side, so a delete of the parent reads the child whole.

    Told from ``rows`` of the child on when the parent saw deletes, or updates that can have
    changed a key. From ``rows_alone`` on also without: the first delete will read all of it under
    its locks; but not for parents of fewer than ``lookup_rows``, such as a list of
    states, from which nobody deletes and whose index would not be selective.
    """
    bad: list[ForeignKey] = []
    rest: list[ForeignKey] = []
    for key in found.lacking:
        asked = key.rows >= rows and _changes(key) > 0
        alone = key.rows >= rows_alone and key.parent_rows >= lookup_rows
        (bad if asked or alone else rest).append(key)
    bad.sort(key=lambda key: (key.parent_deletes > 0, key.rows), reverse=True)
    measure = Measure(name="foreign_keys_without_index", value=len(bad))
    if bad:
        finding = _missing(found, bad, rest, write_rates(counters))
    else:
        summary = (
            f"{found.count} of {found.keys} foreign keys have no index, none on a large table "
            "whose parent changes."
            if found.count
            else f"All {found.keys} foreign keys have an index."
        )
        finding = Finding(status=Status.OK, summary=summary, notes=tuple(_listed(rest)))
    yield msgspec.structs.replace(finding, measures=(measure,))
