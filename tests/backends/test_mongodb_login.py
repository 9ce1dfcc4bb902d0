"""MongoDB's login: whatever can go wrong, TLS, and members from DNS."""

import asyncio
import contextlib
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
from tests.backends.mongodb_looks import CANARY, MakeMongo, endpoint, log_in, opened
from tests.safety.tool import check
from tests.servers.listener import BannerServer, Listener
from tests.servers.proxy import FaultProxy, Mode

from backend_doctor.backends import connect as connect_any
from backend_doctor.backends.mongodb.connections import MongoConnections
from backend_doctor.backends.mongodb.members import SeedListError, seeds_of
from backend_doctor.demo.servers import MongoServer, RabbitServer
from backend_doctor.facts import Problem


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
