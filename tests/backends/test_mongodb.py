"""MongoDB's login and connections, against real servers."""

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from tests.safety.client import wait_until
from tests.safety.tool import check, run
from tests.servers.listener import BannerServer, Listener
from tests.servers.proxy import FaultProxy, Mode

from backend_doctor.backends import connect as connect_any
from backend_doctor.backends.mongodb.connection import COMMANDS, MongoConnection, allow, connect
from backend_doctor.backends.mongodb.connections import MongoConnections
from backend_doctor.backends.mongodb.members import SeedListError, seeds_of
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import MongoServer, RabbitServer, free_port
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Absent, Login, Problem

MakeMongo = Callable[..., MongoServer]
CANARY = "c/an@ry%41"


def endpoint(url: str) -> Endpoint:
    return parse_url(url, place="test")


async def opened(url: str) -> tuple[Login, MongoConnection]:
    login, connection = await connect(endpoint(url), limit=5.0)
    assert connection is not None, login
    return login, connection


def log_in(url: str, limit: float = 5.0) -> Login:
    async def once() -> Login:
        login, connection = await connect(endpoint(url), limit=limit)
        if connection is not None:
            await connection.close()
        return login

    return asyncio.run(once())


def look(url: str) -> tuple[Login, MongoConnections]:
    async def once() -> tuple[Login, MongoConnections]:
        login, connection = await opened(url)
        try:
            return login, await MongoConnections.collect(connection, login)
        finally:
            await connection.close()

    return asyncio.run(once())


@contextlib.contextmanager
def holding(server: MongoServer, count: int) -> Iterator[None]:
    """Raw connections that say nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection((server.host, server.port), 5))
        time.sleep(0.2)
        yield


def ours(server: MongoServer) -> list[Any]:
    """Our connections by their own account, the idle ones included."""
    found = server.command(
        "aggregate",
        pipeline=[
            {"$currentOp": {"allUsers": True, "idleConnections": True}},
            {"$match": {"clientMetadata.application.name": "backend-doctor"}},
        ],
        cursor={},
    )
    return list(found["cursor"]["firstBatch"])


def test_facts_of_a_real_server_and_nothing_is_left(mongod: MongoServer) -> None:
    assert wait_until(lambda: not ours(mongod))
    with holding(mongod, 7):
        login, connections = look(mongod.admin_url())
        assert (login.problem, login.server, login.notes) == (Problem.NONE, "MongoDB 6.0.5", ())
        assert connections.most == 60
        assert connections.used is not None
        assert 7 <= connections.used <= 9, "the fixture's own clients end a moment later"
    assert wait_until(lambda: not ours(mongod), 2)


def test_two_connections_and_our_name(mongod: MongoServer) -> None:
    async def session() -> list[Any]:
        _, connection = await opened(mongod.admin_url())
        found = await asyncio.to_thread(ours, mongod)
        await connection.close()
        return found

    found = asyncio.run(session())
    assert len(found) == 2
    assert wait_until(lambda: not ours(mongod), 2)


def test_a_member_of_a_set_and_a_wrong_set_name(make_mongo: MakeMongo) -> None:
    server = make_mongo(replica_set="rs0", password=CANARY)
    assert log_in(server.admin_url() + "&replicaSet=rs0").ok
    wrong = log_in(server.admin_url() + "&replicaSet=rs1")
    assert (wrong.problem, wrong.code) == (Problem.OTHER, "replicaSet")
    assert "a member of the set rs0" in wrong.message
    alone = make_mongo()
    assert "no member of a set" in log_in(alone.url() + "?replicaSet=rs0").message
    dead = f"127.0.0.1:{free_port()}"
    url = server.admin_url().replace("@127.0.0.1", f"@{dead},127.0.0.1")
    passed_over = log_in(url)
    assert passed_over.ok
    assert passed_over.notes[0].startswith(f"{dead} was passed over: ")


def test_a_wrong_password_is_one_attempt(make_mongo: MakeMongo) -> None:
    server = make_mongo(password="right/@%")
    before = server.log().count('"Authentication failed"')
    for user, password in (("admin", CANARY), ("nobody", CANARY)):
        login = log_in(server.url(user, password))
        assert (login.problem, login.code) == (Problem.LOGIN, "18")
        assert login.seconds < 1
        assert "c/an" not in login.message
    elsewhere = log_in(server.url("admin", "right/@%").replace("authSource=admin", ""))
    assert elsewhere.problem is Problem.LOGIN, "users live where they were created"
    # an unknown user fails within the handshake, and once more in the login behind it
    assert server.log().count('"Authentication failed"') - before <= 5
    before = server.log().count('"Authentication failed"')
    log_in(server.url("admin", "wrong"))
    assert server.log().count('"Authentication failed"') == before + 1
    none = log_in(server.url())
    assert (none.problem, none.code) == (Problem.LOGIN, "13")
    assert "none are configured" in none.message
    assert log_in(server.admin_url()).ok


def test_a_missing_right_comes_with_its_remedy(make_mongo: MakeMongo) -> None:
    server = make_mongo(password="x")
    roles = [{"role": "readWrite", "db": "shop"}]
    server.command("createUser", 'a"pp', pwd=CANARY, roles=roles)
    url = server.url('a"pp', CANARY)

    async def blind() -> Absent:
        login, connection = await opened(url)
        with pytest.raises(Absent) as found:
            await MongoConnections.collect(connection, login)
        await connection.close()
        return found.value

    absence = asyncio.run(blind()).absence
    assert absence.remedy == allow('a"pp')
    assert '"a\\"pp", ["clusterMonitor"]' in absence.remedy
    server.command("grantRolesToUser", 'a"pp', roles=["clusterMonitor"])
    assert look(url)[1].most == 60


def test_the_printed_grants_are_enough_and_no_more(make_mongo: MakeMongo) -> None:
    server = make_mongo(password="x")
    printed = run("grants", "mongodb", "--role", 'wa"tch').out
    user, roles = re.findall(r'user: (".*"), pwd: passwordPrompt\(\), roles: (\[.*\])', printed)[0]
    assert json.loads(user) == 'wa"tch'
    server.command("createUser", json.loads(user), pwd=CANARY, roles=json.loads(roles))
    ran = check("--window", "0", MONGO=server.url('wa"tch', CANARY))
    assert ran.code == 0, ran.out
    assert {f["check"] for f in ran.findings()} == {"mongodb.reachability", "mongodb.connections"}
    server.command("insert", "orders", database="shop", documents=[{"a": 1}])
    with MongoClient[dict[str, Any]](server.url('wa"tch', CANARY)) as watcher:
        for act in (
            lambda: watcher.shop.orders.find_one(),
            lambda: watcher.shop.orders.insert_one({}),
            lambda: watcher.shop.command("profile", 2),
            lambda: watcher.admin.command("setParameter", 1, logLevel=1),
        ):
            with pytest.raises(OperationFailure, match="not authorized"):
                act()


def test_a_full_server_is_told_every_time(make_mongo: MakeMongo) -> None:
    server = make_mongo(settings={"maxConns": 8})
    with holding(server, 9):
        for _ in range(20):
            login = log_in(server.url())
            assert login.problem is Problem.FULL, login
            assert login.seconds < 1
        full = asyncio.run(MongoConnections.collect(None, login))
        assert (full.refused, full.share) == (True, 1.0)
        ran = check("--connect-timeout", "3", "--window", "0", MONGO=server.url())
        assert ran.causes() == {"reach.full", "mongo.connections_exhausted"}
        assert ran.report["summary"]["roots"] == 1, "the refusal folds under the exhaustion"
    assert wait_until(lambda: log_in(server.url()).ok)


def test_room_for_one_is_too_little_and_told_as_full(make_mongo: MakeMongo) -> None:
    server = make_mongo(settings={"maxConns": 8})
    time.sleep(0.3)
    # mongod takes one more than it says, and a session of ours needs two
    with holding(server, 8):
        login = log_in(server.url())
    assert login.problem is Problem.FULL, login


def test_nobody_there(make_mongo: MakeMongo) -> None:
    server = make_mongo()
    url = server.url()
    assert log_in(url).ok
    server.stop()
    refused = log_in(url)
    assert (refused.problem, refused.code) == (Problem.REFUSED, "ECONNREFUSED")
    assert refused.seconds < 0.5
    assert log_in("mongodb://no-such-host.invalid/shop").problem is Problem.NAME_UNKNOWN
    srv = log_in("mongodb+srv://no-such-host.invalid/shop", 3.0)
    assert srv.problem is Problem.NAME_UNKNOWN
    assert "_mongodb._tcp.no-such-host.invalid" in srv.message


@pytest.mark.parametrize(
    ("mode", "amount", "problem"),
    [
        (Mode.BLACK_HOLE, 0, Problem.TIMED_OUT),
        (Mode.HALF_OPEN, 3, Problem.TIMED_OUT),
        (Mode.HALF_OPEN, 400, Problem.TIMED_OUT),
        (Mode.RESET, 0, Problem.OTHER),
        (Mode.CUT, 3, Problem.OTHER),
        (Mode.GARBAGE, 0, Problem.WRONG_PROTOCOL),
    ],
)
def test_a_login_that_breaks(
    mode: Mode, amount: int, problem: Problem, mongod: MongoServer
) -> None:
    with FaultProxy(mongod.port) as proxy:
        proxy.switch(mode, amount)
        url = mongod.admin_url().replace(f":{mongod.port}/", f":{proxy.port}/")
        ran = check("--connect-timeout", "1.5", "--window", "0", MONGO=url)
    assert ran.causes() == {f"reach.{problem.value}"}, ran.out
    assert ran.target(proxy.port)["seconds"] <= 2
    assert ran.seconds <= ran.report["run"]["seconds"] + 2.5, (
        "no thread of the driver's holds the process"
    )


def test_silence_after_the_login_ends_in_time(mongod: MongoServer) -> None:
    async def lose(proxy: FaultProxy, url: str) -> float:
        login, connection = await opened(url)
        proxy.switch(Mode.BLACK_HOLE)
        started = time.monotonic()
        with pytest.raises(Exception, match=r"timed out|closed|cancelled"):
            await MongoConnections.collect(connection, login)
        assert connection.is_closed()
        with pytest.raises(ConnectionResetError):
            await connection.command("ping")
        connection.abort()
        return time.monotonic() - started

    with FaultProxy(mongod.port) as proxy:
        url = mongod.admin_url().replace(f":{mongod.port}/", f":{proxy.port}/")
        assert asyncio.run(lose(proxy, url)) < 4.5


@pytest.mark.parametrize(
    ("protocol", "answered_by"),
    [("http", "HTTP"), ("ssh", "SSH"), ("mysql", "MySQL"), ("redis", "Redis"), ("amqp", "AMQP")],
)
def test_another_protocol_is_named(protocol: str, answered_by: str) -> None:
    with BannerServer(protocol) as other:
        login = log_in(f"mongodb://127.0.0.1:{other.port}/shop", 3.0)
    assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, answered_by)


def test_real_servers_and_mongodb_name_each_other(
    mongod: MongoServer, postgres15: Any, valkey: Any, rabbitmq: RabbitServer
) -> None:
    for server, name in ((postgres15, "PostgreSQL"), (valkey, "Redis"), (rabbitmq, "AMQP")):
        login = log_in(f"mongodb://127.0.0.1:{server.port}/shop")
        assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, name)
    for scheme in ("postgresql", "redis", "amqp"):
        url = endpoint(f"{scheme}://doctor:{'x'}@127.0.0.1:{mongod.port}/0")
        login, connection = asyncio.run(connect_any(url, limit=5.0))
        assert connection is None
        assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, "MongoDB"), scheme


def test_a_silent_server_costs_the_limit_and_no_more() -> None:
    with Listener() as silent:
        url = f"mongodb://app:{'canary'}@127.0.0.1:{silent.port}/shop"
        ran = check("--connect-timeout", "1", "--window", "0", MONGO=url)
    assert ran.causes() == {"reach.timed_out"}
    assert ran.target(silent.port)["seconds"] <= 1.5
    assert "canary" not in ran.out + ran.err


@pytest.fixture
def tls_server(make_mongo: MakeMongo) -> Iterator[Callable[[str], MongoServer]]:
    """``tls_server("requireTLS")``: with a certificate of its own making for ``localhost``."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is missing, the tests need it: apt-get install openssl"
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
            check=True, capture_output=True, timeout=20,
        )  # fmt: skip
        pair = folder / "pair.pem"
        pair.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
        pair.chmod(0o644)
        yield lambda mode: make_mongo(
            settings={"tlsMode": mode, "tlsCertificateKeyFile": str(pair)}
        )


def test_tls_that_does_not_fit(mongod: MongoServer) -> None:
    login = log_in(mongod.admin_url() + "&tls=true")
    assert login.problem is Problem.TLS
    assert "speaks without it" in login.message
    missing = log_in(mongod.admin_url() + "&tls=true&tlsCAFile=/nonexistent/ca.pem")
    assert missing.problem is Problem.TLS
    assert "/nonexistent/ca.pem cannot be read" in missing.message


def test_statements_are_counted_and_only_ours(mongod: MongoServer) -> None:
    async def session() -> int:
        _, connection = await opened(mongod.admin_url())
        for name in ("insert", "killOp", "find", "profile", "setParameter", "shutdown"):
            with pytest.raises(ValueError, match="not among"):
                await connection.command(name)
        await connection.command("ping")
        await connection.close()
        return connection.statements

    assert asyncio.run(session()) == 2
    assert {"buildInfo", "ping", "listDatabases", "serverStatus"} == COMMANDS


def test_a_secret_is_never_printed(mongod: MongoServer) -> None:
    for url in (mongod.url("admin", CANARY), mongod.admin_url()):
        ran = check("--window", "0", MONGO=url)
        printed = ran.out + ran.err
        for form in ("c/an", "ry%41", "c%2Fan", "a/d@m", "a%2Fd", "m%in"):
            assert form not in printed


def test_members_come_from_dns_only_within_its_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        (
            "_mongodb._tcp.c.shop.example",
            "SRV",
        ): "0 0 27018 b.shop.example.|0 0 27017 a.shop.example.",
        ("c.shop.example", "TXT"): '"authSource=users&replicaSet=rs7&tls=false"',
        ("_mongodb._tcp.evil.shop.example", "SRV"): "0 0 27017 shop.example.evil.test.",
    }
    with _dns(answers, monkeypatch):
        found = asyncio.run(seeds_of(endpoint("mongodb+srv://c.shop.example/x"), seconds=2))
        assert found.hosts == (("a.shop.example", 27017), ("b.shop.example", 27018))
        assert found.options == {"authsource": "users", "replicaset": "rs7"}
        for name, said in (("evil", "out of its own domain"), ("none", "there is no DNS name")):
            url = endpoint(f"mongodb+srv://{name}.shop.example/x")
            with pytest.raises(SeedListError, match=said):
                asyncio.run(seeds_of(url, seconds=2))


@contextlib.contextmanager
def _dns(answers: dict[tuple[str, str], str], patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A name server on this machine that knows these answers and the driver's library asks."""
    import threading

    import dns.asyncresolver
    import dns.message
    import dns.rcode
    import dns.rdatatype
    import dns.rrset

    def serve() -> None:
        while True:
            data, sender = server.recvfrom(4096)
            if not data:
                return
            query = dns.message.from_wire(data)
            (asked,) = query.question
            kind = dns.rdatatype.to_text(asked.rdtype)
            reply = dns.message.make_response(query)
            name = asked.name.to_text(omit_final_dot=True)
            known = answers.get((name, kind))
            if known:
                records = known.split("|")
                reply.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *records))
            else:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            server.sendto(reply.to_wire(), sender)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.getsockname()[1]
        patch.setattr(dns.asyncresolver, "default_resolver", resolver)
        yield
        server.sendto(b"", server.getsockname())
        thread.join(5)


def test_tls_only(tls_server: Callable[[str], MongoServer]) -> None:
    server = tls_server("requireTLS")
    plain = log_in(server.url())
    assert plain.problem is Problem.TLS
    assert "speaks TLS only" in plain.message
    url = server.url().replace("127.0.0.1", "localhost")
    unknown = log_in(f"{url}?tls=true")
    assert unknown.problem is Problem.TLS
    assert re.search(r"self.signed", unknown.message)
    assert log_in(f"{url}?tls=true&tlsAllowInvalidCertificates=true").ok
    ca = server.settings["tlsCertificateKeyFile"]
    assert log_in(f"{url}?tls=true&tlsCAFile={ca}").ok
    misnamed = server.url().replace("/shop", f"/shop?tls=true&tlsCAFile={ca}")
    assert log_in(misnamed).problem is Problem.TLS
    assert log_in(misnamed + "&tlsAllowInvalidHostnames=true").ok
    redis = asyncio.run(connect_any(endpoint(f"redis://127.0.0.1:{server.port}/0"), limit=5.0))[0]
    assert (redis.problem, redis.answered_by) == (Problem.WRONG_PROTOCOL, "TLS")
