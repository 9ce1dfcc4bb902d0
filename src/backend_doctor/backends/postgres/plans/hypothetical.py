"""An index that is not there, tried on the planner alone: HypoPG, where it is installed."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.plans.explained import Plan
from backend_doctor.backends.postgres.plans.indexes import Proposal, propose
from backend_doctor.backends.postgres.plans.planned import Proof
from backend_doctor.backends.postgres.plans.tables import Table
from backend_doctor.backends.postgres.plans.usual import compared, place_of, usual_scans
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.facts import Absent

# the trial before it is forgotten first
_TRY = """
SELECT h.indexname AS name, {schema}.hypopg_relation_size(h.indexrelid)::int8 AS bytes
  FROM (SELECT {schema}.hypopg_reset()::text AS nothing OFFSET 0) AS cleared,
       LATERAL {schema}.hypopg_create_index($1 || cleared.nothing) AS h
"""
_PAGE_BYTES = 8192
_LEAST_ROWS, _LEAST_COST_SHARE = 10_000, 0.3

# the plan made anew for the same values: its root's cost, and EXPLAIN's JSON
Explain = Callable[[], Awaitable[tuple[float, str]]]


def proposed(
    plans: Sequence[Plan], tables: Sequence[Table], blocks: float
) -> tuple[Proposal, Plan] | None:
    """The index that the likeliest scan lacks, and the plan that it would mend. ``blocks`` as
    in :func:`usual_scans`."""
    known = {(table.schema, table.name): table for table in tables}
    scans = usual_scans(plans, known, blocks)
    for plan, scan in scans:
        table = known.get(place_of(scan))
        if table is None or table.rows < _LEAST_ROWS or scan.cost_share < _LEAST_COST_SHARE:
            continue
        if (proposal := propose(scan, table)) is not None:
            return proposal, compared(scans, place_of(scan)) or plan
    return None


def unproven(proposal: Proposal, reason: str, remedy: str = "") -> Proof:
    """A proposal that could not be tried."""
    return Proof(
        table=f"{proposal.table.schema}.{proposal.table.name}",
        columns=proposal.columns,
        definition=f"CREATE INDEX ON {proposal.place} "
        f"({', '.join(map(quote_identifier, proposal.columns))})",
        values="",
        reason=reason,
        remedy=remedy,
    )


async def prove(
    db: PostgresConnection, schema: str, proposal: Proposal, before: Plan, explain: Explain
) -> Proof:
    """Tries the index on the planner: one statement and a plan. ``schema`` is HypoPG's.

    Nothing is written: the index is known to our session alone, and to it until the next trial.
    """
    proof = unproven(proposal, "")
    place = quote_identifier(schema)
    try:
        (made,) = await db.try_fetch(_TRY.format(schema=place), proof.definition)
        cost, document = await explain()
    except Absent as absent:
        return msgspec.structs.replace(proof, reason=f"HypoPG could not try it: {absent}")
    return msgspec.structs.replace(
        proof,
        values=before.values,
        cost_before=before.cost,
        cost_after=cost,
        pages=-(-made["bytes"] // _PAGE_BYTES),
        chosen=f'"{made["name"]}"' in document,
    )
