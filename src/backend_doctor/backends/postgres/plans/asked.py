"""One statement that somebody asks about, planned as those of the window are."""

from typing import ClassVar, Self

from backend_doctor.backends.postgres.connection import PostgresConnection
from backend_doctor.backends.postgres.plans.candidates import schemas_in
from backend_doctor.backends.postgres.plans.case import Case
from backend_doctor.backends.postgres.plans.catalogue import NO_TABLE
from backend_doctor.backends.postgres.plans.equivalent import typed_place
from backend_doctor.backends.postgres.plans.planned import PlannedStatement
from backend_doctor.backends.postgres.plans.planner import Planner
from backend_doctor.backends.postgres.plans.tables import Table
from backend_doctor.backends.postgres.refusals import NoPlanError
from backend_doctor.backends.postgres.remedies import grant_for
from backend_doctor.facts import Fact, Instance

TEXT_SETTING = "query"
"""The instance's setting that holds the text."""
_WHO_ASKS = """
SELECT textsend(current_database()::text) AS database, textsend(current_user::text) AS role,
       textsend((SELECT reset_val FROM pg_settings WHERE name = 'search_path')) AS search_path
"""


class Asked(Fact, frozen=True):
    """One statement with its plans and the tables that these read.

    ``text`` is as it was typed, its placeholders numbered; ``error`` is the server's message where
    it refuses the text, and ``position`` the character of the text that it names, from 1 on, or 0.
    ``remedy`` is the missing grant, or "".
    """

    seconds_limit: ClassVar[float] = 12.0

    text: str
    planned: PlannedStatement
    tables: tuple[Table, ...] = ()
    error: str = ""
    position: int = 0
    remedy: str = ""

    @classmethod
    async def collect(cls, db: PostgresConnection, instance: Instance) -> Self:
        """At most 12 statements. It is run only where the setting ``analyze`` is true, and safe."""
        text = str(instance.settings[TEXT_SETTING])
        who = (await db.fetch(_WHO_ASKS))[0]
        case = Case(query_id="", database=who["database"], role=who["role"], busy=1.0)
        case.read(text, schemas_in(who["search_path"] or "", who["role"]))
        planner = Planner(db, analyze=instance.settings.get("analyze") is True)
        await planner.plan([case])
        if case.refusal in NO_TABLE:
            # it may be a table that is not there, or no statement at all
            try:
                await db.parse(case.sql, search_path=case.search_path)
            except NoPlanError as refused:
                case.refuse(refused)
        error = case.error if isinstance(case.error, NoPlanError) else None
        place = error.position if error is not None else None
        if place and not text.startswith(case.sql):
            place = typed_place(case.sql, place, text)
        return cls(
            text=text,
            planned=case.fact(),
            tables=planner.tables,
            error=error.message if error is not None else "",
            position=place or 0,
            remedy=grant_for(who["role"]) if case.blind else "",
        )
