from collections.abc import Iterator, Sequence

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
from backend_doctor.backends.postgres.table_activity import Maintained, TableActivity
from backend_doctor.backends.postgres.transactions import span

_SOURCE = "pg_stat_user_tables.n_mod_since_analyze"


def _stale(
    tables: Sequence[Maintained], activity: TableActivity, measure: Measure, notes: tuple[str, ...]
) -> Finding:
    worst = tables[0]
    ago = f"{span(worst.analyzed)} ago" if worst.analyzed is not None else "never"
    off = [table for table in tables if not (activity.autovacuum and table.autovacuum)]
    because = (
        f"autovacuum, which also analyzes, is off for {off[0].place}"
        if off
        else "autovacuum has not analyzed it although that is due"
    )
    prevent = (
        "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();"
        if not activity.autovacuum
        else f"ALTER TABLE {(off or tables)[0].quoted} RESET (autovacuum_enabled);"
        if off
        else f"ALTER TABLE {worst.quoted} SET (autovacuum_analyze_scale_factor = 0.02);"
    )
    more = ", ".join(f"{table.place} ({table.changed})" for table in tables[1:4])
    return Finding(
        status=Status.WARNING,
        summary=f"The planner's statistics of {worst.place} are old: {worst.changed} row changes "
        f"since, on {worst.rows} rows.",
        evidence=(
            Evidence(
                key="changes_since_analyze",
                value=worst.changed,
                text=f"{worst.changed} rows of {worst.place} were changed since it was analyzed "
                f"({ago}); that is due at {worst.analyze_at}{f'; further: {more}' if more else ''}",
                source=_SOURCE,
            ),
            Evidence(
                key="table",
                value=worst.place,
                text=f"{worst.place} has about {worst.rows} rows",
                source="pg_stat_user_tables.n_live_tup",
            ),
        ),
        cause=Cause(
            label="stats.stale",
            # whether a plan suffers from it is for the plans to tell
            confidence=Confidence.POSSIBLE,
            because=f"plans are made for the table as it was; {because}",
        ),
        remedies=(
            Remedy(
                step=Step.CURE,
                command="\n".join(f"ANALYZE {table.quoted};" for table in tables[:5]),
                effect="samples the table: plans are made for what it holds now; shuts nobody out",
                changes_state=True,
            ),
            Remedy(
                step=Step.PREVENT,
                command=prevent,
                effect="lets the server analyze it in time; after a bulk load, run ANALYZE at once",
                changes_state=True,
            ),
        ),
        subjects=tuple(Subject(kind="table", value=table.place) for table in tables[:20]),
        measures=(measure,),
        notes=notes,
    )


@check
def stale_statistics(
    activity: TableActivity,
    *,
    threshold_factor: float = 5.0,
    changed_share: float = 0.5,
    least_rows: int = 10_000,
    settle_seconds: float = 180.0,
) -> Iterator[Finding]:
    """The planner knows tables only as they were before most of their rows changed.

    Judged by changes, never by age: ``threshold_factor`` times the table's own threshold and
    ``changed_share`` of its rows, from ``least_rows`` rows on. Where autovacuum may do it, only
    when the last one ended ``settle_seconds`` ago (three times the default autovacuum_naptime).
    """
    large = [table for table in activity.tables if table.rows >= least_rows]
    share = max((table.changed / table.rows for table in large), default=0.0)
    measure = Measure(name="most_changed_share", value=round(share, 4))
    stale, due = [], []
    for table in sorted(large, key=lambda table: table.changed, reverse=True):
        far = table.changed >= max(threshold_factor * table.analyze_at, changed_share * table.rows)
        waited = activity.uptime if table.analyzed is None else table.analyzed
        enabled = activity.autovacuum and table.autovacuum
        if far and (waited >= settle_seconds or not enabled):
            stale.append(table)
        elif table.changed > table.analyze_at:
            due.append(f"{table.place}: {table.changed} changes, analyze is due")
    notes = tuple(due[:5])
    if stale:
        yield _stale(stale, activity, measure, notes)
        return
    summary = "No large table has changed much since it was analyzed."
    yield Finding(status=Status.OK, summary=summary, measures=(measure,), notes=notes)
