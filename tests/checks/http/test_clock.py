"""http.clock: facts in, findings out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor import Each, Finding, Instance, Service, Status
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.backends.http.clock import clock_ahead
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "http" / "clock.py")
Bounds = tuple[float, float]


def answers(*clocks: Bounds | None) -> HealthAnswers:
    samples = (Sample(path="/", status=200, seconds=0.02, clock=clock) for clock in clocks)
    return HealthAnswers(url="http://api/", path="/", declared=False, samples=tuple(samples))


def place(name: str, host: str) -> Instance:
    return Instance(service="shop", backend="http", name=name, address=host, host=host, port=80)


def judge(*clocks: Bounds | None, other: Bounds | None = None, host: str = "web") -> Finding:
    own, mirror = place("http", "api"), place("mirror", host)
    everyone = Each({"http": answers(*clocks), "mirror": answers(other)})
    service = Service(name="shop", instances=(own, mirror))
    (finding,) = CHECK.function(answers(*clocks), everyone, own, service)
    assert isinstance(finding, Finding)
    return finding


@pytest.mark.parametrize(
    ("bounds", "status", "words"),
    [
        ((-0.5, 1.3), Status.OK, "agree"),
        ((1.9, 3.7), Status.OK, "agree"),
        ((3.0, 4.8), Status.OK, "by 3 s at least"),
        ((4.9, 6.7), Status.OK, "by 5 s at least"),
        ((5.0, 6.8), Status.WARNING, "6 s ahead of"),
        ((-93.0, -91.2), Status.WARNING, "92 s behind"),
    ],
)
def test_what_is_surely_apart_counts(bounds: Bounds, status: Status, words: str) -> None:
    finding = judge(bounds)
    assert finding.status is status
    assert words in finding.summary
    assert (finding.cause is not None) == (status is Status.WARNING)


def test_all_answers_have_to_agree() -> None:
    assert judge((4.0, 9.0), (6.0, 7.0), None).status is Status.WARNING
    # proxies whose clocks differ, or a clock that was set meanwhile
    assert judge((6.0, 7.0), (60.0, 61.0)).status is Status.SKIPPED
    assert judge(None).status is Status.SKIPPED


def test_our_own_clock_is_the_one_that_is_wrong_where_others_agree() -> None:
    far = (20.0, 21.8)
    assert "this machine's" in judge(far, other=(19.5, 21.2)).notes[0]
    assert judge(far, other=(19.5, 21.2)).status is Status.OK
    assert judge(far, other=(19.5, 21.2), host="api").status is Status.WARNING
    assert judge(far, other=(-0.5, 1.2)).status is Status.WARNING
    assert judge(far, other=(90.0, 91.0)).status is Status.WARNING


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"date": "Sun, 06 Nov 1994 08:49:37 GMT"}, (-0.1, 2.2)),
        ({"date": "Sun, 06 Nov 1994 08:49:37 -0000", "age": "0"}, (-0.1, 2.2)),
        ({"date": "Sun, 06 Nov 1994 08:49:37 GMT", "age": "7"}, None),
        ({"date": "yesterday"}, None),
        ({"date": ""}, None),
        ({"date": "Sun, 99 Nov 99999999999 08:49:37 GMT"}, None),
        ({}, None),
    ],
)
def test_a_date_is_read_with_what_it_leaves_open(
    headers: dict[str, str], expected: Bounds | None
) -> None:
    assert clock_ahead(headers, 0.5, 784_111_777.0) == expected


@given(
    st.one_of(st.text(), st.text(alphabet="SunMo, 0619:Nv-+GT")), st.sampled_from(["", "0", "x"])
)
def test_any_date_is_read(date: str, age: str) -> None:
    bounds = clock_ahead({"date": date, "age": age}, 0.5, 784_111_777.0)
    assert bounds is None or bounds[0] < bounds[1]
