"""What is said of scans that throw most rows away and yet are no reason to mend anything."""

from collections.abc import Iterator

from backend_doctor.backends.postgres.plans.explained import Scan
from backend_doctor.backends.postgres.plans.scan_rules import (
    LEAST_COST_SHARE,
    Unclear,
    grown,
    judge_scans,
)
from backend_doctor.backends.postgres.plans.slowness import Limits, SlowStatement, Tables
from backend_doctor.backends.postgres.plans.tables import Table
from backend_doctor.backends.postgres.plans.usual import place_of, usual_scans

_STALE_SHARE, _STALE_ROWS = 0.2, 1000


def _why(scan: Scan, table: Table, slow: SlowStatement, tables: Tables, limits: Limits) -> str:
    if table.rows < limits.table_rows:
        return f"an index is asked for from {limits.table_rows:,.0f} rows on"
    if scan.cost_share < LEAST_COST_SHARE:
        return f"{scan.cost_share:.0%} of the cost; less than {LEAST_COST_SHARE:.0%} is spared"
    judged = judge_scans(slow, tables, limits)
    return judged.reason if isinstance(judged, Unclear) else ""


def _seen(scan: Scan, table: Table) -> str:
    if scan.removed is None:
        return f"about {table.rows:,.0f} rows are read to keep {scan.rows:,.0f}, by estimate"
    read, kept = (scan.rows + scan.removed) * scan.loops, scan.rows * scan.loops
    return f"{read:,.0f} rows are read to keep {kept:,.0f}"


def spared(slow: SlowStatement, tables: Tables, limits: Limits) -> Iterator[str]:
    """One note for each table of which ``removed_ratio`` times as many rows are read in vain as
    are kept, with the limit that it is below; and one where estimates rest on old statistics."""
    stale = {
        place: table
        for place, table in tables.items()
        if table.changed >= max(_STALE_ROWS, _STALE_SHARE * table.rows)
    }
    told = set()
    for _, scan in usual_scans(slow.planned.plans, tables, slow.blocks):
        place = place_of(scan)
        if place in told or place not in tables or (place in stale and scan.removed is None):
            continue
        table = grown(scan, tables[place])
        removed = table.rows - scan.rows if scan.removed is None else scan.removed
        why = _why(scan, table, slow, tables, limits)
        if removed >= limits.removed_ratio * max(1.0, scan.rows) and why:
            told.add(place)
            yield f"{'.'.join(place)}: {_seen(scan, table)}; no finding: {why}"
    for place, table in stale.items():
        yield (
            f"{'.'.join(place)}: {table.changed:,} rows changed since its last ANALYZE, when it "
            f"held about {table.rows:,.0f}: estimates may be far off; ANALYZE it and ask again"
        )
