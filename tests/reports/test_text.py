import re

import pytest
from tests.reports import examples

from backend_doctor.errors import UserError
from backend_doctor.model import Evidence, Finding, Fold, Report, Status
from backend_doctor.reports import RenderOptions, render
from backend_doctor.reports.layout import duration


def text(report: Report, **options: object) -> str:
    return render("text", report, RenderOptions(**options))  # type: ignore[arg-type]


def test_a_healthy_report_is_a_line_a_target_and_a_verdict() -> None:
    assert text(examples.HEALTHY) == (
        "backend-doctor 0.1.0   backend-doctor.yaml   2 targets   3 checks\n"
        "\n"
        " ok   shop.postgres  PostgreSQL 15.20  127.0.0.1:5432/orders  2 checks  84 ms\n"
        " ok   shop.redis     Redis 7.0.15      127.0.0.1:5432/orders   1 check  84 ms\n"
        "\n"
        "  note      redis.clients shop.redis: growing 1 client/min: too short to tell\n"
        "\n"
        "HEALTHY  3 ok                                                       11 s, exit 0\n"
    )


def test_a_block_reads_from_the_sentence_to_the_runbook() -> None:
    shown = text(examples.TWO_CRITICALS)
    parts = (
        "CRITICAL postgres.pool_exhaustion",
        "  27 of 27 usable connections are taken",
        "  evidence  max_connections 30",
        "  cause     leak.idle_in_transaction (likely): app",
        "  fix       stop    ! ends 1 session",
        "cure      no session is left behind",
        "prevent ! ends such sessions",
        "  note      seen twice",
        "  explains  postgres.slow (warning, shop.postgres): One statement",
        "  runbook   backend-doctor runbook postgres.pool_exhaustion\n",
        "CRITICAL redis.clients",
        "skip  shop.sessions",
        "CRITICAL  2 critical, 1 warning (1 explained), 1 ok",
        "(! = changes state)  11 s, exit 2\n",
        "Next: backend-doctor runbook postgres.pool_exhaustion\n",
        "  or: backend-doctor check shop.postgres -v\n",
    )
    places = [shown.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
    assert "(shares pid 4211)" not in shown
    assert "(shares pid 4211)" in text(examples.TWO_CRITICALS, verbose=1)


def test_what_repeats_is_told_on_request() -> None:
    told = [
        Evidence(key="share", value=1, text="all is gone", repeats=True),
        Evidence(key="left", value=0, text="none is left"),
    ]
    finding = Finding(status=Status.WARNING, summary="All is gone.", evidence=tuple(told))
    report = examples.report((examples.result(1, "postgres.sequences", finding),))
    assert "  evidence  none is left\n" in text(report)
    assert "all is gone" not in text(report)
    assert "  evidence  all is gone\n" in text(report, verbose=1)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_commands_are_never_wrapped_and_prose_always_is(width: int) -> None:
    shown = text(examples.TWO_CRITICALS, width=width)
    indented = "\n".join(f"{' ' * 14}{line}" for line in examples.TERMINATE.split("\n"))
    assert f"\n{indented}\n" in shown
    assert f"\n              {examples.TIMEOUT}\n" in shown
    commands = {*examples.TERMINATE.split("\n"), examples.TIMEOUT}
    prose = [
        line
        for line in shown.splitlines()
        if line.removeprefix(" " * 14) not in commands
        and not line.startswith(("backend-doctor", "Next:", "  or:", "CRITICAL", "skip"))
        and "runbook" not in line
    ]
    assert max(map(len, prose)) <= width


def test_an_unreachable_target_holds_what_it_blinds() -> None:
    shown = text(examples.UNREACHABLE)
    assert shown.count("postgres.pool_exhaustion") == 1
    assert "  unknown   postgres.pool_exhaustion, postgres.slow (shares login" in shown
    assert " ok   shop.redis" in shown
    assert "1 critical, 2 unknown (2 explained), 1 ok" in shown


def test_one_missing_right_is_said_once_for_all_the_checks_it_blinds() -> None:
    shown = text(examples.ALL_UNKNOWN)
    assert shown.count("GRANT pg_monitor TO doctor;") == 1
    assert "  also      postgres.slow\n" in shown
    assert "  note      shop.postgres: a pooler stands between: PgBouncer\n" in shown
    assert "exit 3" in shown


def test_many_blind_checks_are_counted_and_named_on_request() -> None:
    login = examples.UNREACHABLE.results[2].explained_by
    blind = examples.UNREACHABLE.results[2].finding
    checks = (examples.result(n, f"postgres.check{n}", blind, fold=login) for n in range(2, 31))
    report = examples.report((examples.UNREACHABLE.results[0], *checks))
    assert "  unknown   29 checks could not be judged (shares login" in text(report)
    assert "postgres.check17" not in text(report)
    assert "postgres.check17" in text(report, verbose=1)


def test_three_roots_have_an_index_and_two_have_none() -> None:
    assert "2 critical:" not in text(examples.TWO_CRITICALS)
    low = Finding(status=Status.WARNING, summary="It grows.")
    three = examples.report((*examples.TWO_CRITICALS.results, examples.result(9, "redis.low", low)))
    line = "2 critical, 1 warning: leak.idle_in_transaction, redis.maxclients, redis.low"
    assert text(three).splitlines()[2] == line
    assert text(examples.FIFTEEN).splitlines()[2] == "15 warnings: query.slow (15 times)"
    assert max(map(len, text(three, width=60).splitlines()[2:4])) <= 60


def test_skipped_checks_are_named_where_they_are_few() -> None:
    skipped = Finding(status=Status.SKIPPED, summary="No replica is there.")
    results = [examples.result(n, f"postgres.check{n}", skipped) for n in range(4)]
    few, many = examples.report(tuple(results[:3])), examples.report(tuple(results))
    names = "postgres.check0, postgres.check1, postgres.check2"
    said = f"  note      skipped on shop.postgres: {names}: No replica is there."
    assert said in text(few, width=120)
    assert "postgres.check2" not in text(many)


ADHOC = examples.report(
    (examples.result(1, "postgres.pool_exhaustion", examples.LEAK, service="adhoc"),)
)


@pytest.mark.parametrize(
    ("report", "given", "again"),
    [
        (ADHOC, {}, "the same command with -v"),
        (ADHOC, {"targets": ("env:DB", "a b")}, "backend-doctor check env:DB 'a b' -v"),
        (
            examples.TWO_CRITICALS,
            {"read_from": ("--config", "my shop.yaml"), "targets": ("env:DB",)},
            "backend-doctor check --config 'my shop.yaml' shop.postgres -v",
        ),
        (ADHOC, {"read_from": ("--from", "s.json")}, "backend-doctor check --from s.json -v"),
    ],
)
def test_the_command_that_shows_more_is_one_that_works(
    report: Report, given: dict[str, object], again: str
) -> None:
    assert text(report, **given).splitlines()[-1] == f"  or: {again}"


def test_an_interrupted_run_never_looks_healthy() -> None:
    shown = text(examples.INTERRUPTED, exit_code=130)
    assert "UNKNOWN  interrupted, 1 ok" in shown
    assert "  stopped   the deadline of 30 s has passed" in shown
    assert shown.rstrip().endswith("exit 130 (interrupted)")


def test_an_empty_run_says_so() -> None:
    assert "UNKNOWN  nothing was examined" in text(examples.EMPTY)


def test_beyond_ten_roots_one_line_each_until_asked_for_all() -> None:
    short, full = text(examples.FIFTEEN), text(examples.FIFTEEN, verbose=1)
    assert short.count("  runbook   ") == 10
    assert "WARNING  postgres.check14 shop.db14: One statement waits" in short
    assert "  or: backend-doctor check shop.postgres.db0 -v\n" in short
    assert "5 more findings in one line each; -v for all.\n" in short
    assert full.count("  runbook   ") == 15
    assert "-v" not in full


def test_verbose_shows_what_is_well_and_where_facts_were_read() -> None:
    assert "  note      growing 1 client/min" in text(examples.HEALTHY, verbose=1)
    assert "(pg_stat_activity)" not in text(examples.TWO_CRITICALS)
    assert "(pg_stat_activity)" in text(examples.TWO_CRITICALS, verbose=1)


def test_quiet_is_silent_when_healthy_else_one_line_a_root() -> None:
    assert text(examples.HEALTHY, quiet=True) == ""
    lines = text(examples.TWO_CRITICALS, quiet=True).splitlines()
    assert lines[0].startswith("shop.postgres: critical postgres.pool_exhaustion 27 of 27")
    assert lines[0].endswith("(explains 1 more)")
    assert len(lines) == 2
    assert "interrupted: the deadline" in text(examples.INTERRUPTED, quiet=True)
    assert "nothing was examined" in text(examples.EMPTY, quiet=True)


def test_an_exit_code_that_is_not_the_reports_own_is_explained() -> None:
    assert text(examples.FIFTEEN, exit_code=0).count("exit 0 (as --fail-on asks)") == 1


def test_colour_never_carries_meaning_alone() -> None:
    painted = text(examples.TWO_CRITICALS, color=True)
    assert "\x1b[1;31mCRITICAL\x1b[0m" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == text(examples.TWO_CRITICALS)


def test_without_unicode_all_is_ascii_and_nothing_is_lost() -> None:
    finding = Finding(status=Status.WARNING, summary="Ein Schlüssel … 3 × zu groß")
    shown = text(examples.report((examples.result(1, "redis.keys", finding),)), unicode=False)
    assert "Ein Schl\\xfcssel ... 3 x zu gro\\xdf" in shown


@pytest.mark.parametrize("under", ["f1", "f2", "gone"])
def test_no_finding_is_lost_to_a_fold_that_leads_nowhere(under: str) -> None:
    finding = Finding(status=Status.CRITICAL, summary="It is down.")
    folded = (
        examples.result(1, "redis.a", finding, fold=Fold(under=under, shared=())),
        examples.result(2, "redis.b", finding, fold=Fold(under="f1", shared=())),
    )
    shown = text(examples.report(folded))
    assert "redis.a" in shown
    assert "redis.b" in shown


def test_rich_markup_from_a_target_stays_as_it_is() -> None:
    finding = Finding(status=Status.WARNING, summary="app [bold red]x[/bold red] [/x] is slow")
    shown = text(examples.report((examples.result(1, "redis.a", finding),)), color=True)
    assert "app [bold red]x[/bold red] [/x] is slow" in shown


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="choose one of text, json, nagios, prometheus"):
        render("xml", examples.HEALTHY, RenderOptions())


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.084, "84 ms"),
        (0.4, "0.4 s"),
        (9.99, "10 s"),
        (59.7, "1 min 00 s"),
        (842, "14 min 02 s"),
        (float("nan"), "? s"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
