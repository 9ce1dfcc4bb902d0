"""Reads of whole tables by a filter on an expression, which the indexes on columns cannot serve."""

from backend_doctor.backends.postgres.plans.sargable import index_on, make_usable
from backend_doctor.backends.postgres.plans.scan_rules import Wasteful, judge_scans, scan_evidence
from backend_doctor.backends.postgres.plans.slowness import Limits, Reason, SlowStatement, Tables
from backend_doctor.backends.postgres.remedies import old_transactions
from backend_doctor.model import Cause, Confidence, Evidence, Subject


def missing_expression_index(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """A filter compares a function of a column, and no index holds that, nor the column."""
    found = judge_scans(slow, tables, limits)
    if not isinstance(found, Wasteful) or found.unindexed is None:
        return None
    wanted = found.unindexed.expression
    return Reason(
        cause=Cause(
            label="query.missing_index",
            confidence=Confidence.CERTAIN if found.measured else Confidence.LIKELY,
            because=f"each call reads about {found.read:.0f} rows and keeps {found.returned:.0f}; "
            f"an index on {wanted} would lead to them",
        ),
        summary=f"No index serves {found.place} {wanted}: one statement reads all of it",
        evidence=tuple(scan_evidence(slow, found)),
        remedies=(old_transactions(), index_on(found.unindexed, found.table)),
        subjects=(Subject(kind="table", value=found.place),),
    )


def non_sargable(slow: SlowStatement, tables: Tables, limits: Limits) -> Reason | None:
    """A filter wraps a column that has an index, so that the index cannot be used."""
    found = judge_scans(slow, tables, limits)
    if not isinstance(found, Wasteful) or found.unusable is None:
        return None
    stuck, table = found.unusable, found.table
    one = stuck.wrapped
    here = (
        Evidence(
            key="existing_index",
            value=stuck.index.name,
            text=stuck.why,
            source="pg_index",
        ),
        Evidence(
            key="predicate",
            value=one.expression,
            text=f"the filter compares {one.expression} {one.operator} ..., not {one.column}",
            source="EXPLAIN",
        ),
    )
    build = make_usable(stuck, table)
    waits = (old_transactions(),) if any(remedy.changes_state for remedy in build) else ()
    return Reason(
        cause=Cause(
            label="query.non_sargable",
            confidence=Confidence.CERTAIN if found.measured else Confidence.LIKELY,
            because=f"{stuck.why}; so each call reads about {found.read:.0f} rows and keeps "
            f"{found.returned:.0f}",
        ),
        summary=f"The index {stuck.index.name} cannot serve {one.expression}: one statement reads "
        f"all of {found.place}",
        evidence=(*scan_evidence(slow, found), *here),
        remedies=(*waits, *build),
        subjects=(Subject(kind="table", value=found.place),),
    )
