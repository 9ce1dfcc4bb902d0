"""Redis' and Valkey's facts and rights, against real servers."""

import asyncio
import os
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from tests.backends.redis_looks import (
    KINDS,
    MakeRedis,
    admin_of,
    clients_of,
    endpoint_of,
    facts_of,
    instance_of,
    log_in,
    opened,
)

from backend_doctor.backends.redis.clients import Clients, parse_client
from backend_doctor.backends.redis.connection import parse_info
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.backends.redis.peers import SocketPeers
from backend_doctor.backends.redis.remedies import close_idle
from backend_doctor.backends.redis.rights import COMMANDS, RIGHTS, allow, quote_argument
from backend_doctor.demo.servers import RedisServer
from backend_doctor.facts import Absent, Login, Problem


@pytest.mark.parametrize("kind", KINDS)
def test_facts_of_a_real_server(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind, settings={"maxclients": 40})
    product = {"valkey": "Valkey 9.", "redis": "Redis 7."}[kind]
    with (
        clients_of(server, 6, "leaky-svc"),
        clients_of(server, 2, "stream", "BLPOP queue 0"),
        clients_of(server, 1, "", "GET x"),
    ):
        for url in (server.url(), f"unix://{server.socket}"):
            login, limits, clients = asyncio.run(facts_of(endpoint_of(url)))
            assert login.ok
            assert login.server.startswith(product)
            assert not login.notes
            assert (limits.used, limits.maxclients, limits.rejections) == (9, 40, 0)
            assert limits.blocked == 2
            assert len(limits.run_id) == 40
            totals = {group.holder: (group.total, group.waiting) for group in clients.groups}
            assert totals == {
                "leaky-svc": (6, 0),
                "stream": (2, 2),
                "unnamed clients at 127.0.0.1": (1, 0),
            }


@pytest.mark.parametrize("kind", KINDS)
def test_idle_from_look_to_look(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind)

    async def looks() -> tuple[Clients, Clients]:
        login, connection = await opened(endpoint_of(server.url()))
        limits = await ClientLimits.collect(connection, login, None)
        first = await Clients.collect(connection, limits)
        for _ in range(5):
            await asyncio.sleep(0.5)
            for one in busy:
                one.sendall(b"PING\r\n")
                one.recv(100)
        last = await Clients.collect(connection, limits)
        await connection.close()
        return first, last

    with clients_of(server, 8, "leaky-svc"), clients_of(server, 4, "worker", "PING") as busy:
        first, last = asyncio.run(looks())
    found = {holding.holder: holding for holding in last.holdings(1.5, first)}
    assert (len(found["leaky-svc"].idle), found["leaky-svc"].never_used) == (8, 8)
    assert (found["worker"].total, len(found["worker"].idle)) == (4, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_least_rights_suffice(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind, users=[f"doctor on >doctors resetchannels {RIGHTS}"])
    endpoint = endpoint_of(server.url("doctor", "doctors"))

    async def named() -> str:
        _, connection = await opened(endpoint)
        for parts in sorted(COMMANDS - {("CLIENT", "SETNAME"), ("CLIENT", "LIST")}):
            await connection.command(*parts)
        listing = await connection.client_list()
        await connection.close()
        return listing

    login, limits, clients = asyncio.run(facts_of(endpoint))
    assert (login.ok, limits.used, clients.groups) == (True, 0, ())
    assert " name=backend-doctor " in asyncio.run(named())
    with Redis.from_url(server.url("doctor", "doctors")) as doctor:
        for command in (
            "GET x",
            "SET x 1",
            "KEYS *",
            "CONFIG GET *",
            "CLIENT KILL ID 1",
            "ACL LIST",
        ):
            with pytest.raises(Exception, match=r"no permission|NOPERM|permissions"):
                doctor.execute_command(*command.split())


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_right_comes_with_its_remedy(make_redis: MakeRedis, kind: str) -> None:
    user = 'strange"user'
    server = make_redis(kind)
    with admin_of(server) as admin:
        admin.execute_command("ACL", "SETUSER", user, "on", ">pass", "~app:*", "+get")
        endpoint = endpoint_of(server.url(user, "pass"))

        async def blind() -> tuple[Login, Absent, Absent]:
            login, connection = await opened(endpoint)
            with pytest.raises(Absent) as limits:
                await ClientLimits.collect(connection, login, None)
            with pytest.raises(Absent) as clients:
                await Clients.collect(connection, ClientLimits(used=1))
            await connection.close()
            return login, limits.value, clients.value

        login, limits, clients = asyncio.run(blind())
        assert login.ok
        assert login.server == "Redis"
        assert "may not run INFO" in login.notes[0]
        assert "may not run CLIENT LIST" in str(clients)
        assert limits.absence.remedy == clients.absence.remedy == allow(user)
        pasted = subprocess.run(
            ["redis-cli", "-p", str(server.port)],
            input=limits.absence.remedy,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        assert pasted.stdout.strip() == "OK"
        assert asyncio.run(facts_of(endpoint))[1].used == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_server_is_told_every_time(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind, settings={"maxclients": 10}, password="secret")
    tcp, unix = endpoint_of(server.admin_url()), endpoint_of(f"unix://:secret@{server.socket}")
    bare = endpoint_of(server.url())
    with clients_of(server, 10):
        for endpoint in (tcp, unix, bare) * 10:
            login = log_in(endpoint)
            assert login.problem is Problem.FULL, login
            assert login.message == "max number of clients reached"
            assert login.seconds < 1
        peers = asyncio.run(SocketPeers.collect(instance_of(tcp), login))
        assert peers.total == 10
        assert [(peer.pid, peer.connections) for peer in peers.peers] == [(os.getpid(), 10)]
        limits = asyncio.run(ClientLimits.collect(None, login, peers))
        assert (limits.used, limits.refused, limits.share) == (10, True, 1.0)
        with pytest.raises(Absent):
            asyncio.run(SocketPeers.collect(instance_of(unix), login))
    time.sleep(0.2)
    assert asyncio.run(facts_of(tcp))[1].rejections == 30


def test_no_peers_are_sought_when_they_are_not_needed() -> None:
    elsewhere = instance_of(endpoint_of("redis://203.0.113.9"))
    for problem in (Problem.NONE, Problem.FULL):
        login = Login(problem=problem, address="")
        with pytest.raises(Absent):
            asyncio.run(SocketPeers.collect(elsewhere, login))


def test_only_commands_of_ours_are_sent(valkey: RedisServer) -> None:
    async def send() -> None:
        _, connection = await opened(endpoint_of(valkey.url()))
        for parts in (("KEYS", "*"), ("CONFIG", "GET", "*"), ("CLIENT", "KILL"), ("DEBUG",)):
            with pytest.raises(ValueError, match="not among"):
                await connection.command(*parts)
        assert connection.statements == 2
        await connection.close()

    asyncio.run(send())


@pytest.mark.parametrize("kind", KINDS)
def test_the_stop_remedy_closes_those_clients_and_no_others(
    make_redis: MakeRedis, kind: str
) -> None:
    server = make_redis(kind)
    endpoint = endpoint_of(server.url())
    with clients_of(server, 40, "leaky-svc") as leak, clients_of(server, 3, "worker", "PING"):
        time.sleep(2.2)
        clients = asyncio.run(facts_of(endpoint))[2]
        holding = clients.holdings(2)[0]
        assert (holding.holder, len(holding.idle)) == ("leaky-svc", 40)
        leak[0].sendall(b"PING\r\n")
        leak[0].recv(100)
        remedy = close_idle(holding, instance_of(endpoint))
        done = subprocess.run(["sh", "-c", remedy.command], capture_output=True, timeout=10)
        assert (done.returncode, done.stdout.split()) == (0, [b"1"] * 39)
        after = {g.holder: g.total for g in asyncio.run(facts_of(endpoint))[2].groups}
        assert after == {"leaky-svc": 1, "worker": 3}


@given(
    st.dictionaries(
        st.sampled_from(["id", "addr", "name", "age", "idle", "lib-name", "cmd", "user"]),
        st.text(st.characters(exclude_characters=" ", exclude_categories=["Cs"]), max_size=20),
        min_size=1,
        max_size=8,
    )
)
def test_client_lines_are_read_back(fields: dict[str, str]) -> None:
    line = " ".join(f"{key}={value}" for key, value in fields.items())
    assert parse_client(line) == fields


def test_a_socket_path_may_hold_blanks() -> None:
    fields = parse_client("id=3 addr=/var/my app/r.sock:0 name= age=1 idle=0 flags=U cmd=get")
    assert fields["addr"] == "/var/my app/r.sock:0"
    assert (fields["name"], fields["cmd"]) == ("", "get")


@given(st.text())
def test_any_info_is_read(text: str) -> None:
    assert all(":" not in key for key in parse_info(text))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_quoted_arguments_hold_no_line_break_and_no_open_quote(text: str) -> None:
    quoted = quote_argument(text)
    assert quoted.isprintable()
    if quoted != text:
        inner = quoted[1:-1]
        assert '"' not in inner
        assert inner.encode().decode("unicode_escape").encode("latin-1").decode() == text
