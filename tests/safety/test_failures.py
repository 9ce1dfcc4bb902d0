"""Whatever goes wrong: the right cause, in time, and the other targets are none the worse."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.safety.client import Client, wait_until
from tests.safety.tool import Ran, check, ended, spawn
from tests.servers.listener import BannerServer, Listener
from tests.servers.pgbouncer import PgBouncer
from tests.servers.proxy import FaultProxy, Mode

from backend_doctor.demo.servers import PostgresServer, Server
from backend_doctor.demo.servers.process import free_port

_CONNECT = 1.5
_TIMING = ("--connect-timeout", str(_CONNECT), "--window", "0.3", "--deadline", "5")
_START_UP = 1.5  # of the interpreter and its imports, on a busy machine


class Kind:
    """A backend under test: a real, healthy server and how its URLs look."""

    def __init__(self, name: str, server: Server) -> None:
        self.name, self.server = name, server
        self.healthy = self.url(server.port)
        self.checks = f"{name}.reachability"
        # what needs pg_stat_statements, or the PostgreSQL behind a pooler, does not apply
        self.well = {"ok"} if name == "redis" else {"ok", "skipped"}

    def url(self, port: int, host: str = "127.0.0.1") -> str:
        if self.name == "redis":
            return f"redis://{host}:{port}/0"
        return f"postgresql://postgres@{host}:{port}/{self.name}"


@pytest.fixture(scope="module")
def pooler(postgres15: PostgresServer) -> Iterator[PgBouncer]:
    with PgBouncer(postgres15) as server:
        yield server


@pytest.fixture(params=["postgres", "redis", "pgbouncer"])
def kind(request: pytest.FixtureRequest) -> Kind:
    servers = {"postgres": "postgres15", "redis": "valkey", "pgbouncer": "pooler"}
    return Kind(request.param, request.getfixturevalue(servers[request.param]))


@pytest.fixture
def proxy(kind: Kind) -> Iterator[FaultProxy]:
    with FaultProxy(kind.server.port) as proxy:
        yield proxy


def examined(kind: Kind, bad: str, port: int) -> Ran:
    """A run on a broken target and a healthy one of the same kind."""
    ran = check(*_TIMING, BAD=bad, GOOD=kind.healthy)
    assert ran.code == 2, ran.out
    assert ran.report["run"]["seconds"] <= _CONNECT + 1
    assert ran.seconds <= _CONNECT + 1 + _START_UP
    assert {f["status"] for f in ran.findings(kind.server.port)} == kind.well
    assert ran.target(kind.server.port)["seconds"] <= 1
    assert ran.finding(kind.checks, port)["status"] == "critical"
    assert ran.report["summary"]["roots"] == 1, "what a failed login blinds folds beneath it"
    return ran


def test_nothing_listens(kind: Kind) -> None:
    port = free_port()
    ran = examined(kind, kind.url(port), port)
    assert ran.causes(port) == {"reach.refused"}
    assert ran.target(port)["seconds"] < 1


@pytest.mark.parametrize(
    ("mode", "amount", "cause"),
    [
        (Mode.RESET, 0, "reach.other"),
        (Mode.CUT, 3, "reach.other"),
        (Mode.BLACK_HOLE, 0, "reach.timed_out"),
        (Mode.HALF_OPEN, 3, "reach.timed_out"),
        (Mode.SLOW, 4, "reach.timed_out"),
        (Mode.GARBAGE, 0, "reach.wrong_protocol"),
    ],
)
def test_a_login_that_breaks(
    mode: Mode, amount: int, cause: str, kind: Kind, proxy: FaultProxy
) -> None:
    proxy.switch(mode, amount)
    ran = examined(kind, kind.url(proxy.port), proxy.port)
    assert ran.causes(proxy.port) == {cause}


@pytest.mark.parametrize("auth_type", ["trust", "plain", "scram-sha-256"])
def test_a_wrong_login_through_a_pooler(postgres15: PostgresServer, auth_type: str) -> None:
    with PgBouncer(postgres15, auth_type=auth_type, users={"app": "right"}) as pooler:
        user = "stranger" if auth_type == "trust" else "app"
        ran = check(*_TIMING, DB=pooler.url(user, "wrong"))
    cause = ran.finding("postgres.reachability")["cause"]
    assert (ran.code, cause["label"], cause["confidence"]) == (2, "reach.login", "certain")


@pytest.mark.parametrize("protocol", ["ssh", "http", "amqp", "mysql", "redis", "postgres"])
def test_another_protocol_on_the_port(
    protocol: str, kind: Kind, request: pytest.FixtureRequest
) -> None:
    if protocol == kind.name:
        return
    name = {"ssh": "SSH", "http": "HTTP", "amqp": "AMQP", "mysql": "MySQL"}.get(protocol)
    if name is None:
        other = request.getfixturevalue("postgres15" if protocol == "postgres" else "valkey")
        name = "PostgreSQL" if protocol == "postgres" else "Redis"
        ran = examined(kind, kind.url(other.port), other.port)
        port = other.port
    else:
        with BannerServer(protocol) as banner:
            ran, port = examined(kind, kind.url(banner.port), banner.port), banner.port
    assert ran.causes(port) == {"reach.wrong_protocol"}
    assert ran.finding(kind.checks, port)["summary"].startswith(f"{name} answers at")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, "two..dots"])
def test_an_unknown_name(host: str, kind: Kind) -> None:
    ran = examined(kind, kind.url(5999, host), 5999)
    assert ran.causes(5999) == {"reach.name_unknown"}


def test_silence_between_the_looks(kind: Kind, proxy: FaultProxy) -> None:
    process, started = begun(kind, proxy, "--window", "1.2", "--deadline", "8")
    time.sleep(0.4)
    proxy.switch(Mode.BLACK_HOLE)
    ran = ended(process, started)
    assert lost_midway(kind, ran, 8) == "ok", "silence is no proof of an end"
    assert ran.code == 3, ran.out


@pytest.mark.parametrize("mode", [Mode.RESET, Mode.CUT, Mode.GARBAGE])
def test_an_end_between_the_looks(mode: Mode, kind: Kind, proxy: FaultProxy) -> None:
    process, started = begun(kind, proxy, "--window", "1.2", "--deadline", "8")
    time.sleep(0.4)
    proxy.switch(mode)
    ran = ended(process, started)
    assert lost_midway(kind, ran, 8) == "critical"
    assert ran.code == 2, ran.out
    assert ran.causes() == {"reach.lost"}
    assert ran.report["summary"]["roots"] == 1, "what was not read after it folds beneath it"


def begun(kind: Kind, proxy: FaultProxy, *arguments: str) -> tuple[subprocess.Popen[str], float]:
    """A run through the proxy that has logged in."""
    started = time.monotonic()
    process = spawn(
        "check", "--format", "json", "env:BAD", "env:GOOD", *arguments,
        BAD=kind.url(proxy.port), GOOD=kind.healthy,
    )  # fmt: skip
    assert wait_until(lambda: proxy.accepted)
    return process, started


def lost_midway(kind: Kind, ran: Ran, deadline: float) -> str:
    """What was seen before is kept, the rest is unknown; the other target is untouched.

    The status of the lost one's reachability.
    """
    bad = next(t for t in ran.report["targets"] if f":{kind.server.port}/" not in t["address"])
    port = int(re.findall(r":(\d+)", bad["address"])[0])
    assert ran.report["run"]["seconds"] <= deadline
    statuses = {f["status"] for f in ran.findings(port) if f["check"] != kind.checks}
    assert "unknown" in statuses
    assert statuses <= {"unknown", *kind.well}, "never ok when blind"
    assert {f["status"] for f in ran.findings(kind.server.port)} == kind.well
    return str(ran.finding(kind.checks, port)["status"])


@pytest.mark.parametrize(("immediate", "code"), [(True, "57P01"), (False, "57P01")])
def test_a_server_killed_midway(
    make_postgres: Callable[..., PostgresServer], immediate: bool, code: str
) -> None:
    server = make_postgres(15)
    started = time.monotonic()
    process = spawn("check", "--format", "json", "env:DB", "--window", "1", DB=server.admin_url())
    with Client(server.admin_url()) as oracle:
        assert wait_until(
            lambda: oracle.ask(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'backend-doctor'"
                " AND state = 'idle' AND state_change < clock_timestamp() - interval '300 ms'"
            )
        )
    server.restart(immediate=immediate)
    ran = ended(process, started)
    assert ran.code == 2, ran.out
    assert ran.seconds <= 5
    found = ran.finding("postgres.reachability")
    assert found["cause"]["label"] == "reach.lost"
    assert code in found["evidence"][0]["text"]
    assert ran.report["summary"]["roots"] == 1
    unknown = [f["summary"] for f in ran.findings() if f["status"] == "unknown"]
    assert unknown
    assert all("lost between the looks" in summary for summary in unknown), unknown


def test_a_fact_that_takes_too_long_is_given_up(postgres15: PostgresServer, tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "slow.py").write_text(
        "from collections.abc import Iterator\n"
        "from typing import Self\n"
        "from backend_doctor import Fact, Finding, Status, check\n"
        "from backend_doctor.backends.postgres.connection import PostgresConnection\n\n\n"
        "class Nap(Fact, frozen=True):\n"
        "    @classmethod\n"
        "    async def collect(cls, db: PostgresConnection) -> Self:\n"
        "        await db.fetch('SELECT pg_sleep(20)')\n"
        "        return cls()\n\n\n"
        "@check\n"
        "def slow(nap: Nap) -> Iterator[Finding]:\n"
        '    """Sleeps."""\n'
        "    yield Finding(status=Status.OK, summary='slept')\n"
    )
    ran = check("--window", "0.3", "--checks", str(tmp_path), DB=postgres15.admin_url())
    assert ran.code == 3
    assert ran.seconds <= 5
    assert "statement_timeout of 2 s" in ran.finding("postgres.slow")["summary"]
    rest = {f["status"] for f in ran.findings() if f["check"] != "postgres.slow"}
    assert rest == {"ok", "skipped"}


def test_many_dead_targets_take_no_longer_than_one(postgres15: PostgresServer) -> None:
    with Listener() as silent:
        dead = {
            f"DEAD{number}": f"postgresql://u{number}@{silent.host}:{silent.port}/d"
            for number in range(12)
        }
        ran = check(*_TIMING, **dead, GOOD=postgres15.admin_url())
    assert ran.code == 2
    assert ran.report["run"]["seconds"] <= _CONNECT + 1
    assert {f["status"] for f in ran.findings(postgres15.port)} == {"ok", "skipped"}
