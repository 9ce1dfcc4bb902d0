"""``triage`` as a user runs it: in a pipe, in 80 columns, with and without a service."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.safety.tool import environment

from backend_doctor.demo.servers import PostgresServer

POOL = "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached"
CANARY = "canary7Zk2mXv9"


def triage(
    *arguments: str, text: str | bytes = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs it with ``text`` on standard input."""
    sent = text.encode() if isinstance(text, str) else text
    done = subprocess.run(
        [sys.executable, "-m", "backend_doctor", "triage", *arguments],
        input=sent,
        capture_output=True,
        timeout=60,
        check=False,
        cwd="/",
        env={**environment(**variables), "COLUMNS": "80"},
    )
    ran = subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran


def test_a_message_says_meaning_causes_runbook_and_next_command() -> None:
    ran = triage(POOL)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("1. SQLAlchemy found no free connection in time\n")
    assert "leak.idle_in_transaction: " in ran.stdout
    assert "Runbook:  backend-doctor runbook postgres.pool_exhaustion\n" in ran.stdout
    assert "Next:     backend-doctor check --only postgres" in ran.stdout
    assert all(len(line) <= 80 for line in ran.stdout.splitlines())
    assert "\x1b" not in ran.stdout


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_a_log_is_read_from_a_pipe(arguments: list[str]) -> None:
    log = f"INFO up\n{POOL}\nFATAL: sorry, too many clients already\n{POOL}\n"
    ran = triage(*arguments, text=log)
    assert ran.returncode == 0
    first, second = ran.stdout.index("1. PostgreSQL"), ran.stdout.index("2. SQLAlchemy")
    assert first < second
    assert "(2 lines)" in ran.stdout


@pytest.mark.parametrize("text", ["nothing that is known", "", "\0\1\2", "a" * 300_000])
def test_unknown_text_is_said_to_be_unknown(text: str) -> None:
    ran = triage(text=text)
    assert ran.returncode == 3
    assert "Not recognised" in ran.stdout
    assert ran.stdout.rstrip().endswith("backend-doctor check")


def test_nothing_pasted_is_shown_again() -> None:
    text = f"postgresql://app:{CANARY}@db/shop {POOL} token={CANARY}"
    assert CANARY not in triage(text).stdout
    ran = triage(text=f"{CANARY} \x1b[31m unknown")
    assert CANARY not in ran.stdout + ran.stderr


def test_bytes_of_any_kind_are_read() -> None:
    ran = triage(text=b"\xff\xfe\x00" + POOL.encode() + b"\xe2\x28\n")
    assert ran.returncode == 0
    long = b"x" * 70_000 + b"\n" + POOL.encode() + b"\n"
    assert triage(text=long).returncode == 0


def test_with_a_service_the_checks_tell_the_cause(
    make_postgres: Callable[..., PostgresServer], tmp_path: Path
) -> None:
    server = make_postgres()
    config = tmp_path / "doctor.yaml"
    config.write_text(f"services:\n  shop:\n    postgres: {server.admin_url()}\n")
    asked = ["-t", "shop", "--config", str(config), "--window", "0.5"]
    ran = triage(POOL, *asked)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1. SQLAlchemy" in ran.stdout
    assert "check shop --only postgres" in ran.stdout
    assert f"127.0.0.1:{server.port}" in ran.stdout
    server.stop()
    assert triage(POOL, *asked).returncode == 2
    other = triage("redis: max number of clients reached", *asked)
    assert other.returncode == 3
    assert "no backend of kind redis" in other.stderr
    assert triage("nothing known", *asked).returncode == 3


def test_a_service_that_is_not_configured_is_one_clear_message(tmp_path: Path) -> None:
    config = tmp_path / "doctor.yaml"
    config.write_text("services: {shop: {redis: 'redis://127.0.0.1:1/0'}}\n")
    ran = triage(POOL, "-t", "nowhere", "--config", str(config))
    assert ran.returncode == 3
    assert "nowhere" in ran.stderr
