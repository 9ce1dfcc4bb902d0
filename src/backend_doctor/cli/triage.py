"""``triage``: an error message, a browser's console line or a log leads to its cause."""

import codecs
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click

from backend_doctor.cli import Exit
from backend_doctor.cli.check import exit_code
from backend_doctor.cli.options import Examination, looking
from backend_doctor.cli.terminal import columns, speaks_unicode, wants_color
from backend_doctor.config.clients import ask_at
from backend_doctor.console import Blocked
from backend_doctor.errors import UserError
from backend_doctor.judge import judge
from backend_doctor.registry import Check, load_checks
from backend_doctor.reports import RenderOptions, render
from backend_doctor.text import safe_text
from backend_doctor.triage import Reading, Sighting, load_messages, read, telling_checks

MOST_BYTES = 64 * 1024 * 1024
_BLOCK = 1 << 16


def _blocks(stream: BinaryIO) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    left = MOST_BYTES
    while left and (block := stream.read1(min(_BLOCK, left))):  # type: ignore[attr-defined]
        left -= len(block)
        yield decoder.decode(block)
    if not left:
        click.echo(f"backend-doctor: only the first {MOST_BYTES >> 20} MiB were read", err=True)


def _lines(stream: BinaryIO) -> Iterator[str]:
    """The stream's lines, without holding more than one, however long it is."""
    rest = ""
    for block in _blocks(stream):
        *whole, rest = (rest + block).split("\n")
        yield from whole
        if len(rest) > _BLOCK:
            yield rest
            rest = ""
    if rest:
        yield rest


def _input(text: str | None) -> Iterable[str]:
    if text is not None and text != "-":
        return text.splitlines()
    if text is None and sys.stdin.isatty():
        raise UserError(
            "no message given\nPaste it in quotes, or pipe a log: backend-doctor triage < app.log"
        )
    return _lines(sys.stdin.buffer)


def _fill(text: str, width: int, first: str = "", indent: str = "   ") -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=first or indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _request(blocked: Blocked, width: int) -> Iterator[str]:
    """Whose page asked what; what the browser does not tell is asked for."""
    page, url = safe_text("".join(blocked.client.origins)), safe_text(blocked.url)
    yield _fill(f"Page {page or '(not told)'} asked {url or '(not told)'}", width)
    if blocked.preflight and not (blocked.client.methods or blocked.client.headers):
        yield _fill(
            "It was the preflight: add --method and --header as the page sends them, which the "
            "message does not tell",
            width,
        )


def _sighting(number: int, sighting: Sighting, next_command: str, width: int) -> Iterator[str]:
    message = sighting.message
    times = "" if sighting.lines == 1 else f" ({sighting.lines} lines)"
    yield _fill(f"{message.title}{times}", width, f"{number}. ")
    yield _fill(message.means.strip(), width)
    yield "   Likely causes:"
    for label, when in message.causes.items():
        yield _fill(f"{label}: {when}", width, "   - ", "     ")
    for reason in message.also:
        yield _fill(reason, width, "   - ", "     ")
    if sighting.blocked:
        yield from _request(sighting.blocked, width)
    yield f"   Runbook:  backend-doctor runbook {message.runbook}"
    yield f"   Next:     {next_command}"


def _print(reading: Reading, checks: dict[str, Check], targets: tuple[str, ...]) -> None:
    width = min(columns(), 100)
    for number, sighting in enumerate(reading.sightings, 1):
        wanted = telling_checks(sighting.message, checks)
        kinds = dict.fromkeys(check_id.partition(".")[0] for check_id in wanted)
        words = [*targets, *(word for kind in kinds for word in ("--only", kind))]
        if sighting.blocked and sighting.blocked.words and not targets:
            words = list(sighting.blocked.words)
        command = f"backend-doctor check {shlex.join(map(safe_text, words))}".rstrip()
        click.echo("\n".join(_sighting(number, sighting, command, width)) + "\n")


def _examine(only: tuple[str, ...], blocked: Blocked | None, asked: dict[str, Any]) -> int:
    """Runs those checks and prints their report. Returns the exit code of ``check``.

    ``blocked`` is the one request that is asked again, where a browser told of one.
    """
    arrange = partial(ask_at, client=blocked.client, url=blocked.url) if blocked else None
    examination = Examination.asked(targets=(), only=only, skip=(), **asked, arrange=arrange)
    if not examination.checks:
        kinds = ", ".join(sorted({check_id.partition(".")[0] for check_id in only}))
        asked_for = ", ".join(asked["more_targets"])
        raise UserError(
            f"nothing to check: no backend of kind {kinds} is configured for {asked_for}\n"
            "See what is: backend-doctor config show"
        )
    snapshot, interrupted = examination.run()
    report = judge(
        snapshot, examination.checks, examination.limits, examination.configuration.ignores
    )
    code = exit_code(report, "warning") if interrupted is None else interrupted
    options = RenderOptions(
        width=columns(),
        color=wants_color("auto"),
        unicode=speaks_unicode(),
        exit_code=code,
    )
    click.echo(render("text", report, options), nl=False, color=True)
    return code


@click.command("triage")
@click.argument("text", required=False, metavar="[TEXT or -]")
@looking
def command(text: str | None, **asked: Any) -> None:
    """Say what an error message means, and what to do next.

    TEXT is the message in quotes; `-` or nothing reads a log from standard input. Nothing of it
    is shown again or kept, but the page and the address of a browser's message. With -t, the
    checks run that tell the cause, and of a browser's message they ask just that request again.

    \b
    Examples:
      backend-doctor triage "QueuePool limit of size 5 overflow 10 reached"
      backend-doctor triage -t shop < app.log
      backend-doctor triage -t shop "Access to fetch at 'https://api.example.com/orders' from ..."

    Exit codes: 0 recognised, 3 not recognised; with -t those of check.
    """
    targets: tuple[str, ...] = asked["more_targets"]
    folders: tuple[Path, ...] = asked["folders"]
    reading = read(_input(text), load_messages(folders))
    if not reading.sightings:
        click.echo(_unknown(reading, targets))
        raise Exit(3)
    checks = load_checks(folders)
    _print(reading, checks, targets)
    if not targets:
        raise Exit(0)
    only = {i: None for s in reading.sightings for i in telling_checks(s.message, checks)}
    blocked = next((s.blocked for s in reading.sightings if s.blocked and s.blocked.url), None)
    code = _examine(tuple(only), blocked, asked)
    raise Exit(code)


def _unknown(reading: Reading, targets: tuple[str, ...]) -> str:
    lines = "1 line" if reading.lines == 1 else f"{reading.lines} lines"
    command = " ".join(("backend-doctor check", *targets))
    return (
        f"Not recognised: {lines} read, no message known here.\n"
        f"Let the checks look instead: {command}"
    )
