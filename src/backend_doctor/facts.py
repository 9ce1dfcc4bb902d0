"""The vocabulary of observation: facts, their absence, and several looks at one.

A fact type lives beside its SQL or command in ``backends/<kind>/`` and has a classmethod
``async collect(cls, ...) -> Self`` whose parameters are a connection or other facts.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A typed, immutable, JSON-serialisable observation of one backend.

    ``epoch`` may be overridden: when it differs between two looks (a restart, a reset of
    statistics), no rate can be told from them. What is ``lasting`` holds for a whole run: it is
    seen once, even where something is made from it in both looks.
    """

    seconds_limit: ClassVar[float] = 5.0
    lasting: ClassVar[bool] = False

    @classmethod
    def spoken(cls) -> str:
        """Its name for people: ``statement statistics``."""
        return " ".join(re.findall(r"[A-Z]+[a-z0-9]*", cls.__name__)).lower()

    @property
    def epoch(self) -> str:
        """What must be equal in two looks for a rate between them to mean something."""
        return ""


class AbsenceKind(StrEnum):
    """Why a fact is not there."""

    NOT_APPLICABLE = "not_applicable"
    BLIND = "blind"
    LOGIN = "login"
    FAILED = "failed"


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that could not be had: why, and what would give it.

    ``remedy`` is the exact grant or setting, or "".
    """

    kind: AbsenceKind
    reason: str
    remedy: str = ""


class Absent(Exception):  # noqa: N818 - it is an answer, not an error
    """Raised by a fact's ``collect``, or by a check, that cannot tell; carries the reason."""

    def __init__(
        self, reason: str, *, remedy: str = "", kind: AbsenceKind = AbsenceKind.BLIND
    ) -> None:
        super().__init__(reason)
        self.absence = Absence(kind=kind, reason=reason, remedy=remedy)


F = TypeVar("F", bound=Fact)


class Looks(msgspec.Struct, Generic[F], frozen=True):
    """The same fact seen twice, ``seconds`` apart on the run's own monotonic clock."""

    first: F
    last: F
    seconds: float


E = TypeVar("E")


class Each(Mapping[str, "E | Absence"], Generic[E]):
    """One fact (or its :class:`Looks`) of every instance in the service that has it, by name.

    A check may ask so for the facts of another kind of backend: how the database stood while
    requests failed.
    """

    def __init__(self, found: dict[str, "E | Absence"]) -> None:
        self._found = found

    def __getitem__(self, name: str) -> "E | Absence":
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


Setting = str | int | float | bool | tuple[str, ...]


ADHOC = "adhoc"
"""The service of the backends that the command line names by URL, ``env:`` or ``file:``."""


def target_name(service: str, kind: str, name: str) -> str:
    """How the command line names a backend: ``SERVICE.KIND``, and ``.NAME`` where it has one."""
    return ".".join([service, kind, *([] if name == kind else [name])])


class Instance(Fact, frozen=True):
    """One configured backend without its secrets.

    ``backend`` is the kind, ``settings`` what the configuration declares (pool_size,
    max_overflow, max_connections, role, ...).
    """

    service: str
    backend: str
    name: str
    address: str
    host: str
    port: int
    database: str = ""
    user: str = ""
    settings: dict[str, Setting] = {}

    @property
    def adhoc(self) -> bool:
        """Whether no configuration names it, but the command line."""
        return self.service == ADHOC

    @property
    def key(self) -> tuple[str, str, str]:
        """Service, kind and name: what tells instances apart within a run."""
        return (self.service, self.backend, self.name)

    def number(self, key: str) -> int | None:
        """A declared whole number, or None."""
        value = self.settings.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def texts(self, key: str) -> tuple[str, ...]:
        """A declared list of texts, or nothing."""
        value = self.settings.get(key)
        return value if isinstance(value, tuple) else ()


class Service(Fact, frozen=True):
    """The service under care as configured.

    ``neighbours`` are the instances of other configured services that live on a server which
    this service uses too, each with its service's replicas x workers.
    """

    name: str
    replicas: int = 1
    workers: int = 1
    instances: tuple[Instance, ...] = ()
    neighbours: tuple["Service", ...] = ()


class Problem(StrEnum):
    """What stopped a login, told apart as far as it can be from outside; LOST is what ended the
    connection after it."""

    NONE = "none"
    NAME_UNKNOWN = "name_unknown"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    WRONG_PROTOCOL = "wrong_protocol"
    TLS = "tls"
    LOGIN = "login"
    RIGHTS = "rights"
    FULL = "full"
    STARTING = "starting"
    LOST = "lost"
    OTHER = "other"


class Login(Fact, frozen=True):
    """The one attempt to connect, as a fact: a refusal can be judged too.

    ``code`` is the server's own (SQLSTATE, Redis error word) or an errno name, ``message`` is
    free of secrets. ``answered_by`` names the protocol that answered when it was not ours.
    ``seconds`` is the attempt's duration and ``limit`` the time it was given.
    """

    problem: Problem
    address: str
    server: str = ""
    code: str = ""
    message: str = ""
    answered_by: str = ""
    seconds: float = 0.0
    limit: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a session was had."""
        return self.problem is Problem.NONE
