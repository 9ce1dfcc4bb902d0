"""Facts of slow statements for the tests of checks."""

from typing import Any

from tests.checks.postgres.builders import (
    looks,
    run,
)

from backend_doctor import Finding, Looks, Step
from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.backends.postgres.plans.explained import Plan, Scan
from backend_doctor.backends.postgres.plans.plans import PlannedStatement, Plans
from backend_doctor.backends.postgres.plans.tables import Column, Index, Spread, Table
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.statements import (
    Counted,
    Statements,
    StatementStatistics,
)

MISSING = "query.missing_index"
THERE = StatementStatistics(
    database="shop", role="doctor", sees_all=True, track="top", schema="public", version="1.10"
)
TEXT = "SELECT * FROM orders WHERE customer_id = $1"


def counted(query_id: str, calls: int, ms: float, rows: int = 0, **fields: Any) -> Counted:
    usual: dict[str, Any] = {"database": "shop", "role": "app"}
    return Counted(query_id=query_id, calls=calls, ms=ms, rows=rows, **{**usual, **fields})


def window(*last: Counted, first: tuple[Counted, ...] = ()) -> Looks[Statements]:
    entries = len(last)
    return Looks(
        Statements(counted=first, entries=len(first)),
        Statements(counted=last, entries=entries),
        5.0,
    )


def scan(**fields: Any) -> Scan:
    usual: dict[str, Any] = {
        "schema": "public",
        "table": "orders",
        "node": "Seq Scan",
        "index": "",
        "filter": "(orders.customer_id = $1)",
        "rows": 10.0,
        "loops": 1.0,
        "cost_share": 0.9,
        "direct": True,
        "equal": ("customer_id",),
    }
    return Scan(**{**usual, **fields})


def plans(*scans: Scan, orders: Table | None = None, **fields: Any) -> Plans:
    plan = Plan(values="generic", cost=5000, outline="Seq Scan on orders", scans=scans)
    usual = {
        "query_id": "1",
        "database": "shop",
        "role": "app",
        "kind": "select",
        "text": TEXT,
        "plans": (plan,) if scans else (),
    }
    return Plans(
        statements=(PlannedStatement(**{**usual, **fields}),),
        tables=(orders or table(),),
        remedy='GRANT pg_read_all_data TO "doctor";' if fields.get("blind") else "",
    )


def index(name: str, *columns: str, **fields: Any) -> Index:
    usual = {"method": "btree", "unique": False, "pages": 800, "valid": True, "partial": False}
    return Index(**{**usual, **fields, "name": name, "columns": columns})


def table(*indexes: Index, **fields: Any) -> Table:
    usual: dict[str, Any] = {
        "schema": "public",
        "name": "orders",
        "rows": 300_000.0,
        "pages": 3_000,
        "writes": 5,
        "partition": False,
        "columns": (
            Column("id", "int4", "N"),
            Column("customer_id", "int4", "N"),
            Column("status", "text", "S"),
            Column("code", "varchar", "S"),
            Column("place", "point", "G"),
        ),
        "spread": (
            Spread(column="customer_id", distinct_values=30_000, nulls=0, width=4),
            Spread(column="status", distinct_values=3, nulls=0, width=5),
            Spread(column="code", distinct_values=-1, nulls=0, width=12),
        ),
    }
    return Table(**{**usual, **fields, "indexes": (index("orders_pkey", "id"), *indexes)})


def judge(
    planned: Plans | None,
    statements: Looks[Statements] | None = None,
    found: Looks[Sessions] | None = None,
    statistics: StatementStatistics = THERE,
    counters: Looks[Counters] | None = None,
    **limits: object,
) -> list[Finding]:
    busy = window(counted("1", 100, 3000.0, 1000), counted("2", 100, 500.0))
    return run(
        "slow_queries",
        *(statistics, statements or busy, planned, found or looks([]), counters),
        **limits,
    )


def cure(finding: Finding) -> str:
    return next(r.command for r in finding.remedies if r.step is Step.CURE)
