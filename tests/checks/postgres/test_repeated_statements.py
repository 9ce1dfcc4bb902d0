"""postgres.repeated_statements: facts in, findings out."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.checks.postgres.builders import WINDOW, cause, evidence, looks, run, session

from backend_doctor import Absent, Finding, Looks, Status
from backend_doctor.backends.postgres.frequent import FrequentStatements, describe
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.statements import Counted, Statements, StatementStatistics
from backend_doctor.facts import AbsenceKind

THERE = StatementStatistics(
    database="shop", role="doctor", sees_all=True, track="top", schema="public", version="1.10"
)
LIST = "SELECT id, name FROM customers ORDER BY name LIMIT $1"
ONE = "SELECT * FROM addresses WHERE customer_id = $1"
TEXTS = {"1": LIST, "2": ONE}


def counted(
    query_id: str, calls: int, rows: int, ms: float = 0.0, *, role: str = "app", base: str = "shop"
) -> Counted:
    return Counted(
        query_id=query_id,
        database=base,
        role=role,
        calls=calls,
        ms=ms or calls * 0.1,
        rows=rows,
    )


def window(*last: Counted) -> Looks[Statements]:
    return Looks(Statements(counted=()), Statements(counted=last, entries=len(last)), WINDOW)


def frequent(texts: dict[str, str] | None = None) -> FrequentStatements:
    found = (TEXTS if texts is None else texts).items()
    return FrequentStatements(
        statements=tuple(describe(query_id, "shop", text) for query_id, text in found)
    )


def judge(
    *last: Counted,
    texts: dict[str, str] | None = None,
    seen: Looks[Sessions] | None = None,
    **limits: float,
) -> list[Finding]:
    return run(
        "repeated_statements", THERE, window(*last), frequent(texts), seen or looks([]), **limits
    )


def test_a_list_and_a_call_for_each_of_its_rows() -> None:
    at_work = session(7, query_id="2", application="shop-api")
    (finding,) = judge(counted("1", 25, 5000), counted("2", 5000, 5000), seen=looks([at_work]))
    assert (finding.status, cause(finding)) == (Status.WARNING, "query.n_plus_one")
    assert evidence(finding, "round_trips_per_call") == 200
    assert evidence(finding, "calls_per_second") == 1000
    assert (evidence(finding, "parent_query_id"), evidence(finding, "query_id")) == ("1", "2")
    # 200 x 0.1 ms in the server and 200 x 0.5 ms on the way
    assert evidence(finding, "estimated_ms_per_call") == 120
    assert {str(one) for one in finding.subjects} == {"query 1", "query 2", "application shop-api"}
    assert "http.slow" in finding.explains
    assert not any("CREATE INDEX" in remedy.command for remedy in finding.remedies)


def test_a_page_with_two_relations_is_one_finding() -> None:
    texts = {**TEXTS, "3": "SELECT * FROM accounts a WHERE a.id = $1 LIMIT $2"}
    found = (counted("1", 25, 500), counted("2", 500, 900), counted("3", 500, 500))
    (finding,) = judge(*found, texts=texts)
    assert evidence(finding, "round_trips_per_call") == 40
    assert evidence(finding, "query_id_1") == "3"


def test_a_request_in_flight_at_the_edge_of_the_window_is_allowed_for() -> None:
    busy = looks([session(pid, user="app", state="active") for pid in range(4)])
    found = (counted("1", 25, 5000), counted("2", 5800, 5800))
    assert [cause(one) for one in judge(*found, seen=busy)] == ["query.n_plus_one"]
    assert [one.status for one in judge(*found)] == [Status.OK]


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("a key looked up by many sessions", [counted("2", 5000, 5000)]),
        (
            "beside it a list whose rows are far fewer than its calls",
            [counted("1", 25, 500), counted("2", 5000, 5000)],
        ),
        (
            "beside it a list that another role reads",
            [counted("1", 25, 5000, role="web"), counted("2", 5000, 5000)],
        ),
        (
            "a parent that returns one row",
            [counted("1", 5000, 5000), counted("2", 5000, 5000)],
        ),
        ("a batch of 200 calls, once", [counted("1", 1, 200), counted("2", 200, 200)]),
        ("a slow statement", [counted("1", 25, 5000), counted("2", 5000, 5000, ms=6000.0)]),
        ("many rows a call", [counted("1", 25, 5000), counted("2", 5000, 55_000)]),
        (
            "a small part of the calls",
            [counted("1", 5, 300), counted("2", 300, 300), counted("9", 9000, 9000)],
        ),
        ("one call of the list", [counted("1", 1, 300), counted("2", 300, 300)]),
        ("nothing", []),
    ],
)
def test_healthy(what: str, found: list[Counted]) -> None:
    (finding,) = judge(*found)
    assert finding.status is Status.OK, what


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM addresses WHERE customer_id = ANY ($1)",
        "SELECT * FROM addresses WHERE customer_id IN ($1 /*, ... */)",
        "SELECT * FROM addresses WHERE created > $1",
        "SELECT * FROM addresses WHERE a = $1 OR b = $2",
        "SELECT a.id FROM a JOIN b ON a.id = b.id WHERE a.id = $1",
        "SELECT $1",
        "INSERT INTO addresses VALUES ($1)",
        "UPDATE addresses SET a = $1 WHERE id = $2",
        "COMMIT",
    ],
)
def test_what_is_not_asked_by_one_key(text: str) -> None:
    assert not describe("2", "shop", text).by_id
    (finding,) = judge(
        counted("1", 25, 5000), counted("2", 5000, 5000), texts={"1": LIST, "2": text}
    )
    assert finding.status is Status.OK


@pytest.mark.parametrize(
    "text",
    [
        'select t."Id" from "Odd Name" as t where t."Id" = $1',
        "SELECT a.id AS a_id FROM shop.addresses a WHERE a.customer_id = $1::int ORDER BY a.id",
        "SELECT * FROM t WHERE (id = $1) AND deleted_at IS NULL LIMIT $2;",
        "SELECT * FROM t WHERE tenant = $1 AND id = $2 /* route='orders' */",
        "SELECT * FROM ONLY t WHERE id = $1 -- by key",
    ],
)
def test_what_is_asked_by_one_key(text: str) -> None:
    described = describe("2", "shop", text)
    assert described.by_id
    assert len(described.tables) == 1


@given(st.text())
def test_any_text_is_described(text: str) -> None:
    described = describe("1", "shop", text)
    assert len(described.text) <= 400


def test_literals_are_masked() -> None:
    (finding,) = judge(
        counted("1", 25, 5000),
        counted("2", 5000, 5000),
        texts={"1": LIST.replace("$1", "77"), "2": ONE + " AND kind = 'secret'"},
    )
    assert "secret" not in repr(finding)
    assert "77" not in repr(finding)


def test_limits_can_be_set() -> None:
    found = (counted("1", 25, 500), counted("2", 500, 500))
    assert [cause(one) for one in judge(*found)] == ["query.n_plus_one"]
    for limits in ({"calls_per_second": 101}, {"most_ms": 0.05}, {"most_rows": 0.5}, {"share": 1}):
        assert [one.status for one in judge(*found, **limits)] == [Status.OK]


def test_texts_that_cannot_be_read_are_said() -> None:
    nothing = FrequentStatements(refusal="too many")
    busy = window(counted("1", 25, 5000), counted("2", 5000, 5000))
    (finding,) = run("repeated_statements", THERE, busy, nothing, None)
    assert finding.status is Status.OK
    assert finding.measures[0].value == 1000
    assert "too many" in finding.notes[0]


def test_without_counters() -> None:
    for known, kind in (
        (StatementStatistics(database="shop", role="doctor", sees_all=True), "not_applicable"),
        (StatementStatistics(database="shop", role="doctor", sees_all=False), "not_applicable"),
        (msgspec.structs.replace(THERE, sees_all=False), "blind"),
        (THERE, "not_applicable"),
    ):
        with pytest.raises(Absent) as absent:
            run("repeated_statements", known, None, None, None)
        assert absent.value.absence.kind is AbsenceKind(kind)
