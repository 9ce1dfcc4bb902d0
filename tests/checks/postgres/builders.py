"""Facts of a PostgreSQL as the tests of its checks need them."""

from collections.abc import Iterable
from typing import Any

from backend_doctor import Each, Finding, Instance, Looks, Service
from backend_doctor.backends.http.answers import HealthAnswers
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.postgres.counters import Counters, TableWrites
from backend_doctor.backends.postgres.locks import Jam
from backend_doctor.backends.postgres.sessions import LockWait, Session, Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.registry import bundled_folder, load_file

TAKEN_AT = "2026-11-23 10:00:00.5+00"
WINDOW = 5.0
Pooler = tuple[Each[Clients], Each[Servers]]
NO_POOLER: Pooler = (Each[Clients]({}), Each[Servers]({}))
NO_FACE = Each[HealthAnswers]({})
HOSTILE = """x'); DROP TABLE "users"; --\\"""


def run(check: str, *facts: object, **limits: object) -> list[Finding]:
    """What one of our PostgreSQL checks says of these facts."""
    function = load_file(bundled_folder() / "postgres" / f"{check}.py").function
    return list(function(*facts, **limits))


def session(pid: int, **fields: Any) -> Session:
    """A client of ``shop`` that idles since before both looks."""
    usual = {
        "user": "shop",
        "application": "shop-api",
        "client": "10.0.0.7",
        "port": 40_000 + pid % 10_000,
        "database": "shop",
        "kind": "client backend",
        "state": "idle",
        "backend_age": 600.0,
        "state_age": 60.0,
        "started_us": 1_000_000 * pid,
        "state_us": 1_000_000 * pid + 7,
    }
    return Session(**{**usual, **fields, "pid": pid})


def leaked(pid: int, **fields: Any) -> Session:
    """One that idles in a transaction likewise."""
    usual = {"state": "idle in transaction", "query": "SELECT * FROM orders WHERE id = $1"}
    return session(pid, **{**usual, **fields})


def waiting(pid: int, *blockers: int, **fields: Any) -> Session:
    """One that waits for a lock of ``blockers`` for ten seconds, a row's unless told."""
    wait = fields.pop("wait", "transactionid")
    seconds, mode = fields.pop("seconds", 10.0), fields.pop("mode", "ShareLock")
    relation = fields.pop("relation", None)
    lock = LockWait(
        type=wait,
        mode=mode,
        relation=relation,
        seconds=seconds,
        page=0 if wait in ("transactionid", "tuple") and relation else None,
        line=1 if wait in ("transactionid", "tuple") and relation else None,
    )
    usual = {
        "state": "active",
        "wait_type": "Lock",
        "wait": wait,
        "blocked_by": blockers,
        "lock": lock,
        "transaction_us": 1_000_000 * pid + 3,
        "query": "UPDATE stock SET left = left - $1 WHERE id = $2",
    }
    return session(pid, **{**usual, **fields})


def sessions(found: Iterable[Session], **fields: Any) -> Sessions:
    """One look."""
    return Sessions(sessions=tuple(found), **{"taken_at": TAKEN_AT, **fields})


def looks(
    last: Iterable[Session], first: Iterable[Session] | None = None, **fields: Any
) -> Looks[Sessions]:
    """Two looks, five seconds apart, equal unless ``first`` is given."""
    after = sessions(last, **fields)
    before = after if first is None else sessions(first, **fields)
    return Looks(before, after, WINDOW)


def slots(used: int, **fields: Any) -> Slots:
    """A server with 27 usable slots."""
    usual = {"max_connections": 30, "superuser_reserved": 3, "version": 180_006}
    return Slots(**{**usual, **fields, "used": used})


def refused(used: int) -> Slots:
    """A server that had no slot for us."""
    return Slots(used=used, refused=True)


def instance(**settings: int) -> Instance:
    """The examined server with what is declared of the pool."""
    return Instance(
        service="shop",
        backend="postgres",
        name="postgres",
        address="db:5432/shop",
        host="db",
        port=5432,
        settings=dict(settings),
    )


def service(
    replicas: int = 1, workers: int = 1, *, neighbours: tuple[Service, ...] = (), **settings: int
) -> Service:
    """The service with one PostgreSQL and its declared pool."""
    return Service(
        name="shop",
        replicas=replicas,
        workers=workers,
        instances=(instance(**settings),),
        neighbours=neighbours,
    )


def writes(table: str, first: int | None, last: int) -> Looks[Counters]:
    """What two looks counted of the rows written to ``public.table``; None: not yet there."""

    def counted(rows: int | None) -> Counters:
        return Counters(tables=() if rows is None else (TableWrites("public", table, rows),))

    return Looks(counted(first), counted(last), WINDOW)


def pids(finding: Finding) -> set[int]:
    """The pids that a finding is about."""
    return {int(subject.value) for subject in finding.subjects if subject.kind == "pid"}


def cause(finding: Finding) -> str:
    """The label of the named cause, or ""."""
    return finding.cause.label if finding.cause else ""


def evidence(finding: Finding, key: str) -> Any:
    """The value of one piece of evidence."""
    return {item.key: item.value for item in finding.evidence}[key]


def heads(found: Iterable[Jam]) -> dict[int, set[int]]:
    """The waiters' pids by head blocker."""
    return {jam.head_pid: {waiter.pid for waiter in jam.waiters} for jam in found}
