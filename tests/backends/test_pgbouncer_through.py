"""Who holds a session that comes through PgBouncer: facts in, and real servers."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
import pytest
from tests.checks.pgbouncer.builders import here, pair, pooler
from tests.checks.postgres.builders import instance, looks, run, service, waiting
from tests.checks.postgres.vacuum_facts import activity, holder, horizon, table
from tests.safety.client import Client as Session
from tests.safety.tool import check
from tests.servers.pgbouncer import PgBouncer

from backend_doctor import Each, Finding, Looks, Status
from backend_doctor.backends.pgbouncer.sockets import Client, Clients, Server, Servers
from backend_doctor.backends.pgbouncer.through import clients_through, held_through, kept
from backend_doctor.backends.postgres.limits import ConnectionLimit, ConnectionLimits
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.demo.servers import PostgresServer

Pair = tuple[Client, Server]


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
    last = [here(11), here(12), here(13), here(14, transaction_us=5), here(15, transaction_us=5)]
    earlier = [here(14, transaction_us=5, state_us=1), here(15, transaction_us=4, state_us=1)]
    found = looks(last, [here(11), here(12, state_us=1), *earlier])
    assert [session.pid for session in kept(last, found)] == [11, 14]
    assert kept(last, None) == []
    assert kept(earlier, found) == [earlier[0]]


def alarm(check: str, found: Looks[Sessions]) -> Finding:
    """What a check says of sessions of which pid 11 holds what others want."""
    linked = pooler(pair(11), pair(12))
    limit = ConnectionLimit(kind="role", name="shop", most=2, used=2)
    facts: dict[str, tuple[object, ...]] = {
        "connection_limits": (
            ConnectionLimits(limits=(limit,)),
            *(found, None, *linked, service(), instance()),
        ),
        "dead_rows": (
            activity(table(dead=400_000)),
            *(horizon(holder(11, seconds=90.0)), found, *linked),
        ),
        "lock_waits": (found.last, found, None, *linked),
        "long_transactions": (found.last, found, None, *linked),
    }
    (finding,) = run(check, *facts[check])
    return finding


@pytest.mark.parametrize(
    "check", ["connection_limits", "dead_rows", "lock_waits", "long_transactions"]
)
def test_whoever_names_a_holder_names_the_client_behind_it(check: str) -> None:
    fields: dict[str, Any] = {"transaction_age": 90.0, "locks": 1, "has_xmin": True, "xmin": 900}
    stuck = here(11, state="idle in transaction", transaction_us=5, **fields)
    waits = waiting(12, 11, user="other")
    finding = alarm(check, looks([stuck, waits]))
    assert "1 by shop-api from 10.0.0.8:60011" in finding.evidence[-1].text
    moved = here(11, state="idle in transaction", transaction_us=4, state_us=1)
    finding = alarm(check, looks([stuck, waits], [moved]))
    assert finding.status is not Status.OK
    assert all(one.key != "clients_through_pgbouncer" for one in finding.evidence)


@contextmanager
def leaked(pooler: PgBouncer, count: int) -> Iterator[set[str]]:
    """Clients that keep a transaction open through the pooler, one with a lock; their ends."""
    with ExitStack() as stack:
        url = pooler.url("app")
        clients = [stack.enter_context(Session(url, "shop-api")) for _ in range(count)]
        for client in clients:
            client.do("BEGIN; SELECT 1")
        clients[0].do("SELECT * FROM stock")
        yield {client.end for client in clients}


def test_the_report_names_the_real_clients(
    make_postgres: Callable[..., PostgresServer], make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    server = make_postgres(15, settings={"max_connections": 8})
    pooler = make_pgbouncer(server, pool_size=4, users={"app": ""})
    with ExitStack() as stack:
        beside = stack.enter_context(Session(server.admin_url(), "beside"))
        beside.do("CREATE ROLE app LOGIN CONNECTION LIMIT 3; CREATE TABLE stock (id int)")
        beside.do("GRANT SELECT ON stock TO app")
        ends = stack.enter_context(leaked(pooler, 3))
        beside.start("DROP TABLE stock")
        ran = check("--window", "4.5", DB=server.admin_url(), POOL=pooler.console_url("postgres"))
    assert ran.code == 2, ran.out
    for name in ("idle_in_transaction", "pool_exhaustion", "connection_limits", "lock_waits"):
        finding = ran.finding(f"postgres.{name}")
        (said,) = [e for e in finding["evidence"] if e["key"] == "clients_through_pgbouncer"]
        count = 1 if name == "lock_waits" else 3
        assert said["value"] == count
        assert f"{count} by shop-api from " in said["text"]
        named = set(re.findall(r"127\.0\.0\.1:\d+", said["text"]))
        assert named < ends if name == "lock_waits" else named == ends
    assert ran.finding("postgres.idle_in_transaction")["cause"]["label"] == (
        "leak.idle_in_transaction"
    )
