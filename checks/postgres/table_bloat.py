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
from backend_doctor.backends.postgres.large_tables import LargeTable, LargeTables
from backend_doctor.backends.postgres.remedies import grant_for
from backend_doctor.backends.postgres.server_settings import ServerSettings
from backend_doctor.backends.postgres.sizes import size_text
from backend_doctor.backends.postgres.transactions import span
from backend_doctor.backends.sql import quote_literal

_SOURCE = "pg_class.relpages, pg_class.reltuples, pg_stats.avg_width"
# of the rows that fit: autovacuum_analyze_scale_factor, from which on an ANALYZE is due
_STIRRED = 0.1
_SHOWN = 5


def _spare(table: LargeTable) -> float:
    return table.bytes * table.unused


def _estimate(table: LargeTable) -> str:
    return (
        f"{table.place} takes {size_text(table.bytes)} for about {table.rows:.0f} rows; filled, "
        f"about {table.capacity:.0f} would fit: {table.unused:.0%} is unused, by estimate"
    )


def _unknown(table: LargeTable) -> str:
    """Why nothing can be estimated of it now, or ""."""
    if table.analyzed is None or table.rows < 0:
        return "it was not analyzed since the statistics began"
    if not table.capacity:
        return (
            "a column's width is not known"
            if table.readable
            else "the role may not read it, so pg_stats hides the widths of its columns"
        )
    if max(table.dead, table.changed) > _STIRRED * table.capacity:
        return "its rows are being changed, and VACUUM or ANALYZE is to come"
    return ""


def _why_no_alarm(table: LargeTable, least_bytes: float, settle_seconds: float) -> str:
    """Why its unused room is but worth a note, or ""."""
    if (table.analyzed or 0.0) < settle_seconds:
        return f"analyzed only {span(table.analyzed or 0.0)} ago: its room may be about to be used"
    if min(table.inserted, table.deleted) >= table.capacity:
        return "it was filled and emptied before: its room is used again"
    return "advice only: see the runbook" if _spare(table) < least_bytes else ""


def _confirm(table: LargeTable, installed: Sequence[str]) -> Remedy:
    create = "" if "pgstattuple" in installed else "CREATE EXTENSION pgstattuple;\n"
    return Remedy(
        step=Step.CONFIRM,
        command=f"{create}SELECT table_len, approx_free_percent, dead_tuple_percent\n"
        f"  FROM pgstattuple_approx({quote_literal(table.quoted)}::regclass);",
        effect="first of all: measures what is only estimated here, by reading the pages that "
        "vacuum has not marked as all visible; needs pg_stat_scan_tables",
        changes_state=bool(create),
    )


def _rewrite(table: LargeTable, installed: Sequence[str]) -> Remedy:
    other = "pg_repack, which is installed," if "pg_repack" in installed else "pg_repack"
    return Remedy(
        step=Step.CURE,
        command=f"SET lock_timeout = '2s';\nVACUUM (FULL, VERBOSE, ANALYZE) {table.quoted};",
        effect="only once confirmed, only if new rows will not fill the room, and only while "
        "nobody needs the table: its ACCESS EXCLUSIVE lock shuts out all readers and writers "
        "until a copy of the table and of its indexes is written, which needs as much disk; "
        f"{other} does the same under short locks",
        changes_state=True,
    )


def _bloated(tables: Sequence[LargeTable], installed: Sequence[str]) -> Finding:
    worst = tables[0]
    return Finding(
        status=Status.WARNING,
        summary=f"{worst.place} is {worst.unused:.0%} unused by estimate, "
        f"{size_text(_spare(worst))} of {size_text(worst.bytes)}.",
        evidence=(
            Evidence(key="table", value=worst.place, text=_estimate(worst), source=_SOURCE),
            Evidence(
                key="unused_bytes_estimate",
                value=round(_spare(worst)),
                text=f"about {size_text(_spare(worst))} hold no row, by an estimate of "
                f"{worst.row_bytes or 0.0:.0f} bytes a row and fillfactor {worst.fillfactor}",
                source=_SOURCE,
            ),
            *(
                Evidence(key="further_table", value=one.place, text=_estimate(one), source=_SOURCE)
                for one in tables[1:_SHOWN]
            ),
        ),
        cause=Cause(
            label="bloat.table",
            confidence=Confidence.POSSIBLE,
            because="its file grew for rows that are gone, and vacuum gives no room back but at a "
            "file's end; this is an estimate, not a measurement",
        ),
        remedies=(_confirm(worst, installed), _rewrite(worst, installed)),
        subjects=tuple(Subject(kind="table", value=one.place) for one in tables[:20]),
    )


def _hidden(found: LargeTables, count: int) -> Finding:
    return Finding(
        status=Status.SKIPPED,
        summary=f"How full {count} large tables are was not estimated: pg_stats shows the widths "
        "of rows only to a role that may read the table.",
        remedies=(
            Remedy(
                step=Step.CURE,
                command=grant_for(found.role),
                effect="lets it be estimated; SELECT on the large tables is enough as well",
                changes_state=True,
            ),
        ),
    )


@check
def table_bloat(
    found: LargeTables,
    settings: ServerSettings | None,
    *,
    megabytes: float = 100.0,
    unused_share: float = 0.5,
    warning_gigabytes: float = 1.0,
    settle_seconds: float = 3600.0,
) -> Iterator[Finding]:
    """A large table's file is mostly unused, by an estimate from the planner's statistics.

    Of tables from ``megabytes`` (MiB, 10 or more) on; an ``unused_share`` is a note, and a
    warning where ``warning_gigabytes`` (GiB; check_postgres warns of bloat from 1 GB on) are
    unused. Nothing is told of a table that is being changed; a note, where the last ANALYZE is
    younger than ``settle_seconds``, or the table was filled and emptied before, as a queue is.
    """
    large = [table for table in found.tables if table.bytes >= megabytes * 2**20]
    unknown = {
        table.place: f"{table.place} was not estimated: {why}"
        for table in large
        if (why := _unknown(table))
    }
    if large and not any(table.readable or table.capacity for table in large):
        yield _hidden(found, len(large))
        return
    sparse = sorted(
        (one for one in large if one.place not in unknown and one.unused >= unused_share),
        key=_spare,
        reverse=True,
    )
    calm = {
        one.place: f"{_estimate(one)}; {why}"
        for one in sparse
        if (why := _why_no_alarm(one, warning_gigabytes * 2**30, settle_seconds))
    }
    bad = [one for one in sparse if one.place not in calm]
    if bad:
        finding = _bloated(bad, settings.installed if settings else ())
    else:
        judged = len(large) - len(unknown)
        summary = f"No large table is mostly unused for good, by estimate ({judged} judged)."
        finding = Finding(status=Status.OK, summary=summary)
    most = round(max(map(_spare, sparse), default=0.0))
    measure = Measure(name="most_unused_bytes_estimate", value=most, unit="B")
    notes = (*list(calm.values())[:_SHOWN], *list(unknown.values())[:_SHOWN])
    yield msgspec.structs.replace(finding, notes=notes, measures=(measure,))
