"""Behind PgBouncer: nothing is set on server connections that others use after us."""

from collections.abc import Callable

import pytest
from tests.safety.client import Client
from tests.safety.test_statements import LOGGED, own_texts, statements
from tests.safety.tool import check
from tests.servers.pgbouncer import PgBouncer

from backend_doctor.backends.postgres.guards import BEGIN
from backend_doctor.demo.servers import PostgresServer

_SETTINGS = """
SELECT current_setting('statement_timeout') AS statement_timeout,
       current_setting('lock_timeout') AS lock_timeout,
       current_setting('idle_in_transaction_session_timeout') AS idle_timeout,
       current_setting('default_transaction_read_only') AS read_only,
       current_setting('search_path') AS search_path,
       current_setting('jit') AS jit,
       current_setting('join_collapse_limit') AS joins,
       (SELECT count(*) FROM pg_prepared_statements WHERE name <> '') AS prepared,
       pg_backend_pid() AS pid
"""


@pytest.fixture
def upstream(make_postgres: Callable[..., PostgresServer]) -> PostgresServer:
    return make_postgres(15, settings=LOGGED)


@pytest.fixture
def pooler(upstream: PostgresServer, make_pgbouncer: Callable[..., PgBouncer]) -> PgBouncer:
    return make_pgbouncer(upstream, pool_size=1)


def test_a_pooler_is_named_and_left_clean(upstream: PostgresServer, pooler: PgBouncer) -> None:
    with Client(pooler.url(), "before") as client:
        before = client.row(_SETTINGS)
    ran = check("--window", "0.5", DATABASE_URL=pooler.url())
    with Client(pooler.url(), "after") as client:
        after = client.row(_SETTINGS)
        client.do("CREATE TABLE writable ()")
    assert after == before, "the next client on the same server connection finds it changed"
    assert ran.code == 0, ran.out
    (note,) = ran.target(pooler.port)["notes"]
    assert "a pooler stands between" in note
    text = check("--window", "0.5", "--format", "text", "-v", DATABASE_URL=pooler.url())
    assert "a pooler stands between" in " ".join(text.out.split())
    sent = statements(upstream)
    ends = (f"{BEGIN}; SET LOCAL ", "ROLLBACK", "COMMIT")
    foreign = {s for s in set(sent) - own_texts() if not s.startswith(ends)}
    # PgBouncer's own, when it lends a server connection to the next client
    assert {
        s for s in foreign if not s.startswith(("SET application_name", "SET client_"))
    } == set()


def test_a_direct_connection_has_no_such_note(upstream: PostgresServer) -> None:
    ran = check("--window", "0.5", DATABASE_URL=upstream.admin_url())
    assert ran.target(upstream.port)["notes"] == []


def test_a_pool_whose_only_connection_is_taken_is_told_in_time(pooler: PgBouncer) -> None:
    with Client(pooler.url(), "greedy") as client:
        client.do("BEGIN")
        ran = check("--connect-timeout", "1.5", "--window", "0.3", DATABASE_URL=pooler.url())
    assert ran.code == 2
    assert ran.seconds <= 4
    assert ran.causes() == {"reach.timed_out"}
