"""Quoting is proved by a server, masking by what must not be left."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend_doctor.backends.sql import mask_literals, quote_identifier, quote_literal
from backend_doctor.demo.servers import PostgresServer

# what PostgreSQL can hold: no NUL, no surrogates
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
NASTY = TEXT | st.text(alphabet="'\"\\;$E-/*\n ", max_size=12)
shared = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Asker:
    """One session for many questions."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._session = self._run(asyncpg.connect(url, timeout=10, statement_cache_size=0))

    def _run(self, question: Any) -> Any:
        return self._loop.run_until_complete(question)

    def row(self, sql: str) -> Any:
        return self._run(self._session.fetchrow(sql, timeout=10))

    def do(self, sql: str) -> None:
        self._run(self._session.execute(sql, timeout=10))

    def end(self) -> None:
        self._run(self._session.close())
        self._loop.close()


@pytest.fixture(scope="module", params=["on", "off"], ids="standard_conforming_strings={}".format)
def asker(request: pytest.FixtureRequest, postgres18: PostgresServer) -> Iterator[Asker]:
    asking = Asker(postgres18.admin_url())
    asking.do(f"SET standard_conforming_strings = {request.param}")
    asking.do("SET escape_string_warning = off")
    yield asking
    asking.end()


@shared
@given(value=NASTY)
def test_a_quoted_literal_is_read_back_as_it_was(asker: Asker, value: str) -> None:
    assert asker.row(f"SELECT {quote_literal(value)}::text AS found")["found"] == value


@shared
@given(name=NASTY.filter(bool))
def test_a_quoted_identifier_is_read_back_as_it_was(asker: Asker, name: str) -> None:
    name = name.encode()[:60].decode(errors="ignore") or "x"
    (found,) = asker.row(f"SELECT 1 AS {quote_identifier(name)}").keys()
    assert found == name


@pytest.mark.parametrize(
    ("statement", "masked"),
    [
        ("SELECT 'it''s' || name FROM t", "SELECT ? || name FROM t"),
        ("SELECT * FROM t WHERE id = 42 AND x > 1.5e-3", "SELECT * FROM t WHERE id = ? AND x > ?"),
        ("SELECT $1, $22", "SELECT $1, $22"),
        ("SELECT col1, t2.col FROM t2", "SELECT col1, t2.col FROM t2"),
        ('SELECT "a 1", "b""2"', 'SELECT "a 1", "b""2"'),
        ("SELECT $tag$secret 'x'$tag$ AS a", "SELECT ? AS a"),
        ("SELECT E'\\'secret' AS a", "SELECT ? AS a"),
        ("SELECT 1 -- secret", "SELECT ? ?"),
        ("SELECT /* secret */ a", "SELECT ? a"),
        ("UPDATE t SET a = 'cut off in the middl", "UPDATE t SET a = ?"),
        ("SELECT $$cut off", "SELECT ?"),
        ("SELECT X'FF', B'01', N'x'", "SELECT ?, ?, ?"),
        ("SELECT E'a\\\\', b", "SELECT ?, b"),
        ("SELECT 0xFF, 1_000, 2e+5, .5, a1", "SELECT ?, ?, ?, ?, a1"),
        ("SELECT größe FROM bücher2 WHERE größe = 7", "SELECT größe FROM bücher2 WHERE größe = ?"),
        ("", ""),
    ],
)
def test_masking(statement: str, masked: str) -> None:
    assert mask_literals(statement) == masked


SECRET = "hunter2canary"


@given(secret=NASTY, cut=st.integers(0, 30))
def test_no_string_survives_whole_or_cut(secret: str, cut: int) -> None:
    hidden = SECRET + secret
    statement = f"SELECT a FROM t WHERE b = {quote_literal(hidden)} AND c = 1"
    assert SECRET not in mask_literals(statement)
    cut_off = statement[: len("SELECT a FROM t WHERE b = ") + len(SECRET) + cut]
    assert SECRET not in mask_literals(cut_off)


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT 'C:\\', '{SECRET}'",
        f"SELECT 'it\\'s {SECRET}'",
        f"SELECT E'a'\n'\\' {SECRET}'",
        f"SELECT $a$ x $$ {SECRET} $a$",
        f"SELECT $é$ {SECRET} $é$",
        f"SELECT /* a /* b */ {SECRET} */ c",
        f"SELECT E'{SECRET}\\",
        f"SELECT '{SECRET}\\",
    ],
)
def test_where_a_literal_ends_is_never_guessed_too_early(statement: str) -> None:
    assert SECRET not in mask_literals(statement)


@given(st.text(max_size=60))
def test_masking_takes_anything_and_is_stable(statement: str) -> None:
    once = mask_literals(statement)
    assert mask_literals(once) == once


@given(st.text(alphabet="a1'\"$\\-/*\n ", max_size=400))
def test_masking_never_grows_much(statement: str) -> None:
    assert len(mask_literals(statement)) <= len(statement) + 1
