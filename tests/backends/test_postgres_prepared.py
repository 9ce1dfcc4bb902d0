"""Statements of our own: read by the server once, and with nothing left behind a pooler."""

import asyncio
from typing import Any

import asyncpg
from tests.servers.pgbouncer import PgBouncer

from backend_doctor.backends.postgres.connection import connect
from backend_doctor.backends.postgres.server_settings import ServerSettings
from backend_doctor.backends.postgres.statements import StatementStatistics
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer

_NAMED = "SELECT name, generic_plans + custom_plans AS runs FROM pg_prepared_statements"


async def read_twice(url: str) -> tuple[bool, list[dict[str, Any]]]:
    """Whether a pooler stands between, and what our session then keeps prepared."""
    _, db = await connect(parse_url(url, place="test"), limit=5.0)
    assert db is not None
    for _ in range(2):
        await ServerSettings.collect(db)
        await StatementStatistics.collect(db)
    kept = await db.fetch(_NAMED)
    await db.close()
    return db.pooled, kept


def test_each_statement_is_parsed_once_and_run_as_often_as_asked(
    postgres15: PostgresServer, postgres18: PostgresServer
) -> None:
    for server in (postgres15, postgres18):
        pooled, kept = asyncio.run(read_twice(server.admin_url()))
        assert not pooled
        read = [one["runs"] for one in kept if one["name"].startswith("backend_doctor_read_")]
        # settings, their files and the statistics, and the question itself
        assert sorted(read) == [1, 2, 2, 2]


def test_nothing_stays_prepared_in_a_session_of_a_pool(postgres15: PostgresServer) -> None:
    with PgBouncer(postgres15, pool_size=1) as pooler:
        pooled, kept = asyncio.run(read_twice(pooler.url()))
        assert pooled
        assert [one for one in kept if one["name"]] == []
        assert asyncio.run(_seen_by_the_next(pooler.url())) == []


async def _seen_by_the_next(url: str) -> list[str]:
    client = await asyncpg.connect(url, statement_cache_size=0)
    rows = await client.fetch("SELECT name FROM pg_prepared_statements WHERE name <> ''")
    await client.close()
    return [row["name"] for row in rows]
