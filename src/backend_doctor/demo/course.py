"""The demo's course: healthy, sick, diagnosed, healed, healthy again."""

import asyncio
import time
from collections.abc import Callable

from backend_doctor.demo.examination import Examined, examine
from backend_doctor.demo.illnesses import Illness
from backend_doctor.demo.patient import Patient
from backend_doctor.demo.treatment import stop_bleeding
from backend_doctor.errors import UserError

WARM_UP = 2.0
SUFFER = 3.0
RECOVERY = 2.0

Say = Callable[[str], None]


class Course:
    """One illness from beginning to end; ``say`` shows a line of progress.

    With ``keep`` the sick patient stays as it is until Ctrl-C. Raises UserError as soon as
    something is not as it should be.
    """

    def __init__(self, patient: Patient, illness: Illness, say: Say, *, keep: bool) -> None:
        self._patient = patient
        self._illness = illness
        self._say = say
        self._keep = keep

    async def run(self) -> None:
        """All of it."""
        async with self._patient.administered(), self._patient.load.running():
            await asyncio.sleep(WARM_UP)
            self._say(f"traffic: {self._patient.load.count()}")
            await self._expect_healthy("healthy")
            self._say(f"making it sick: {self._illness.title}")
            async with self._illness.sick(self._patient) as seen:
                await self._diagnose(seen)
            await self._recover()
            await self._expect_healthy("healthy again")

    async def _diagnose(self, seen: str) -> None:
        load = self._patient.load
        self._say(seen)
        load.count()
        await asyncio.sleep(SUFFER)
        self._say(f"traffic: {load.count()}")
        self._say("what does the doctor say?")
        examined = await examine(self._patient.configuration, show=True)
        self._judge(examined)
        if self._keep:
            await self._wait_for_interrupt()
        if examined.first is not None:
            effect = await stop_bleeding(self._patient, examined.first)
            if effect:
                self._say(f"ran the report's own stop command: {effect}")
        self._say("deploying the repaired code")

    def _judge(self, examined: Examined) -> None:
        expected, label = self._illness.exit_code, self._illness.label
        if examined.exit_code != expected:
            raise UserError(f"the check ended with {examined.exit_code}, not {expected}")
        if examined.causes[:1] != [label]:
            named = ", ".join(examined.causes) or "no cause"
            raise UserError(f"the check named {named}, and not {label} first")
        self._say(f"the check ended with {expected} and named {label} first: right")

    async def _expect_healthy(self, what: str) -> None:
        started = time.monotonic()
        examined = await examine(self._patient.configuration, show=False)
        if examined.exit_code != 0:
            raise UserError(
                f"the check ended with {examined.exit_code} where the shop should be {what}:\n"
                f"{examined.text}"
            )
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

    async def _wait_for_interrupt(self) -> None:
        file = self._patient.configuration
        for line in (
            "it stays sick until you press Ctrl-C; in another terminal:",
            f"  backend-doctor check --config {file}",
            f"  backend-doctor check --config {file} --format json",
            f"  backend-doctor runbook {self._illness.label}",
            f"  curl -i {self._patient.shops[0].address}/orders/1/invoice",
        ):
            self._say(line)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # the interrupt is the way on, not a failure
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
