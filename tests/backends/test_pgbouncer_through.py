"""Who holds a session that comes through PgBouncer: facts in, and real servers."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import pytest
from tests.checks.pgbouncer.builders import here, pair
from tests.checks.postgres.builders import looks
from tests.safety.client import Client as Session
from tests.safety.tool import check
from tests.servers.pgbouncer import PgBouncer

from backend_doctor import Each
from backend_doctor.backends.pgbouncer.sockets import Client, Clients, Server, Servers
from backend_doctor.backends.pgbouncer.through import clients_through, held_through, kept
from backend_doctor.demo.servers import PostgresServer

Pair = tuple[Client, Server]


def pooler(*pairs: Pair) -> tuple[Each[Clients], Each[Servers]]:
    """One PgBouncer that serves these clients."""
    clients = Clients(clients=tuple(client for client, _ in pairs))
    servers = Servers(servers=tuple(server for _, server in pairs))
    return Each[Clients]({"pgbouncer": clients}), Each[Servers]({"pgbouncer": servers})


def told(*pairs: Pair) -> str:
    (found,) = held_through([here(server.pid) for _, server in pairs], *pooler(*pairs))
    return found.text


def test_one_client_is_named_with_its_address() -> None:
    assert told(pair(11)) == "held through PgBouncer: 1 by shop-api from 10.0.0.8:60011"


def test_many_are_counted_by_application() -> None:
    pairs = [*(pair(pid) for pid in range(11, 16)), pair(21, "billing")]
    assert told(*pairs) == (
        "held through PgBouncer: 5 by shop-api from 10.0.0.8:60011, 10.0.0.8:60012, "
        "10.0.0.8:60013 and 2 more; 1 by billing from 10.0.0.8:60021"
    )


@pytest.mark.parametrize(
    ("host", "place"),
    [("unix", "a unix socket"), ("", "a unix socket"), ("2001:db8::7", "[2001:db8::7]:60011")],
)
def test_other_addresses(host: str, place: str) -> None:
    client, server = pair(11)
    assert told((msgspec.structs.replace(client, host=host), server)).endswith(f"from {place}")


@pytest.mark.parametrize(
    ("client", "server"),
    [
        ({"server": ""}, {}),
        ({"server": "s99"}, {}),
        ({}, {"client": ""}),
        ({}, {"pid": 12}),
        ({}, {"pid": 0}),
        ({}, {"local_port": 40_012}),
    ],
    ids=["let go", "has another", "free", "other process", "logs in", "a pid of another server"],
)
def test_nothing_is_said_unless_all_agrees(client: dict[str, str], server: dict[str, str]) -> None:
    one, other = pair(11)
    joined = msgspec.structs.replace(one, **client), msgspec.structs.replace(other, **server)
    assert clients_through([here(11)], *pooler(joined)) == {}
    assert list(held_through([here(11)], *pooler(joined))) == []


def test_without_a_pooler_nothing_is_said() -> None:
    assert list(held_through([here(11)], Each[Clients]({}), Each[Servers]({}))) == []
    clients, _ = pooler(pair(11))
    assert list(held_through([here(11)], clients, Each[Servers]({}))) == []


def test_only_what_stayed_is_kept() -> None:
    found = looks([here(11), here(12), here(13)], [here(11), here(12, state_us=1)])
    assert [session.pid for session in kept(found)] == [11]


@contextmanager
def leaked(pooler: PgBouncer, count: int) -> Iterator[set[str]]:
    """Clients that keep a transaction open through the pooler; their own ends."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Session(pooler.url(), "shop-api")) for _ in range(count)]
        for client in clients:
            client.do("BEGIN; SELECT 1")
        yield {client.end for client in clients}


def test_the_report_names_the_real_clients(
    make_postgres: Callable[..., PostgresServer], make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    server = make_postgres(15, settings={"max_connections": 8})
    pooler = make_pgbouncer(server, pool_size=4)
    with leaked(pooler, 3) as ends, Session(server.admin_url(), "beside") as beside:
        beside.do("BEGIN; SELECT 1")
        ran = check("--window", "4.5", DB=server.admin_url(), POOL=pooler.console_url("postgres"))
    assert ran.code == 2, ran.out
    for name in ("postgres.idle_in_transaction", "postgres.pool_exhaustion"):
        finding = ran.finding(name)
        (said,) = [e for e in finding["evidence"] if e["key"] == "clients_through_pgbouncer"]
        assert said["value"] == 3
        assert "3 by shop-api from " in said["text"]
        assert set(re.findall(r"127\.0\.0\.1:\d+", said["text"])) == ends
    assert ran.finding("postgres.idle_in_transaction")["cause"]["label"] == (
        "leak.idle_in_transaction"
    )
