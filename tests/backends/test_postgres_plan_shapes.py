"""Any condition and any tree of a plan is read, or refused."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.backends.postgres.plans.explained import read_plan
from backend_doctor.backends.postgres.plans.predicates import conditions, wrapped
from backend_doctor.backends.postgres.plans.shape import (
    keeper,
    loops_compared,
    most_blocks,
    shape,
    skipping,
)
from backend_doctor.backends.postgres.plans.slow_findings import remarks
from backend_doctor.backends.postgres.plans.tree import PlanNode, read_tree


@pytest.mark.parametrize(
    ("condition", "kind", "column"),
    [
        ("((o.at)::date = $1)", "cast", "at"),
        ("($1 = lower((o.name)::text))", "function", "name"),
        ("(EXTRACT(year FROM o.at) = $1)", "function", "at"),
        ('((o."Odd one" + 1) > $2)', "arithmetic", "Odd one"),
        ("((o.name)::text ~~ $1)", "pattern", "name"),
        ("(o.name = $1)", "", ""),
        ("(o.name <> lower($1))", "", ""),
        ("(lower(o.name) = lower(o.other))", "", ""),
        ("((o.a + o.b) = $1)", "", ""),
    ],
)
def test_expressions_around_a_column(condition: str, kind: str, column: str) -> None:
    (part,) = conditions(condition)
    found = wrapped(part, "o")
    assert (found.kind, found.column) == (kind, column) if found else not kind


@given(st.text(alphabet="ob.(),:= ~<>'\"$1+lower", max_size=40))
def test_any_condition_is_read(text: str) -> None:
    found = wrapped(text, "o")
    assert found is None or found.kind in ("pattern", "cast", "function", "arithmetic")


_KEYS = st.sampled_from(
    ["Node Type", "Plan Rows", "Plans", "Total Cost", "Sort Key", "Filter", "Actual Rows", "Alias"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.just("Plan"), inner, max_size=4)
    ),
    max_leaves=12,
)
_NODES = st.recursive(
    st.fixed_dictionaries({"Node Type": st.text(max_size=8)}),
    lambda inner: st.fixed_dictionaries(
        {"Node Type": st.just("Nested Loop"), "Plans": st.lists(inner, max_size=3)},
        optional={"Plan Rows": st.floats(0, 1e9), "Total Cost": st.floats(0, 1e9)},
    ),
    max_leaves=8,
)


@given(_JSON | st.lists(st.fixed_dictionaries({"Plan": _JSON | _NODES}), max_size=2))
def test_any_json_is_a_plan_or_none(value: Any) -> None:
    text = msgspec.json.encode(value).decode()
    for reader in (read_tree, lambda document: read_plan(document, "generic")):
        try:
            reader(text)
        except ValueError:
            continue


@given(_NODES)
def test_any_tree_has_a_shape(node: dict[str, Any]) -> None:
    tree = read_tree(msgspec.json.encode([{"Plan": node}]).decode())
    assert isinstance(tree, PlanNode)
    assert msgspec.json.decode(msgspec.json.encode(tree), type=PlanNode) == tree
    assert most_blocks(tree) >= 0
    assert len(list(tree.walk())) >= 1
    skipping(tree), keeper(tree), loops_compared(tree), shape(tree), list(remarks(tree))


def test_a_plan_without_end_is_refused() -> None:
    deep = '{"Node Type": "Result", "Plans": [' * 5000 + '{"Node Type": "Result"}' + "]}" * 5000
    for text in ("", "[]", "[1]", '[{"Plan": {}}]', '[{"Plan": ' + deep + "}]"):
        with pytest.raises(ValueError, match="plan"):
            read_tree(text)
