"""What PostgreSQL, PgBouncer and their drivers say leads to its message."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool
from tests.servers.pgbouncer import PgBouncer
from tests.triage_words import lead, said

from backend_doctor.demo.servers import PostgresServer


def test_sqlalchemy_pool() -> None:
    pool = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
    engine = create_engine("sqlite://", poolclass=QueuePool, **pool)
    with engine.connect(), pytest.raises(SQLAlchemyError) as raised:
        engine.connect()
    engine.dispose()
    assert lead(said(raised.value)) == "SQLAlchemy found no free connection in time"
    assert lead(str(raised.value)) == "SQLAlchemy found no free connection in time"


async def refused_by_postgres(url: str, most: int) -> str:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(most + 1):
            try:
                connection = await asyncpg.connect(url, timeout=10)
            except asyncpg.PostgresError as error:
                return said(error)
            stack.push_async_callback(connection.close)
    raise AssertionError("the server took them all")


@pytest.mark.parametrize("version", [15, 18])
def test_postgres_full(make_postgres: Callable[..., PostgresServer], version: int) -> None:
    server = make_postgres(version, settings={"max_connections": 6})
    title = "PostgreSQL has no connection left"
    text = asyncio.run(refused_by_postgres(server.admin_url(), 6))
    assert "too many clients already" in text
    assert lead(text) == lead(text.partition(": ")[2]) == title

    async def ordinary() -> str:
        admin = await asyncpg.connect(server.admin_url())
        await admin.execute("CREATE ROLE app LOGIN")
        await admin.close()
        return await refused_by_postgres(server.url("app", None, "postgres"), 6)

    text = asyncio.run(ordinary())
    assert "remaining connection slots" in text
    assert lead(text) == lead(text.partition(": ")[2]) == title


def test_postgres_limit_of_a_role(postgres18: PostgresServer) -> None:
    async def one_too_many() -> str:
        admin = await asyncpg.connect(postgres18.admin_url())
        await admin.execute("CREATE ROLE narrow LOGIN CONNECTION LIMIT 1")
        try:
            return await refused_by_postgres(postgres18.url("narrow"), 2)
        finally:
            await admin.execute("DROP ROLE narrow")
            await admin.close()

    text = asyncio.run(one_too_many())
    assert "too many connections for role" in text
    assert lead(text) == "A role or database has all the connections that it may have"


def test_postgres_ended_a_pooled_connection(make_postgres: Callable[..., PostgresServer]) -> None:
    server = make_postgres(18)

    async def cut_off() -> str:
        victim = await asyncpg.connect(server.admin_url())
        running = asyncio.create_task(victim.execute("SELECT pg_sleep(5)"))
        await asyncio.sleep(0.2)
        os.kill(victim.get_server_pid(), 9)
        try:
            await running
        except asyncpg.PostgresError as error:
            return said(error)
        raise AssertionError("it went on")

    text = asyncio.run(cut_off())
    assert "ConnectionDoesNotExistError" in text
    assert lead(text) == "A pooled connection to PostgreSQL had ended"


async def failing(
    url: str, *statements: str, beside: tuple[str, ...] = (), pause: float = 0.0
) -> str:
    """What the server says to the statement that fails, while another session did ``beside``."""
    other = await asyncpg.connect(url)
    connection = await asyncpg.connect(url)
    try:
        for statement in beside:
            await other.execute(statement)
        for statement in statements:
            await connection.execute(statement)
            await asyncio.sleep(pause)
    except asyncpg.PostgresError as error:
        return said(error)
    finally:
        await other.close()
        connection.terminate()
    raise AssertionError("nothing failed")


TABLE = "CREATE TABLE IF NOT EXISTS triage (id int); INSERT INTO triage VALUES (1), (2);"


@pytest.mark.parametrize(
    ("statements", "beside", "title"),
    [
        (
            ("SET statement_timeout = 50", "SELECT pg_sleep(5)"),
            (),
            "A statement took too long and was ended",
        ),
        (
            ("SET lock_timeout = 50", "UPDATE triage SET id = id"),
            (TABLE, "BEGIN", "LOCK TABLE triage"),
            "A lock was not had in time",
        ),
    ],
)
def test_postgres_ends_statements(
    make_postgres: Callable[..., PostgresServer],
    statements: tuple[str, ...],
    beside: tuple[str, ...],
    title: str,
) -> None:
    text = asyncio.run(failing(make_postgres().admin_url(), *statements, beside=beside))
    assert lead(text) == lead(text.partition(": ")[2]) == title


def test_postgres_ends_an_idle_transaction(make_postgres: Callable[..., PostgresServer]) -> None:
    server = make_postgres()
    idle = ("SET idle_in_transaction_session_timeout = 50", "BEGIN", "SELECT 1")
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, AssertionError):
        asyncio.run(failing(server.admin_url(), *idle, pause=0.4))
    (line,) = [x for x in server.log().splitlines() if "idle-in-transaction" in x]
    assert lead(line) == "PostgreSQL ended a transaction that did nothing"


def test_postgres_deadlock(make_postgres: Callable[..., PostgresServer]) -> None:
    url = make_postgres(settings={"deadlock_timeout": "50ms"}).admin_url()

    async def both() -> tuple[BaseException | str, ...]:
        one, two = await asyncpg.connect(url), await asyncpg.connect(url)
        await one.execute(TABLE)
        for connection, row in ((one, 1), (two, 2)):
            await connection.execute(f"BEGIN; UPDATE triage SET id = id WHERE id = {row}")
        ended = await asyncio.gather(
            one.execute("UPDATE triage SET id = id WHERE id = 2"),
            two.execute("UPDATE triage SET id = id WHERE id = 1"),
            return_exceptions=True,
        )
        one.terminate()
        two.terminate()
        return ended

    (error,) = [end for end in asyncio.run(both()) if isinstance(end, BaseException)]
    assert lead(said(error)) == "Two transactions waited for each other"


def test_pgbouncer_takes_no_more(
    make_postgres: Callable[..., PostgresServer], make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = make_pgbouncer(make_postgres(), max_client_conn=2)
    text = asyncio.run(refused_by_postgres(pooler.url(), 3))
    assert lead(text) == "PgBouncer takes no more clients"


def test_pgbouncer_waits_no_longer(
    make_postgres: Callable[..., PostgresServer], make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = make_pgbouncer(make_postgres(), pool_size=1, settings={"query_wait_timeout": 1})

    async def wait() -> str:
        first = await asyncpg.connect(pooler.url(), statement_cache_size=0)
        await first.execute("BEGIN")
        try:
            late = await asyncpg.connect(pooler.url(), timeout=20, statement_cache_size=0)
            await late.execute("SELECT 1", timeout=20)
        except (asyncpg.PostgresError, OSError) as error:
            return said(error)
        finally:
            first.terminate()
        raise AssertionError("nobody waited")

    assert lead(asyncio.run(wait())) == "PgBouncer had no server connection in time"


async def pooled_error(url: str, **settings: str) -> str:
    try:
        connection = await asyncpg.connect(
            url, timeout=20, statement_cache_size=0, server_settings=settings
        )
        await connection.execute("SELECT 1", timeout=20)
    except (asyncpg.PostgresError, OSError) as error:
        return said(error)
    raise AssertionError("it was served")


def test_pgbouncer_refuses(
    postgres15: PostgresServer, make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = make_pgbouncer(postgres15, users={"app": ""})
    text = asyncio.run(pooled_error(pooler.url(), statement_timeout="5s"))
    assert lead(text) == "PgBouncer refuses a startup parameter"
    with pytest.raises(psycopg.OperationalError) as raised:
        psycopg.connect(pooler.console_url("app"))
    assert lead(str(raised.value)) == "PgBouncer's console does not let this user in"


def test_pgbouncer_cannot_log_in(
    postgres15: PostgresServer, make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = make_pgbouncer(postgres15, users={"ghost": ""})

    async def shut_out() -> str:
        admin = await asyncpg.connect(postgres15.admin_url())
        await admin.execute("CREATE ROLE ghost LOGIN")
        first, client = [
            await asyncpg.connect(pooler.url("ghost"), statement_cache_size=0) for _ in range(2)
        ]
        try:
            await admin.execute("ALTER ROLE ghost NOLOGIN")
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ghost'"
            )
            await asyncio.sleep(0.2)
            with contextlib.suppress(TimeoutError):
                await first.execute("SELECT 1", timeout=1)
            await client.execute("SELECT 1", timeout=10)
        except (asyncpg.PostgresError, OSError) as error:
            return said(error)
        finally:
            first.terminate()
            client.terminate()
            await admin.execute("DROP ROLE ghost")
            await admin.close()
        raise AssertionError("it was served")

    title = "PgBouncer cannot log in to PostgreSQL"
    text = asyncio.run(shut_out())
    assert "server login has been failing" in text
    assert lead(text) == title
    (line, *_) = [one for one in pooler.log().splitlines() if "login failed" in one]
    assert lead(line) == title


async def prepared_by_asyncpg(url: str) -> str:
    """A statement prepared on one server connection is looked for on the other."""
    client, other = [await asyncpg.connect(url) for _ in range(2)]
    try:
        await client.fetch("SELECT $1::int", 1)
        await other.execute("BEGIN")
        await client.fetch("SELECT $1::int", 1)
    except asyncpg.PostgresError as error:
        return said(error)
    finally:
        other.terminate()
        client.terminate()
    raise AssertionError("it was served")


def test_prepared_statements_through_pgbouncer(
    postgres15: PostgresServer, make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    title = "A prepared statement does not fit PgBouncer's pooling"
    pooler = make_pgbouncer(postgres15)
    text = asyncio.run(prepared_by_asyncpg(pooler.url()))
    assert "does not exist" in text
    assert lead(text) == lead(text.splitlines()[0]) == title
    url = make_pgbouncer(postgres15, pool_size=1).url()
    with (
        psycopg.connect(url, prepare_threshold=0, autocommit=True) as one,
        psycopg.connect(url, prepare_threshold=0, autocommit=True) as two,
    ):
        one.execute("SELECT %s::int", (1,))
        with pytest.raises(psycopg.Error) as raised:
            two.execute("SELECT %s::int", (1,))
        assert "already exists" in str(raised.value)
        assert lead(said(raised.value)) == title


def test_pgbouncer_loses_its_server(
    make_postgres: Callable[..., PostgresServer], make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    url = make_pgbouncer(make_postgres()).url()
    with psycopg.connect(url, prepare_threshold=None, autocommit=True) as victim:
        victim.execute("BEGIN")
        (pid,) = victim.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        os.kill(pid, 9)
        with pytest.raises(psycopg.OperationalError) as raised:
            victim.execute("SELECT pg_sleep(5)")
    (line, *_) = [line for line in str(raised.value).splitlines() if "crashed" in line]
    assert lead(line) == "PgBouncer lost its connection to PostgreSQL"


def test_pgbouncer_waits_for_no_login(
    postgres15: PostgresServer, make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = make_pgbouncer(postgres15, settings={"client_login_timeout": 1})
    with socket.create_connection((pooler.host, pooler.port), 5) as silent:
        silent.settimeout(10)
        text = silent.recv(500).decode(errors="replace")
    assert lead(text.replace("\0", " ")) == "PgBouncer gave a login too long"


def test_a_sequence_at_its_end(postgres15: PostgresServer) -> None:
    with psycopg.connect(postgres15.admin_url()) as session:
        session.execute("CREATE TEMPORARY SEQUENCE few START 9 MAXVALUE 9")
        session.execute("SELECT nextval('few')")
        with pytest.raises(psycopg.Error) as raised:
            session.execute("SELECT nextval('few')")
    for text in (str(raised.value), said(raised.value)):
        assert lead(text) == "A sequence has no number left"
