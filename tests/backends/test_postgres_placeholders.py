"""Placeholders of drivers and ORMs become $1, and no operator does."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.backends.postgres.plans.placeholders import UnclearPlaceholderError, numbered


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM t WHERE a = %s AND b=%s LIMIT %s", "a = $1 AND b=$2 LIMIT $3"),
        ("SELECT * FROM t WHERE a = %(x)s OR b = %(x)s AND c > %(y)s", "OR b = $1 AND c > $2"),
        ("SELECT 1 FROM t WHERE a = :id AND b = :x::int OR c = :id", "AND b = $2::int OR c = $1"),
        ("SELECT * FROM t WHERE id=? AND b IN (?, ?) LIMIT ?", "id=$1 AND b IN ($2, $3) LIMIT $4"),
        ("SELECT * FROM t WHERE a IN %s AND id %% 2 = %s", "a IN ($1) AND id % 2 = $2"),
        ("SELECT * FROM t WHERE doc ? ? AND doc ?| ? AND a BETWEEN ? AND ?",
         "doc ? $1 AND doc ?| $2 AND a BETWEEN $3 AND $4"),
        ("SELECT '%s', \"?\", ':x' /* :y */ FROM t WHERE a = %s -- ?",
         "SELECT '%s', \"?\", ':x' /* :y */ FROM t WHERE a = $1 -- ?"),
        ("UPDATE t SET a = %s WHERE lower(b) LIKE %s||'%%'",
         "SET a = $1 WHERE lower(b) LIKE $2||'%%'"),
    ],
)  # fmt: skip
def test_placeholders_are_numbered(text: str, expected: str) -> None:
    assert numbered(text).endswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a::int, b::text[] FROM t WHERE c = $1",
        "SELECT * FROM t WHERE doc ? 'key' AND doc ?| ARRAY['a'] AND doc ?& ARRAY['a']",
        "SELECT * FROM t WHERE doc @? '$.a' AND (doc -> 'a') ? 'b'",
        "SELECT id % 2, id %s, id % s FROM t",
        "SELECT a[1:2], a[x:y] FROM t",
        "SELECT name %> 'x', 'x' <% name FROM t",
        "SELECT $$ %s $$, E'\\'' FROM t WHERE a = %s",
        "SELECT make_date(year := 1, month := 2, day := 3) FROM t",
    ],
)
def test_operators_casts_and_slices_stay(text: str) -> None:
    assert numbered(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT * FROM t WHERE a <%s", "Write $1, $2 instead of %s"),
        ("SELECT * FROM t WHERE a = $1 AND b = %s", "mixes placeholders: $1, %s"),
        ("SELECT * FROM t WHERE a = ? AND b = :name", "mixes placeholders: :name, ?"),
        ("SELECT a[:n] FROM t", "Write $1, $2 instead of :name"),
    ],
)
def test_what_is_unclear_is_said(text: str, said: str) -> None:
    with pytest.raises(UnclearPlaceholderError) as caught:
        numbered(text)
    assert said in str(caught.value)


@given(st.text(alphabet="as%?:()$1=<'\"- [],|&in", max_size=40))
def test_any_text_is_rewritten_once(text: str) -> None:
    with suppress(UnclearPlaceholderError):
        once = numbered(text)
        assert once == text or "$" in once
