"""What guards our own reads leaves the plans of applications as they are."""

import asyncio
import json

import asyncpg
from tests.servers.pgbouncer import PgBouncer

from backend_doctor.backends.postgres.connection import connect
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer

# badly ordered: the last table has the one row with which to begin
_JOINS = """
SELECT a.attname FROM pg_attribute a JOIN pg_depend d ON d.refobjid = a.attrelid
  JOIN pg_class c ON c.oid = d.refobjid AND c.relname = 'pg_class'
"""


async def _asked(url: str) -> str:
    _, db = await connect(parse_url(url, place="test"), limit=5.0)
    assert db is not None
    plan = await db.explain(_JOINS, [], search_path=["pg_catalog"])
    await db.close()
    return json.dumps(json.loads(plan)[0]["Plan"])


async def _as_the_application(server: PostgresServer, limit: str) -> str:
    session = await asyncpg.connect(server.admin_url())
    await session.execute(f"SET jit = off; SET join_collapse_limit = {limit}")
    plan = await session.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON) {_JOINS}")
    await session.close()
    return json.dumps(json.loads(plan)[0]["Plan"])


def test_the_order_of_joins_is_searched_for_as_the_application_has_it(
    postgres15: PostgresServer, postgres18: PostgresServer
) -> None:
    for server in (postgres15, postgres18):
        usual = asyncio.run(_as_the_application(server, "DEFAULT"))
        assert asyncio.run(_as_the_application(server, "1")) != usual
        assert asyncio.run(_asked(server.admin_url())) == usual


def test_so_it_is_behind_a_pooler(postgres15: PostgresServer) -> None:
    with PgBouncer(postgres15, pool_size=1) as pooler:
        usual = asyncio.run(_as_the_application(postgres15, "DEFAULT"))
        assert asyncio.run(_asked(pooler.url())) == usual
