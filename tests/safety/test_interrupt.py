"""SIGINT and SIGTERM, whenever they come: out within 2 s, what was seen is told, nothing stays."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psycopg
import psycopg.rows
import pytest
from tests.safety.client import Client, wait_until
from tests.safety.tool import Ran, ended, spawn
from tests.servers.pgbouncer import PgBouncer
from tests.servers.proxy import FaultProxy, Mode

from backend_doctor.demo.servers import PostgresServer

_LEAVE_WITHIN = 2.0
_HUNG_RESOLVER = """
import pathlib, socket, time
resolve = socket.getaddrinfo
def getaddrinfo(host, *rest, **more):
    if host in ("nowhere.example", b"nowhere.example"):
        pathlib.Path(__file__).with_name("begun").touch()
        time.sleep(60)
    return resolve(host, *rest, **more)
socket.getaddrinfo = getaddrinfo
"""
_TELLS_ITS_BEGIN = """
import pathlib, sys
def audit(event, arguments):
    if event == "import" and arguments[0] == "backend_doctor.cli.options":
        pathlib.Path(__file__).with_name("begun").touch()
sys.addaudithook(audit)
"""


@pytest.fixture
def oracle(postgres15: PostgresServer) -> Iterator[Client]:
    with Client(postgres15.admin_url()) as client:
        yield client


@pytest.fixture
def role(oracle: Client) -> Iterator[Callable[[int], str]]:
    """A role for each run, so that its session can be told from the others'."""
    made = []

    def make(number: int) -> str:
        made.append(f"interrupted{number}")
        oracle.do(f"CREATE ROLE {made[-1]} LOGIN IN ROLE pg_monitor")
        return made[-1]

    yield make
    for name in made:
        oracle.do(f"DROP ROLE {name}")


def started(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    targets = [f"env:{name}" for name in variables if name != "PYTHONPATH"]
    return spawn("check", "--format", "json", *targets, *arguments, **variables)


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> Ran:
    """Sends the signal and waits; the seconds count from the signal."""
    at = time.monotonic()
    process.send_signal(number)
    ran = ended(process, at)
    assert ran.seconds <= _LEAVE_WITHIN
    return ran


def sessions(oracle: Client, user: str) -> int:
    count: int = oracle.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = $1", user)
    return count


def gone(oracle: Client, user: str) -> bool:
    return sessions(oracle, user) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_any_point_of_a_run(
    number: signal.Signals,
    postgres15: PostgresServer,
    oracle: Client,
    role: Callable[[int], str],
    tmp_path: Path,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_TELLS_ITS_BEGIN)
    begun = tmp_path / "begun"
    for point in range(8):
        user = role(point)
        process = started("--window", "0.8", PYTHONPATH=str(tmp_path), DB=postgres15.url(user))
        assert wait_until(begun.exists)
        begun.unlink()
        time.sleep(point * 0.17)
        ran = stopped(process, number)
        assert wait_until(partial(gone, oracle, user), 1)
        if ran.code == 128 + number and ran.out:
            # a whole report when the signal came while it was being written
            assert ran.report["run"]["interrupted"] in (number.name, "")
        else:
            assert ran.code in (0, 128 + number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_between_the_looks_what_was_seen_is_told(
    number: signal.Signals, postgres15: PostgresServer, oracle: Client, role: Callable[[int], str]
) -> None:
    user = role(0)
    process = started("--window", "20", DB=postgres15.url(user))
    assert wait_until(partial(sessions, oracle, user))
    time.sleep(0.5)
    ran = stopped(process, number)
    assert ran.code == 128 + number
    assert ran.report["run"]["interrupted"] == number.name
    assert ran.report["status"] != "ok"
    assert ran.report["exit_code"] == 128 + number
    assert ran.finding("postgres.reachability")["status"] == "ok"
    assert wait_until(partial(gone, oracle, user), 1)


def test_other_formats_say_that_the_run_was_cut_short(
    postgres15: PostgresServer, oracle: Client, role: Callable[[int], str]
) -> None:
    told = {
        "text": "interrupted",
        "nagios": "interrupted",
        "prometheus": "backend_doctor_last_success_timestamp_seconds 0.0",
    }
    for number, (format, words) in enumerate(told.items()):
        user = role(number)
        process = started("--window", "20", "--format", format, DB=postgres15.url(user))
        assert wait_until(partial(sessions, oracle, user))
        ran = stopped(process, signal.SIGTERM)
        assert ran.code == 128 + signal.SIGTERM
        assert words in ran.out.lower()


def test_while_connecting_to_a_black_hole(postgres15: PostgresServer) -> None:
    with FaultProxy(postgres15.port) as proxy:
        proxy.switch(Mode.BLACK_HOLE)
        process = started("--connect-timeout", "30", DB=_through(proxy))
        assert wait_until(lambda: proxy.accepted)
        ran = stopped(process, signal.SIGINT)
    assert ran.code == 130
    assert ran.report["run"]["interrupted"] == "SIGINT"


@pytest.mark.parametrize("mode", [Mode.BLACK_HOLE, Mode.HALF_OPEN])
def test_with_a_server_that_no_longer_answers(
    mode: Mode, postgres15: PostgresServer, oracle: Client, role: Callable[[int], str]
) -> None:
    user = role(0)
    with FaultProxy(postgres15.port) as proxy:
        process = started("--window", "0.5", DB=_through(proxy, user))
        assert wait_until(partial(sessions, oracle, user))
        proxy.switch(mode)
        time.sleep(1.0)
        ran = stopped(process, signal.SIGTERM)
        assert ran.code == 143
        assert wait_until(partial(gone, oracle, user), 1)


def consoles(pooler: PgBouncer) -> int:
    """Our sessions at its console."""
    with psycopg.connect(pooler.console_url("postgres"), autocommit=True) as watcher:
        clients = watcher.cursor(row_factory=psycopg.rows.dict_row).execute("SHOW CLIENTS")
        return sum(row["application_name"] == "backend-doctor" for row in clients.fetchall())


def left(pooler: PgBouncer) -> bool:
    return consoles(pooler) == 0


def test_at_a_console_where_clients_wait(
    postgres15: PostgresServer, make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = make_pgbouncer(postgres15, pool_size=1)
    with Client(pooler.url(), "greedy") as greedy, Client(pooler.url(), "late") as late:
        greedy.do("BEGIN")
        waiting = late.start("SELECT 1")
        for point in range(4):
            number = (signal.SIGINT, signal.SIGTERM)[point % 2]
            process = started("--window", "0.8", POOL=pooler.console_url("postgres"))
            assert wait_until(lambda: not left(pooler))
            time.sleep(point * 0.45)
            ran = stopped(process, number)
            assert ran.code == 128 + number
            assert ran.report["run"]["interrupted"] == number.name
            assert wait_until(partial(left, pooler), 1)
        waiting.cancel()


@pytest.mark.parametrize("mode", [Mode.BLACK_HOLE, Mode.HALF_OPEN])
def test_with_a_console_that_no_longer_answers(
    mode: Mode, postgres15: PostgresServer, make_pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = make_pgbouncer(postgres15)
    with FaultProxy(pooler.port) as proxy:
        url = f"postgresql://postgres@{proxy.host}:{proxy.port}/pgbouncer"
        process = started("--window", "0.5", POOL=url)
        assert wait_until(lambda: not left(pooler))
        proxy.switch(mode)
        time.sleep(0.8)
        ran = stopped(process, signal.SIGINT)
        assert ran.code == 130
        assert wait_until(partial(left, pooler), 1)


def test_while_a_name_is_being_resolved(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_HUNG_RESOLVER)
    process = started(
        "--connect-timeout", "30", PYTHONPATH=str(tmp_path), DB="postgresql://u@nowhere.example/d"
    )
    assert wait_until((tmp_path / "begun").exists)
    ran = stopped(process, signal.SIGINT)
    assert ran.code == 130
    assert ran.report["run"]["interrupted"] == "SIGINT"


def test_a_hung_name_does_not_outlive_the_connect_limit(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_HUNG_RESOLVER)
    at = time.monotonic()
    process = started(
        "--connect-timeout", "1", PYTHONPATH=str(tmp_path), DB="postgresql://u@nowhere.example/d"
    )
    ran = ended(process, at)
    assert ran.code == 2
    assert ran.seconds <= 3
    assert ran.causes() == {"reach.timed_out"}


def own_check(folder: Path, body: str) -> str:
    """A folder with the one check ``postgres.own`` that asks for a fact of its own."""
    (folder / "postgres").mkdir()
    (folder / "postgres" / "own.py").write_text(
        "import sys, time\n"
        "from collections.abc import Iterator\n"
        "from typing import Self\n"
        "from backend_doctor import Fact, Finding, Instance, Status, check\n\n\n" + body
    )
    return str(folder)


_BLOCKS_THE_LOOP = """
class Nap(Fact, frozen=True):
    @classmethod
    async def collect(cls, instance: Instance) -> Self:
        print('busy', file=sys.stderr, flush=True)
        time.sleep(60)
        return cls()

@check
def own(nap: Nap) -> Iterator[Finding]:
    "Needs a fact that blocks."
    yield Finding(status=Status.OK, summary="slept")
"""
_NEVER_ENDS = """
@check
def own(instance: Instance) -> Iterator[Finding]:
    "Never comes to an end."
    print('busy', file=sys.stderr, flush=True)
    while True:
        pass
    yield
"""


@pytest.mark.parametrize("body", [_BLOCKS_THE_LOOP, _NEVER_ENDS], ids=["fact", "check"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_code_of_the_users_own_holds_it_up(
    number: signal.Signals,
    body: str,
    postgres15: PostgresServer,
    oracle: Client,
    role: Callable[[int], str],
    tmp_path: Path,
) -> None:
    user, folder = role(0), own_check(tmp_path, body)
    process = started("--window", "0", "--checks", folder, DB=postgres15.url(user))
    with ExitStack() as stack:
        stack.callback(process.kill)
        assert process.stderr is not None
        assert process.stderr.readline() == "busy\n"
        ran = stopped(process, number)
    assert ran.code == 128 + number
    assert wait_until(partial(gone, oracle, user), 1)


def test_the_deadline_holds_for_code_that_blocks(
    postgres15: PostgresServer, tmp_path: Path
) -> None:
    folder, at = own_check(tmp_path, _BLOCKS_THE_LOOP), time.monotonic()
    process = started(
        "--window", "0", "--deadline", "1", "--checks", folder, DB=postgres15.admin_url()
    )
    ran = ended(process, at)
    assert ran.code == 3
    assert ran.seconds <= 1 + 2 + 1.5
    assert "did not end within its deadline of 1 s" in ran.err


def _through(proxy: FaultProxy, user: str = "postgres") -> str:
    return f"postgresql://{user}@{proxy.host}:{proxy.port}/postgres"
