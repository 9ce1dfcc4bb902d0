"""All that is known of one pool in which clients wait, put together for a verdict."""

from collections import Counter
from collections.abc import Iterator

import msgspec

from backend_doctor.backends.pgbouncer.behind import Behind, instance_of, sessions_behind
from backend_doctor.backends.pgbouncer.pools import Pool, Queue
from backend_doctor.backends.pgbouncer.settings import Database, Databases, Settings
from backend_doctor.backends.pgbouncer.sockets import Client, Clients, Servers
from backend_doctor.backends.pgbouncer.stats import Stats, transactions_per_second
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.facts import Each, Instance, Looks, Service
from backend_doctor.model import Evidence, Subject


class Seen(msgspec.Struct, frozen=True):
    """The facts that a scene is put together from, as a check has them."""

    databases: Databases | None
    settings: Settings | None
    clients: Clients | None
    servers: Servers | None
    stats: Looks[Stats] | None
    now: Each[Sessions]
    looks: Each[Looks[Sessions]]
    slots: Each[Slots]
    service: Service
    bouncer: Instance


class Scene(msgspec.Struct, frozen=True):
    """One pool with a queue. ``rate`` is its database's transactions per second, None where it
    was seen once; ``behind`` its sessions on PostgreSQL, ``slots`` how full that server is;
    ``joined`` who is served by which connection, of this PgBouncer alone."""

    queue: Queue
    database: Database | None
    waiting: tuple[Client, ...]
    served: tuple[Client, ...]
    rate: float | None
    upstream: Instance | None
    behind: Behind | None
    slots: Slots | None
    bouncer: Instance
    joined: tuple[Each[Clients], Each[Servers]]

    @property
    def pool(self) -> Pool:
        """The pool as it was when clients waited last."""
        return self.queue.pool

    @property
    def size(self) -> int:
        """Server connections that it has without its reserve, 0 where that is not known."""
        return self.database.size if self.database else 0

    @property
    def capped(self) -> bool:
        """Whether the database's own limit over all its pools is reached."""
        found = self.database
        return bool(found and found.max_connections and found.connections >= found.max_connections)

    @property
    def full(self) -> bool:
        """Whether each connection that it may have is in use."""
        return self.capped or 0 < self.size <= self.pool.active

    @property
    def seconds_each(self) -> float:
        """What a transaction takes on the average, by Little's law; 0 where that is not known."""
        return self.pool.active / self.rate if self.rate else 0.0

    @property
    def server_full(self) -> bool:
        """Whether PostgreSQL has no slot left for PgBouncer."""
        return self.slots is not None and (self.slots.refused or self.slots.share >= 1.0)

    @property
    def free_slots(self) -> int | None:
        """Slots that PostgreSQL still has to give, None where that is not known."""
        if self.slots is None or self.slots.refused:
            return None
        return max(0, self.slots.usable - self.slots.used)

    @property
    def applications(self) -> tuple[str, ...]:
        """Who waits first, then who is served."""
        holders = Counter(client.holder for client in self.waiting)
        named = [holder for holder, _ in holders.most_common()]
        return tuple(dict.fromkeys([*named, *(client.holder for client in self.served)]))

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """What it shares with the findings of other backends."""
        place = self.bouncer.address.removesuffix("/pgbouncer")
        return (
            *(self.behind.pids if self.behind else ()),
            *(Subject(kind="application", value=name) for name in self.applications[:5]),
            Subject(kind="login", value=f"{place}/{self.pool.database}"),
            Subject(kind="error", value="pgbouncer.pool_timeout"),
        )

    def evidence(self) -> Iterator[Evidence]:
        """The queue, and the pool that it stands in front of."""
        queue, pool = self.queue, self.pool
        holders = Counter(client.holder for client in self.waiting).most_common(3)
        who = ", ".join(f"{count} of {holder}" for holder, count in holders)
        yield Evidence(
            key="waiting_clients",
            value=pool.waiting,
            text=f"{pool.waiting} clients of pool {pool.text} wait for a server connection"
            f"{f' ({who})' if who else ''}: in {queue.waited} of {queue.samples} samples, one "
            "second apart",
            source="SHOW POOLS cl_waiting",
        )
        if queue.max_wait:
            yield Evidence(
                key="max_wait_seconds",
                value=round(queue.max_wait, 1),
                text=f"the first in the queue has waited for up to {queue.max_wait:.1f} s",
                source="SHOW POOLS maxwait",
            )
        most = f" of {self.size}" if self.size else ""
        yield Evidence(
            key="server_connections",
            value=pool.active,
            text=f"{pool.active}{most} server connections serve a client, {pool.idle} are free, "
            f"{pool.login} are being opened ({pool.mode} mode)",
            source="SHOW POOLS sv_active, sv_idle, sv_login; SHOW DATABASES pool_size",
        )
        if self.rate is not None:
            yield Evidence(
                key="transactions_per_second",
                value=round(self.rate, 2),
                text=f"{self.rate:.1f} transactions of {pool.database} end a second"
                + (f", after {self.seconds_each:.2f} s each on the average" if self.rate else ""),
                source="SHOW STATS total_xact_count",
            )
        if self.free_slots is not None and self.slots is not None:
            yield Evidence(
                key="free_slots",
                value=self.free_slots,
                text=f"PostgreSQL has {self.free_slots} of {self.slots.usable} usable connections "
                "left",
                source="pg_stat_activity",
            )


def scene_of(queue: Queue, seen: Seen) -> Scene:
    """Puts together what is known of one queue's pool."""
    pool = queue.pool
    database = seen.databases.by_name().get(pool.database) if seen.databases else None
    clients = [
        one
        for one in (seen.clients.clients if seen.clients else ())
        if (one.database, one.user) == pool.key
    ]
    servers = [
        one
        for one in (seen.servers.servers if seen.servers else ())
        if (one.database, one.user) == pool.key and one.client
    ]
    behind = sessions_behind(servers, database, seen.now, seen.looks, seen.service)
    upstream = behind.instance if behind else None
    if upstream is None and database is not None:
        upstream = instance_of(database, seen.service, seen.bouncer)
    slots = seen.slots.get(upstream.name) if upstream else None
    return Scene(
        queue=queue,
        database=database,
        waiting=tuple(one for one in clients if one.state.startswith("waiting")),
        served=tuple(one for one in clients if one.server),
        rate=transactions_per_second(seen.stats, pool.database) if seen.stats else None,
        upstream=upstream,
        behind=behind,
        slots=slots if isinstance(slots, Slots) else None,
        bouncer=seen.bouncer,
        joined=(
            Each[Clients]({seen.bouncer.name: seen.clients} if seen.clients else {}),
            Each[Servers]({seen.bouncer.name: seen.servers} if seen.servers else {}),
        ),
    )
