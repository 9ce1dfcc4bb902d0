"""Texts and filters of statements, read as the server writes them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.backends.postgres.plans.predicates import comparison, conditions
from backend_doctor.backends.postgres.plans.words import UnreadableError, read, refusal


def test_texts_are_read_for_what_they_could_call() -> None:
    words = read('SELECT Mine(1), o."Odd" FROM t AS o WHERE a %> $2 AND b::money > $1 LIMIT $3')
    assert {"mine", "Odd"} <= words.calls
    assert "money" in words.names
    assert {"%>", "=", "~~"} <= words.operators
    assert (words.parameters, words.bounds) == (3, {3: "limit"})
    assert refusal(read("select 1 /* , ... */")) == ""
    for text in ("SELECT 'a\\' , evil()'", 'SELECT U&"d\\0061ta"', "SELECT $$a$$", "SELECT 1;x"):
        with pytest.raises(UnreadableError):
            read(text)


@given(st.text(alphabet="abAB_$1 .,;:()'\"\\/*-=%", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(UnreadableError):
        assert read(text).kind in ("select", "change", "utility")


def test_filters_are_read_as_the_server_writes_them() -> None:
    assert conditions("((o.a = $1) AND ((o.b)::text = 'x AND (y'::text) AND (o.c OR o.d))") == [
        "o.a = $1",
        "(o.b)::text = 'x AND (y'::text",
        "o.c OR o.d",
    ]
    found = comparison("(o.b)::text = 'x'::text", "o")
    assert found is not None
    assert (found.column, found.cast, found.operator) == ("b", "text", "=")
    assert comparison("o.a = o.b", "o") is None
    joined = comparison('"O".a = other.b', "O")
    assert joined is not None
    array = comparison("o.a = ANY ($1)", "o")
    assert array is not None
    assert (array.parameters, array.is_array) == ((1,), True)
    turned = comparison("$2 < o.a", "o")
    assert turned is not None
    assert (turned.column, turned.operator, turned.parameters) == ("a", ">", (2,))
    compound = comparison("o.a > ($1 - $2)", "o")
    assert compound is not None
    assert compound.parameters == ()


@given(st.text(alphabet="ab.() AND='\"$1", max_size=40))
def test_any_filter_is_read(text: str) -> None:
    assert isinstance([comparison(part, "a") for part in conditions(text)], list)
