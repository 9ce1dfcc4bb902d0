import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from tests.reports import examples
from tests.reports.perfdata import Item, parse
from tests.reports.strategies import reports

from backend_doctor.model import Finding, Measure, Report, Status
from backend_doctor.reports import RenderOptions, render


def nagios(report: Report, **options: object) -> tuple[str, list[Item], list[str]]:
    """The first line's text, the performance data, and the lines after."""
    first, *later = render("nagios", report, RenderOptions(**options)).splitlines()  # type: ignore[arg-type]
    text, bar, data = first.partition(" | ")
    assert bar
    assert "|" not in data
    assert not any("|" in line for line in later)
    return text, parse(data), later


def measured(*measures: Measure) -> list[Item]:
    """The performance data of one target's measures alone."""
    finding = Finding(status=Status.OK, summary="fine", measures=measures)
    report = examples.report(
        (examples.result(1, "postgres.pool", finding),), (examples.target("postgres"),)
    )
    return nagios(report)[1][4:]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(report=reports)
def test_any_report_follows_the_guidelines(report: Report) -> None:
    text, items, _ = nagios(report)
    assert re.match(r"BACKEND-DOCTOR (OK|WARNING|CRITICAL|UNKNOWN): .", text)
    assert len(text) <= 80
    labels = Counter(item.label for item in items)
    assert max(labels.values()) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("healthy", "BACKEND-DOCTOR OK: 3 checks on 2 targets"),
        (
            "two_criticals",
            "BACKEND-DOCTOR CRITICAL: shop.postgres leak.idle_in_transaction (+1 crit)",
        ),
        (
            "unreachable",
            "BACKEND-DOCTOR CRITICAL: shop.postgres reach.refused: Nothing listens at 127....",
        ),
        ("interrupted", "BACKEND-DOCTOR UNKNOWN: interrupted: the deadline of 30 s has passed"),
        ("empty", "BACKEND-DOCTOR UNKNOWN: nothing was examined"),
    ],
)
def test_first_lines(name: str, expected: str) -> None:
    assert nagios(examples.ALL[name])[0] == expected


def test_a_run_cut_short_still_names_what_it_found() -> None:
    report = examples.report(examples.TWO_CRITICALS.results, interrupted="SIGINT")
    text, _, later = nagios(report, exit_code=130)
    assert text.startswith("BACKEND-DOCTOR UNKNOWN: shop.postgres leak.idle_in_tra")
    assert text.endswith(" (+1 crit; interrupted)")
    assert later[-1] == "interrupted: SIGINT"


def test_the_word_is_that_of_the_exit_code() -> None:
    assert nagios(examples.FIFTEEN, exit_code=0)[0].startswith("BACKEND-DOCTOR OK: shop.db0")
    assert nagios(examples.INTERRUPTED, exit_code=130)[0].startswith("BACKEND-DOCTOR UNKNOWN:")


def test_details_follow_on_later_lines() -> None:
    later = nagios(examples.TWO_CRITICALS)[2]
    assert later[0].startswith("[CRITICAL] shop.postgres postgres.pool_exhaustion: 27 of 27")
    assert "runbook: backend-doctor runbook postgres.pool_exhaustion" in later
    assert nagios(examples.FIFTEEN)[2][-1] == "and 5 more findings"


def test_a_reading_carries_its_thresholds_and_bounds() -> None:
    items = {item.label: item for item in nagios(examples.TWO_CRITICALS)[1]}
    assert items["critical"].value == "2"
    used = next(item for label, item in items.items() if label.endswith("connections_used"))
    assert used == Item(used.label, "27", "21.6", "25.65", "0", "27")


def test_what_could_not_be_determined_is_u() -> None:
    items = {item.label: item for item in nagios(examples.UNREACHABLE)[1]}
    assert items["shop_postgres_time"].value == "U"
    assert items["shop_redis_time"].value == "0.084s"
    (lost,) = measured(Measure(name="used", value=float("nan"), unit="s", warning=3))
    assert (lost.value, lost.warn) == ("U", "3")


@pytest.mark.parametrize(
    ("value", "said"),
    [(1e-9, "0.000000001"), (1e22, "1" + "0" * 22), (97.0, "97"), (-0.5, "-0.5"), (100, "100")],
)
def test_numbers_have_no_exponent(value: float, said: str) -> None:
    assert measured(Measure(name="used", value=value))[0].value == said


def test_ranges_say_on_which_side_the_alert_lies() -> None:
    low, negative = measured(
        Measure(name="free", value=3, warning=10, critical=5),
        Measure(name="skew", value=3, warning=-10, critical=-5, minimum=None),
    )
    assert (low.warn, low.crit) == ("10:", "5:")
    assert (negative.warn, negative.crit) == ("~:-10", "~:-5")


def test_labels_are_unique_in_their_first_19_characters_and_lasting() -> None:
    names = [f"connections_used_by_application_{number}" for number in range(20)]
    together = [item.label for item in measured(*(Measure(name=name, value=1) for name in names))]
    alone = [measured(Measure(name=name, value=1))[0].label for name in names]
    assert len({label[:19] for label in together}) == len(names)
    assert sorted(together) == sorted(alone)


@pytest.mark.parametrize("text", ["'a'=1e5", "a=b=1", "'a'=1;;x", "'a'=1 | 'b'=2", "'a'=1;10:5"])
def test_the_checker_refuses_what_the_grammar_does_not_know(text: str) -> None:
    with pytest.raises(ValueError, match=r"not performance data|range"):
        parse(text)
