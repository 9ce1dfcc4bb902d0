"""Looks at every backend once, over one connection each, under deadlines of its own."""

import asyncio
import datetime
from collections.abc import Callable, Iterable

import msgspec

from backend_doctor import __version__
from backend_doctor.backends import Connection, connect, load
from backend_doctor.backends.login import lost
from backend_doctor.deadlines import Clock, MonotonicClock, Timing, within
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import (
    Absence,
    AbsenceKind,
    Absent,
    Fact,
    Instance,
    Login,
    Looks,
    Problem,
    Service,
)
from backend_doctor.model import Target
from backend_doctor.planning import Plan, plan, sources
from backend_doctor.registry import Check, Need
from backend_doctor.snapshot import Examined, Look, Snapshot, raw, seen_twice


class Examinee(msgspec.Struct, frozen=True):
    """One configured backend, ready to be examined."""

    instance: Instance
    endpoint: Endpoint


class _Session(msgspec.Struct):
    """One connection and all that is seen through it; several instances may share it."""

    endpoint: Endpoint
    instance: Instance
    plan: Plan
    login: Login | None = None
    connection: Connection | None = None
    lost: Absence | None = None
    opened: float = 0.0
    facts: dict[str, list[Look]] = {}
    known: dict[type[Fact], Fact | Absence] = {}
    seconds: float = 0.0


class Engine:
    """Collects one snapshot. ``clock`` is injected so that tests own the time."""

    def __init__(
        self, checks: Iterable[Check], timing: Timing | None = None, clock: Clock | None = None
    ) -> None:
        self._checks = list(checks)
        self._timing = timing or Timing()
        self._clock = clock or MonotonicClock()
        self._start = self._clock.now()
        self._sessions: dict[tuple[object, ...], _Session] = {}

    def _elapsed(self) -> float:
        return self._clock.now() - self._start

    async def gather(
        self,
        services: Iterable[Service],
        examinees: Iterable[Examinee],
        *,
        source: str = "",
        warnings: Iterable[str] = (),
        progress: Callable[[str], None] = lambda _: None,
    ) -> Snapshot:
        """Looks at all examinees at once. On cancellation, closes what is open and re-raises;
        :meth:`snapshot` then still holds what was seen."""
        self._services, self._examinees = list(services), list(examinees)
        self._source, self._warnings = source, list(warnings)
        self._started = datetime.datetime.now(datetime.UTC)
        for examinee in self._examinees:
            self._session(examinee)
        load(session.endpoint.kind for session in self._sessions.values())
        tasks = {
            asyncio.create_task(self._examine(session, progress))
            for session in self._sessions.values()
        }
        try:
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=self._timing.deadline)
                await self._end(late)
        except asyncio.CancelledError:
            await self._end(tasks)
            raise
        return self.snapshot()

    async def _end(self, tasks: set[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _session(self, examinee: Examinee) -> _Session:
        key = examinee.endpoint.session
        if key not in self._sessions:
            self._sessions[key] = _Session(
                examinee.endpoint,
                examinee.instance,
                plan(
                    self._checks,
                    examinee.instance.backend,
                    two_looks=self._timing.window > 0,
                ),
            )
        return self._sessions[key]

    async def _examine(self, session: _Session, progress: Callable[[str], None]) -> None:
        begun = self._clock.now()
        place = f"{session.instance.service}.{session.instance.name}"
        facts = session.plan
        try:
            progress(f"{place}: connecting")
            await self._open(session)
            progress(f"{place}: looking")
            await self._look(session, facts.early)
            first = self._clock.now()
            await self._look(session, facts.twice)
            if facts.twice and any(isinstance(session.known[f], Fact) for f in facts.twice):
                # a look that has to wait itself, as for late answers, counts into the window
                left = max(0.0, self._timing.window - (self._clock.now() - first))
                progress(f"{place}: second look in {left:.0f} s")
                await self._clock.sleep(left)
                await self._look(session, facts.twice)
            await self._look(session, facts.late)
        finally:
            session.seconds = self._clock.now() - begun
            await self._close(session)

    async def _open(self, session: _Session) -> None:
        begun, limit = self._clock.now(), self._timing.connect

        def failed(problem: Problem, message: str) -> Login:
            seconds = round(self._clock.now() - begun, 4)
            address = session.endpoint.address
            return Login(
                problem=problem, address=address, message=message, seconds=seconds, limit=limit
            )

        try:
            login, session.connection = await within(
                limit + 0.5, connect(session.endpoint, limit=limit)
            )
        except TimeoutError:
            login = failed(Problem.TIMED_OUT, f"no answer within {limit:g} s")
        except Exception as error:  # noqa: BLE001 - a fault of one backend's must not end the run
            login = failed(Problem.OTHER, f"our own code failed: {type(error).__name__}")
        session.login, session.opened = login, self._clock.now()
        self._record(session, Login, login)

    def _record(self, session: _Session, fact: type[Fact], found: Fact | Absence) -> None:
        look = Look(at=round(self._elapsed(), 6))
        if isinstance(found, Absence):
            look = Look(at=look.at, absent=found)
        else:
            try:
                look = Look(at=look.at, value=raw(found))
            except ValueError as error:
                found = Absence(kind=AbsenceKind.FAILED, reason=f"the server sent {error}")
                look = Look(at=look.at, absent=found)
        session.known[fact] = found
        session.facts.setdefault(fact.__name__, []).append(look)

    async def _look(self, session: _Session, facts: Iterable[type[Fact]]) -> None:
        for fact in facts:
            self._record(session, fact, await self._collect(session, fact))

    async def _collect(self, session: _Session, fact: type[Fact]) -> Fact | Absence:
        try:
            arguments = self._arguments(session, fact)
            remaining = self._timing.deadline - self._elapsed()
            collect = getattr(fact, "collect")  # noqa: B009 - not part of the base class
            found: Fact = await within(min(fact.seconds_limit, remaining), collect(**arguments))
        except Absent as absent:
            return self._cut_off(session, absent) or absent.absence
        except TimeoutError:
            return self._give_up(
                session, f"reading {fact.spoken()} took longer than {fact.seconds_limit:g} s"
            )
        except Exception as error:  # noqa: BLE001 - one unreadable fact must not stop the rest
            reason = f"reading failed: {type(error).__name__}: {error}"
            failed = Absence(kind=AbsenceKind.FAILED, reason=reason)
            return self._cut_off(session, error) or failed
        return found

    def _give_up(self, session: _Session, why: str) -> Absence:
        reason = f"{why}; the connection was given up"
        session.lost = Absence(kind=AbsenceKind.FAILED, reason=reason)
        if session.connection is not None:
            session.connection.abort()
        return session.lost

    def _cut_off(self, session: _Session, error: Exception) -> Absence | None:
        """Why nothing more is read, if the other side has ended the connection; then the login
        is no longer good, and is never tried again."""
        connection, login = session.connection, session.login
        if session.lost or login is None or connection is None or not connection.is_closed():
            return None
        lasted = self._clock.now() - session.opened
        ended = lost(login, session.endpoint, error, getattr(connection, "farewell", None), lasted)
        if ended is None:
            return self._give_up(session, f"the connection ended without a server's fault: {error}")
        self._record(session, Login, ended)
        reason = f"the connection to {session.endpoint.address} was lost between the looks"
        session.lost = Absence(kind=AbsenceKind.LOGIN, reason=reason)
        connection.abort()
        return session.lost

    def _arguments(self, session: _Session, fact: type[Fact]) -> dict[str, object]:
        return {
            source.parameter: self._live(session, source.optional)
            if source.need is None
            else self._known(session, source.need)
            for source in sources(fact)
        }

    def _known(self, session: _Session, need: Need) -> Fact | Looks[Fact] | None:
        if need.fact is Instance:
            return session.instance
        found: Fact | Looks[Fact] | Absence | None = session.known.get(need.fact)
        if need.form == "looks":
            looks = session.facts.get(need.fact.__name__)
            found = seen_twice(need.fact, looks, self._timing.window)
        if isinstance(found, (Fact, Looks)):
            return found
        if need.optional:
            return None
        absence = found or Absence(kind=AbsenceKind.FAILED, reason="was not read")
        raise Absent(absence.reason, remedy=absence.remedy, kind=absence.kind)

    def _live(self, session: _Session, optional: bool) -> Connection | None:
        if session.lost:
            raise Absent(session.lost.reason, kind=session.lost.kind)
        if session.connection is None and not optional:
            raise Absent(f"no login to {session.endpoint.address}", kind=AbsenceKind.LOGIN)
        return session.connection

    async def _close(self, session: _Session) -> None:
        if session.connection is None:
            return
        try:
            await within(0.5, session.connection.close())
        except Exception:  # noqa: BLE001 - whatever happens, nothing of ours may stay open
            session.connection.abort()

    def snapshot(self, interrupted: str = "") -> Snapshot:
        """What was seen so far."""
        return Snapshot(
            tool_version=__version__,
            started=self._started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            seconds=round(self._elapsed(), 3),
            window=self._timing.window,
            source=self._source,
            services=self._services,
            backends=[self._examined(examinee) for examinee in self._examinees],
            warnings=self._warnings,
            interrupted=interrupted,
        )

    def _examined(self, examinee: Examinee) -> Examined:
        session = self._sessions[examinee.endpoint.session]
        login = session.login
        target = Target(
            service=examinee.instance.service,
            backend=examinee.instance.backend,
            instance=examinee.instance.name,
            address=examinee.instance.address,
            server=login.server if login else "",
            seconds=round(session.seconds, 3),
            statements=session.connection.statements if session.connection else 0,
            connections=1 if session.connection else 0,
            notes=login.notes if login else (),
        )
        return Examined(instance=examinee.instance, target=target, facts=session.facts)
