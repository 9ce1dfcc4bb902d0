"""postgres.idle_checked_out: facts in, findings out."""

from typing import Any

import msgspec
import pytest
from tests.checks.pgbouncer.builders import pair, pooler
from tests.checks.postgres.builders import (
    NO_POOLER,
    Pooler,
    cause,
    evidence,
    instance,
    leaked,
    looks,
    pids,
    run,
    service,
    session,
    slots,
)

from backend_doctor import Confidence, Each, Finding, Status
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.backends.postgres.clients import ClientProcess, ClientProcesses

POOL = [session(pid) for pid in range(1, 6)]
TIMED_OUT = Sample(
    path="/ready", status=500, seconds=0.4, error="sqlalchemy.pool_timeout", pool=(5, 0)
)
HANGS = Sample(path="/ready", status=0, seconds=4.0, problem="no answer within 4 s")
QUICK = Sample(path="/ready", status=200, seconds=0.01)


def judge(
    *samples: Sample,
    found: Any = None,
    used: int = 7,
    declared: int | None = 5,
    processes: ClientProcesses | None = None,
    through: Pooler = NO_POOLER,
) -> Finding:
    answers = HealthAnswers(url="http://api/ready", path="/ready", declared=True, samples=samples)
    settings: dict[str, Any] = {"pool_size": declared} if declared else {}
    (finding,) = run(
        "idle_checked_out",
        found or looks(POOL),
        slots(used),
        Each({"http": answers} if samples else {}),
        processes,
        *through,
        service(**settings),
        msgspec.structs.replace(instance(**settings), database="shop"),
    )
    return finding


def test_timeouts_while_the_whole_pool_idles() -> None:
    finding = judge(TIMED_OUT, TIMED_OUT, QUICK)
    assert (finding.status, cause(finding)) == (Status.CRITICAL, "leak.idle_checked_out")
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.LIKELY
    assert "2 of 3 requests got no pooled connection" in finding.summary
    assert finding.notes == ()
    assert evidence(finding, "sessions_checked_out") == 5
    assert evidence(finding, "named_error") == "sqlalchemy.pool_timeout"
    assert evidence(finding, "free_slots") == 20
    assert pids(finding) == {1, 2, 3, 4, 5}
    assert {"endpoint", "error", "application"} <= {one.kind for one in finding.subjects}
    assert {"http.server_error", "pool.undersized"} <= set(finding.explains)
    assert not any("terminate" in remedy.command for remedy in finding.remedies)


def test_who_holds_them_is_named() -> None:
    held = ClientProcesses(clients=tuple(ClientProcess(pid=s.pid, client_pid=9) for s in POOL))
    assert "a process (pid 9) 5" in judge(TIMED_OUT, processes=held).evidence[0].text
    told = judge(TIMED_OUT, processes=held, through=pooler(pair(1), pair(2), pair(9)))
    assert told.evidence[-1].text == (
        "held through PgBouncer: 2 by shop-api from 10.0.0.8:60001, 10.0.0.8:60002"
    )


def test_the_twin_idles_likewise_and_answers() -> None:
    finding = judge(*[QUICK] * 6)
    assert (finding.status, finding.notes) == (Status.OK, ())


def test_without_http_it_says_that_it_cannot_tell() -> None:
    finding = judge()
    assert finding.status is Status.OK
    assert "5 sessions of shop-api all idle: cannot tell free from checked out" in finding.notes[0]
    assert judge(declared=None).notes == ()
    assert judge(declared=9).notes == ()


@pytest.mark.parametrize(
    "found",
    [
        looks([session(pid, state_us=9) for pid in range(1, 6)], POOL),
        looks([session(pid, state="active") for pid in range(1, 6)]),
        looks([leaked(pid) for pid in range(1, 6)]),
        looks(POOL[:4]),
        looks([*POOL, *[session(pid, state="active") for pid in range(11, 14)]]),
        looks([session(pid, database="other") for pid in range(1, 6)]),
    ],
    ids=["turns over", "active", "in transaction", "too few", "others work", "another database"],
)
def test_timeouts_beside_other_sessions_are_something_else(found: Any) -> None:
    finding = judge(TIMED_OUT, found=found)
    assert (finding.status, cause(finding)) == (Status.OK, "")
    assert "not why" in finding.summary


def test_a_full_server_is_something_else() -> None:
    assert cause(judge(TIMED_OUT, used=26)) == ""


@pytest.mark.parametrize(
    ("sample", "declared"), [(HANGS, 5), (HANGS, None)], ids=["hangs", "size unknown"]
)
def test_less_sure_evidence_is_only_possible(sample: Sample, declared: int | None) -> None:
    finding = judge(sample, declared=declared)
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.POSSIBLE
    assert "1 of 1 requests waited in vain" in finding.summary
    assert "pool_timeout below 3 s" in finding.notes[0]
    assert evidence(finding, "unanswered_requests") == 1
