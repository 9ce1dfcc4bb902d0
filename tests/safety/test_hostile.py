"""What a target says is hostile: it reaches no terminal, no metric and no paste buffer alive."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.safety.client import Client, wait_until
from tests.safety.tool import run
from tests.servers.debian import debian_postgres_bin

from backend_doctor.demo.servers import PostgresServer
from backend_doctor.reports import FORMATS

_APPLICATION = '[bold red]x[/y] |\'"<b>{label="1"}%s\\'
_SQL = (
    'SELECT 1 AS "\x1b[2J\x1b]8;;http://evil.example\x07click\x1b]8;;\x07", '
    '2 AS "[/bold]|\r\n\u202egnp.exe\u2028\x9b31m\u200b", '
    "'top.secret@example.com', 'tok_3f9a8b7c6d5e', 4111111111111111, "
    "$x$dollar-quoted-secret$x$, E'esc\\'aped-secret' FROM busy -- comment-secret 314159265358979\n"
)
_SECRETS = (
    "top.secret@example.com", "tok_3f9a8b7c6d5e", "4111111111111111", "dollar-quoted-secret",
    "aped-secret", "comment-secret", "314159265358979", "bytes-secret",
)  # fmt: skip
_RAW = b"BEGIN; LOCK TABLE busy; SELECT 'bytes-secret' AS \"caf\xe9 \xff\xfe \xc3\x28\x1b[31m\";\n"
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff]")
_ROLE = 'we"ird; DROP'


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(debian_postgres_bin()) as server:
        with Client(server.admin_url()) as admin:
            admin.do('CREATE ROLE "we""ird; DROP" LOGIN')
            admin.do("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0")
            admin.do('CREATE TABLE busy (id int); ALTER TABLE busy OWNER TO "we""ird; DROP"')
        with Client(server.admin_url("bytes")) as admin:
            admin.do('CREATE TABLE busy (id int); ALTER TABLE busy OWNER TO "we""ird; DROP"')
        yield server


@pytest.fixture
def sick(server: PostgresServer) -> Iterator[PostgresServer]:
    """Hostile sessions that block another one, leak, and speak no UTF-8."""
    with ExitStack() as stack:

        def session(database: str = "postgres") -> Client:
            url = server.url(_ROLE, database=database)
            return stack.enter_context(Client(url, _APPLICATION))

        for _ in range(3):
            leaked = session()
            leaked.do("BEGIN")
            leaked.do(_SQL)
        holder = session()
        holder.do("BEGIN; LOCK TABLE busy IN SHARE MODE")
        holder.do(_SQL)
        ddl = session()
        ddl.start("ALTER TABLE busy ADD COLUMN \"\x1b[31mred\" text DEFAULT 'tok_3f9a8b7c6d5e'")
        session().start(_SQL)
        raw = stack.enter_context(_psql(server))
        waiting = session("bytes")
        oracle = stack.enter_context(Client(server.admin_url()))
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        assert wait_until(lambda: oracle.ask(blocked) == 2)
        assert raw.stdin is not None
        raw.stdin.write(_RAW)
        raw.stdin.flush()
        locked = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'bytes' AND state ~ 'trans'"
        assert wait_until(lambda: oracle.ask(locked) == 1)
        waiting.start("SELECT * FROM busy")
        assert wait_until(lambda: oracle.ask(blocked) == 3)
        yield server


def _psql(server: PostgresServer) -> "subprocess.Popen[bytes]":
    """A client that sends bytes as they are."""
    return subprocess.Popen(
        [debian_postgres_bin() / "psql", "-X", "-q", f"host={server.host} port={server.port} "
         "user=postgres dbname=bytes application_name=raw client_encoding=SQL_ASCII"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_hostile_sessions(sick: PostgresServer, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot.json"
    url = sick.admin_url()
    collected = run("collect", "env:DB", "-o", str(snapshot), DB=url)
    assert collected.code == 0
    seen = snapshot.read_text()
    for secret in _SECRETS:
        assert secret not in seen
    assert "caf" in seen, "the bytes that are no UTF-8 are there, escaped"

    for format in FORMATS:
        for verbosity in ("-vv", "-q"):
            ran = run("check", "--from", str(snapshot), "--format", format, verbosity)
            assert ran.code == 2
            assert not _CONTROLS.search(ran.out), format
            for secret in _SECRETS:
                assert secret not in ran.out
    coloured = run("check", "--from", str(snapshot), "-vv", "--color", "always").out
    assert not _CONTROLS.search(re.sub(r"\x1b\[[0-9;]*m", "", coloured))
    assert "[bold red]x[/y]" in coloured, "shown, not obeyed"

    report = json.loads(run("check", "--from", str(snapshot), "--format", "json").out)
    causes = {cause["label"] for cause in report["causes"]}
    assert "lock.ddl_queue" in causes, causes
    commands = [r["command"] for f in report["findings"] for r in f["remedies"]]
    quoted = [command for command in commands if "ird; DROP" in command]
    assert quoted, "a remedy names the role"
    assert all('"we""ird; DROP"' in command for command in quoted)
