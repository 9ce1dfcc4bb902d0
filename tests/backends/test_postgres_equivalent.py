"""The SELECT that finds the rows of a change: cut out of the text, or refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.backends.postgres.plans.equivalent import (
    NoEquivalentError,
    finding_rows,
    typed_place,
)
from backend_doctor.backends.postgres.plans.words import UnreadableError, plannable, read, refusal

FOUND = {
    "UPDATE orders SET note = $1 WHERE customer_id = $2": (
        "SELECT orders.ctid FROM orders WHERE customer_id = $1"
    ),
    'update only public."Ord" as o set (a, b) = (1, 2) from x join y using (id) '
    "where o.id = x.id returning o.id;": (
        'SELECT o.ctid FROM only public."Ord" as o, x join y using (id) WHERE o.id = x.id'
    ),
    "UPDATE t SET a = b IS DISTINCT FROM c WHERE x = $2 OR y = $2": (
        "SELECT t.ctid FROM t WHERE x = $1 OR y = $1"
    ),
    "DELETE FROM orders o USING x JOIN y USING (id) WHERE o.id = x.id": (
        "SELECT o.ctid FROM orders o, x JOIN y USING (id) WHERE o.id = x.id"
    ),
    "DELETE FROM orders": "SELECT orders.ctid FROM orders",
    "WITH x AS (SELECT 1 AS id) UPDATE t SET a = $4 FROM x WHERE t.id = x.id": (
        "WITH x AS (SELECT 1 AS id) SELECT t.ctid FROM t, x WHERE t.id = x.id"
    ),
}
REFUSED = {
    "INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET a = 1": "inserts",
    "MERGE INTO x USING y ON x.a = y.a WHEN MATCHED THEN DELETE": "merges",
    "WITH d AS (DELETE FROM x RETURNING id) SELECT 1": "within a WITH",
    "WITH d AS (DELETE FROM x RETURNING id) UPDATE y SET a = 1": "more than one place",
    "UPDATE t SET a = (SELECT 1) WHERE b = 1": "subquery",
    "DELETE FROM t WHERE b = 1 RETURNING (SELECT 1)": "subquery",
    "DELETE FROM t WHERE CURRENT OF c": "cursor",
    "UPDATE t SET set = 1 WHERE x = 1": "clauses",
    "UPDATE t SET WHERE x = 1": "SET",
    "DELETE t WHERE x = 1": "clauses",
    "UPDATE f(x) SET a = 1": "table",
}


@pytest.mark.parametrize("text", FOUND)
def test_a_change_becomes_the_select_of_its_rows(text: str) -> None:
    assert finding_rows(text) == FOUND[text]
    assert refusal(read(FOUND[text])) == ""


@pytest.mark.parametrize(
    ("planned", "typed"),
    [
        ("SELECT t.ctid FROM t WHERE >x = $1", "UPDATE t SET x = $1 WHERE >x = $2"),
        ("SELECT a.ctid FROM t a WHERE >a.n = 1", "DELETE FROM t a WHERE >a.n = 1 RETURNING a.m"),
        ("SELECT nope.ctid FROM >nope WHERE nope.a = 1", "DELETE FROM >nope WHERE nope.a = 1"),
        ('SELECT t.ctid FROM t WHERE >"Ü" = 1', 'UPDATE t SET a = 1 /* "Ü" */ WHERE >"Ü" = 1'),
    ],
)
def test_a_place_in_the_select_is_found_in_the_typed_text(planned: str, typed: str) -> None:
    there, here = (text.index(">") + 1 for text in (planned, typed))
    assert typed_place(planned.replace(">", ""), there, typed.replace(">", "")) == here


@pytest.mark.parametrize(
    ("planned", "position"), [("SELECT b", 8), ("SELECT a", 8), ("SELECT a", 9), ("SELECT a", 99)]
)
def test_a_place_that_is_not_one_is_none(planned: str, position: int) -> None:
    assert typed_place(planned, position, "DELETE FROM a WHERE a") is None


@pytest.mark.parametrize("text", REFUSED)
def test_what_has_no_equivalent_says_why(text: str) -> None:
    with pytest.raises(NoEquivalentError, match=REFUSED[text]):
        finding_rows(text)


def test_row_locks_within_it_are_still_seen() -> None:
    text = "DELETE FROM j WHERE id IN (SELECT id FROM j LIMIT 3 FOR UPDATE SKIP LOCKED)"
    assert "locks rows" in refusal(read(finding_rows(text)))


_WORDS = st.sampled_from(
    ["UPDATE", "DELETE", "FROM", "t", '"T"', "AS", "o", "SET", "a", "=", "$1", "$3", "(", ")",
     ",", "USING", "WHERE", "RETURNING", "SELECT", "FOR", "WITH", ".", "*", "'x'", "INSERT", "id"]
)  # fmt: skip


@given(st.lists(_WORDS, max_size=25).map(" ".join))
def test_whatever_comes_out_changes_nothing(text: str) -> None:
    with suppress(NoEquivalentError, UnreadableError):
        words = read(finding_rows(text))
        assert words.kind != "change"
        assert not words.writes


def test_typed_constants_become_casts_outside_of_strings_only() -> None:
    text = """SELECT date $1, "date $2", 'date $3' FROM t WHERE x > now() - INTERVAL $4 ;"""
    assert plannable(text) == (
        """SELECT $1::date, "date $2", 'date $3' FROM t WHERE x > now() - $4::interval"""
    )
