"""Facts of a PgBouncer, and of the PostgreSQL behind it, as the tests of its checks need them."""

from collections.abc import Iterable
from typing import Any

from tests.checks.postgres.builders import Pooler, session, sessions

from backend_doctor import Each, Finding, Instance, Looks, Service
from backend_doctor.backends.pgbouncer.pools import Pool, Pools
from backend_doctor.backends.pgbouncer.settings import Database, Databases, Settings
from backend_doctor.backends.pgbouncer.sockets import Client, Clients, Server, Servers
from backend_doctor.backends.pgbouncer.stats import Counters, Stats
from backend_doctor.backends.postgres.sessions import Session, Sessions
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.registry import bundled_folder, load_file

WINDOW = 5.0
SETTINGS = Settings(max_client_conn=100, pool_size=2, query_wait_timeout=120, pool_mode="x")


def run(check: str, *facts: object, **limits: object) -> list[Finding]:
    """What one of our PgBouncer checks says of these facts."""
    function = load_file(bundled_folder() / "pgbouncer" / f"{check}.py").function
    return list(function(*facts, **limits))


def bouncer(**fields: Any) -> Instance:
    """The examined PgBouncer."""
    usual = {
        "service": "shop",
        "backend": "pgbouncer",
        "name": "pgbouncer",
        "address": "pool:6432/pgbouncer",
        "host": "pool",
        "port": 6432,
        "user": "doctor",
    }
    return Instance(**{**usual, **fields})


def postgres(**fields: Any) -> Instance:
    """The PostgreSQL behind it."""
    usual = {
        "service": "shop",
        "backend": "postgres",
        "name": "primary",
        "address": "db:5432/shop",
        "host": "db",
        "port": 5432,
    }
    return Instance(**{**usual, **fields})


def service(*instances: Instance) -> Service:
    """The service with both, unless told."""
    return Service(name="shop", instances=instances or (bouncer(), postgres()))


def database(**fields: Any) -> Database:
    """Two connections a pool."""
    usual = {"name": "shop", "host": "db", "port": 5432, "database": "shop", "pool_size": 2}
    return Database(**{**usual, **fields})


def pool(waiting: int = 6, **fields: Any) -> Pool:
    """A full pool of two."""
    usual = {"database": "shop", "user": "app", "clients": 2, "active": 2, "max_wait": 3.0}
    return Pool(**{**usual, "waiting": waiting, "mode": "transaction", **fields})


def pools(*samples: Pool) -> Pools:
    """One pool in these samples."""
    return Pools(samples=tuple((one,) for one in samples))


def waiting(count: int, application: str = "shop-api") -> list[Client]:
    """Clients in the queue."""
    return [
        Client(
            id=f"w{number}",
            database="shop",
            user="app",
            state="waiting",
            host="10.0.0.9",
            port=50_000 + number,
            application=application,
            waited=3.0,
        )
        for number in range(count)
    ]


def pair(pid: int, application: str = "shop-api") -> tuple[Client, Server]:
    """A client and the server connection that it has."""
    usual: dict[str, Any] = {"database": "shop", "user": "app", "state": "active"}
    client = Client(
        id=f"c{pid}",
        server=f"s{pid}",
        application=application,
        host="10.0.0.8",
        port=60_000 + pid,
        **usual,
    )
    server = Server(
        id=f"s{pid}", client=f"c{pid}", pid=pid, local_port=40_000 + pid, host="db", **usual
    )
    return client, server


def pooler(*pairs: tuple[Client, Server]) -> Pooler:
    """One PgBouncer that serves these clients, for the checks of other backends."""
    clients = Clients(clients=tuple(client for client, _ in pairs))
    servers = Servers(servers=tuple(server for _, server in pairs))
    return Each[Clients]({"pgbouncer": clients}), Each[Servers]({"pgbouncer": servers})


def stats(transactions: int) -> Looks[Stats]:
    """So many transactions between two looks."""

    def at(count: int) -> Stats:
        return Stats(databases={"shop": Counters(transactions=count)})

    return Looks(at(100), at(100 + transactions), WINDOW)


def here(pid: int, **fields: Any) -> Session:
    """The session of ``pair(pid)``."""
    return session(pid, **{"port": 40_000 + pid, **fields})


def judge(
    found: Pools,
    last: Iterable[Session] | None = None,
    first: Iterable[Session] | None = None,
    *,
    transactions: int | None = 0,
    slots: Slots | None = None,
    place: Database | None = None,
    settings: Settings | None = SETTINGS,
    where: Service | None = None,
    **limits: Any,
) -> Finding:
    """What pool_waits says of one pool whose sessions are ``last`` (``first``) on PostgreSQL."""
    now: dict[str, Any] = {}
    twice: dict[str, Any] = {}
    if last is not None:
        after = sessions(last)
        before = after if first is None else sessions(first)
        now, twice = {"primary": after}, {"primary": Looks(before, after, WINDOW)}
    joined = [pair(pid) for pid in (11, 12)]
    (finding,) = run(
        "pool_waits",
        found,
        Looks(found, found, WINDOW),
        Databases(databases=(place or database(),)),
        settings,
        Clients(clients=(*waiting(6), *(client for client, _ in joined))),
        Servers(servers=tuple(server for _, server in joined)),
        None if transactions is None else stats(transactions),
        Each[Sessions](now),
        Each[Looks[Sessions]](twice),
        Each[Slots]({"primary": slots} if slots else {}),
        where or service(),
        bouncer(),
        **limits,
    )
    return finding
