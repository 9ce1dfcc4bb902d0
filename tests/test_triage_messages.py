"""Every message leads somewhere, and is what the real library or server says."""

import asyncio
import contextlib
import gc
import os
import resource
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import aio_pika
import aiormq
import asyncpg
import jwt
import psycopg
import pymongo
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import PyMongoError
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool
from tests.servers.pgbouncer import PgBouncer

from backend_doctor.demo.servers import MongoServer, PostgresServer, RabbitServer, RedisServer
from backend_doctor.registry import load_checks
from backend_doctor.triage import Message, load_messages, read, telling_checks

CHECKS = load_checks(plugins=False)
CAUSES = {cause for check in CHECKS.values() for cause in check.causes}
MESSAGES = load_messages()
KEY = "q7Zk-2mXv9_TfLr4WbN8sYc1HdPu6EgJ"


def lead(text: str) -> str:
    """The title of the one message in a text."""
    sightings = read(text.splitlines(), MESSAGES).sightings
    assert sightings, f"not recognised: {text}"
    return sightings[0].message.title


def said(error: BaseException) -> str:
    """An error as the last line of its traceback shows it."""
    return f"{type(error).__module__}.{type(error).__qualname__}: {error}"


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.title)
class TestMessage:
    def test_it_leads_to_a_runbook_and_its_causes_have_sections(self, message: Message) -> None:
        assert message.runbook in CHECKS, f"no check {message.runbook}"
        assert CHECKS[message.runbook].runbook is not None
        assert set(message.causes) <= CAUSES, "left: its causes; right: all with a section"
        assert telling_checks(message, CHECKS)[0] == message.runbook
        assert message.causes or message.also

    def test_every_phrase_is_recognised_as_it_and_no_other(self, message: Message) -> None:
        for phrase in message.says:
            assert lead(phrase.replace("*", " X ")) == message.title

    def test_it_is_short_and_ranked(self, message: Message) -> None:
        assert 1 <= message.telling <= 9
        assert len(message.title) <= 60
        assert len(message.means) <= 240


def test_titles_are_unique_and_there_are_enough() -> None:
    titles = [message.title for message in MESSAGES]
    assert len(titles) == len(set(titles))
    assert len(titles) >= 20


# the browser's own words, as recorded with Chromium 156 for the Fetch rules
ACCESS = "Access to fetch at 'http://api:1/x' from origin 'http://app:2' has been blocked by CORS "
PREFLIGHT = ACCESS + "policy: Response to preflight request doesn't pass access control check: "
CONSOLE = [
    (
        ACCESS + "policy: No 'Access-Control-Allow-Origin' header is present on the requested "
        "resource.",
        "Browser: the answer has no Access-Control-Allow-Origin",
    ),
    (
        PREFLIGHT + "The 'Access-Control-Allow-Origin' header has a value 'http://b' that is not "
        "equal to the supplied origin.",
        "Browser: another origin is allowed, not this one",
    ),
    (
        ACCESS + "policy: The 'Access-Control-Allow-Origin' header contains multiple values "
        "'http://a, http://a', but only one is allowed.",
        "Browser: two Access-Control-Allow-Origin headers",
    ),
    (
        ACCESS + "policy: The value of the 'Access-Control-Allow-Origin' header in the response "
        "must not be the wildcard '*' when the request's credentials mode is 'include'.",
        "Browser: the wildcard does not go with credentials",
    ),
    (
        ACCESS + "policy: The value of the 'Access-Control-Allow-Credentials' header in the "
        "response is '' which must be 'true' when the request's credentials mode is 'include'.",
        "Browser: credentials are not allowed",
    ),
    (
        ACCESS + "policy: Request header field authorization is not allowed by "
        "Access-Control-Allow-Headers in preflight response.",
        "Browser: a request header is not allowed",
    ),
    (
        ACCESS + "policy: Method PUT is not allowed by Access-Control-Allow-Methods in preflight "
        "response.",
        "Browser: the method is not allowed",
    ),
    (PREFLIGHT + "It does not have HTTP ok status.", "Browser: the preflight was refused"),
    (
        PREFLIGHT + "Redirect is not allowed for a preflight request.",
        "Browser: the preflight was redirected",
    ),
    (
        ACCESS + "policy: Cannot parse Access-Control-Allow-Headers response header field in "
        "preflight response.",
        "Browser: a CORS header cannot be read",
    ),
    (
        ACCESS + "policy: Permission was denied for this request to access the `loopback` address "
        "space.",
        "Browser: a public page may not call a private address",
    ),
    (
        "Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote "
        "resource at http://api/x. (Reason: CORS header ‘Access-Control-Allow-Origin’ missing). "
        "Status code: 500.",
        "Browser: the answer has no Access-Control-Allow-Origin",
    ),
]


@pytest.mark.parametrize(("text", "title"), CONSOLE)
def test_the_browsers_console(text: str, title: str) -> None:
    assert lead(text) == title
    assert lead(text.replace("CORS policy: ", "CORS policy:\n", 1)) == title


def jwt_error(act: Callable[[], Any]) -> str:
    with pytest.raises(jwt.PyJWTError) as raised:
        act()
    return said(raised.value)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("claims", "key", "options", "title"),
    [
        ({"exp": 1}, KEY, {}, "A token has expired"),
        ({"nbf": 4e9}, KEY, {}, "A token comes from the future"),
        ({"iat": 4e9}, KEY, {}, "A token comes from the future"),
        ({}, KEY + "x", {}, "A token's signature is not right"),
        ({}, KEY, {"algorithms": ["HS512"]}, "A token's algorithm is not allowed"),
        ({"aud": "a"}, KEY, {"audience": "b"}, "A token is for another audience"),
        ({}, KEY, {"audience": "b"}, "A token is for another audience"),
        ({"iss": "a"}, KEY, {"issuer": "b"}, "A token is of another issuer"),
        ({"sub": 5}, KEY, {}, "A token's claim is of the wrong type"),
    ],
)
def test_pyjwt(
    claims: dict[str, Any], key: str, options: dict[str, Any], title: str, named: bool
) -> None:
    token = jwt.encode(claims, KEY, algorithm="HS256")
    decoding = {"algorithms": ["HS256"], **options}
    text = jwt_error(lambda: jwt.decode(token, key, **decoding))
    assert lead(text if named else text.partition(": ")[2]) == title


@pytest.mark.parametrize("token", ["", "abc", "a.b.c", "a.b", 'Bearer "x"'])
def test_pyjwt_cannot_read(token: str) -> None:
    text = jwt_error(lambda: jwt.decode(token, KEY, algorithms=["HS256"]))
    assert lead(text) == "A token cannot be read"


def test_pyjwt_warns_of_a_short_secret() -> None:
    with pytest.warns(jwt.InsecureKeyLengthWarning) as caught:
        jwt.encode({}, "short", algorithm="HS256")
    assert lead(str(caught[0].message)) == "A token's secret is too short"


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


def redis_error(act: Callable[[], Any]) -> str:
    with pytest.raises(redis.RedisError) as raised:
        act()
    return said(raised.value)


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_redis_full(make_redis: Callable[..., RedisServer], kind: str) -> None:
    server = make_redis(kind, settings={"maxclients": 3})
    clients = [socket.create_connection((server.host, server.port), 5) for _ in range(3)]
    for client in clients:
        client.sendall(b"PING\r\n")
        client.recv(64)
    with socket.create_connection((server.host, server.port), 5) as late:
        text = late.recv(200).decode()
    for client in clients:
        client.close()
    assert lead(text) == "Redis has no room for another client"


def test_redis_pools(valkey: RedisServer) -> None:
    title = "redis-py's own pool is empty"
    for pool in (
        redis.ConnectionPool.from_url(valkey.url(), max_connections=1),
        redis.BlockingConnectionPool.from_url(valkey.url(), max_connections=1, timeout=0.05),
    ):
        taken = pool.get_connection()
        assert lead(redis_error(pool.get_connection)) == title
        pool.release(taken)
        pool.disconnect()


def test_redis_login(make_redis: Callable[..., RedisServer]) -> None:
    url = make_redis(password="right").url(password="wrong")
    assert lead(redis_error(redis.from_url(url).ping)) == "Redis refuses the login"
    url = url.replace(":wrong@", "")
    assert lead(redis_error(redis.from_url(url).ping)) == "Redis refuses the login"


def mongo_error(url: str, act: Callable[[Any], Any], **options: Any) -> str:
    with pymongo.MongoClient[dict[str, Any]](url, **options) as client:
        with pytest.raises(PyMongoError) as raised:
            act(client)
        return said(raised.value)


def test_mongodb_pool(mongod: MongoServer) -> None:
    def exhaust(client: Any) -> None:
        client.shop.things.insert_many([{"n": n} for n in range(5)])
        # such a cursor keeps its connection until it has been read to its end
        kept = client.shop.things.find(batch_size=2, cursor_type=pymongo.CursorType.EXHAUST)
        next(kept)
        client.shop.command("ping")

    text = mongo_error(mongod.admin_url(), exhaust, maxPoolSize=1, waitQueueTimeoutMS=100)
    assert lead(text) == "MongoDB's driver found no free connection in time"


def test_mongodb_login(mongod: MongoServer) -> None:
    url = mongod.url("admin", "wrong")
    text = mongo_error(url, lambda client: client.admin.command("ping"))
    assert lead(text) == "MongoDB refuses the login"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nothing listens, kept from others."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_mongodb_not_reached(closed_port: int) -> None:
    url = f"mongodb://127.0.0.1:{closed_port}/?serverSelectionTimeoutMS=200"
    text = mongo_error(url, lambda client: client.admin.command("ping"))
    assert lead(text) == "MongoDB has no server that could answer"


async def broker_error(url: str) -> str:
    try:
        connection = await aio_pika.connect(url, timeout=10)
    except (aio_pika.exceptions.AMQPError, aiormq.exceptions.AMQPError) as error:
        return said(error)
    await connection.close()
    raise AssertionError("it was let in")


def test_rabbitmq(rabbitmq: RabbitServer, closed_port: int) -> None:
    text = asyncio.run(broker_error(rabbitmq.url(password="wrong")))
    assert lead(text) == "RabbitMQ refuses the login"
    text = asyncio.run(broker_error(rabbitmq.url(vhost="nowhere")))
    assert lead(text) == "RabbitMQ closed the connection or the channel"
    text = asyncio.run(broker_error(f"amqp://127.0.0.1:{closed_port}/"))
    assert lead(text) == "RabbitMQ is not reached"


def test_nothing_listens(closed_port: int) -> None:
    async def streams() -> None:
        await asyncio.open_connection("127.0.0.1", closed_port)

    with pytest.raises(OSError) as raised:
        asyncio.run(streams())
    assert lead(said(raised.value)) == "Nothing listens there"
    with pytest.raises(OSError) as raised:
        socket.create_connection(("127.0.0.1", closed_port), 5)
    assert lead(str(raised.value)) == "Nothing listens there"


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(OSError) as raised:
        socket.getaddrinfo("no-such-host.invalid", 80)
    assert lead(said(raised.value)) == "A name does not resolve"


def test_too_many_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with pytest.raises(OSError) as raised:
            opened.extend(os.dup(0) for _ in iter(int, 1))
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert lead(said(raised.value)) == "The process may open no more files"


def test_asyncio_tells_of_lost_tasks(caplog: pytest.LogCaptureFixture) -> None:
    async def lose() -> None:
        async def work() -> None:
            await asyncio.get_running_loop().create_future()

        async def fail() -> None:
            raise ValueError("lost")

        lost, failed = asyncio.ensure_future(work()), asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asyncio.tasks._unregister_task(lost)
        del lost, failed

    asyncio.run(lose())
    gc.collect()
    found = {lead(record.getMessage()) for record in caplog.records}
    assert found == {
        "asyncio: a task was thrown away while it waited",
        "asyncio: an error that nobody looked at",
    }


def test_python_tells_of_a_missing_await() -> None:
    async def work() -> None:
        return

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()  # type: ignore[unused-coroutine]
        gc.collect()
    texts = [str(warning.message) for warning in caught if "awaited" in str(warning.message)]
    assert lead(texts[0]) == "asyncio: a coroutine was called and not awaited"


# of libraries and of a kernel that no test here can have; their words as published
PUBLISHED = [
    ("Unclosed client session", "An HTTP client was not closed"),
    (
        "Out of memory: Killed process 812 (python3) total-vm:8388608kB, anon-rss:4194304kB",
        "The kernel ended a process for its memory",
    ),
    (
        "2026/01/02 03:04:05 [error] 7#7: *1 upstream timed out (110: Connection timed out) while "
        "reading response header from upstream",
        "A proxy in front got no good answer from the application",
    ),
]


@pytest.mark.parametrize(("text", "title"), PUBLISHED)
def test_published_words(text: str, title: str) -> None:
    assert lead(text) == title


def test_each_kind_once_with_its_count_and_the_most_telling_first() -> None:
    log = [
        "INFO started",
        "ERROR [Errno 111] Connection refused",
        "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 0 reached, ...",
        "FATAL:  sorry, too many clients already",
        "ERROR [Errno 111] Connection refused",
    ]
    found = read(log, MESSAGES)
    assert found.lines == 5
    assert [(s.message.title, s.lines) for s in found.sightings] == [
        ("PostgreSQL has no connection left", 1),
        ("SQLAlchemy found no free connection in time", 1),
        ("Nothing listens there", 2),
    ]


@pytest.mark.parametrize(
    "text",
    ["all is well", "GET /orders 200 12ms", "reached the end", "connection accepted", ""],
)
def test_what_is_no_message_is_not_taken_for_one(text: str) -> None:
    assert read([text], MESSAGES).sightings == ()


@given(st.lists(st.text(max_size=80), max_size=8))
def test_any_text_is_read(lines: list[str]) -> None:
    found = read(lines, MESSAGES)
    assert found.lines == len(lines)
    assert sum(sighting.lines for sighting in found.sightings) <= len(lines)
