"""A PgBouncer in front of a place's PostgreSQL, the clients behind it, and a look at its pools."""

import asyncio
from collections.abc import Mapping
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


async def start_pooler(
    place: PostgresPlace, *, size: int, most: int = 100, limits: Mapping[str, int] | None = None
) -> PgBouncer:
    """A PgBouncer that lends ``size`` connections and takes ``most`` clients, unless ``limits``
    say otherwise, ended with the fault; the doctor has the rights that the command prints."""
    pooler = PgBouncer(
        place.server,
        pool_size=size,
        max_client_conn=most,
        users={place.names.role: "", DOCTOR: ""},
        settings={**await pgbouncer_settings(DOCTOR), **(limits or {})},
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


def _reading(pooler: PgBouncer) -> dict[str, float]:
    with psycopg.connect(pooler.console_url("postgres"), autocommit=True) as console:

        def rows(what: str) -> list[dict[str, Any]]:
            cursor = console.execute(f"SHOW {what}".encode())
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        pools = [row for row in rows("POOLS") if row["database"] != "pgbouncer"]
        items = {row["list"]: row["items"] for row in rows("LISTS")}
    return {
        "pool_waiting": sum(row["cl_waiting"] for row in pools),
        "pool_active": sum(row["sv_active"] for row in pools),
        "pool_wait": max([row["maxwait"] + row["maxwait_us"] / 1e6 for row in pools] or [0.0]),
        "pool_clients": items["used_clients"] - 1,
    }
