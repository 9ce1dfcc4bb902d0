"""A plan in the terminal: never wider than that, its costliest node marked once."""

from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.backends.postgres.plans.tree import PlanNode
from backend_doctor.reports.layout import Pen
from backend_doctor.reports.plan_text import MARK, draw

SCAN = PlanNode(
    kind="Seq Scan", table="orders", alias="o", filter="(o.id = ?)", rows=10, total_cost=900,
    own_cost=900,
)  # fmt: skip
JOIN = PlanNode(
    kind="Nested Loop", rows=1, total_cost=1000, own_cost=20,
    children=(SCAN, PlanNode(kind="Index Scan", index="pk", table="t", total_cost=80, own_cost=80)),
)  # fmt: skip


def test_the_tree_is_drawn_and_the_costliest_node_marked() -> None:
    assert draw(JOIN, Pen(60, False), unicode=True) == [
        "  Nested Loop",
        "  │  1 row, cost 1,000",
        "! ├─ Seq Scan on orders o                    90% of the cost",
        "  │     10 rows, cost 900",
        "  │     filter (o.id = ?)",
        "  └─ Index Scan using pk on t",
        "        0 rows, cost 80",
    ]
    assert draw(JOIN, Pen(60, False), unicode=False)[2].startswith("! |- Seq Scan")


def test_a_run_shows_what_was_counted_and_marks_by_time() -> None:
    slow = PlanNode(
        kind="Index Scan", table="t", rows=5, actual_rows=70_000, loops=3, removed=2,
        filter="(t.a > ?)", milliseconds=900.0, total_cost=8, own_cost=8,
    )  # fmt: skip
    root = PlanNode(
        kind="Sort", rows=15, actual_rows=210_000, milliseconds=2800.0, total_cost=90, own_cost=82,
        sort_key=("t.a",), sort_space_kb=5000, sort_on_disk=True, children=(slow,),
    )  # fmt: skip
    lines = draw(root, Pen(80, False), unicode=True)
    assert [line for line in lines if line.startswith(MARK)] == [
        next(line for line in lines if "Index Scan" in line)
    ]
    text = "\n".join(lines)
    assert "70,000 rows, 5 expected (14,000x off) x 3 loops" in text
    assert "by t.a, 5,000 kB on disk" in text
    assert "6 rows thrown away" in text


def test_what_stopped_early_or_never_ran_is_no_misestimate() -> None:
    early = PlanNode(kind="Seq Scan", table="t", rows=300_000, actual_rows=40, stopped=True)
    more = PlanNode(kind="Seq Scan", table="u", rows=2, actual_rows=400, stopped=True)
    never = PlanNode(kind="Hash", rows=20_000, actual_rows=0, loops=0)
    root = PlanNode(kind="Limit", rows=40, actual_rows=40, children=(early, more, never))
    text = "\n".join(draw(root, Pen(80, False), unicode=True))
    assert "40 rows, 300,000 expected (may have stopped early)" in text
    assert "400 rows, 2 expected (200x off)" in text
    assert "never run, 20,000 expected" in text
    assert text.count("x off") == 1


_NODES = st.recursive(
    st.builds(
        PlanNode,
        kind=st.text(max_size=30),
        table=st.text(max_size=70),
        filter=st.text(max_size=200),
        rows=st.floats(0, 1e12),
        actual_rows=st.none() | st.floats(0, 1e12),
        total_cost=st.floats(0, 1e12),
        own_cost=st.floats(0, 1e12),
        milliseconds=st.none() | st.floats(0, 1e9),
    ),
    lambda nodes: st.builds(
        PlanNode, kind=st.just("Append"), children=st.lists(nodes, max_size=3).map(tuple)
    ),
    max_leaves=8,
)


@given(_NODES, st.integers(60, 120), st.booleans())
def test_no_plan_is_wider_than_the_terminal_or_harms_it(
    node: PlanNode, width: int, unicode: bool
) -> None:
    lines = draw(node, Pen(width, False), unicode=unicode)
    assert sum(line.startswith(MARK) for line in lines) == 1
    assert "\x1b" not in "".join(lines)
    if unicode:
        assert max(map(len, lines)) <= width
    else:
        assert all(line.isascii() for line in lines)
