"""What is kept of a statement that was to be planned."""

import msgspec

from backend_doctor.backends.postgres.plans.explained import Plan


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What the planner makes of a proposed index.

    ``table`` is "schema.table", ``values`` the plan that was compared (generic, common, rare).
    ``pages`` of 8 KiB are HypoPG's estimate, which was two thirds too high where it was measured.
    ``chosen`` when the planner used the index. ``reason`` says why nothing could be tried, and
    ``remedy`` what would change that.
    """

    table: str
    columns: tuple[str, ...]
    definition: str
    values: str
    cost_before: float = 0.0
    cost_after: float = 0.0
    pages: int = 0
    chosen: bool = False
    reason: str = ""
    remedy: str = ""

    @property
    def proven(self) -> bool:
        """Whether the planner used it, to a lower cost."""
        return not self.reason and self.chosen and self.cost_after < self.cost_before

    @property
    def saving(self) -> float:
        """The share of the cost that it saves, 0 to 1; 0 if unproven."""
        return 1 - self.cost_after / self.cost_before if self.proven else 0.0


class PlannedStatement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of the window, or one that runs now. ``text`` has its literals masked;
    ``refusal`` says why it has no plan, ``blind`` that a right is missing; ``not_run`` why it was
    not run though asked.

    ``query_id`` is pg_stat_statements' or the session's own, else the masked text
    (Session.statement). ``as_select`` when it is an UPDATE or DELETE, planned as the SELECT of
    the rows that it changes. ``pids`` are the sessions that ran it in both looks without a pause,
    the longest for ``seconds``. ``proof`` is what became of a proposed index, if one was proposed.
    ``skips`` are the rows that an OFFSET with a number in the text skips. ``locked`` are its
    tables, without schema, where one of them was locked when its plan was asked for.
    """

    query_id: str
    database: str
    role: str
    kind: str = "unknown"
    text: str = ""
    refusal: str = ""
    blind: bool = False
    not_run: str = ""
    plans: tuple[Plan, ...] = ()
    as_select: bool = False
    pids: tuple[int, ...] = ()
    seconds: float = 0.0
    proof: Proof | None = None
    skips: int = 0
    locked: tuple[str, ...] = ()
