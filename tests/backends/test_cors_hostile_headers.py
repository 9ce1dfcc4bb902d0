"""Hostile header sets from a raw server: each judged, and nothing of them alive in the output."""

import asyncio
import re
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from tests.backends.hostile_headers import CANARY, PAGE, hostile_headers
from tests.servers.listener import Listener
from tests.servers.web import alarms, examine, examinee

from backend_doctor.engine import Examinee
from backend_doctor.facts import Setting
from backend_doctor.model import Status
from backend_doctor.reports import FORMATS, RenderOptions, render

SETS = hostile_headers()
CLIENT: dict[str, Setting] = {
    "origins": (PAGE,),
    "headers": ("authorization",),
    "expose": ("x-total", "date"),
}
# all that a terminal may act on, but the line's end
ALIVE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff\ud800-\udfff]")
COMMAND = (28, 38, 39, 55, 94)
"""Sets for the real command: a control byte, a terminal's escapes, markup, a doubled header, and
something beside a right one."""


class _Raw(Listener):
    """Answers a path that begins with a number by the set of that number, and hangs up."""

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(Exception):
            async with asyncio.timeout(0.3):
                asked = await reader.readuntil(b"\r\n\r\n")
            number = int(asked.split()[1].split(b"/")[1])
            writer.write(SETS[number].answer)
            await writer.drain()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with _Raw() as raw:
        yield f"http://{raw.host}:{raw.port}"


def _examinee(kind: str, url: str, number: int, **settings: Setting) -> Examinee:
    one = examinee(kind, url, **settings)
    name = f"{kind}-{number}"
    endpoint = msgspec.structs.replace(one.endpoint, url=f"{url}/{number}")
    return Examinee(msgspec.structs.replace(one.instance, name=name), endpoint)


def test_there_are_enough() -> None:
    assert len(SETS) >= 100
    assert len({one.answer for one in SETS}) == len(SETS)


@pytest.mark.parametrize("part", range(4))
def test_each_is_judged_and_nothing_of_it_lives_on(server: str, part: int) -> None:
    numbers = range(part, len(SETS), 4)
    report = examine(
        [_examinee("cors", server, number, **CLIENT) for number in numbers], window=0.0
    )
    assert len({result.instance for result in report.results}) == len(numbers)
    for result in report.results:
        assert "The check" not in result.finding.summary
        assert "reading failed" not in result.finding.summary
        assert all(len(evidence.text) < 1_000 for evidence in result.finding.evidence)
        if result.check == "cors.preflight":
            hostile = SETS[int(result.instance.partition("-")[2])]
            assert hostile.passes or result.finding.status is not Status.OK, hostile.answer[:99]
    for format in FORMATS:
        _assert_safe(render(format, report, RenderOptions(verbose=2)))


def _assert_safe(output: str) -> None:
    assert ALIVE.search(output) is None
    assert CANARY not in output
    assert len(output) < 400_000


def test_the_first_is_healthy(server: str) -> None:
    report = examine([_examinee("cors", server, 0, **{**CLIENT, "expose": ()})], window=0.0)
    assert alarms(report) == []


def test_the_command_survives_them(server: str, tmp_path: Path) -> None:
    targets = [f"{server}/{number}" for number in COMMAND]
    saved = tmp_path / "report.json"
    asked = ("--origin", PAGE, "--window", "0", "-vv", "--output", f"json={saved}")
    done = subprocess.run(
        [sys.executable, "-m", "backend_doctor", "check", *targets, *asked],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    _assert_safe(done.stdout + done.stderr + saved.read_text())
