"""Plans of the statements that take most of the window, where it is safe to have them."""

from typing import ClassVar, Self

import msgspec

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.plans.planned import PlannedStatement as PlannedStatement
from backend_doctor.backends.postgres.plans.tables import Table
from backend_doctor.backends.postgres.remedies import grant_for
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.statements import (
    Statements,
    StatementStatistics,
    window_loads,
)
from backend_doctor.backends.postgres.write_rates import Rates
from backend_doctor.facts import Fact, Instance, Looks


class Plans(Fact, frozen=True):
    """The statements that kept sessions busy in the window, and those that run through both
    looks, most first, with plans where they could be had, and the tables that these scan.
    ``remedy`` is the missing grant, or ""."""

    seconds_limit: ClassVar[float] = 12.0

    statements: tuple[PlannedStatement, ...]
    tables: tuple[Table, ...] = ()
    remedy: str = ""

    def with_writes(self, rates: Rates) -> Self:
        """The same, where it is known how often the tables are written."""
        tables = (
            msgspec.structs.replace(one, writes_per_second=rates.get((one.schema, one.name)))
            for one in self.tables
        )
        return msgspec.structs.replace(self, tables=tuple(tables))

    @classmethod
    async def collect(
        cls,
        db: PostgresConnection,
        statistics: StatementStatistics,
        statements: Looks[Statements] | None,
        sessions: Looks[Sessions],
        instance: Instance,
    ) -> Self:
        """At most five statements for each that is planned, and what is left of the run's 25,
        each plan in a transaction of its own; none when nothing kept a session busy. Nothing is
        run, unless the backend's setting ``analyze`` is true."""
        from backend_doctor.backends.postgres.plans.candidates import cases_of, fetch_texts
        from backend_doctor.backends.postgres.plans.planner import Planner

        cases = cases_of(window_loads(statements) if statements else (), sessions)
        if not cases:
            return cls(statements=())
        entries = statements.last.entries if statements else 0
        await fetch_texts(db, statistics, cases, sessions, entries)
        planner = Planner(db, analyze=instance.settings.get("analyze") is True)
        await planner.plan(cases)
        return cls(
            statements=tuple(case.fact() for case in cases),
            tables=planner.tables,
            remedy=grant_for(statistics.role) if any(case.blind for case in cases) else "",
        )
