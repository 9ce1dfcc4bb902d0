"""Plans that are wrong because the planner knows a table as it was."""

import msgspec

from backend_doctor.backends.postgres.plans.indexes import serving
from backend_doctor.backends.postgres.plans.shape import (
    most_blocks,
    returns_its_rows,
    tables_read,
)
from backend_doctor.backends.postgres.plans.slowness import (
    Limits,
    Reason,
    SlowStatement,
    Tables,
)
from backend_doctor.backends.postgres.plans.tables import Table
from backend_doctor.backends.postgres.plans.tree import PlanNode
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.model import Cause, Confidence, Evidence, Remedy, Step, Subject

# autovacuum analyzes from 10 % on (autovacuum_analyze_scale_factor); twice that has been missed
_STALE_SHARE, _STALE_ROWS = 0.2, 1000
_LEAST_ROWS, _LEAST_BLOCKS = 1000.0, 1000.0
_EACH_ITS_OWN = ("Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Nested Loop")


class Miss(msgspec.Struct, frozen=True):
    """An estimate and what is true of it; ``what`` is rows or blocks, ``source`` where from."""

    what: str
    estimated: float
    actual: float
    source: str
    confidence: Confidence

    @property
    def text(self) -> str:
        """Both numbers in words."""
        return (
            f"the planner expects {self.estimated:.0f} {self.what}, and there are "
            f"{self.actual:.0f} ({self.source})"
        )


def _in_a_run(tree: PlanNode, place: tuple[str, str], limits: Limits) -> Miss | None:
    """What a run showed of a table's scans. Above a Limit fewer rows than expected mean nothing."""
    cut = any(node.kind == "Limit" for node in tree.walk())
    for node in tree.walk():
        if (node.schema, node.table) != place or node.actual_rows is None or not node.loops:
            continue
        low, high = sorted((max(1.0, node.rows), max(1.0, node.actual_rows)))
        fewer = node.actual_rows < node.rows
        off = high >= limits.misestimate * low and high * node.loops >= _LEAST_ROWS
        if off and not (fewer and (cut or node.stopped)):
            source = "EXPLAIN (ANALYZE)"
            return Miss("rows", node.rows, node.actual_rows, source, Confidence.CERTAIN)
    return None


def _few(slow: SlowStatement, tables: Tables, limits: Limits) -> Miss | None:
    """Far fewer rows come than any plan expects, of a table whose index is left aside for it."""
    trees = [tree for tree in slow.trees() if returns_its_rows(tree)]
    if not trees or not slow.load.calls:
        return None
    actual, least = max(1.0, slow.load.rows_per_call), min(tree.rows for tree in trees)
    aside = any(
        serving(scan, table)
        for plan in slow.planned.plans
        for scan in plan.scans
        if (table := tables.get((scan.schema, scan.table))) is not None
    )
    if not aside or least < max(_LEAST_ROWS, limits.misestimate * actual):
        return None
    return Miss("rows", least, actual, slow.source, Confidence.LIKELY)


def more_than_planned(slow: SlowStatement, limits: Limits) -> Miss | None:
    """Far more rows come, or blocks are touched, than any plan expects that goes row by row."""
    trees = slow.trees("generic", "common", "rare")
    if not any(node.kind in _EACH_ITS_OWN for tree in trees for node in tree.walk()):
        return None
    most = max(map(most_blocks, trees))
    if slow.blocks >= max(_LEAST_BLOCKS, limits.misestimate * most):
        return Miss("blocks", most, slow.blocks, slow.source, Confidence.LIKELY)
    if not all(map(returns_its_rows, trees)):
        return None
    rows, actual = max(tree.rows for tree in trees), slow.load.rows_per_call
    if actual >= max(_LEAST_ROWS, limits.misestimate * rows):
        return Miss("rows", rows, actual, slow.source, Confidence.LIKELY)
    return None


def _changed(slow: SlowStatement, tables: Tables) -> Table | None:
    """The table of its plans that changed most since it was analyzed, if it did much."""
    places = {place for tree in slow.trees() for place in tables_read(tree)}
    found = [tables[place] for place in places if place in tables]
    stale = [
        table
        for table in found
        if table.changed >= max(_STALE_ROWS, _STALE_SHARE * table.rows)
    ]  # fmt: skip
    return max(stale, key=lambda table: table.changed / max(1.0, table.rows), default=None)


def _analyze(table: Table) -> tuple[Remedy, Remedy]:
    place = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
    return (
        Remedy(
            step=Step.CURE,
            command=f"ANALYZE {place};",
            effect="samples the table for the planner, in seconds and while it is read and "
            "written; the next call is planned anew",
            changes_state=True,
        ),
        Remedy(
            step=Step.PREVENT,
            command=f"ALTER TABLE {place} SET (autovacuum_enabled = true, "
            "autovacuum_analyze_scale_factor = 0.02);",
            effect="lets autovacuum analyze it from 2 % of changed rows on; after a bulk load run "
            "ANALYZE in the same job",
            changes_state=True,
        ),
    )


def stale_statistics(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """The planner is far off, and much has changed since it last looked."""
    table = _changed(slow, tables)
    if table is None:
        return None
    place = (table.schema, table.name)
    runs = (_in_a_run(tree, place, limits) for tree in slow.trees("analyzed"))
    miss = (
        next(filter(None, runs), None)
        or _few(slow, tables, limits)
        or more_than_planned(slow, limits)
    )
    if miss is None:
        return None
    name = ".".join(place)
    evidence = (
        Evidence(
            key=f"estimated_{miss.what}",
            value=round(miss.estimated),
            text=miss.text,
            source="EXPLAIN",
        ),
        Evidence(
            key=f"actual_{miss.what}",
            value=round(miss.actual, 1),
            text=f"a call really meets {miss.actual:.0f} {miss.what}",
            source=miss.source,
        ),
        Evidence(
            key="table",
            value=name,
            text=f"{name} is read, of which the planner knows what it was at its last ANALYZE",
            source="EXPLAIN",
        ),
        Evidence(
            key="changed_rows",
            value=table.changed,
            text=f"{table.changed} rows of about {table.rows:.0f} changed since the last ANALYZE",
            source="pg_stat_user_tables.n_mod_since_analyze",
        ),
    )
    return Reason(
        cause=Cause(
            label="stats.stale",
            confidence=miss.confidence,
            because=f"{table.changed} rows of {name} changed since its last ANALYZE, and "
            f"{miss.text}",
        ),
        summary=f"The statistics of {name} are old ({table.changed} rows changed since ANALYZE), "
        "and one statement is planned for what it was",
        evidence=evidence,
        remedies=_analyze(table),
        subjects=(Subject(kind="table", value=name),),
    )
