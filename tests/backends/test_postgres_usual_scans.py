"""Which scan is told of, where a statement's plans differ: the one that its calls run."""

from typing import Any

from backend_doctor.backends.postgres.plans.explained import Plan, Scan
from backend_doctor.backends.postgres.plans.hypothetical import proposed
from backend_doctor.backends.postgres.plans.tables import Column, Spread, Table
from backend_doctor.backends.postgres.plans.usual import compared, usual_scans

PAGES = 14_706
PLACE = ("public", "orders")
ORDERS = Table(
    schema="public",
    name="orders",
    rows=2_000_000.0,
    pages=PAGES,
    writes=0,
    partition=False,
    columns=(Column("customer_id", "int8", "N"),),
    indexes=(),
    spread=(Spread(column="customer_id", distinct_values=100_000, nulls=0, width=8),),
)


def plan(values: str, **fields: Any) -> Plan:
    usual: dict[str, Any] = {
        "schema": "public",
        "table": "orders",
        "node": "Seq Scan",
        "index": "",
        "filter": "(orders.customer_id = $1)",
        "rows": 20.0,
        "loops": 1.0,
        "cost_share": 0.9,
        "direct": False,
        "equal": ("customer_id",),
    }
    scan = Scan(**{**usual, **fields})
    return Plan(values=values, cost=5000.0, outline=scan.node, scans=(scan,))


# a LIMIT makes the planner hope that a walk along the order finds its rows early
GENERIC = plan("generic", node="Index Scan", index="orders_created_idx", cost_share=1.0)
COMMON = plan("common", node="Index Scan", index="orders_created_idx", cost_share=1.0, rows=400.0)
RARE = plan("rare")


def likeliest(blocks: float, *plans: Plan) -> list[str]:
    return [one.values for one, _ in usual_scans(plans, {PLACE: ORDERS}, blocks)]


def test_where_calls_touch_the_whole_table_the_plan_that_reads_it_is_told_of() -> None:
    assert likeliest(PAGES, GENERIC, COMMON, RARE) == ["rare", "generic", "common"]
    assert likeliest(PAGES, GENERIC, plan("common", cost_share=0.5)) == ["common", "generic"]


def test_else_plans_for_rare_values_are_left_out_and_the_costliest_scan_leads() -> None:
    assert likeliest(0.0, GENERIC, COMMON, RARE) == ["generic", "common"]
    assert likeliest(0.4 * PAGES, GENERIC, COMMON, RARE) == ["generic", "common"]
    assert likeliest(PAGES, plan("generic"), RARE) == ["generic"]
    assert likeliest(0.0, plan("generic", cost_share=0.5), COMMON) == ["common", "generic"]


def test_a_run_says_more_of_its_table_than_any_plan() -> None:
    run = plan("analyzed", removed=1_999_980.0)
    assert likeliest(PAGES, GENERIC, RARE, run) == ["analyzed"]


def test_the_index_is_tried_on_the_plan_that_is_told_of() -> None:
    def tried_on(blocks: float, *plans: Plan) -> str:
        found = proposed(plans, [ORDERS], blocks)
        assert found is not None
        assert found[0].columns == ("customer_id",)
        return found[1].values

    assert tried_on(PAGES, GENERIC, COMMON, RARE) == "rare"
    # of two alike, the one with real values: what is estimated for any values may be far off
    assert tried_on(PAGES, plan("generic"), plan("common", cost_share=0.5)) == "common"
    assert tried_on(0.0, GENERIC, COMMON) == "common"


def test_a_table_that_no_plan_scans_has_no_plan_to_compare() -> None:
    scans = usual_scans([GENERIC], {PLACE: ORDERS}, 0.0)
    assert compared(scans, ("public", "customers")) is None
