"""A saved look is judged as the live one was; a file that is none gets one clear message."""

import json
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.safety.client import Client
from tests.safety.tool import run
from tests.servers.debian import debian_postgres_bin
from tests.servers.pgbouncer import PgBouncer

from backend_doctor.config.load import load as load_configuration
from backend_doctor.deadlines import Timing
from backend_doctor.demo.servers import PostgresServer, RedisServer
from backend_doctor.errors import UserError
from backend_doctor.judge import judge
from backend_doctor.model import Report
from backend_doctor.reports import FORMATS, RenderOptions, render
from backend_doctor.running import choose_checks, gather
from backend_doctor.snapshot import Snapshot, load, save

CHECKS = choose_checks(["postgres", "pgbouncer", "redis"])


@pytest.fixture(scope="module")
def sick() -> Iterator[dict[str, str]]:
    """URLs of a server with a leak and a lock queue, of a PgBouncer in front of it with a queue
    behind a leak, and of a small Redis that is nearly full."""
    with ExitStack() as stack:
        postgres = stack.enter_context(
            PostgresServer(debian_postgres_bin(), settings={"max_connections": 15})
        )
        pooler = stack.enter_context(PgBouncer(postgres, pool_size=1))
        redis = stack.enter_context(RedisServer(settings={"maxclients": 20}))
        clients = [stack.enter_context(Client(postgres.admin_url(), "billing")) for _ in range(7)]
        clients[0].do("CREATE TABLE busy (id int)")
        for client in clients[:5]:
            client.do("BEGIN; SELECT count(*) FROM busy")
        clients[5].start("ALTER TABLE busy ADD COLUMN more int")
        clients[6].start("SELECT * FROM busy")
        pooled = [stack.enter_context(Client(pooler.url(), "billing")) for _ in range(2)]
        pooled[0].do("BEGIN; SELECT 1")
        pooled[1].start("SELECT 2")
        yield {
            "DB": postgres.admin_url(),
            "POOL": pooler.console_url("postgres"),
            "CACHE": redis.admin_url(),
        }


@pytest.fixture(scope="module")
def snapshot(sick: dict[str, str]) -> Snapshot:
    """What one run in this process saw."""
    configuration = load_configuration(targets=[*sick.values()])
    timing = Timing(window=4.5, connect=3, deadline=20)
    seen, _ = gather(configuration, CHECKS, timing, progress=lambda _: None, leave=lambda _: None)
    return seen


def test_live_findings_equal_replayed_ones(snapshot: Snapshot, tmp_path: Path) -> None:
    live = judge(snapshot, CHECKS)
    assert {r.finding.cause.label for r in live.results if r.finding.cause} >= {
        "leak.idle_in_transaction",
        "lock.ddl_queue",
    }
    assert {"pgbouncer.pool_waits", "pgbouncer.client_limit"} <= {r.check for r in live.results}
    told = {e.key for r in live.results for e in r.finding.evidence}
    assert {"clients_through_pgbouncer", "waiting_clients"} <= told
    save(snapshot, tmp_path / "seen.json")
    replayed = judge(load(tmp_path / "seen.json"), CHECKS)
    assert replayed == live


def test_collected_and_judged_by_command(sick: dict[str, str], tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    seen.touch(0o644)
    targets = [f"env:{name}" for name in sick]
    collected = run("collect", *targets, "-o", str(seen), **sick)
    assert collected.code == 0
    assert stat.S_IMODE(seen.stat().st_mode) == 0o600
    replayed = run("check", "--from", str(seen), "--format", "json")
    live = run("check", *targets, "--format", "json", **sick)
    assert replayed.code == live.code == 2
    assert summary(replayed.report) == summary(live.report)


def summary(report: dict[str, Any]) -> list[Any]:
    """What two runs of the same illness have in common: verdicts, causes and what folds."""
    return [
        report["status"],
        report["causes"],
        [
            (f["id"], f["check"], f["status"], f["cause"], f["explained_by"], len(f["remedies"]))
            for f in report["findings"]
        ],
    ]


def said(path: Path, data: bytes) -> str:
    """The one clear message that a file gets, or "" when it is judged without complaint."""
    path.write_bytes(data)
    try:
        report = judge(load(path), CHECKS)
    except UserError as error:
        message = str(error)
        assert str(path) in message
        assert len(message) < 600
        return message
    assert isinstance(report, Report)
    for format in FORMATS:
        render(format, report, RenderOptions(verbose=2))
    return ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"schema_version": 1}',
        b'{"schema_version": 99}',
        b'{"schema_version": "1"}',
        b"[" * 100_000,
        b'{"schema_version": 1, "a": ' + b"[" * 100_000,
        b'{"schema_version": 1, "tool_version": "\\ud800"}',
        b'{"schema_version": 1e999}',
        b"<html></html>",
        b"\x1f\x8b\x08\x00",
    ],
    ids=range(14),
)
def test_what_is_no_snapshot(data: bytes, tmp_path: Path) -> None:
    assert said(tmp_path / "foreign.json", data)


def test_no_snapshot_by_command(snapshot: Snapshot, tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    save(snapshot, path)
    whole = path.read_bytes()
    for data in (whole[:-30], whole[: len(whole) // 2], b"", b"\x00" * 50):
        path.write_bytes(data)
        ran = run("check", "--from", str(path))
        assert ran.code == 3
        assert ran.out == ""
        assert str(path) in ran.err
    missing = run("check", "--from", str(tmp_path / "missing.json"))
    assert missing.code == 3
    assert "backend-doctor collect" in missing.err


_FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_FUZZ
@given(data=st.binary(max_size=300))
def test_random_bytes_never_break_it(data: bytes, tmp_path: Path) -> None:
    assert said(tmp_path / "random.json", data)


_odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 1e308, -0.0, 1e-320]),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
)


@_FUZZ
@given(data=st.data())
def test_a_mutated_snapshot_never_breaks_it(
    data: st.DataObject, snapshot: Snapshot, tmp_path: Path
) -> None:
    document = json.loads(msgspec.json.encode(snapshot))
    for _ in range(data.draw(st.integers(1, 3))):
        holder: Any = document
        while isinstance(holder, (dict, list)) and holder:
            keys: list[Any] = list(holder) if isinstance(holder, dict) else [*range(len(holder))]
            key = data.draw(st.sampled_from(keys))
            if not isinstance(holder[key], (dict, list)) or data.draw(st.integers(0, 4)) == 0:
                if data.draw(st.booleans()):
                    holder[key] = data.draw(_odd)
                else:
                    del holder[key]
                break
            holder = holder[key]
    said(tmp_path / "mutated.json", json.dumps(document).encode())
