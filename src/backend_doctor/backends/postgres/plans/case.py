"""One statement on its way to its plans."""

import msgspec

from backend_doctor.backends.postgres.plans.equivalent import NoEquivalentError, finding_rows
from backend_doctor.backends.postgres.plans.explained import Plan
from backend_doctor.backends.postgres.plans.planned import PlannedStatement, Proof
from backend_doctor.backends.postgres.plans.words import (
    UnreadableError,
    Words,
    plannable,
    read,
    refusal,
)
from backend_doctor.backends.postgres.refusals import LOCKED, NoPlanError
from backend_doctor.backends.sql import mask_literals
from backend_doctor.facts import AbsenceKind, Absent
from backend_doctor.text import shorten


class Case(msgspec.Struct):
    """One statement on its way to a plan.

    ``busy`` is how many sessions it keeps busy; ``rows`` that a call returns and ``mean_ms`` that
    it takes are None where nobody counted, the ``blocks`` that it touches 0. ``sql`` is what is
    planned; ``values`` are those of each plan, by its name.
    """

    query_id: str
    database: str
    role: str
    busy: float = 0.0
    rows: float | None = None
    blocks: float = 0.0
    mean_ms: float | None = None
    pids: tuple[int, ...] = ()
    seconds: float = 0.0
    text: str = ""
    sql: str = ""
    search_path: tuple[str, ...] = ()
    words: Words | None = None
    tables: tuple[str, ...] = ()
    kind: str = "unknown"
    as_select: bool = False
    refusal: str = ""
    blind: bool = False
    not_run: str = ""
    error: Absent | None = None
    document: str = ""
    plans: list[Plan] = []
    values: dict[str, list[str | None]] = {}
    proof: Proof | None = None

    @property
    def parameters(self) -> int:
        """How many placeholders the planned text has."""
        return self.words.parameters if self.words else 0

    def read(self, text: str, search_path: tuple[str, ...]) -> None:
        """Takes the text; a change becomes the SELECT of the rows that it changes."""
        self.text, self.search_path = text, search_path
        try:
            words = read(text)
            self.kind = words.kind
            self.sql = plannable(text)
            writes = words.writes and not words.locks and "into" not in words.names
            if words.kind == "change" or (words.kind == "select" and writes):
                self.kind = "change"
                self.sql, self.as_select = plannable(finding_rows(text)), True
                words = read(self.sql)
            self.words = words
            self.refusal = refusal(words)
        except (UnreadableError, NoEquivalentError) as error:
            self.refusal = str(error)

    def refuse(self, error: Absent | ValueError) -> None:
        """Keeps why there is no plan."""
        self.refusal = str(error)
        self.error = error if isinstance(error, Absent) else None
        self.blind = isinstance(error, Absent) and error.absence.kind is AbsenceKind.BLIND

    def fact(self) -> PlannedStatement:
        """What is kept of it."""
        locked = isinstance(self.error, NoPlanError) and self.error.code == LOCKED
        return PlannedStatement(
            query_id=self.query_id,
            database=self.database,
            role=self.role,
            kind=self.kind,
            text=shorten(" ".join(mask_literals(self.text).split()), 400),
            refusal=self.refusal,
            blind=self.blind,
            not_run=self.not_run,
            plans=tuple(self.plans),
            as_select=self.as_select,
            pids=self.pids,
            seconds=self.seconds,
            proof=self.proof,
            skips=self.words.skips if self.words else 0,
            locked=self.tables if locked else (),
        )
