"""process.memory_growth: the longer it was seen, the more is said; no cause without evidence."""

import pytest
from msgspec import structs
from tests.checks.process.builders import WEB, limits, member, rising, samples, series, still

from backend_doctor import Finding, Status, Step
from backend_doctor.backends.process.limits import MemoryLimits
from backend_doctor.backends.process.samples import MemorySamples
from backend_doctor.backends.process.stacks import Activity, Place, Stacks
from backend_doctor.diagnosis import diagnose
from backend_doctor.model import Result
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "process" / "memory_growth.py")
HOUR = 3600.0


def judge(
    seen: MemorySamples, limit: MemoryLimits | None = None, stacks: Stacks | None = None
) -> list[Finding]:
    return list(CHECK.function(seen, limit, stacks, WEB))


def trend(seen: MemorySamples, limit: MemoryLimits | None = None) -> Finding:
    return judge(seen, limit)[0]


def texts(finding: Finding) -> str:
    return "\n".join(evidence.text for evidence in finding.evidence)


@pytest.mark.parametrize(
    ("seconds", "status", "said"),
    [
        (60, Status.OK, "is growing 14.0 MiB/min over 60 s: too short to tell"),
        (590, Status.OK, "too short to tell"),
        (600, Status.WARNING, "likely leaks"),
        (3500, Status.WARNING, "likely leaks"),
        (HOUR, Status.WARNING, "leaks: "),
    ],
)
def test_the_verdict_grows_with_the_time(seconds: float, status: Status, said: str) -> None:
    finding = trend(samples(series(seconds, rising(100, 14))))
    assert finding.status is status
    assert said in finding.summary
    assert finding.cause is None, "why memory grows cannot be seen from outside"
    if status is Status.OK:
        assert any("--for 10m" in note for note in finding.notes)
        assert not finding.remedies
    else:
        assert any("cannot be seen from outside" in note for note in finding.notes)
        assert finding.remedies[0].step is Step.STOP


def test_a_young_process_is_still_warming_up() -> None:
    assert trend(samples(series(650, rising(100, 5), age=400))).status is Status.OK


def test_steady_memory_is_fine_and_says_what_would_not_show() -> None:
    finding = trend(samples(series(600)))
    assert finding.status is Status.OK
    assert "steady over 10 min" in finding.summary
    assert any("0.1 MiB/min would not show" in note for note in finding.notes)


def test_an_idle_process_shows_no_leak_and_that_is_said() -> None:
    finding = trend(samples(series(600, busy=0.0)))
    assert any("next to nothing" in note for note in finding.notes)


@pytest.mark.parametrize(
    "memory",
    [
        lambda at: 100 + min(40.0, at / 5),
        lambda at: 100 + 60 * (at > 300),
        lambda at: 100 + 60 * (1 - 2.718 ** (-at / 100)),
        lambda at: 100 + at % 50,
    ],
    ids=["cache fills", "step", "warm-up", "sawtooth"],
)
def test_what_levels_off_is_no_leak(memory: object) -> None:
    finding = trend(samples(series(600, memory)))  # type: ignore[arg-type]
    assert finding.status is Status.OK
    assert "steady" in finding.summary


def test_growth_with_load_cannot_be_told_apart() -> None:
    found = series(600, rising(100, 5))
    busier = [0.0]
    for index in range(120):
        busier.append(busier[-1] + 0.1 + index / 100)
    changed = tuple(
        structs.replace(sample, cpu=cpu) for sample, cpu in zip(found.samples, busier, strict=True)
    )
    finding = trend(samples(structs.replace(found, samples=changed)))
    assert finding.status is Status.OK
    assert "cannot be told" in finding.summary


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"files": rising(20, 30)}, "fd.leak"),
        ({"threads": rising(4, 5)}, "mem.thread_leak"),
        ({"files": still(500), "threads": still(90)}, None),
        ({"files": lambda at: 20 + 300 * (at > 300)}, None),
        ({"files": None}, None),
    ],
    ids=["files rise", "threads rise", "many but flat", "files step", "files hidden"],
)
def test_a_cause_needs_evidence(options: dict[str, object], label: str | None) -> None:
    finding = trend(samples(series(600, rising(100, 2), **options)))  # type: ignore[arg-type]
    assert finding.status is Status.WARNING
    assert (finding.cause.label if finding.cause else None) == label


def test_threads_that_rise_without_memory_are_not_a_leak_of_memory() -> None:
    assert trend(samples(series(600, threads=rising(4, 5)))).cause is None


def test_each_worker_is_judged_on_its_own() -> None:
    seen = samples(
        series(600, still(400), pid=1, role="master"),
        series(600, rising(60, 3), pid=2, role="worker"),
        series(600, rising(60, 4), pid=3, role="worker"),
        series(600, still(60), pid=4, role="worker"),
    )
    finding = trend(seen)
    assert "Worker 3 (python) likely leaks" in finding.summary
    assert "growing too: worker 2" in texts(finding)
    assert "worker 4" not in texts(finding)


@pytest.mark.parametrize(
    ("used", "status"),
    [(400, None), (410, Status.WARNING), (460, Status.WARNING), (461, Status.CRITICAL)],
)
@pytest.mark.parametrize("seconds", [5.0, 600.0])
def test_the_limit_is_judged_at_any_window(
    used: float, status: Status | None, seconds: float
) -> None:
    findings = judge(samples(series(seconds)), limits(used))
    assert findings[0].status is Status.OK
    assert [finding.status for finding in findings[1:]] == ([status] if status else [])
    for finding in findings[1:]:
        assert finding.cause is not None
        assert finding.cause.label == "mem.near_limit"
        assert "of 512 MiB" in finding.summary


def test_a_full_machine_counts_only_for_who_fills_it() -> None:
    other = judge(samples(series(60)), limits(15_500, 16_000, "machine"))
    assert len(other) == 1
    ours = judge(samples(series(60, still(9000))), limits(15_500, 16_000, "machine"))
    assert [finding.status for finding in ours] == [Status.OK, Status.CRITICAL]


def test_the_time_left_is_told_with_its_bounds() -> None:
    seen = samples(series(600, rising(100, 2)))
    finding = trend(seen, limits(112, 512))
    (left,) = [e for e in finding.evidence if e.key == "seconds_to_limit"]
    assert left.value == pytest.approx(200 * 60, rel=0.02)
    assert finding.status is Status.WARNING
    assert trend(seen, limits(420, 512)).status is Status.CRITICAL, "within the hour"


def test_a_leak_explains_that_the_limit_is_near() -> None:
    findings = judge(samples(series(600, rising(100, 2))), limits(480, 512))
    results = [
        Result(
            id=f"f{number}",
            check=CHECK.id,
            service="shop",
            backend="process",
            instance="process",
            finding=finding,
        )
        for number, finding in enumerate(findings)
    ]
    first, second = diagnose(results, {})
    assert first.finding.explains == ("mem.near_limit",)
    assert second.explained_by is not None
    assert second.explained_by.shared[0].kind == "pid"


def test_what_the_process_was_doing_is_told() -> None:
    place = Place(function="render", file="shop/pages.py", line=12)
    busy = Activity(member=member(), dumps=8, loop=True, busy=6, places=((place, 5),))
    calm = Activity(member=member(5), dumps=8, loop=True, busy=0)
    stacks = Stacks(activities=(busy, calm), notes=("needs the capability SYS_PTRACE",))
    finding = judge(samples(series(5)), None, stacks)[0]
    assert "did not wait for events in 6 of 8 dumps: render (shop/pages.py:12) in 5" in texts(
        finding
    )
    assert "needs the capability SYS_PTRACE" in finding.notes
    assert finding.status is Status.OK


def test_what_is_not_known_of_earlier_runs_is_said() -> None:
    finding = trend(samples(series(5), notes=("earlier samples are not used: damaged",)))
    assert "earlier samples are not used: damaged" in finding.notes
