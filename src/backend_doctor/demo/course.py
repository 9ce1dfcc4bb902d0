"""The demo's course: healthy, then for each illness sick, diagnosed, healed, healthy again."""

import asyncio
import time
from collections.abc import Callable, Sequence

from backend_doctor.demo.examination import Examined, examine
from backend_doctor.demo.illnesses import Illness
from backend_doctor.demo.patient import Patient
from backend_doctor.demo.treatment import stop_bleeding
from backend_doctor.errors import UserError

WARM_UP = 2.0
SUFFER = 3.0
RECOVERY = 2.0
HEALTHY_WINDOW = "2"

Say = Callable[[str], None]


class Course:
    """The illnesses one after the other; ``say`` shows a line of progress.

    With ``show`` the doctor's report on each is printed; with ``keep`` the sick patient stays as
    it is until Ctrl-C.
    """

    def __init__(
        self, patient: Patient, illnesses: Sequence[Illness], say: Say, *, show: bool, keep: bool
    ) -> None:
        self._patient = patient
        self._illnesses = illnesses
        self._say = say
        self._show = show
        self._keep = keep

    async def run(self) -> list[str]:
        """All of it; returns what was not as it should be.

        Raises UserError when the shop is not healthy to begin with, or does not become so.
        """
        problems = []
        async with self._patient.alive():
            await asyncio.sleep(WARM_UP)
            self._say(f"traffic: {self._patient.load.count()}")
            await self._expect_healthy("healthy")
            for illness in self._illnesses:
                try:
                    await self._live_through(illness)
                except UserError as problem:
                    self._say(str(problem))
                    first, *_ = str(problem).splitlines()
                    problems.append(f"{illness.label}: {first}")
                await self._recover()
                await self._expect_healthy("healthy again", tries=2)
        return problems

    async def _live_through(self, illness: Illness) -> None:
        self._say(f"making it sick: {illness.title}")
        async with illness.sick(self._patient) as seen:
            load = self._patient.load
            self._say(seen)
            load.count()
            await asyncio.sleep(SUFFER)
            self._say(f"traffic: {load.count()}")
            self._say("what does the doctor say?")
            examined = await examine(self._patient.configuration, show=self._show)
            self._judge(illness, examined)
            if self._keep:
                await self._wait_for_interrupt(illness)
            if examined.first is not None:
                effect = await stop_bleeding(self._patient.administrator, examined.first)
                if effect:
                    self._say(f"ran the report's own stop command: {effect}")
            self._say("healing it")

    def _judge(self, illness: Illness, examined: Examined) -> None:
        expected, label = illness.exit_code, illness.label
        named = ", ".join(examined.causes) or "no cause"
        if examined.exit_code != expected:
            raise UserError(
                f"the check ended with {examined.exit_code}, not {expected}, and named {named}"
                f"{_quoted(examined.text)}"
            )
        if examined.causes[:1] != [label]:
            raise UserError(
                f"the check named {named}, and not {label} first{_quoted(examined.text)}"
            )
        folded = examined.explained
        also = f" (symptoms folded beneath it: {folded})" if folded else ""
        self._say(f"the check ended with {expected} and named {label} first{also}: right")

    async def _expect_healthy(self, what: str, tries: int = 1) -> None:
        options = ("--window", HEALTHY_WINDOW)
        for left in reversed(range(tries)):
            started = time.monotonic()
            examined = await examine(self._patient.configuration, show=False, options=options)
            if examined.exit_code == 0:
                break
            if not left:
                raise UserError(
                    f"the check ended with {examined.exit_code} where the shop should be {what}"
                    f"{_quoted(examined.text)}"
                )
            named = ", ".join(examined.causes) or "no cause"
            self._say(f"not yet {what}: the check ended with {examined.exit_code} and {named}")
        seconds, backends = time.monotonic() - started, len(examined.report["targets"])
        self._say(f"{what}: the check found nothing wrong in {backends} backends ({seconds:.1f} s)")

    async def _recover(self) -> None:
        load = self._patient.load

        async def served() -> bool:
            load.count()
            await asyncio.sleep(RECOVERY)
            count = load.count()
            self._say(f"traffic: {count}")
            return count.failed == 0 and count.ok > 0

        await self._patient.until("requests to be answered again", served)

    async def _wait_for_interrupt(self, illness: Illness) -> None:
        file = self._patient.configuration
        for line in (
            "it stays sick until you press Ctrl-C; in another terminal:",
            f"  backend-doctor check --config {file}",
            f"  backend-doctor check --config {file} --format json",
            f"  backend-doctor runbook {illness.label}",
            f"  curl -i {self._patient.shops[0].address}/healthz",
        ):
            self._say(line)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # the interrupt is the way on, not a failure
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()


def _quoted(report: str) -> str:
    return f":\n{report}" if report else ""
