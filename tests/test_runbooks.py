"""Commands in runbooks are pasted at night: each one must run, or at least be understood."""

import asyncio
import re
import subprocess
from pathlib import Path
from textwrap import dedent

import asyncpg
import pytest

from backend_doctor.cli import _COMMANDS
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.registry import load_checks

PAGES = {check.id: check.runbook for check in load_checks(plugins=False).values() if check.runbook}
CHANGES = "-- changes state"


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language, those inside of lists included."""
    fence = re.compile(rf"^( *)```{language}\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    return [dedent(match[2]) for match in fence.finditer(page.read_text(encoding="utf-8"))]


def statements(block: str) -> list[str]:
    return [part for part in re.split(r";\s*$", block, flags=re.MULTILINE) if part.strip()]


async def run_sql(url: str, block: str) -> None:
    connection = await asyncpg.connect(url, timeout=10, statement_cache_size=0)
    try:
        if block.startswith(CHANGES):
            for statement in statements(block):
                await connection.prepare(statement)
            return
        transaction = connection.transaction(readonly=True)
        await transaction.start()
        await connection.execute(block, timeout=10)
        await transaction.rollback()
    finally:
        await connection.close()


SQL = [
    pytest.param(block, id=f"{name}-{number}")
    for name, page in PAGES.items()
    if name.startswith("postgres.")
    for number, block in enumerate(blocks(page, "sql"))
]


@pytest.mark.parametrize("block", SQL)
def test_sql_runs_on_15_and_18(
    block: str, postgres15: PostgresServer, postgres18: PostgresServer
) -> None:
    for server in (postgres15, postgres18):
        asyncio.run(run_sql(server.admin_url(), block))


@pytest.mark.parametrize("block", SQL)
def test_sql_that_changes_state_says_so(block: str) -> None:
    changing = r"\b(ALTER|GRANT|DROP|CREATE|ROLLBACK|pg_\w*(terminate|cancel|reload|drop)\w*)\b"
    assert block.startswith(CHANGES) == bool(re.search(changing, block.replace("-- changes", "")))
    assert block.rstrip().endswith(";")


@pytest.mark.parametrize("block", SQL)
def test_sessions_are_never_ended_by_name_alone(block: str) -> None:
    if "pg_terminate_backend" in block or "pg_cancel_backend" in block:
        assert re.search(r"\bstate\b|wait_event_type", block)
        assert re.search(r"state_change <|query_start <|xact_start <|pid = \d+", block)


@pytest.mark.parametrize("name", PAGES)
def test_shell_is_understood(name: str) -> None:
    for block in blocks(PAGES[name], "sh"):
        done = subprocess.run(
            ["bash", "-n"], input=block, capture_output=True, text=True, timeout=10, check=False
        )
        assert done.returncode == 0, done.stderr
        for command in re.findall(r"^backend-doctor (\S+)", block, re.MULTILINE):
            assert command in _COMMANDS


@pytest.mark.parametrize("name", PAGES)
def test_other_runbooks_that_are_named_exist(name: str) -> None:
    page = PAGES[name].read_text(encoding="utf-8")
    kinds = "|".join({check.partition(".")[0] for check in PAGES})
    named = set(re.findall(rf"\b(?:runbook|to|only|Go to:?|\|) ((?:{kinds})\.[a-z_]+)\b", page))
    assert named <= PAGES.keys()
