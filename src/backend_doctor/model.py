"""What a check says and what a report holds: pure data, JSON-serialisable."""

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """How one thing stands. Nagios plugin words, plus ``skipped``."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"

    @property
    def severity(self) -> int:
        """Rank from 0 (skipped) to 4 (critical); unknown stands below warning."""
        return ("skipped", "ok", "unknown", "warning", "critical").index(self.value)

    @property
    def exit_code(self) -> int:
        """0 ok or skipped, 1 warning, 2 critical, 3 unknown (Monitoring Plugins guidelines)."""
        return {"warning": 1, "critical": 2, "unknown": 3}.get(self.value, 0)


class Confidence(StrEnum):
    """How sure the named cause is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"

    @property
    def rank(self) -> int:
        """Rank from 0 (possible) to 2 (certain)."""
        return ("possible", "likely", "certain").index(self.value)


class Step(StrEnum):
    """When a remedy is used, in the order of an incident."""

    STOP = "stop"
    CONFIRM = "confirm"
    CURE = "cure"
    PREVENT = "prevent"


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    pass


Value = str | int | float | bool | None | tuple[str | int | float, ...]


class Evidence(_Data, frozen=True):
    """One observed fact in support of a finding.

    ``key`` is stable and machine-readable (``sessions_idle_in_transaction``), ``value`` is
    what was observed, ``text`` says it in plain words, ``source`` names where it was read. What
    ``repeats`` the summary, the cause or other evidence is shown to people only on demand.
    """

    key: str
    value: Value
    text: str
    source: str = ""
    repeats: bool = False


class Cause(_Data, frozen=True):
    """A named root cause; ``label`` has the form ``area.what_is_wrong``."""

    label: str
    confidence: Confidence
    because: str


class Remedy(_Data, frozen=True):
    """One next command, safe to paste.

    ``effect`` says what it does and its blast radius; ``language`` is sql, sh, redis, yaml
    or text. ``builds`` names an index that it builds, by its table and then its columns.
    """

    step: Step
    command: str
    effect: str
    changes_state: bool = False
    language: str = "sql"
    builds: tuple[str, ...] = ()


class Subject(_Data, frozen=True, order=True, omit_defaults=True):
    """A thing that two findings may both be about; sharing one lets them fold.

    Kinds: pid, query, table ("schema.table"), slot, prepared (a prepared transaction's gid)
    and server_setting are local to one server; application, endpoint, error, setting and login
    are known across the backends of a service. ``server`` is the address of the server that a
    local one belongs to, where that is not the finding's own: a pool's finding may name the
    sessions of the database behind it.
    """

    kind: str
    value: str
    server: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


class Measure(_Data, frozen=True):
    """One number for monitoring systems.

    ``name`` is snake_case with a base unit; ``unit`` follows the Nagios perfdata units
    ("", "s", "B", "c", "%"). ``warning`` and ``critical`` are the thresholds in that unit.
    """

    name: str
    value: float
    unit: str = ""
    warning: float | None = None
    critical: float | None = None
    minimum: float | None = 0
    maximum: float | None = None


class Finding(_Data, frozen=True):
    """What a check says of one backend.

    ``summary`` is one plain sentence with the number in it. ``explains`` lists causes (not
    check ids) whose findings are symptoms of this one where they share a subject.
    """

    status: Status
    summary: str
    evidence: tuple[Evidence, ...] = ()
    cause: Cause | None = None
    remedies: tuple[Remedy, ...] = ()
    explains: tuple[str, ...] = ()
    subjects: tuple[Subject, ...] = ()
    measures: tuple[Measure, ...] = ()
    notes: tuple[str, ...] = ()


# what a client sees of a database that keeps it waiting; for ``explains``
SEEN_BY_CLIENTS = (
    "http.server_error",
    "http.slow",
    "cors.error_masks_5xx",
    "pool.undersized",
    "pgbouncer.server_full",
)


class Fold(_Data, frozen=True):
    """Why a result lies beneath another: ``under`` is that result's id."""

    under: str
    shared: tuple[Subject, ...]


class Result(_Data, frozen=True):
    """A finding with its address.

    ``id`` is unique within the report; ``check`` the check's id (``postgres.pool_exhaustion``);
    ``service``, ``backend`` (the kind) and ``instance`` say whose it is.
    """

    id: str
    check: str
    service: str
    backend: str
    instance: str
    finding: Finding
    explained_by: Fold | None = None


class Target(_Data, frozen=True):
    """One examined backend: what answered, where, in how many seconds, with how many statements.

    ``address`` never holds a secret. ``server`` is the product and version that answered, or
    "" when none did.
    """

    service: str
    backend: str
    instance: str
    address: str
    server: str
    seconds: float
    statements: int
    connections: int
    notes: tuple[str, ...] = ()


class Report(_Data, frozen=True):
    """All results of a run, in the order to read them: root causes first.

    ``started`` is RFC 3339 in UTC, ``seconds`` the run's wall time, ``window`` the seconds
    between two looks, ``source`` what was read ("backend-doctor.yaml", "environment", ...).
    ``interrupted`` says why the run ended early, or "".
    """

    tool_version: str
    started: str
    seconds: float
    window: float
    source: str
    targets: tuple[Target, ...]
    results: tuple[Result, ...]
    interrupted: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def roots(self) -> tuple[Result, ...]:
        """The results that nothing else explains, worst first."""
        return tuple(result for result in self.results if result.explained_by is None)

    def beneath(self, root: Result) -> tuple[Result, ...]:
        """The results folded under one root."""
        return tuple(
            result
            for result in self.results
            if result.explained_by is not None and result.explained_by.under == root.id
        )

    @property
    def status(self) -> Status:
        """The worst status of all results; unknown when the run was cut short or is empty."""
        statuses = [result.finding.status for result in self.results]
        if self.interrupted or not statuses:
            statuses.append(Status.UNKNOWN)
        return max(statuses, key=lambda status: status.severity)
