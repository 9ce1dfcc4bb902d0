"""Frequent statements and advisory locks on real servers: what the facts hold of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest
from tests.backends.statement_load import SETTINGS
from tests.checks.postgres.builders import cause, evidence, run
from tests.conftest import POSTGRES

from backend_doctor import Each, Looks, Status
from backend_doctor.backends.postgres import texts
from backend_doctor.backends.postgres.connection import PostgresConnection, connect
from backend_doctor.backends.postgres.frequent import FrequentStatements
from backend_doctor.backends.postgres.locks import jams
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.postgres.statements import Statements, StatementStatistics
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer

WINDOW = 0.5
Work = Callable[[Any], Awaitable[None]]


@pytest.fixture(scope="module", params=[15, 18])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(POSTGRES[request.param](), settings=SETTINGS) as running:
        asyncio.run(_furnish(running.admin_url()))
        yield running


async def _furnish(url: str) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute("CREATE EXTENSION pg_stat_statements; CREATE ROLE app LOGIN")
    for table in ("customers", "addresses", "flags"):
        await admin.execute(
            f"CREATE TABLE {table} AS "
            "SELECT id, 'x' || id AS name FROM generate_series(1, 40) AS id"
        )
        await admin.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
        await admin.execute(f"GRANT ALL ON {table} TO app")
    await admin.close()


async def doctor(server: PostgresServer) -> tuple[PostgresConnection, Slots]:
    login, db = await connect(parse_url(server.admin_url(), place="test"), limit=5)
    assert db is not None, login
    return db, await Slots.collect(db, None, login)


async def rows_one_by_one(connection: Any) -> None:
    for row in await connection.fetch("SELECT id FROM customers ORDER BY name LIMIT 30"):
        await connection.fetch("SELECT * FROM addresses WHERE id = $1", row["id"])


async def flags(connection: Any) -> None:
    await connection.fetch("SELECT id, name FROM flags")


async def flags_and_writes(connection: Any) -> None:
    await flags(connection)
    await connection.execute("UPDATE flags SET name = $1 WHERE id = 1", "new")


Seen = tuple[StatementStatistics, Looks[Statements], FrequentStatements, Looks[Sessions]]


async def observed(server: PostgresServer, work: Work) -> tuple[Seen, int]:
    """What is seen of a second of work, and how many statements its texts cost."""
    db, slots = await doctor(server)
    application = await asyncpg.connect(
        server.url("app"), server_settings={"application_name": "shop-api"}
    )
    ended = asyncio.Event()

    async def load() -> None:
        while not ended.is_set():
            await work(application)
            await asyncio.sleep(0.01)

    statistics = await StatementStatistics.collect(db)
    first = await Statements.collect(db, statistics), await Sessions.collect(db, slots, None)
    loading = asyncio.create_task(load())
    await asyncio.sleep(WINDOW)
    last = await Statements.collect(db, statistics), await Sessions.collect(db, slots, None)
    ended.set()
    await loading
    statements = Looks(first[0], last[0], WINDOW)
    before = db.statements
    frequent = await FrequentStatements.collect(db, statistics, statements)
    cost = db.statements - before
    for connection in (application, db):
        await connection.close()
    return (statistics, statements, frequent, Looks(first[1], last[1], WINDOW)), cost


def test_rows_asked_one_by_one(server: PostgresServer) -> None:
    # between parse and plan a session shows no query id: a look may fall there
    for _ in range(3):
        seen, cost = asyncio.run(observed(server, rows_one_by_one))
        (finding,) = run("repeated_statements", *seen)
        if "shop-api" in {subject.value for subject in finding.subjects}:
            break
    assert (finding.status, cause(finding)) == (Status.WARNING, "query.n_plus_one"), finding
    assert evidence(finding, "round_trips_per_call") == pytest.approx(30, rel=0.15)
    assert evidence(finding, "table") == "addresses"
    assert "shop-api" in {subject.value for subject in finding.subjects}
    assert cost == 1


@pytest.mark.parametrize(("work", "advised"), [(flags, True), (flags_and_writes, False)])
def test_reads_worth_a_cache(server: PostgresServer, work: Work, advised: bool) -> None:
    seen, _ = asyncio.run(observed(server, work))
    (finding,) = run("cacheable_reads", *seen, Each({}))
    assert finding.status is Status.OK
    assert bool(finding.evidence) is advised, finding
    (other,) = run("repeated_statements", *seen)
    assert other.status is Status.OK


async def idle(_: Any) -> None:
    await asyncio.sleep(0.2)


def test_nothing_is_read_where_nothing_is_frequent(server: PostgresServer) -> None:
    (_, _, frequent, _), cost = asyncio.run(observed(server, idle))
    assert (frequent.statements, cost) == ((), 0)


def test_a_large_file_of_texts_is_not_read(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = texts._TEXTS_OF_SMALL_FILE
    assert "67108864" in small
    monkeypatch.setattr(texts, "_TEXTS_OF_SMALL_FILE", small.replace("67108864", "-1"))
    (_, _, frequent, _), _ = asyncio.run(observed(server, flags))
    assert frequent.statements == ()
    assert "64 MiB" in frequent.refusal
    monkeypatch.setattr(texts, "MOST_ENTRIES", 0)
    (_, _, frequent, _), cost = asyncio.run(observed(server, flags))
    assert "too many" in frequent.refusal
    assert cost == 0


async def guarded(server: PostgresServer, numbers: str) -> Sessions:
    """What is seen while one session waits for an advisory lock that an idle one holds."""
    db, slots = await doctor(server)
    holder, waiter = [await asyncpg.connect(server.url("app")) for _ in range(2)]
    await holder.execute(f"SELECT pg_advisory_lock({numbers})")
    waiting = asyncio.create_task(waiter.execute(f"SELECT pg_advisory_lock({numbers})"))
    await asyncio.sleep(0.2)
    seen = await Sessions.collect(db, slots, None)
    await holder.close()
    await waiting
    await waiter.close()
    await db.close()
    return seen


@pytest.mark.parametrize("numbers", ["42", "-1", "4294967298", "7, 3", "-5, 0"])
def test_advisory_locks_are_named_as_they_were_taken(server: PostgresServer, numbers: str) -> None:
    (jam,) = jams(asyncio.run(guarded(server, numbers)))
    assert jam.advisory_level == "session"
    (waiter,) = jam.advisory
    assert waiter.lock is not None
    assert waiter.lock.advisory == numbers


def test_the_size_is_asked_before_the_file_is_read(server: PostgresServer) -> None:
    async def plan() -> str:
        admin = await asyncpg.connect(server.admin_url())
        sql = texts._TEXTS_OF_SMALL_FILE.format(schema="public").replace("$1", "''")
        rows = await admin.fetch("EXPLAIN " + sql.replace("$2", "''").replace("67108864", "(-1)"))
        await admin.close()
        return "\n".join(row[0] for row in rows)

    assert "One-Time Filter" in asyncio.run(plan())
