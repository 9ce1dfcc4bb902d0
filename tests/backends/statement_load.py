"""An application that sends one statement again and again, and the database that it uses."""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import asyncpg
from tests.safety.client import Client

from backend_doctor.demo.servers import PostgresServer

SETTINGS: dict[str, str | int] = {
    "shared_preload_libraries": "pg_stat_statements",
    "max_connections": 30,
}
_SHOP = """
CREATE EXTENSION pg_stat_statements;
CREATE TABLE orders (id serial PRIMARY KEY, customer_id int, status text, note varchar(40),
                     created timestamptz DEFAULT now());
INSERT INTO orders (customer_id, status, note)
SELECT g % 30000, CASE WHEN g % 10 < 6 THEN 'done' ELSE 'open' END, md5(g::text)
  FROM generate_series(1, 300000) AS g;
CREATE TABLE colours (id int, name text);
INSERT INTO colours SELECT g, 'colour ' || g FROM generate_series(1, 200) AS g;
CREATE SEQUENCE calls;
CREATE FUNCTION recorded(wanted int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
  'BEGIN PERFORM nextval(''public.calls''); RETURN wanted; END';
ANALYZE;
"""


def furnish(server: PostgresServer) -> None:
    """The databases shop and other; orders lacks the index that it needs."""
    with Client(server.admin_url()) as admin:
        admin.do("CREATE DATABASE shop")
        admin.do("CREATE ROLE app LOGIN")
        with Client(server.admin_url("shop")) as owner:
            owner.do(_SHOP)
            owner.do("GRANT ALL ON ALL TABLES IN SCHEMA public TO app")
            owner.do("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app")
            owner.do("CHECKPOINT")
        while admin.ask("SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop'"):
            pass
        admin.do("CREATE DATABASE other TEMPLATE shop")


class Load:
    """Sends ``sql`` with ``arguments(number)`` as fast as the server answers, until the end."""

    def __init__(
        self,
        server: PostgresServer,
        sql: str,
        arguments: Callable[[int], tuple[object, ...]] = lambda _: (),
        *,
        database: str = "shop",
        application: str = "shop-api",
        pause: float = 0.0,
    ) -> None:
        self._url = server.url("app", None, database)
        self._sql, self._arguments, self._pause = sql, arguments, pause
        self._application = application
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.calls = 0

    async def _run(self) -> None:
        connection = await asyncpg.connect(
            self._url, server_settings={"application_name": self._application}
        )
        while not self._ended.is_set():
            self.calls += 1
            await connection.fetch(self._sql, *self._arguments(self.calls))
            await asyncio.sleep(self._pause)
        await connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(10)
