"""postgres.server_settings: facts in, findings out."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from types import MappingProxyType

import msgspec
import pytest
from tests.checks.postgres.builders import cause, evidence, instance, run
from tests.safety.client import Client, wait_until

from backend_doctor import Finding, Instance, Status
from backend_doctor.backends.postgres.server_settings import FileError, ServerSettings, Setting
from backend_doctor.demo.servers import PostgresServer

USUAL = {
    "fsync": "on",
    "full_page_writes": "on",
    "zero_damaged_pages": "off",
    "autovacuum": "on",
    "track_counts": "on",
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "300000",
    "log_lock_waits": "on",
    "log_min_duration_statement": "1000",
    "log_temp_files": "10240",
    "log_checkpoints": "on",
    "max_connections": "100",
    "random_page_cost": "1.1",
}
RUNBOOKS = Path(__file__).parents[3] / "runbooks" / "postgres"
BOTH = ("hypopg", "pg_stat_statements")


def settings(
    values: Mapping[str, str] = MappingProxyType({}), pending: tuple[str, ...] = ()
) -> ServerSettings:
    found = [Setting(name=name, value=value) for name, value in {**USUAL, **values}.items()]
    return ServerSettings(
        settings=tuple(found), pending=pending, installed=BOTH, available=BOTH, database="shop"
    )


def at(host: str) -> Instance:
    return msgspec.structs.replace(instance(), host=host)


def judge(facts: ServerSettings, host: str = "db") -> Finding:
    (finding,) = run("server_settings", facts, at(host))
    return finding


def test_a_well_kept_server_has_nothing_to_say() -> None:
    finding = judge(settings())
    assert finding.status is Status.OK
    assert finding.notes == ()


@pytest.mark.parametrize(
    ("name", "value", "status", "label"),
    [
        ("fsync", "off", Status.CRITICAL, "settings.durability_off"),
        ("full_page_writes", "off", Status.CRITICAL, "settings.durability_off"),
        ("zero_damaged_pages", "on", Status.CRITICAL, "settings.durability_off"),
        ("autovacuum", "off", Status.WARNING, "settings.autovacuum_off"),
        ("track_counts", "off", Status.WARNING, "settings.autovacuum_off"),
    ],
)
def test_what_hurts_is_named_with_the_command(
    name: str, value: str, status: Status, label: str
) -> None:
    finding = judge(settings({name: value}))
    assert (finding.status, cause(finding)) == (status, label)
    assert evidence(finding, name) == value
    good = "off" if value == "on" else "on"
    assert f"ALTER SYSTEM SET {name} = {good};" in finding.remedies[-1].command


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "/run/postgresql"])
def test_on_this_machine_it_is_a_development_server(host: str) -> None:
    finding = judge(settings({"fsync": "off", "autovacuum": "off"}), host)
    assert finding.status is Status.OK
    assert "development server" in finding.summary
    (note,) = finding.notes
    assert "fsync is off" in note
    assert "autovacuum is off" in note


@pytest.mark.parametrize("host", ["127.0.0.1", "db"])
def test_what_waits_for_a_restart_is_a_warning_wherever_the_server_is(host: str) -> None:
    names = ("max_connections", "shared_buffers")
    finding = judge(settings(pending=names), host)
    assert (finding.status, cause(finding)) == (Status.WARNING, "settings.pending_restart")
    assert evidence(finding, "pending_restart") == names


@pytest.mark.parametrize("host", ["127.0.0.1", "db"])
def test_a_line_that_no_start_would_take_is_critical_wherever_the_server_is(host: str) -> None:
    facts = msgspec.structs.replace(
        settings(),
        file_errors=(
            FileError(file="/etc/pg.conf", line=7, name="work_mem", error="cannot be applied"),
            FileError(file="/etc/pg.conf", line=9, name="", error="syntax error"),
        ),
    )
    finding = judge(facts, host)
    assert (finding.status, cause(finding)) == (Status.CRITICAL, "settings.file_error")
    assert "/etc/pg.conf:7, work_mem: cannot be applied, nor 1 more" in finding.summary
    assert [one.text for one in finding.evidence] == [
        "/etc/pg.conf:7, work_mem: cannot be applied",
        "/etc/pg.conf:9: syntax error",
    ]


def test_each_cause_is_a_finding_and_advice_comes_once() -> None:
    facts = settings({"fsync": "off", "autovacuum": "off", "log_lock_waits": "off"}, ("x",))
    found = run("server_settings", facts, at("db"))
    assert [cause(finding) for finding in found] == [
        "settings.durability_off",
        "settings.autovacuum_off",
        "settings.pending_restart",
    ]
    assert [len(finding.notes) for finding in found] == [1, 0, 0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"idle_in_transaction_session_timeout": "0"}, "end idle transactions"),
        ({"log_lock_waits": "off", "log_temp_files": "-1"}, "log lock waits, temporary files"),
        ({"max_connections": "2000"}, "PgBouncer"),
        ({"synchronous_commit": "off"}, "last commits"),
        ({"enable_nestloop": "off"}, "enable_nestloop on"),
        ({"random_page_cost": "4"}, "random_page_cost = 1.1"),
    ],
)
def test_advice_never_alarms(values: dict[str, str], words: str) -> None:
    finding = judge(settings(values))
    assert finding.status is Status.OK
    (note,) = finding.notes
    assert words in note


def test_advice_takes_two_lines_of_a_report_at_most() -> None:
    """On a server as it is after installation, whose report is 80 columns wide."""
    fresh = {
        "fsync": "off",
        "full_page_writes": "off",
        "idle_in_transaction_session_timeout": "0",
        "log_lock_waits": "off",
        "log_min_duration_statement": "-1",
        "log_temp_files": "-1",
        "random_page_cost": "4",
    }
    notes = judge(settings(fresh), "127.0.0.1").notes
    lines = [wrap(f"postgres.server_settings adhoc.postgres: {note}", 68) for note in notes]
    assert [len(one) for one in lines] == [2, 2]


def test_the_commands_of_the_runbook_take_effect(postgres18: PostgresServer) -> None:
    text = (RUNBOOKS / "server_settings.md").read_text(encoding="utf-8")
    (advice,) = (
        block.removeprefix("sql\n").strip()
        for block in text.split("```")
        if "idle_in_transaction_session_timeout = " in block
    )
    with Client(postgres18.admin_url()) as owner:
        try:
            for command in advice.splitlines()[1:]:
                owner.do(command)
            assert wait_until(lambda: owner.ask("SHOW idle_in_transaction_session_timeout") != "0")
            assert owner.ask("SHOW log_lock_waits") == "on"
        finally:
            owner.do("ALTER SYSTEM RESET ALL")
            owner.do("SELECT pg_reload_conf()")


def test_missing_extensions_are_named_with_whether_they_can_be_had() -> None:
    facts = msgspec.structs.replace(
        settings(), installed=("plpgsql",), available=("pg_stat_statements",)
    )
    (note,) = judge(facts).notes
    assert "database shop the extensions pg_stat_statements, hypopg (not installed" in note
    assert judge(facts, "127.0.0.1").notes == ()


@pytest.mark.parametrize(("source", "notes"), [("default", 0), ("configuration file", 1)])
def test_memory_is_judged_only_where_the_server_was_told_of_it(source: str, notes: int) -> None:
    memory = [
        Setting(name="effective_cache_size", value="1048576", unit="8kB", source=source),
        Setting(name="shared_buffers", value="16384", unit="8kB"),
        Setting(name="work_mem", value="65536", unit="kB"),
        Setting(name="hash_mem_multiplier", value="2"),
    ]
    facts = settings()
    facts = msgspec.structs.replace(facts, settings=(*facts.settings, *memory))
    said = judge(facts).notes
    assert len(said) == notes
    assert notes == 0 or "shared_buffers = '3GB' and a restart (it is 128.0 MB)" in said[0]
