"""http.health: facts in, findings out."""

from typing import Any

from tests.checks.postgres.builders import leaked, looks, session, waiting

from backend_doctor import Each, Finding, Looks, Status, Subject
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "http" / "health.py")


def sample(status: int = 200, seconds: float = 0.02, **fields: Any) -> Sample:
    return Sample(path="/healthz", status=status, seconds=seconds, **fields)


def judge(
    *samples: Sample, declared: bool = True, two: bool = True, database: Any = None
) -> Finding:
    answers = HealthAnswers(
        url="http://api/healthz", path="/healthz", declared=declared, samples=samples
    )
    seen = Looks(answers, answers, 5.0) if two else None
    databases: Each[Any] = Each({"postgres": database} if database else {})
    (finding,) = CHECK.function(answers, seen, databases)
    assert isinstance(finding, Finding)
    return finding


def label(finding: Finding) -> str:
    return finding.cause.label if finding.cause else ""


def test_quick_answers_are_fine_seen_once_or_twice() -> None:
    for two in (True, False):
        finding = judge(*[sample()] * 6, two=two)
        assert finding.status is Status.OK
        assert {measure.name: measure.value for measure in finding.measures} == {
            "response_seconds_p95": 0.02,
            "response_seconds_p50": 0.02,
            "response_seconds_max": 0.02,
            "failed_responses": 0,
        }


def test_percentiles_are_told_with_their_number() -> None:
    finding = judge(*[sample(seconds=0.1)] * 5, sample(seconds=0.9), two=False)
    told = {one.key: one for one in finding.evidence}
    assert (told["p50_seconds"].value, told["slowest_seconds"].value) == (0.1, 0.9)
    # five of the six lie at 0.1 s, so 95 % lie three quarters on the way to the slowest
    assert told["p95_seconds"].value == 0.7
    for key in ("p50_seconds", "p95_seconds", "slowest_seconds"):
        assert " 6 " in told[key].text


def test_failures_are_critical_by_the_half() -> None:
    some = judge(sample(503), *[sample()] * 5)
    half = judge(*[sample(500)] * 3, *[sample()] * 3)
    none = judge(*[sample(0, problem="no answer within 4 s")] * 2)
    assert [f.status for f in (some, half, none)] == [
        Status.WARNING,
        Status.CRITICAL,
        Status.CRITICAL,
    ]
    assert {label(f) for f in (some, half, none)} == {"http.server_error"}
    assert "no answer within 4 s" in none.summary
    assert not some.notes
    assert "cors.error_masks_5xx" in half.explains


def test_an_error_of_another_backend_is_named_and_shared() -> None:
    finding = judge(*[sample(500, error="redis.pool_exhausted")] * 3)
    assert Subject(kind="error", value="redis.pool_exhausted") in finding.subjects
    assert Subject(kind="endpoint", value="/healthz") in finding.subjects
    assert "redis.pool_exhausted" in finding.summary


def test_a_leak_is_told_by_its_application() -> None:
    database = looks([leaked(pid) for pid in range(5)])
    shared = Subject(kind="application", value="shop-api")
    error = "sqlalchemy.pool_timeout"
    assert shared in judge(sample(500, error=error), database=database).subjects
    # nothing is named, but it waited
    assert shared in judge(sample(500, 0.5), database=database).subjects
    # a crash at once has nothing to do with it
    assert shared not in judge(sample(500, 0.01), database=database).subjects
    # a pool that only idles is no reason
    idle = looks([session(pid) for pid in range(5)])
    assert shared not in judge(sample(500, error=error), database=idle).subjects


def test_what_comes_to_no_end_is_told_with_what_the_sessions_did_meanwhile() -> None:
    """A pool's timeout may be longer than we wait, so that no answer names it."""
    hangs = sample(0, 4.0, problem="no answer within 4 s")
    finding = judge(hangs, hangs, database=looks([leaked(pid) for pid in range(5)]))
    assert finding.cause is not None
    assert "come to no end" in finding.cause.because
    assert "waits for a pooled connection" in finding.notes[0]
    (told,) = [one for one in finding.evidence if one.key == "sessions_meanwhile"]
    assert told.text.startswith("meanwhile in postgres: shop-api has 5 and then 5 sessions, 5 of")
    answered = judge(sample(500), hangs, database=looks([leaked(1)]))
    assert answered.notes == ()
    assert answered.cause is not None
    assert "fails" in answered.cause.because


def test_slow_answers() -> None:
    assert judge(*[sample()] * 5, sample(seconds=0.9)).status is Status.OK
    assert judge(*[sample(seconds=1.2)] * 6).status is Status.WARNING
    slow = judge(*[sample(seconds=3.5)] * 6)
    assert (slow.status, label(slow)) == (Status.CRITICAL, "http.slow")


def test_slow_answers_name_who_waits_for_a_lock() -> None:
    shared = Subject(kind="application", value="shop-api")
    late = [sample(seconds=1.2)] * 6
    moving = looks([waiting(20, 10, seconds=0.6)], [])
    assert shared in judge(*late, database=moving).subjects
    brief = looks([waiting(20, 10, seconds=0.1)], [])
    assert shared not in judge(*late, database=brief).subjects


def test_a_path_that_is_refused_is_a_fault_where_it_was_declared() -> None:
    for status, words in ((404, "no such path"), (401, "wants credentials"), (429, "refuses")):
        finding = judge(*[sample(status)] * 3)
        assert (finding.status, label(finding)) == (Status.WARNING, "http.health_refused")
        assert finding.cause is not None
        assert words in finding.cause.because
        assert judge(*[sample(status)] * 3, declared=False).status is Status.OK
