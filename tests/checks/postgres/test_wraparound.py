"""postgres.wraparound: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import HOSTILE, cause, evidence, pids, run

from backend_doctor import Confidence, Finding, Status, Step
from backend_doctor.backends.postgres.wraparound import Aged, Holder, Wraparound

MILLION = 1_000_000


def facts(xids: int, multixacts: int = 0, **fields: Any) -> Wraparound:
    usual = {
        "databases": (
            Aged(name="template0", xids=20 * MILLION),
            Aged(name="shop", xids=xids, multixacts=multixacts),
        ),
        "tables": (
            Aged(schema="public", name="orders", xids=xids, multixacts=multixacts, pages=1280),
            Aged(schema="public", name="young", xids=5),
        ),
    }
    return Wraparound(**{**usual, **fields})


def judge(*arguments: Any, **fields: Any) -> list[Finding]:
    return run("wraparound", facts(*arguments, **fields))


def holder(millions: int) -> tuple[Holder, ...]:
    return (Holder(kind="session", name="4711 (report)", xids=millions * MILLION),)


@pytest.mark.parametrize(
    ("millions", "status"),
    [(200, "ok"), (1259, "ok"), (1260, "warning"), (1574, "warning"), (1575, "critical")],
)
@pytest.mark.parametrize("multixact", [False, True])
def test_thresholds_are_shares_of_2_1_billion(millions: int, status: str, multixact: bool) -> None:
    age = millions * MILLION
    (finding,) = judge(0, age) if multixact else judge(age)
    assert finding.status is Status(status)
    assert cause(finding) == ("" if status == "ok" else "wraparound.vacuum_behind")
    assert len(finding.measures) == 2
    if status != "ok":
        assert evidence(finding, "wraparound_age") == age
        assert evidence(finding, "oldest_table") == "public.orders"
        assert [str(subject) for subject in finding.subjects] == ["table public.orders"]


@pytest.mark.parametrize(
    ("age", "held", "status"),
    [(399, 399, "ok"), (400, 200, "warning"), (400, 199, "ok"), (1000, 5, "ok")],
)
def test_early_only_if_vacuum_is_held_back(age: int, held: int, status: str) -> None:
    (finding,) = judge(age * MILLION, holders=holder(held))
    assert finding.status is Status(status)
    if status == "warning":
        assert evidence(finding, "horizon_holder") == "4711 (report)"
        assert pids(finding) == {4711}
        assert finding.cause is not None
        assert finding.cause.confidence is Confidence.CERTAIN


def test_both_counters_are_told() -> None:
    first, second = judge(1600 * MILLION, 1300 * MILLION)
    assert (first.status, second.status) == (Status.CRITICAL, Status.WARNING)
    assert "transaction ids" in first.summary
    assert "multixact ids" in second.summary
    assert (len(first.measures), second.measures) == (2, ())


def test_the_oldest_tables_are_vacuumed_and_never_fully() -> None:
    (finding,) = judge(1300 * MILLION)
    (command,) = [one.command for one in finding.remedies if one.step is Step.CURE]
    assert command == 'VACUUM (VERBOSE, INDEX_CLEANUP OFF, TRUNCATE OFF) "public"."orders";'


def test_another_database_is_vacuumed_from_the_shell() -> None:
    other = (Aged(name="a'b", xids=1300 * MILLION),)
    (finding,) = judge(5, databases=other)
    (remedy,) = [one for one in finding.remedies if one.step is Step.CURE]
    assert remedy.language == "sh"
    assert remedy.command.endswith("'a'\\''b'")


def test_blind_for_other_sessions_it_says_so() -> None:
    (finding,) = judge(1300 * MILLION, sees_all=False)
    assert "pg_monitor" in finding.notes[0]


def test_hostile_names_stay_names() -> None:
    tables = (Aged(schema="public", name=HOSTILE, xids=1300 * MILLION),)
    (finding,) = judge(1300 * MILLION, tables=tables)
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    assert finding.remedies[1].command.endswith(f' "public".{quoted};')
