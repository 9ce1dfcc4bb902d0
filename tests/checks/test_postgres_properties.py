"""Whatever a server shows, every PostgreSQL check says something, and breaks down on nothing."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.checks.pgbouncer.builders import pair
from tests.checks.postgres.builders import NO_POOLER, instance, service
from tests.checks.postgres.schema_strategies import SCHEMA_FACTS

from backend_doctor import Absent, Each, Fact, Finding, Instance, Looks, Service, Status
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.postgres.clients import ClientProcess, ClientProcesses
from backend_doctor.backends.postgres.counters import Counters, DatabaseCounters, Recovery
from backend_doctor.backends.postgres.frequent import FrequentStatements, describe
from backend_doctor.backends.postgres.horizon import Holder, Horizon
from backend_doctor.backends.postgres.limits import ConnectionLimit, ConnectionLimits
from backend_doctor.backends.postgres.newcomers import Newcomer, Newcomers
from backend_doctor.backends.postgres.plans.explained import Plan, Scan
from backend_doctor.backends.postgres.plans.plans import PlannedStatement, Plans
from backend_doctor.backends.postgres.plans.tables import Column, Index, Spread, Table
from backend_doctor.backends.postgres.replication import Archiver, Replication, Slot, Standby
from backend_doctor.backends.postgres.server_settings import ServerSettings, Setting
from backend_doctor.backends.postgres.sessions import LockWait, Session, Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.postgres.statements import (
    Counted,
    Statements,
    StatementStatistics,
)
from backend_doctor.backends.postgres.table_activity import Maintained, TableActivity
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.registry import Check, Need, load_checks
from backend_doctor.snapshot import decode, raw

CHECKS = list(load_checks(backends=["postgres"], plugins=False).values())
MAY_NOT_TELL = {
    "postgres.repeated_statements",
    "postgres.cacheable_reads",
    "postgres.invalid_indexes",
}
NEED_ANOTHER_TEST = {"postgres.reachability"}
NAMES = st.sampled_from(["", "shop-api", "pg_dump", "x'); DROP TABLE t; --", "\x1b[31m", "ü\u202e"])
PIDS = st.integers(0, 12)
AGES = st.floats(0, 1e9, allow_nan=False)
STATES = st.sampled_from(
    ["", "idle", "active", "idle in transaction", "idle in transaction (aborted)", "disabled"]
)
LOCKS = st.builds(
    LockWait,
    type=st.sampled_from(["relation", "tuple", "transactionid", "advisory"]),
    mode=st.sampled_from(["AccessExclusiveLock", "AccessShareLock", "ShareLock", "ExclusiveLock"]),
    relation=st.none() | NAMES,
    page=st.none() | st.integers(0, 2),
    line=st.none() | st.integers(0, 2),
    key=st.sampled_from([None, "0/42/1", "4294967295/0/2"]),
    seconds=st.none() | AGES,
)
SESSION = st.builds(
    Session,
    pid=PIDS,
    user=NAMES,
    application=NAMES,
    client=NAMES,
    port=st.none() | PIDS.map(lambda pid: 40_000 + pid),
    database=NAMES,
    kind=st.sampled_from(["client backend", "autovacuum worker", ""]),
    state=STATES,
    wait_type=st.sampled_from(["", "Lock", "Client", "IO"]),
    wait=st.sampled_from(["", "transactionid", "tuple", "relation"]),
    backend_age=AGES,
    transaction_age=st.none() | AGES,
    state_age=st.none() | AGES,
    started_us=st.integers(0, 2),
    transaction_us=st.none() | st.integers(0, 2),
    state_us=st.integers(0, 2),
    query_id=st.none() | st.just("42"),
    query=NAMES,
    has_xid=st.booleans(),
    has_xmin=st.booleans(),
    locks=st.integers(0, 9),
    blocked_by=st.lists(PIDS, max_size=4).map(tuple),
    lock=st.none() | LOCKS,
)
SESSIONS = st.builds(
    Sessions,
    sessions=st.lists(SESSION, max_size=14).map(tuple),
    taken_at=st.sampled_from(["", "2026-11-23 10:00:00+00"]),
    from_titles=st.booleans(),
)
SLOTS = st.builds(
    Slots,
    used=st.integers(0, 40),
    max_connections=st.none() | st.integers(1, 40),
    superuser_reserved=st.integers(0, 5),
    reserved=st.integers(0, 5),
    refused=st.booleans(),
    uptime=st.none() | st.floats(0, 1e7),
)
COUNTS = st.integers(0, 10**12)
TIMES = st.floats(0, 1e9, allow_nan=False)
COUNTERS = st.builds(
    Counters,
    databases=st.lists(
        st.builds(
            DatabaseCounters,
            name=NAMES,
            sessions=COUNTS,
            commits=COUNTS,
            rollbacks=COUNTS,
            hit_blocks=COUNTS,
            read_blocks=COUNTS,
            read_ms=TIMES,
            rows_read=COUNTS,
            rows_written=COUNTS,
            temp_files=COUNTS,
            temp_bytes=COUNTS,
            deadlocks=COUNTS,
            conflicts=COUNTS,
            active_ms=TIMES,
        ),
        max_size=3,
    ).map(tuple),
    checkpoints_timed=COUNTS,
    checkpoints_requested=COUNTS,
    checkpoint_buffers=COUNTS,
    wal_bytes=COUNTS,
    uptime=AGES,
    recovery=st.none()
    | st.builds(
        Recovery,
        replayed=COUNTS,
        received=st.none() | COUNTS,
        replayed_age=st.none() | AGES,
        receivers=st.integers(0, 1),
    ),
    own_statements=st.integers(0, 20),
)
SETTINGS = st.builds(
    ServerSettings,
    settings=st.lists(
        st.builds(
            Setting,
            name=st.sampled_from(
                ["fsync", "autovacuum", "shared_buffers", "max_wal_size", "max_connections"]
            )
            | st.sampled_from(
                ["effective_cache_size", "track_io_timing", "enable_sort", "log_temp_files"]
            ),
            value=st.sampled_from(["on", "off", "", "-1", "0", "4", "100000"]),
            unit=st.sampled_from(["", "8kB", "MB", "ms", "what"]),
            source=st.sampled_from(["default", "configuration file"]),
        ),
        max_size=5,
    ).map(tuple),
    pending=st.lists(NAMES, max_size=2).map(tuple),
    installed=st.sampled_from([(), ("hypopg",)]),
    database=NAMES,
)
REPLICATION = st.builds(
    Replication,
    in_recovery=st.booleans(),
    slots=st.lists(
        st.builds(
            Slot,
            name=NAMES,
            active=st.booleans(),
            status=st.sampled_from(["", "reserved", "extended", "unreserved", "lost"]),
            retained=st.none() | COUNTS,
        ),
        max_size=3,
    ).map(tuple),
    standbys=st.lists(
        st.builds(Standby, name=NAMES, behind=st.none() | COUNTS, seconds=st.none() | AGES),
        max_size=3,
    ).map(tuple),
    hidden=st.integers(0, 1),
    archiver=st.none()
    | st.builds(Archiver, archived_age=st.none() | AGES, failed_age=st.none() | AGES),
    paused=st.booleans(),
    apply_delay=st.floats(0, 9),
    restores=st.booleans(),
)
SIZES = st.integers(-1, 20)
POOLS = st.dictionaries(st.sampled_from(["pool_size", "max_overflow"]), SIZES)
QUERIES = st.sampled_from(["42", "-7", "9"])
COLUMNS = st.sampled_from(["a", 'b"', "c"])
AMOUNTS = st.floats(0, 1e7, allow_nan=False)
STATISTICS = st.builds(
    StatementStatistics,
    database=NAMES,
    role=NAMES,
    sees_all=st.booleans(),
    track=st.sampled_from(["", "none", "top"]),
    schema=st.sampled_from(["", "public"]),
    version=st.sampled_from(["1.8", "1.10"]),
)
STATEMENTS = st.builds(
    Statements,
    counted=st.lists(
        st.builds(
            Counted,
            query_id=QUERIES,
            database=st.just("shop"),
            role=NAMES,
            calls=st.integers(0, 1000),
            ms=AMOUNTS,
            rows=st.integers(0, 10**6),
        ),
        max_size=4,
    ).map(tuple),
    entries=st.integers(0, 2000),
)
FREQUENT = st.builds(
    FrequentStatements,
    statements=st.lists(
        st.builds(
            describe,
            QUERIES,
            st.just("shop"),
            st.sampled_from(
                ["SELECT * FROM t WHERE id = $1", "SELECT * FROM t", "UPDATE t SET a = $1", ""]
            ),
        ),
        max_size=4,
    ).map(tuple),
    refusal=NAMES,
)
CACHES = st.builds(ClientLimits, used=COUNTS, hits=COUNTS, misses=COUNTS)
SOME_COLUMNS = st.lists(COLUMNS, max_size=3).map(tuple)
SCANS = st.builds(
    Scan,
    schema=st.just("s"),
    table=st.just("t"),
    node=st.sampled_from(["Seq Scan", "Index Scan"]),
    index=NAMES,
    filter=NAMES,
    rows=AMOUNTS,
    loops=st.floats(1, 100),
    cost_share=st.floats(0, 1),
    direct=st.booleans(),
    equal=SOME_COLUMNS,
    ranged=SOME_COLUMNS,
    as_text=SOME_COLUMNS,
    removed=st.none() | AMOUNTS,
)
PLANS = st.builds(
    Plans,
    statements=st.lists(
        st.builds(
            PlannedStatement,
            query_id=QUERIES,
            database=st.just("shop"),
            role=NAMES,
            kind=st.sampled_from(["select", "change", "utility"]),
            text=NAMES,
            refusal=st.sampled_from(["", "it locks rows"]),
            blind=st.booleans(),
            not_run=NAMES,
            plans=st.lists(
                st.builds(
                    Plan,
                    values=st.sampled_from(["generic", "common", "rare", "analyzed"]),
                    cost=AMOUNTS,
                    outline=NAMES,
                    scans=st.lists(SCANS, max_size=2).map(tuple),
                ),
                max_size=3,
            ).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    tables=st.lists(
        st.builds(
            Table,
            schema=st.just("s"),
            name=st.just("t"),
            rows=AMOUNTS,
            pages=st.integers(0, 10**6),
            writes=st.integers(0, 10**6),
            partition=st.booleans(),
            columns=st.lists(
                st.builds(Column, name=COLUMNS, type=st.just("int4"), category=st.just("N")),
                max_size=3,
            ).map(tuple),
            indexes=st.lists(
                st.builds(
                    Index,
                    name=NAMES,
                    method=st.sampled_from(["btree", "gin"]),
                    unique=st.booleans(),
                    pages=st.integers(0, 9),
                    valid=st.booleans(),
                    partial=st.booleans(),
                    columns=st.lists(COLUMNS | st.just(""), max_size=2).map(tuple),
                ),
                max_size=2,
            ).map(tuple),
            spread=st.lists(
                st.builds(
                    Spread,
                    column=COLUMNS,
                    distinct_values=st.sampled_from([-1.0, 0.0, 5.0, 1e5]),
                    nulls=st.floats(0, 1),
                    width=st.integers(0, 99),
                ),
                max_size=3,
            ).map(tuple),
        ),
        max_size=1,
    ).map(tuple),
    remedy=NAMES,
)
NEWCOMERS = st.builds(
    Newcomers,
    groups=st.lists(
        st.builds(Newcomer, sessions=st.integers(1, 9), application=NAMES, user=NAMES), max_size=3
    ).map(tuple),
)
LIMITS = st.builds(
    ConnectionLimits,
    limits=st.lists(
        st.builds(
            ConnectionLimit,
            kind=st.sampled_from(["role", "database"]),
            name=NAMES,
            most=st.integers(1, 9),
            used=st.integers(0, 9),
        ),
        max_size=3,
    ).map(tuple),
)
PROCESSES = st.builds(
    ClientProcesses,
    clients=st.lists(
        st.builds(ClientProcess, pid=PIDS, client_pid=PIDS, name=NAMES), max_size=3
    ).map(tuple),
)
ANSWERS = st.builds(
    HealthAnswers,
    url=st.just("http://api/ready"),
    path=st.just("/ready"),
    declared=st.booleans(),
    samples=st.lists(
        st.builds(
            Sample,
            path=st.just("/ready"),
            status=st.sampled_from([200, 500]),
            seconds=st.floats(0, 9),
            error=st.sampled_from(["", "sqlalchemy.pool_timeout", "postgres.connection_lost"]),
            pool=st.none() | st.tuples(st.integers(0, 3), st.integers(-1, 2)),
        ),
        min_size=1,
        max_size=6,
    ).map(tuple),
)
PAIRS = st.lists(st.builds(pair, PIDS, NAMES), max_size=4)
POOLED = PAIRS.map(lambda pairs: Clients(clients=tuple(client for client, _ in pairs)))
POOL_SERVERS = PAIRS.map(lambda pairs: Servers(servers=tuple(server for _, server in pairs)))
XIDS = st.none() | st.integers(0, 2**31 - 1)
HORIZON = st.builds(
    Horizon,
    holders=st.lists(
        st.builds(
            Holder,
            kind=st.sampled_from(["session", "prepared", "slot", "standby"]),
            name=NAMES,
            user=NAMES,
            database=st.sampled_from(["", "shop"]),
            pid=st.none() | PIDS,
            started_us=st.none() | st.integers(0, 2),
            transaction_us=st.none() | st.integers(0, 2),
            seconds=st.none() | AGES,
            xids=XIDS,
            catalog_xids=XIDS,
            active=st.booleans(),
        ),
        max_size=4,
    ).map(tuple),
    database=st.sampled_from(["", "shop"]),
)
ACTIVITY = st.builds(
    TableActivity,
    tables=st.lists(
        st.builds(
            Maintained,
            schema=NAMES,
            name=NAMES,
            rows=COUNTS,
            dead=COUNTS,
            changed=COUNTS,
            vacuum_at=COUNTS,
            analyze_at=COUNTS,
            vacuumed=st.none() | AGES,
            analyzed=st.none() | AGES,
            autovacuum=st.booleans(),
            vacuum_runs=st.booleans(),
        ),
        max_size=4,
    ).map(tuple),
    autovacuum=st.booleans(),
    workers=st.integers(0, 5),
    uptime=AGES,
)
FACTS: dict[type[Fact], st.SearchStrategy[Any]] = {
    Horizon: HORIZON,
    TableActivity: ACTIVITY,
    Sessions: SESSIONS,
    Slots: SLOTS,
    Counters: COUNTERS,
    ServerSettings: SETTINGS,
    Replication: REPLICATION,
    Newcomers: NEWCOMERS,
    ConnectionLimits: LIMITS,
    ClientProcesses: PROCESSES,
    Clients: POOLED,
    Servers: POOL_SERVERS,
    HealthAnswers: ANSWERS,
    StatementStatistics: STATISTICS,
    Statements: STATEMENTS,
    Plans: PLANS,
    FrequentStatements: FREQUENT,
    ClientLimits: CACHES,
    Service: POOLS.map(lambda pool: service(2, 3, neighbours=(), **pool)),
    Instance: POOLS.map(lambda pool: instance(**pool)),
    **SCHEMA_FACTS,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_fact_can_be_made_up(check: Check) -> None:
    if check.id not in NEED_ANOTHER_TEST:
        assert {need.fact for need in check.needs} <= FACTS.keys()


def arguments(need: Need) -> st.SearchStrategy[Any]:
    one = FACTS[need.fact]
    found = one
    if need.form in ("looks", "each_looks"):
        found = st.builds(Looks, first=one, last=one, seconds=st.floats(0.01, 600))
    if need.form == "each":
        return st.dictionaries(st.just("http"), one).map(Each)
    if need.form == "each_looks":
        return st.dictionaries(st.just("redis"), found).map(Each)
    return st.none() | found if need.optional else found


def findings(check: Check, facts: list[Any]) -> list[Finding]:
    """What it says; nothing where it says that it cannot tell."""
    try:
        return list(check.function(*facts))
    except Absent:
        return []


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_every_check_says_something_of_anything(data: st.DataObject) -> None:
    judged = [check for check in CHECKS if check.id not in NEED_ANOTHER_TEST]
    check = data.draw(st.sampled_from(judged))
    found = findings(check, [data.draw(arguments(need)) for need in check.needs])
    if not found and check.id in MAY_NOT_TELL:
        return
    assert found
    for finding in found:
        alarming = finding.status in (Status.WARNING, Status.CRITICAL)
        assert (finding.cause is not None) == alarming, "an alarm has a cause, else there is none"
        assert finding.cause is None or finding.cause.label in check.causes
        assert not alarming or (finding.evidence and finding.remedies)
        assert finding.summary.endswith(".")
        for remedy in finding.remedies:
            ends = "pg_terminate_backend" in remedy.command or "pg_cancel" in remedy.command
            assert not ends or (
                "backend_start <=" in remedy.command and "state IN" in remedy.command
            )
            assert not ends or remedy.changes_state
    measures = [measure.name for finding in found for measure in finding.measures]
    assert len(measures) == len(set(measures)), "each number once"
    blind = all(finding.status in (Status.UNKNOWN, Status.SKIPPED) for finding in found)
    assert measures or blind, "a number, healthy or not"


@settings(max_examples=100, deadline=None)
@given(SESSIONS)
def test_what_is_said_of_a_saved_look_is_the_same(look: Sessions) -> None:
    saved = decode(Sessions, raw(look))
    by_id = {check.id: check for check in CHECKS}
    live, replayed = Looks(look, look, 5.0), Looks(saved, saved, 5.0)
    check = by_id["postgres.lock_waits"]
    seen, read = [look, live, None, *NO_POOLER], [saved, replayed, None, *NO_POOLER]
    assert findings(check, seen) == findings(check, read)
