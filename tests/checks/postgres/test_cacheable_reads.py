"""postgres.cacheable_reads: facts in, findings out. It advises and never alarms."""

import pytest
from tests.checks.postgres.builders import WINDOW, evidence, looks, run
from tests.checks.postgres.test_repeated_statements import (
    LIST,
    ONE,
    THERE,
    counted,
    frequent,
    window,
)

from backend_doctor import Each, Finding, Looks, Status
from backend_doctor.backends.postgres.frequent import describe
from backend_doctor.backends.postgres.statements import Counted
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.facts import Absence, AbsenceKind

FLAGS = "SELECT name, value FROM flags"


def cache(hits: int, misses: int) -> Each[Looks[ClientLimits]]:
    first = ClientLimits(used=1, hits=1000, misses=500)
    last = ClientLimits(used=1, hits=1000 + hits, misses=500 + misses)
    return Each({"redis": Looks(first, last, WINDOW)})


def judge(
    *last: Counted,
    texts: dict[str, str],
    caches: Each[Looks[ClientLimits]] | None = None,
    **limits: float,
) -> Finding:
    found = (window(*last), frequent(texts), looks([]), caches or Each({}))
    (finding,) = run("cacheable_reads", THERE, *found, **limits)
    return finding


def advised(finding: Finding) -> bool:
    assert finding.status is Status.OK
    assert finding.cause is None
    return bool(finding.evidence)


def test_a_table_that_nobody_writes_is_read_all_the_time() -> None:
    finding = judge(counted("1", 2000, 20_000), texts={"1": FLAGS})
    assert advised(finding)
    assert evidence(finding, "cacheable_query_id") == "1"
    assert evidence(finding, "cacheable_tables") == "flags"
    assert finding.measures[0].value == 400
    assert "advice" in finding.notes[0]
    assert "asks the same" in finding.evidence[0].text


@pytest.mark.parametrize(("writes", "expected"), [(0, True), (20, True), (21, False)])
def test_a_table_that_is_written_is_left_alone(writes: int, expected: bool) -> None:
    texts = {"1": FLAGS, "2": 'UPDATE public."flags" SET value = $1 WHERE name = $2'}
    found = [counted("1", 2000, 20_000), *([counted("2", writes, 1)] if writes else [])]
    assert advised(judge(*found, texts=texts)) is expected


def test_writes_of_other_tables_do_not_count() -> None:
    texts = {"1": FLAGS, "2": "INSERT INTO visits VALUES ($1)"}
    assert advised(judge(counted("1", 2000, 9), counted("2", 2000, 2000), texts=texts))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT $1",
        "SELECT now()",
        "SELECT * FROM flags FOR UPDATE",
        "SELECT * FROM flags WHERE until > now()",
        "SELECT * FROM flags ORDER BY random() LIMIT $1",
        "SELECT nextval($1) FROM flags",
        "WITH d AS (DELETE FROM flags RETURNING *) SELECT * FROM d",
        "BEGIN",
    ],
)
def test_what_is_another_answer_each_time(text: str) -> None:
    assert not describe("1", "shop", text).cacheable
    assert not advised(judge(counted("1", 2000, 2000), texts={"1": text}))


def test_seldom_or_large_or_a_small_part_is_left_alone() -> None:
    assert not advised(judge(counted("1", 200, 200), texts={"1": FLAGS}))
    assert not advised(judge(counted("1", 2000, 202_000), texts={"1": FLAGS}))
    small = (counted("1", 300, 300), counted("3", 9000, 9000))
    assert not advised(judge(*small, texts={"1": FLAGS}))
    assert advised(judge(*small, texts={"1": FLAGS}, share=0.03))


def test_rows_asked_one_by_one_want_no_cache() -> None:
    found = (counted("1", 25, 5000), counted("2", 5000, 5000))
    assert not advised(judge(*found, texts={"1": LIST, "2": ONE}))


def test_the_hit_rate_of_today() -> None:
    one = counted("1", 2000, 2000)
    finding = judge(one, texts={"1": FLAGS}, caches=cache(90, 10))
    assert evidence(finding, "cache_hit_rate") == 0.9
    finding = judge(one, texts={"1": FLAGS}, caches=cache(0, 0))
    assert evidence(finding, "cache_hit_rate") is None
    blind = Absence(kind=AbsenceKind.LOGIN, reason="no login")
    finding = judge(one, texts={"1": FLAGS}, caches=Each({"redis": blind}))
    assert "cache_hit_rate" not in {item.key for item in finding.evidence}
