"""Redis' and Valkey's login and facts, against real servers."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from tests.servers.listener import BannerServer, Listener

from backend_doctor.backends.redis.clients import Clients, parse_client
from backend_doctor.backends.redis.connection import RedisConnection, connect, parse_info
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.backends.redis.peers import SocketPeers
from backend_doctor.backends.redis.remedies import close_idle
from backend_doctor.backends.redis.rights import COMMANDS, RIGHTS, allow, quote_argument
from backend_doctor.backends.redis.session_keys import SessionKeys
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import RedisServer, free_port
from backend_doctor.endpoint import Endpoint, Tls
from backend_doctor.facts import Absent, Instance, Login, Problem
from backend_doctor.secret import Secret

KINDS = ("valkey", "redis")
MakeRedis = Callable[..., RedisServer]


def _endpoint(url: str) -> Endpoint:
    return parse_url(url, place="test")


def _instance(endpoint: Endpoint) -> Instance:
    return Instance(
        service="shop",
        backend="redis",
        name="redis",
        address=endpoint.address,
        host=endpoint.host,
        port=endpoint.port,
    )


def _log_in(endpoint: Endpoint, limit: float = 5.0) -> Login:
    async def once() -> Login:
        login, connection = await connect(endpoint, limit=limit)
        if connection is not None:
            await connection.close()
        return login

    return asyncio.run(once())


async def _opened(endpoint: Endpoint) -> tuple[Login, RedisConnection]:
    login, connection = await connect(endpoint, limit=5.0)
    assert connection is not None, login
    return login, connection


@contextlib.contextmanager
def _admin(server: RedisServer) -> Iterator[Any]:
    with Redis.from_url(server.admin_url(), decode_responses=True) as admin:
        yield admin


@contextlib.contextmanager
def _clients(
    server: RedisServer, count: int, name: str = "", first: str = ""
) -> Iterator[list[socket.socket]]:
    """Raw connections; each sends its name and one command, if given, and then idles."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection((server.host, server.port), 5))
            for command in filter(None, (name and f"CLIENT SETNAME {name}", first)):
                one.sendall(f"{command}\r\n".encode())
                if not first.startswith("BLPOP") or command != first:
                    one.recv(200)
            found.append(one)
        yield found


@contextlib.contextmanager
def _all_slots(server: RedisServer, count: int) -> Iterator[None]:
    """Takes every slot, those too that clients just gone have not yet given back."""
    with contextlib.ExitStack() as stack:
        taken, end = 0, time.monotonic() + 10
        while taken < count and time.monotonic() < end:
            one = stack.enter_context(socket.create_connection((server.host, server.port), 5))
            one.sendall(b"PING\r\n")
            taken += one.recv(200).startswith(b"+PONG")
        assert taken == count
        yield


async def _facts(endpoint: Endpoint) -> tuple[Login, ClientLimits, Clients]:
    login, connection = await _opened(endpoint)
    limits = await ClientLimits.collect(connection, login, None)
    clients = await Clients.collect(connection, limits)
    await connection.close()
    return login, limits, clients


@pytest.mark.parametrize("kind", KINDS)
def test_facts_of_a_real_server(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind, settings={"maxclients": 40})
    product = {"valkey": "Valkey 9.", "redis": "Redis 7."}[kind]
    with (
        _clients(server, 6, "leaky-svc"),
        _clients(server, 2, "stream", "BLPOP queue 0"),
        _clients(server, 1, "", "GET x"),
    ):
        for url in (server.url(), f"unix://{server.socket}"):
            login, limits, clients = asyncio.run(_facts(_endpoint(url)))
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
        login, connection = await _opened(_endpoint(server.url()))
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

    with _clients(server, 8, "leaky-svc"), _clients(server, 4, "worker", "PING") as busy:
        first, last = asyncio.run(looks())
    found = {holding.holder: holding for holding in last.holdings(1.5, first)}
    assert (len(found["leaky-svc"].idle), found["leaky-svc"].never_used) == (8, 8)
    assert (found["worker"].total, len(found["worker"].idle)) == (4, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_password_is_one_attempt(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind, password="right/@%", users=["doctor on >doctors +info"])
    with _admin(server) as admin:
        before = admin.info("stats")["total_connections_received"]
        for user, password in (("doctor", "canary-1"), (None, "canary-2"), (None, None)):
            login = _log_in(_endpoint(server.url(user, password)))
            assert login.problem is Problem.LOGIN, login
            assert login.code == ("NOAUTH" if password is None else "WRONGPASS")
            assert "canary" not in login.message
        assert admin.info("stats")["total_connections_received"] == before + 3
        failures = [entry for entry in admin.acl_log() if entry["reason"] == "auth"]
        assert sum(entry["count"] for entry in failures) == 2
    assert _log_in(_endpoint(server.admin_url())).ok


@pytest.mark.parametrize("kind", KINDS)
def test_the_least_rights_suffice(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind, users=[f"doctor on >doctors resetchannels {RIGHTS}"])
    endpoint = _endpoint(server.url("doctor", "doctors"))

    async def named() -> str:
        _, connection = await _opened(endpoint)
        for parts in sorted(COMMANDS - {("CLIENT", "SETNAME"), ("CLIENT", "LIST")}):
            await connection.command(*parts)
        listing = await connection.client_list()
        await connection.close()
        return listing

    login, limits, clients = asyncio.run(_facts(endpoint))
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
    with _admin(server) as admin:
        admin.execute_command("ACL", "SETUSER", user, "on", ">pass", "~app:*", "+get")
        endpoint = _endpoint(server.url(user, "pass"))

        async def blind() -> tuple[Login, Absent, Absent]:
            login, connection = await _opened(endpoint)
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
        assert asyncio.run(_facts(endpoint))[1].used == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_server_is_told_every_time(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind, settings={"maxclients": 10}, password="secret")
    tcp, unix = _endpoint(server.admin_url()), _endpoint(f"unix://:secret@{server.socket}")
    bare = _endpoint(server.url())
    with _clients(server, 10):
        for endpoint in (tcp, unix, bare) * 10:
            login = _log_in(endpoint)
            assert login.problem is Problem.FULL, login
            assert login.message == "max number of clients reached"
            assert login.seconds < 1
        peers = asyncio.run(SocketPeers.collect(_instance(tcp), login))
        assert peers.total == 10
        assert [(peer.pid, peer.connections) for peer in peers.peers] == [(os.getpid(), 10)]
        limits = asyncio.run(ClientLimits.collect(None, login, peers))
        assert (limits.used, limits.refused, limits.share) == (10, True, 1.0)
        with pytest.raises(Absent):
            asyncio.run(SocketPeers.collect(_instance(unix), login))
    time.sleep(0.2)
    assert asyncio.run(_facts(tcp))[1].rejections == 30


def test_no_peers_are_sought_when_they_are_not_needed() -> None:
    elsewhere = _instance(_endpoint("redis://203.0.113.9"))
    for problem in (Problem.NONE, Problem.FULL):
        login = Login(problem=problem, address="")
        with pytest.raises(Absent):
            asyncio.run(SocketPeers.collect(elsewhere, login))


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_lost_is_not_opened_again(make_redis: MakeRedis, kind: str) -> None:
    server = make_redis(kind)

    async def lose() -> None:
        _, connection = await _opened(_endpoint(server.url()))
        with _admin(server) as admin:
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            before = admin.info("stats")["total_connections_received"]
            for _ in range(2):
                with pytest.raises(Exception, match=r"closed|lost|reset"):
                    await connection.info()
                assert connection.is_closed()
            assert admin.info("stats")["total_connections_received"] == before
        await connection.close()
        connection.abort()

    asyncio.run(lose())


def test_abort_closes_the_socket_at_once(valkey: RedisServer) -> None:
    async def drop() -> None:
        _, connection = await _opened(_endpoint(valkey.url()))
        connection.abort()
        assert connection.is_closed()
        await asyncio.sleep(0.1)
        with _admin(valkey) as admin:
            names = [client["name"] for client in admin.client_list()]
            assert "backend-doctor" not in names

    asyncio.run(drop())


def test_only_commands_of_ours_are_sent(valkey: RedisServer) -> None:
    async def send() -> None:
        _, connection = await _opened(_endpoint(valkey.url()))
        for parts in (("KEYS", "*"), ("CONFIG", "GET", "*"), ("CLIENT", "KILL"), ("DEBUG",)):
            with pytest.raises(ValueError, match="not among"):
                await connection.command(*parts)
        assert connection.statements == 2
        await connection.close()

    asyncio.run(send())


def _sessions(url: str, pattern: str = "SESSION:*") -> SessionKeys | Absent:
    endpoint = _endpoint(url)
    place = msgspec.structs.replace(
        _instance(endpoint), database=endpoint.database or "", settings={"session_keys": pattern}
    )

    async def look() -> SessionKeys | Absent:
        _, connection = await _opened(endpoint)
        try:
            return await SessionKeys.collect(connection, place)
        except Absent as absent:
            # what was sent after the refused command must not be taken for later replies
            assert (await connection.info())["redis_version"]
            return absent
        finally:
            await connection.close()

    return asyncio.run(look())


@pytest.mark.parametrize("kind", KINDS)
def test_session_keys_are_counted_and_timed_in_their_database(
    make_redis: MakeRedis, kind: str
) -> None:
    server = make_redis(kind)
    with Redis.from_url(server.admin_url(3)) as admin:
        for number in range(30):
            admin.set(f"SESSION:{number}", "value", ex=100 + 10 * number)
        admin.set(b"SESSION:\xff", "value")
        admin.set("other", "value", ex=9000)
        found = _sessions(server.admin_url(3))
        assert isinstance(found, SessionKeys)
        assert (found.matched, found.timed, found.endless, found.complete) == (31, 30, 1, True)
        assert found.shortest == pytest.approx(100, abs=5)
        assert found.median == pytest.approx(250, abs=5)
        assert found.longest == pytest.approx(390, abs=5)
        assert _sessions(server.admin_url(0)) == SessionKeys(matched=0, complete=True)
        with admin.pipeline(transaction=False) as many:
            for number in range(6000):
                many.set(f"SESSION:{number}", "value", ex=1000)
            many.execute()
        before = admin.info("commandstats")["cmdstat_pttl"]["calls"]
        some = _sessions(server.admin_url(3))
        assert isinstance(some, SessionKeys)
        assert 1500 <= some.matched <= 2600
        assert (some.timed, some.complete) == (200, False)
        calls = admin.info("commandstats")
        assert calls["cmdstat_pttl"]["calls"] - before == 200
        assert calls["cmdstat_scan"]["calls"] <= 12


@pytest.mark.parametrize("rules", ["", "+scan +select", "+scan +select +pttl"])
def test_without_rights_session_keys_are_unknown_and_no_key_is_named(
    make_redis: MakeRedis, rules: str
) -> None:
    server = make_redis("redis")
    with _admin(server) as admin:
        admin.execute_command(*f"ACL SETUSER watcher on >pass {RIGHTS} {rules}".split())
        for number in range(5):
            admin.set(f"SESSION:{number}", "value", ex=100)
        refused = _sessions(server.url("watcher", "pass", 0))
        assert isinstance(refused, Absent)
        assert "SESSION" not in str(refused)
        remedy = refused.absence.remedy
        assert remedy == allow("watcher", "SESSION:*")
        subprocess.run(
            ["redis-cli", "-p", str(server.port)], input=remedy, text=True, timeout=10, check=True
        )
        found = _sessions(server.url("watcher", "pass", 0))
        assert isinstance(found, SessionKeys)
        assert found.timed == 5


@pytest.mark.parametrize(
    ("protocol", "answered_by"), [("http", "HTTP"), ("ssh", "SSH"), ("amqp", "AMQP")]
)
def test_another_protocol_is_named(protocol: str, answered_by: str) -> None:
    with BannerServer(protocol) as other:
        login = _log_in(_endpoint(f"redis://127.0.0.1:{other.port}"), 2.0)
    assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, answered_by)


def test_postgres_is_named(postgres18: Any) -> None:
    login = _log_in(_endpoint(f"redis://127.0.0.1:{postgres18.port}"))
    assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, "PostgreSQL")


def test_nobody_there() -> None:
    refused = _log_in(_endpoint(f"redis://127.0.0.1:{free_port()}"))
    assert (refused.problem, refused.code) == (Problem.REFUSED, "ECONNREFUSED")
    assert refused.seconds < 1
    missing = _log_in(_endpoint("unix:///nonexistent/redis.sock"))
    assert missing.problem is Problem.REFUSED
    unknown = _log_in(_endpoint("redis://no-such-host.invalid"))
    assert unknown.problem is Problem.NAME_UNKNOWN


def test_a_silent_server_costs_the_limit_and_no_more() -> None:
    with Listener() as silent:
        started = time.monotonic()
        login = _log_in(_endpoint(f"redis://:canary@127.0.0.1:{silent.port}"), 1.0)
        assert time.monotonic() - started < 2.0
    assert login.problem is Problem.TIMED_OUT


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_still_loads(make_redis: MakeRedis, kind: str) -> None:
    slow = {"save": "3600 100000", "key-load-delay": 20000, "rdbcompression": "no"}
    server = make_redis(kind, settings={**slow, "loading-process-events-interval-bytes": 1024})
    with _admin(server) as admin:
        for number in range(100):
            admin.set(f"key:{number}", "x" * 200)
        admin.save()
    restart = threading.Thread(target=server.restart)
    restart.start()
    found = set()
    try:
        while restart.is_alive() and Problem.STARTING not in found:
            found.add(_log_in(_endpoint(server.url())).problem)
    finally:
        restart.join()
    assert Problem.STARTING in found
    assert _log_in(_endpoint(server.url())).ok


@pytest.mark.parametrize("kind", KINDS)
def test_the_stop_remedy_closes_those_clients_and_no_others(
    make_redis: MakeRedis, kind: str
) -> None:
    server = make_redis(kind)
    endpoint = _endpoint(server.url())
    with _clients(server, 40, "leaky-svc") as leak, _clients(server, 3, "worker", "PING"):
        time.sleep(2.2)
        clients = asyncio.run(_facts(endpoint))[2]
        holding = clients.holdings(2)[0]
        assert (holding.holder, len(holding.idle)) == ("leaky-svc", 40)
        leak[0].sendall(b"PING\r\n")
        leak[0].recv(100)
        remedy = close_idle(holding, _instance(endpoint))
        done = subprocess.run(["sh", "-c", remedy.command], capture_output=True, timeout=10)
        assert (done.returncode, done.stdout.split()) == (0, [b"1"] * 39)
        after = {g.holder: g.total for g in asyncio.run(_facts(endpoint))[2].groups}
        assert after == {"leaky-svc": 1, "worker": 3}


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """A CA, and a certificate of it for ``localhost``; readable by the server's user."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is missing, the tests need it: apt-get install openssl"
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        common = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        for stem, subject, more in (
            ("ca", "/CN=test authority", []),
            (
                "server",
                "/CN=localhost",
                [
                    *("-addext", "subjectAltName=DNS:localhost"),
                    *("-addext", "basicConstraints=CA:FALSE"),
                    *("-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key"),
                ],
            ),
        ):
            files = ["-keyout", f"{folder}/{stem}.key", "-out", f"{folder}/{stem}.pem"]
            subprocess.run(
                [*common, *files, "-subj", subject, *more],
                check=True,
                capture_output=True,
                timeout=60,
            )
        for path in folder.iterdir():
            path.chmod(0o644)
        yield folder


def test_tls(make_redis: MakeRedis, certificates: Path) -> None:
    port = free_port()
    server = make_redis(
        "redis",
        settings={
            "maxclients": 5,
            "tls-port": port,
            "tls-cert-file": certificates / "server.pem",
            "tls-ca-cert-file": certificates / "ca.pem",
            "tls-auth-clients": "no",
            "tls-key-file": certificates / "server.key",
        },
    )
    ca = str(certificates / "ca.pem")

    def attempt(host: str = "localhost", **tls: Any) -> Login:
        return _log_in(Endpoint(kind="redis", hosts=((host, port),), tls=Tls(**tls)))

    assert attempt(mode="verify-full", ca_file=ca).ok
    assert attempt("127.0.0.1", mode="verify-ca", ca_file=ca).ok
    assert attempt("127.0.0.1", mode="require").ok
    name = attempt("127.0.0.1", mode="verify-full", ca_file=ca)
    assert name.problem is Problem.TLS
    assert "IP address mismatch" in name.message
    authority = attempt(mode="verify-full")
    assert authority.problem is Problem.TLS
    assert "self-signed certificate" in authority.message
    unreadable = attempt(mode="verify-full", ca_file="/nonexistent/ca.pem")
    assert (unreadable.problem, unreadable.seconds < 1) == (Problem.TLS, True)
    assert "/nonexistent/ca.pem cannot be read" in unreadable.message
    plain = _log_in(_endpoint(f"redis://localhost:{port}"))
    assert not plain.ok
    assert plain.seconds < 3
    with _all_slots(server, 5):
        full = attempt(mode="require")
        assert not full.ok
        assert (full.problem, "maxclients" in full.message) == (Problem.OTHER, True), full


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


def test_a_secret_is_not_in_any_failure() -> None:
    secret = Secret("canary/with@signs")
    hosts = (("127.0.0.1", free_port()),)
    login = _log_in(Endpoint(kind="redis", hosts=hosts, password=secret))
    assert "canary" not in repr(login)
