"""A folder of the user's own checks: what breaks in it costs one unknown, never the run."""

from pathlib import Path

import pytest
from tests.safety.tool import check, run

from backend_doctor.demo.servers import PostgresServer

_HEAD = """
from collections.abc import Iterator
from typing import Self
from backend_doctor import Fact, Finding, Instance, Login, Status, check
from backend_doctor.backends.postgres.connection import PostgresConnection
"""
_CHECKS = {
    "raises": """
@check
def raises(login: Login) -> Iterator[Finding]:
    "Raises."
    raise ZeroDivisionError("hostile \\x1b[31m text")
    yield
""",
    "raises_late": """
@check
def raises_late(login: Login) -> Iterator[Finding]:
    "Raises after a finding."
    yield Finding(status=Status.OK, summary="so far")
    raise KeyError("late")
""",
    "silent": """
@check
def silent(login: Login) -> Iterator[Finding]:
    "Yields nothing."
    return iter(())
""",
    "wrong": """
@check
def wrong(login: Login) -> Iterator[Finding]:
    "Yields what is no finding."
    yield "all is well"
""",
    "mistyped": """
@check
def mistyped(login: Login) -> Iterator[Finding]:
    "Yields a finding with a number for its sentence."
    yield Finding(status=Status.OK, summary=5)
""",
    "blind": """
class Broken(Fact, frozen=True):
    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        raise RuntimeError("cannot be read")

@check
def blind(broken: Broken) -> Iterator[Finding]:
    "Needs a fact that cannot be had."
    yield Finding(status=Status.OK, summary="never")
""",
    "bad_sql": """
class Nonsense(Fact, frozen=True):
    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        await db.fetch("SELEKT 1")
        return cls()

@check
def bad_sql(nonsense: Nonsense) -> Iterator[Finding]:
    "Needs a fact whose statement is wrong."
    yield Finding(status=Status.OK, summary="never")
""",
    "writes": """
class Write(Fact, frozen=True):
    @classmethod
    async def collect(cls, db: PostgresConnection) -> Self:
        await db.fetch("CREATE TABLE written ()")
        return cls()

@check
def writes(write: Write) -> Iterator[Finding]:
    "Tries to write."
    yield Finding(status=Status.OK, summary="never")
""",
    "odd_number": """
class Odd(Fact, frozen=True):
    number: float
    @classmethod
    async def collect(cls, instance: Instance) -> Self:
        return cls(number=float("nan"))

@check
def odd_number(odd: Odd) -> Iterator[Finding]:
    "Needs a fact that JSON cannot carry."
    yield Finding(status=Status.OK, summary="never")
""",
    "fine": """
@check
def fine(login: Login) -> Iterator[Finding]:
    "Is fine."
    yield Finding(status=Status.OK, summary="fine")
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "postgres").mkdir()
    for name, body in _CHECKS.items():
        (tmp_path / "postgres" / f"{name}.py").write_text(_HEAD + body)
    return tmp_path


def test_each_fault_is_one_unknown(folder: Path, postgres15: PostgresServer) -> None:
    ran = check("--window", "0.3", "--checks", str(folder), DB=postgres15.admin_url())
    assert ran.code == 3
    for name in _CHECKS:
        found = ran.finding(f"postgres.{name}")
        assert found["status"] == ("ok" if name == "fine" else "unknown"), found
    ours = {f["status"] for f in ran.findings() if f["check"].split(".")[1] not in _CHECKS}
    assert ours == {"ok", "skipped"}
    assert "\x1b" not in ran.out
    assert "ZeroDivisionError" in ran.finding("postgres.raises")["summary"]
    assert "read-only" in ran.finding("postgres.writes")["summary"]
    text = run("check", "env:DB", "--window", "0", "--checks", str(folder), "-vv",
               DB=postgres15.admin_url())  # fmt: skip
    assert text.code == 3
    assert "\x1b" not in text.out


def test_a_file_that_is_no_check_is_named(tmp_path: Path, postgres15: PostgresServer) -> None:
    (tmp_path / "postgres").mkdir()
    broken = tmp_path / "postgres" / "broken.py"
    for body in ("import nowhere\n", "def (\n", "x = 1\n", "raise SystemExit(0)\n"):
        broken.write_text(body)
        ran = run("check", "env:DB", "--checks", str(tmp_path), DB=postgres15.admin_url())
        assert ran.code == 3
        assert str(broken) in ran.err
