"""Limits, newcomers, clients and work on real servers: what the facts of connections hold."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.checks.postgres.builders import session
from tests.conftest import POSTGRES

from backend_doctor.backends.postgres.clients import ClientProcesses
from backend_doctor.backends.postgres.connection import PostgresConnection, connect
from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.backends.postgres.limits import ConnectionLimits
from backend_doctor.backends.postgres.newcomers import Newcomers
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.sizing import work_within
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.facts import Absent, Instance, Login, Looks, Problem

NO_LOGIN = Login(problem=Problem.NONE, address="")


@pytest.fixture(params=POSTGRES)
def server(request: pytest.FixtureRequest) -> PostgresServer:
    found: PostgresServer = request.getfixturevalue(f"postgres{request.param}")
    return found


@asynccontextmanager
async def logged_in(url: str) -> AsyncIterator[tuple[Login, PostgresConnection | None]]:
    login, connection = await connect(parse_url(url, place="test"), limit=5.0)
    try:
        yield login, connection
    finally:
        if connection is not None:
            await connection.close()


async def look(db: PostgresConnection) -> tuple[Slots, Counters, Sessions]:
    slots = await Slots.collect(db, None, NO_LOGIN)
    return slots, await Counters.collect(db, slots), await Sessions.collect(db, slots, None)


async def two_looks(
    db: PostgresConnection, between: Callable[[], Awaitable[Any]]
) -> tuple[Slots, Looks[Counters], Looks[Sessions]]:
    clock = asyncio.get_running_loop()
    began = clock.time()
    _, counted, seen = await look(db)
    await between()
    slots, counted_again, seen_again = await look(db)
    seconds = clock.time() - began
    return slots, Looks(counted, counted_again, seconds), Looks(seen, seen_again, seconds)


def test_limits_and_what_is_taken(server: PostgresServer) -> None:
    async def run() -> None:
        admin = await asyncpg.connect(server.admin_url())
        try:
            await admin.execute('CREATE ROLE "lim""ited" LOGIN CONNECTION LIMIT 2')
            await admin.execute("CREATE ROLE closed LOGIN CONNECTION LIMIT 0")
            await admin.execute('CREATE DATABASE "lim-db" CONNECTION LIMIT 3')
            url = server.url('lim"ited', None, "lim-db")
            held = [await asyncpg.connect(url), await asyncpg.connect(url)]
            async with logged_in(server.admin_url()) as (login, db):
                found = await ConnectionLimits.collect(db, login)
            async with logged_in(url) as (login, nothing):
                refused = await ConnectionLimits.collect(nothing, login)
                with pytest.raises(Absent, match="role lim"):
                    await Slots.collect(nothing, None, login)
            for one in held:
                await one.close()
            mine = [(one.kind, one.name, one.most, one.used) for one in found.limits]
            assert mine == [("role", 'lim"ited', 2, 2), ("database", "lim-db", 3, 2)]
            assert (refused.refused, refused.limits[0].kind) == (True, "role")
            assert refused.limits[0].name == 'lim"ited'
        finally:
            with contextlib.suppress(asyncpg.PostgresError):
                await admin.execute('DROP DATABASE "lim-db" WITH (FORCE)')
            await admin.execute('DROP ROLE "lim""ited"')
            await admin.execute("DROP ROLE closed")
            await admin.close()

    asyncio.run(run())


async def _come_and_go(server: PostgresServer, until: asyncio.Event) -> None:
    while not until.is_set():
        visitor = await asyncpg.connect(
            server.admin_url(), server_settings={"application_name": "visitor"}
        )
        await visitor.execute("SELECT 1")
        await visitor.close()


def test_newcomers_are_caught_and_named(server: PostgresServer) -> None:
    async def run() -> None:
        done = asyncio.Event()
        visits = asyncio.create_task(_come_and_go(server, done))
        async with logged_in(server.admin_url()) as (_, db):
            assert db is not None
            _, counters, sessions = await two_looks(db, lambda: asyncio.sleep(1.2))
            before = db.statements
            found = await Newcomers.collect(db, counters, sessions)
            assert db.statements - before == 1
            none_opened = Looks(counters.last, counters.last, 1.0)
            with pytest.raises(Absent, match="hardly"):
                await Newcomers.collect(db, none_opened, sessions)
        done.set()
        await visits
        assert found.groups[0].application == "visitor"
        assert found.groups[0].user == "postgres"
        assert found.groups[0].client == "127.0.0.1"

    asyncio.run(run())


def test_what_is_at_work_and_who_holds_it(server: PostgresServer) -> None:
    async def run() -> None:
        settings = {"application_name": "worker"}
        idler, busy = [
            await asyncpg.connect(server.admin_url(), server_settings=settings) for _ in range(2)
        ]
        await idler.execute("BEGIN")
        async with logged_in(server.admin_url()) as (_, db):
            assert db is not None
            slots, counters, sessions = await two_looks(
                db, lambda: busy.execute("SELECT pg_sleep(1)")
            )
            place = Instance(
                service="shop",
                backend="postgres",
                name="postgres",
                address="",
                host=server.host,
                port=server.port,
            )
            with socket.create_server(("127.0.0.1", 0)) as other, ExitStack() as calls:
                elsewhere = other.getsockname()
                for _ in range(9):
                    calls.enter_context(socket.create_connection(elsewhere))
                found = await ClientProcesses.collect(place, slots, sessions)
        pids = {s.pid for s in sessions.last.clients if s.application == "worker"}
        assert {one.pid for one in found.clients if one.client_pid == os.getpid()} >= pids
        held = [s for s in sessions.last.clients if s.application == "worker"]
        ((owner, count),) = found.owners(held)
        assert (owner.client_pid, count) == (os.getpid(), 2)
        assert (owner.elsewhere, owner.connections) == ("{}:{}".format(*elsewhere), 9)
        assert found.owners([*held, session(1)]) == []
        work = work_within(counters, sessions)
        assert work is not None
        assert work.in_transaction < 0.1
        assert work.running < 1.6
        for one in (idler, busy):
            await one.close()

    asyncio.run(run())
