"""The PostgreSQL behind a PgBouncer: which of the service's it is, and its sessions for us."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from backend_doctor.backends.pgbouncer.settings import Database
from backend_doctor.backends.pgbouncer.sockets import Server
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.facts import Absence, Instance, Looks, Service
from backend_doctor.model import Subject

_HERE = frozenset({"", "localhost", "127.0.0.1", "::1"})


class Behind(msgspec.Struct, frozen=True):
    """The sessions that are a pool's connections, on ``instance`` of kind postgres.

    ``looks`` at all its sessions; both are the same where there was one look only.
    """

    instance: Instance
    looks: Looks[Sessions]
    sessions: tuple[Session, ...]

    @property
    def pids(self) -> tuple[Subject, ...]:
        """The sessions as subjects, local to their own server."""
        return pids_of(self.sessions, self.instance)


def pids_of(sessions: Iterable[Session], instance: Instance) -> tuple[Subject, ...]:
    """Sessions as subjects that are local to the server of ``instance``."""
    return tuple(
        Subject(kind="pid", value=str(session.pid), server=instance.address) for session in sessions
    )


def _place(host: str) -> str:
    return "" if host in _HERE or host.startswith("/") else host


def instance_of(database: Database, service: Service, bouncer: Instance) -> Instance | None:
    """The service's PostgreSQL that a database of PgBouncer's leads to: by host and port, or
    because it is configured by way of this very PgBouncer."""
    target = (_place(database.host), database.port)
    by_way_of_it = (_place(bouncer.host), bouncer.port)
    found = [one for one in service.instances if one.backend == "postgres"]
    return next(
        (one for one in found if (_place(one.host), one.port) == target),
        next((one for one in found if (_place(one.host), one.port) == by_way_of_it), None),
    )


def sessions_behind(
    servers: Sequence[Server],
    database: Database | None,
    now: Mapping[str, Sessions | Absence],
    looks: Mapping[str, Looks[Sessions] | Absence],
    service: Service,
) -> Behind | None:
    """The sessions that these connections are, on that PostgreSQL which has most of them.

    A process id alone may be another server's: the client's port must fit too, or the name of
    the database (where an address is translated on the way, ports differ).
    """
    best: Behind | None = None
    for instance in service.instances:
        last = now.get(instance.name) if instance.backend == "postgres" else None
        if not isinstance(last, Sessions) or last.from_titles:
            continue
        twice = looks.get(instance.name)
        seen = twice if isinstance(twice, Looks) else Looks(last, last, 0.0)
        by_pid = last.by_pid()
        sessions = tuple(
            session
            for server in servers
            if (session := by_pid.get(server.pid)) is not None
            and _fits(session, server, database.database if database else server.database)
        )
        if sessions and len(sessions) > len(best.sessions if best else ()):
            best = Behind(instance, seen, sessions)
    return best


def _fits(session: Session, server: Server, database: str) -> bool:
    return session.port == server.local_port or session.database == database
