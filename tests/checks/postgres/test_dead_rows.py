"""postgres.dead_rows: facts in, findings out."""

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest
from tests.checks.postgres.builders import (
    HOSTILE,
    NO_FACE,
    NO_POOLER,
    TAKEN_AT,
    cause,
    evidence,
    instance,
    looks,
    pids,
    run,
    service,
    session,
    slots,
)
from tests.checks.postgres.vacuum_facts import (
    activity,
    holder,
    horizon,
    prepared,
    slot,
    standby,
    table,
)

from backend_doctor import Finding, Looks, Status, Step
from backend_doctor.backends.postgres.horizon import Holder, Horizon
from backend_doctor.backends.postgres.server_settings import ServerSettings, Setting
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.table_activity import TableActivity
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.diagnosis import diagnose
from backend_doctor.model import Result

BLOCKED = "bloat.vacuum_blocked_by_xmin"
SICK = table(dead=400_000)


def old(pid: int, **fields: object) -> Session:
    """A session with a snapshot that stays where it is."""
    usual = {"state": "idle in transaction", "transaction_us": 5, "xmin": 900, "has_xmin": True}
    return session(pid, **{**usual, **fields})


def judge(
    seen: TableActivity, held: Horizon | None = None, found: Looks[Sessions] | None = None
) -> list[Finding]:
    return run("dead_rows", seen, held or horizon(), found or looks([]), *NO_POOLER)


def causes(findings: list[Finding]) -> list[str]:
    return [cause(finding) for finding in findings]


def steps(finding: Finding) -> list[Step]:
    return [remedy.step for remedy in finding.remedies]


def test_an_old_snapshot_is_named_and_ended_first() -> None:
    (finding,) = judge(activity(SICK), horizon(holder(11)), looks([old(11), session(12)]))
    assert (finding.status, cause(finding)) == (Status.WARNING, BLOCKED)
    assert pids(finding) == {11}
    assert evidence(finding, "holder_pid") == 11
    assert evidence(finding, "dead_rows") == 400_000
    assert evidence(finding, "table") == "public.orders"
    assert "pid 11 (shop-api" in finding.summary
    assert steps(finding) == [Step.STOP, Step.CONFIRM, Step.CURE]
    stop, cure = finding.remedies[0].command, finding.remedies[-1].command
    assert "pid IN (11)" in stop
    assert f"state_change <= '{TAKEN_AT}'" in stop
    assert cure == 'VACUUM (VERBOSE, ANALYZE) "public"."orders";'
    assert "tx.long_running" in finding.explains


def test_fifteen_percent_dead_is_healthy() -> None:
    (finding,) = judge(activity(table(dead=17_000)), horizon(holder(11)), looks([old(11)]))
    assert (finding.status, finding.measures[0].value) == (Status.OK, 17_000)


@pytest.mark.parametrize(
    "moved",
    [
        {"xmin": 901},
        {"transaction_us": 6},
        {"started_us": 1},
        {"xmin": None, "has_xmin": False, "xid": None},
    ],
)
def test_a_snapshot_that_moves_holds_nothing(moved: dict[str, object]) -> None:
    found = looks([old(11, **moved)], [old(11)])
    (finding,) = judge(activity(table(dead=400_000, vacuumed=100.0)), horizon(holder(11)), found)
    assert finding.status is Status.OK


def test_a_writer_holds_it_by_its_own_number() -> None:
    found = looks([old(11, xmin=None, has_xmin=False, xid=950, has_xid=True)])
    (finding,) = judge(activity(SICK), horizon(holder(11)), found)
    assert cause(finding) == BLOCKED


def test_a_young_transaction_is_not_to_blame_for_one_change_of_all_rows() -> None:
    fresh = table(dead=100_000, vacuumed=90.0)
    (finding,) = judge(activity(fresh), horizon(holder(11)), looks([old(11)]))
    assert finding.status is Status.OK
    assert "vacuum is due" in finding.notes[0]


@pytest.mark.parametrize(
    ("dead", "vacuumed", "seconds"), [(100_000, 10.0, 20.0), (41_000, 90.0, 61.0)]
)
def test_it_is_when_vacuum_ran_in_vain_or_it_is_old(
    dead: int, vacuumed: float, seconds: float
) -> None:
    tried = table(dead=dead, vacuumed=vacuumed)
    (finding,) = judge(activity(tried), horizon(holder(11, seconds=seconds)), looks([old(11)]))
    assert cause(finding) == BLOCKED
    assert ("left them there" in (finding.cause.because if finding.cause else "")) == (
        vacuumed < seconds
    )


def test_another_database_holds_nothing_here() -> None:
    elsewhere = holder(11, database="other")
    (finding,) = judge(activity(SICK), horizon(elsewhere), looks([old(11)]))
    assert cause(finding) == "bloat.vacuum_behind"


def test_only_the_oldest_is_offered_to_be_ended() -> None:
    held = horizon(holder(11, xids=5, seconds=90.0), holder(12, xids=3), holder(13, xids=3))
    waiters = [old(pid, xmin=902, state="active", wait="advisory") for pid in (12, 13)]
    (finding,) = judge(activity(SICK), held, looks([old(11), *waiters]))
    assert pids(finding) == {11}
    assert evidence(finding, "holder_pid") == 11
    commands = "".join(remedy.command for remedy in finding.remedies)
    assert "pid IN (11)" in commands
    assert "pg_cancel_backend" not in commands
    assert not any("12" in item.text for item in finding.evidence)
    (note,) = finding.notes
    assert note.startswith("only if rows are still held after that, look at the transaction of")
    assert "pid 12" in note
    assert note.endswith("and 1 younger")


def test_all_of_the_same_age_hold_it() -> None:
    held = horizon(holder(11), holder(12), holder(13, xids=99))
    (finding,) = judge(activity(SICK), held, looks([old(11), old(12), old(13)]))
    assert pids(finding) == {11, 12}
    stops = [remedy.command for remedy in finding.remedies if remedy.step is Step.STOP]
    assert ["pid IN (11)" in stops[0], "pid IN (12)" in stops[1], len(stops)] == [True, True, 2]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("a",), "1 table is over twice its own threshold: public.a"),
        (("a", "b"), "2 tables are over twice their own thresholds, the most: public.a"),
    ],
)
def test_one_table_is_told_as_one(names: tuple[str, ...], words: str) -> None:
    (finding,) = judge(activity(*(table(name, dead=400_000) for name in names)))
    assert finding.evidence[1].text == words


def test_a_busy_holder_is_cancelled_and_a_backup_is_left_alone() -> None:
    (busy,) = judge(activity(SICK), horizon(holder(11)), looks([old(11, state="active")]))
    assert "pg_cancel_backend" in busy.remedies[0].command
    dump = holder(11, name="pg_dump")
    (kept,) = judge(activity(SICK), horizon(dump), looks([old(11, application="pg_dump")]))
    assert "pg_dump" in kept.summary
    assert Step.STOP not in steps(kept)


@pytest.mark.parametrize(
    ("one", "command"),
    [
        (prepared("it's"), "ROLLBACK PREPARED 'it''s';   -- in database shop"),
        (slot("old's"), "WHERE slot_name = 'old''s' AND NOT active"),
    ],
)
def test_other_holders_are_named_and_released_their_own_way(one: Holder, command: str) -> None:
    (finding,) = judge(activity(SICK), horizon(one))
    assert cause(finding) == BLOCKED
    assert one.name in finding.summary
    assert evidence(finding, f"holder_{one.kind}") == one.name
    assert command in finding.remedies[0].command
    assert (one.kind, one.name) in {(s.kind, s.value) for s in finding.subjects}


def test_a_standby_counts_once_its_snapshot_is_old() -> None:
    assert causes(judge(activity(SICK), horizon(standby()))) == ["bloat.vacuum_behind"]
    (finding,) = judge(activity(SICK), horizon(standby(xids=200_000)))
    assert cause(finding) == BLOCKED
    assert "on the standby" in finding.remedies[0].command


def test_autovacuum_may_be_off_for_a_table_or_everywhere() -> None:
    (finding,) = judge(activity(table(dead=50_000, autovacuum=False, vacuumed=None), uptime=5.0))
    assert (finding.status, cause(finding)) == (Status.WARNING, "bloat.autovacuum_off")
    assert 'ALTER TABLE "public"."orders" RESET' in finding.remedies[-1].command
    (finding,) = judge(activity(table(dead=50_000), autovacuum=False))
    assert cause(finding) == "bloat.autovacuum_off"
    assert "ALTER SYSTEM SET autovacuum = on" in finding.remedies[-1].command


def test_a_transaction_that_just_stands_there_does_not_hide_that_autovacuum_is_off() -> None:
    off = table(dead=400_000, autovacuum=False)
    (finding,) = judge(activity(off), horizon(holder(11)), looks([old(11)]))
    assert cause(finding) == "bloat.autovacuum_off"


@pytest.mark.parametrize(
    ("fields", "uptime", "expected"),
    [
        ({"vacuumed": 181.0}, 1e6, ["bloat.vacuum_behind"]),
        ({"vacuumed": 179.0}, 1e6, [""]),
        ({"vacuumed": None}, 181.0, ["bloat.vacuum_behind"]),
        ({"vacuumed": None}, 60.0, [""]),
        ({"vacuum_runs": True}, 1e6, [""]),
        ({"dead": 40_000}, 1e6, [""]),
        ({"dead": 40_101}, 1e6, ["bloat.vacuum_behind"]),
        ({"dead": 9_999, "vacuum_at": 50}, 1e6, [""]),
        ({"dead": 10_000, "vacuum_at": 50}, 1e6, ["bloat.vacuum_behind"]),
    ],
)
def test_vacuum_is_behind_when_it_had_the_time_to_come(
    fields: dict[str, Any], uptime: float, expected: list[str]
) -> None:
    assert causes(judge(activity(table(**{"dead": 90_000, **fields}), uptime=uptime))) == expected


def test_each_reason_is_one_finding_and_many_rows_are_critical() -> None:
    seen = activity(
        table("a", dead=50_000),
        table("b", dead=3_000_000),
        table("c", dead=60_000, autovacuum=False),
        workers=3,
    )
    off, behind = judge(seen)
    assert causes([off, behind]) == ["bloat.autovacuum_off", "bloat.vacuum_behind"]
    assert behind.status is Status.CRITICAL
    assert "3 workers" in (behind.cause.because if behind.cause else "")
    tables = [s.value for s in behind.subjects if s.kind == "table"]
    assert tables == ["public.b", "public.a"]


def told(*groups: tuple[str, list[Finding]]) -> list[tuple[str, str]]:
    """The causes in the order of the report, each with what it stands beneath."""
    results = [
        Result(
            id=f"{check}-{number}",
            check=f"postgres.{check}",
            service="shop",
            backend="postgres",
            instance="postgres",
            finding=finding,
        )
        for check, found in groups
        for number, finding in enumerate(found)
    ]
    ordered = diagnose(results, {("shop", "postgres", "postgres"): "db:5432"})
    return [
        (cause(one.finding), one.explained_by.under if one.explained_by else "") for one in ordered
    ]


def test_the_blocked_vacuum_stands_above_the_old_transaction_and_below_the_leak() -> None:
    seen = activity(SICK)
    one = looks([old(11, transaction_age=90.0)])
    blocked = judge(seen, horizon(holder(11, seconds=90.0)), one)
    long = run("long_transactions", one.last, one, None, *NO_POOLER)
    assert told(("long_transactions", long), ("dead_rows", blocked)) == [
        (BLOCKED, ""),
        ("tx.long_running", "dead_rows-0"),
    ]
    many = looks([old(pid, transaction_age=90.0) for pid in (11, 12, 13)])
    held = horizon(*(holder(pid, seconds=90.0) for pid in (11, 12, 13)))
    found = judge(seen, held, many)
    others = (*NO_POOLER, NO_FACE, None)
    leak = run("idle_in_transaction", many.last, many, slots(3), *others, service(), instance())
    long = run("long_transactions", many.last, many, None, *NO_POOLER)
    names = told(("dead_rows", found), ("long_transactions", long), ("idle_in_transaction", leak))
    assert names[0] == ("leak.idle_in_transaction", "")
    assert {name for name, _ in names} == {names[0][0], BLOCKED, "tx.long_running"}
    assert all(under for _, under in names[1:])


def test_autovacuum_that_is_off_everywhere_is_told_of_once() -> None:
    off = ServerSettings(settings=(Setting(name="autovacuum", value="off"),))
    remote = msgspec.structs.replace(instance(), host="db")
    switched = run("server_settings", off, remote)
    everywhere = judge(activity(table(dead=50_000), autovacuum=False))
    assert told(("dead_rows", everywhere), ("server_settings", switched)) == [
        ("settings.autovacuum_off", ""),
        ("bloat.autovacuum_off", "server_settings-0"),
    ]
    one_table = judge(activity(table(dead=50_000, autovacuum=False)))
    assert all(not under for _, under in told(("d", one_table), ("server_settings", switched)))


def test_hostile_names_stay_names(postgres18: PostgresServer) -> None:
    seen = activity(table(HOSTILE, schema=HOSTILE, dead=400_000))
    held = horizon(holder(11, name=HOSTILE), prepared(HOSTILE), slot(HOSTILE, xids=120))
    found = looks([old(11, application=HOSTILE, user=HOSTILE)])
    (finding,) = judge(seen, held, found)
    commands = [remedy.command for remedy in finding.remedies if remedy.language == "sql"]
    commands += [judge(seen, horizon(one))[0].remedies[0].command for one in held.holders[1:]]

    async def prepare() -> None:
        connection = await asyncpg.connect(postgres18.admin_url(), statement_cache_size=0)
        try:
            for command in commands:
                await connection.prepare(command)
        finally:
            await connection.close()

    # the server parses a single statement only: whatever escaped its quotes would be a second
    asyncio.run(prepare())
