"""A PgBouncer in front of a place's PostgreSQL, the clients behind it, and a look at its pools."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import psycopg
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.rights import pgbouncer_settings
from tests.servers.pgbouncer import PgBouncer

if TYPE_CHECKING:
    from asyncpg import Connection

Session: TypeAlias = "Connection[Any]"
DOCTOR = "doctor"
# the last is what asyncpg makes of an end that it did not look for
_THROWN_OUT = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


async def start_pooler(
    place: PostgresPlace,
    *,
    size: int,
    most: int = 100,
    settings: Mapping[str, int | str] | None = None,
    roles: Sequence[str] = (),
    target: Mapping[str, int | str] | None = None,
) -> PgBouncer:
    """A PgBouncer that lends ``size`` connections and takes ``most`` clients, unless ``settings``
    say otherwise, ended with the fault; the doctor has the rights that the command prints.

    ``roles`` are let in besides the application's; ``target`` is its line in [databases].
    """
    pooler = PgBouncer(
        place.server,
        pool_size=size,
        max_client_conn=most,
        users=dict.fromkeys((place.names.role, DOCTOR, *roles), ""),
        settings={**await pgbouncer_settings(DOCTOR), **(settings or {})},
        target=target,
    )
    await asyncio.to_thread(pooler.start)
    place.jobs.push_async_callback(asyncio.to_thread, pooler.stop)
    return pooler


async def connect(place: PostgresPlace, pooler: PgBouncer, application: str) -> Session:
    """A client of the application's, ended when the fault is undone."""
    connection = await asyncpg.connect(
        pooler.url(place.names.role, None, place.names.database),
        statement_cache_size=0,
        timeout=60,
        server_settings={"application_name": application},
    )

    async def end() -> None:
        connection.terminate()

    place.jobs.push_async_callback(end)
    return connection


async def insist(
    place: PostgresPlace,
    pooler: PgBouncer,
    statement: str,
    pause: float,
    client: "Session | None" = None,
) -> None:
    """A client, of its own if none is given, that connects again half a second after it was
    refused or thrown out."""
    while True:
        with suppress(*_THROWN_OUT):
            client = client or await connect(place, pooler, place.names.application)
            await repeat(client, statement, pause)
        client = None
        await asyncio.sleep(0.5)


async def repeat(connection: Session, statement: str, pause: float = 0.0) -> None:
    """Asks again and again; each is a transaction of its own."""
    while True:
        await connection.execute(statement, timeout=600)
        await asyncio.sleep(pause)


def clients(
    place: PostgresPlace, pooler: PgBouncer, count: int, statement: str, pause: float = 0.0
) -> None:
    """So many clients that do so over a connection each."""

    async def one() -> None:
        await repeat(await connect(place, pooler, place.names.application), statement, pause)

    for _ in range(count):
        place.run(one())


async def pool_facts(place: PostgresPlace, pooler: PgBouncer) -> Facts:
    """The pool, the clients and the free slots, in several readings."""
    facts: Facts = {}
    for _ in range(4):
        for name, seen in (await asyncio.to_thread(_reading, pooler)).items():
            facts.setdefault(name, []).append(seen)
        rows, server = await place.oracle.sessions(), await place.oracle.server()
        facts.setdefault("free_slots", []).append(server["usable_slots"] - len(rows))
        await asyncio.sleep(0.15)
    return facts


async def at_console(pooler: PgBouncer, command: str) -> list[dict[str, Any]]:
    """What an administrator is told at the console; its own database is left out."""
    return await asyncio.to_thread(_ask, pooler, command)


async def until_unused(pooler: PgBouncer) -> None:
    """Waits until it has closed its connections; with server_idle_timeout that is soon."""
    for _ in range(100):
        if not await at_console(pooler, "SHOW SERVERS"):
            return
        await asyncio.sleep(0.2)


def _ask(pooler: PgBouncer, command: str) -> list[dict[str, Any]]:
    with psycopg.connect(pooler.console_url("postgres"), autocommit=True) as console:
        cursor = console.execute(command.encode())
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor] if names else []
    return [row for row in rows if "pgbouncer" not in (row.get("name"), row.get("database"))]


def _reading(pooler: PgBouncer) -> dict[str, float]:
    pools = _ask(pooler, "SHOW POOLS")
    items = {row["list"]: row["items"] for row in _ask(pooler, "SHOW LISTS")}
    return {
        "pool_waiting": sum(row["cl_waiting"] for row in pools),
        "pool_active": sum(row["sv_active"] for row in pools),
        "pool_wait": max([row["maxwait"] + row["maxwait_us"] / 1e6 for row in pools] or [0.0]),
        "pool_clients": items["used_clients"] - 1,
    }
