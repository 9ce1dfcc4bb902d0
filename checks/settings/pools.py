from collections.abc import Iterator

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Each,
    Evidence,
    Finding,
    Instance,
    Measure,
    Remedy,
    Service,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.postgres.slots import Slots
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.backends.settings.application import ApplicationSettings, Stated

# SQLAlchemy's QueuePool, where the file gives only one of the two
_POOL_SIZE, _MAX_OVERFLOW = 5, 10


class _Room(msgspec.Struct, frozen=True):
    """What a server has to give; ``seen`` whether it told so itself."""

    connections: int
    text: str
    seen: bool
    address: str = ""


class _Pool(msgspec.Struct, frozen=True):
    """One process's pool of one store, and the room on the server; None: unbounded."""

    name: str
    size: int | None
    stated: Stated
    room: _Room | None = None


def _instance(
    service: Service, settings: ApplicationSettings, backend: str, section: str
) -> Instance | None:
    """The configured backend that the file's URL names; without a match, the only one."""
    ours = [one for one in service.instances if one.backend == backend]
    hosts = {store.host for store in settings.stores if store.kind == section and store.host}
    same = [one for one in ours if one.host in hosts]
    found = same or ours
    return found[0] if len(found) == 1 else None


def _postgres_room(server: Instance | None, slots: Each[Slots], default: int) -> _Room:
    seen = slots.get(server.name) if server else None
    if server and isinstance(seen, Slots) and seen.max_connections is not None:
        text = f"{server.address} has {seen.usable} for ordinary roles"
        return _Room(seen.usable, text, seen=True, address=server.address)
    return _Room(
        default, f"PostgreSQL's own default leaves {default}; the server was not seen", seen=False
    )


def _redis_room(server: Instance | None, limits: Each[ClientLimits], default: int) -> _Room:
    seen = limits.get(server.name) if server else None
    if server and isinstance(seen, ClientLimits) and seen.maxclients:
        text = f"{server.address} takes {seen.maxclients} clients"
        return _Room(seen.maxclients, text, seen=True, address=server.address)
    return _Room(default, f"Redis' own default is {default}; the server was not seen", seen=False)


def _postgres(settings: ApplicationSettings, room: _Room) -> Iterator[_Pool]:
    size, overflow = settings.number("pool_size"), settings.number("max_overflow")
    stated = settings.values.get("pool_size") or settings.values.get("max_overflow")
    if stated is None:
        return
    if size == 0 or (overflow is not None and overflow < 0):
        limitless = settings.values["pool_size" if size == 0 else "max_overflow"]
        yield _Pool("PostgreSQL", None, limitless)
        return
    most = (_POOL_SIZE if size is None else size) + (
        _MAX_OVERFLOW if overflow is None else overflow
    )
    yield _Pool("PostgreSQL", most, stated, room)


def _pools(settings: ApplicationSettings, postgres: _Room, redis: _Room) -> Iterator[_Pool]:
    yield from _postgres(settings, postgres)
    mongodb = settings.number("mongodb_pool")
    if mongodb is not None:
        yield _Pool("MongoDB", mongodb or None, settings.values["mongodb_pool"])
    clients = settings.number("redis_pool")
    if clients is not None:
        yield _Pool("Redis", clients, settings.values["redis_pool"], redis)


def _unbounded(pool: _Pool, settings: ApplicationSettings) -> Finding:
    return Finding(
        status=Status.WARNING,
        summary=f"The pool of {pool.name} has no bound: {pool.stated.key} is "
        f"{pool.stated.value} ({pool.stated.place}).",
        evidence=(
            Evidence(
                key=pool.stated.key,
                value=pool.stated.value,
                text=f"{pool.stated.place}: {pool.stated.value} means without bound",
                source=settings.source,
            ),
        ),
        cause=Cause(
            label="pool.unbounded",
            confidence=Confidence.CERTAIN,
            because="a slow statement makes every request open one more connection, until the "
            "server refuses all its clients",
        ),
        remedies=(
            Remedy(
                step=Step.CURE,
                command=f"{pool.stated.key.rpartition('.')[2]}: 10",
                effect="the pool keeps to its size; requests beyond it wait",
                changes_state=True,
                language="yaml",
            ),
        ),
    )


def _beyond(
    pool: _Pool, room: _Room, processes: int, terms: str, settings: ApplicationSettings, of: str
) -> Finding:
    demand = processes * (pool.size or 0)
    share = max(1, room.connections // processes)
    return Finding(
        status=Status.WARNING,
        summary=f"The {pool.name} pools may open {demand} connections ({terms}); {room.text}.",
        evidence=(
            Evidence(
                key="declared_connections",
                value=demand,
                text=f"{pool.stated.place}: {terms} = {demand}; {room.text}",
                source=settings.source,
            ),
        ),
        cause=Cause(
            label="fleet.oversubscribed",
            confidence=Confidence.LIKELY if room.seen else Confidence.POSSIBLE,
            because="under load the pools of all processes together ask for more connections "
            "than the server has, and whoever comes last is refused",
        ),
        remedies=(
            Remedy(
                step=Step.CURE,
                command=f"pool_size + max_overflow <= {share}"
                if pool.name == "PostgreSQL"
                else f"max_connections <= {share}",
                effect=f"{processes} processes then stay within {room.connections} connections; "
                "requests beyond them wait for a moment",
                language="text",
            ),
            Remedy(
                step=Step.PREVENT,
                command="replicas x workers x pool <= what the server has, less 10 %",
                effect="leaves room for migrations, administrators and a rolling deployment",
                language="text",
            ),
        ),
        subjects=(
            Subject(kind="service", value=of),
            *((Subject(kind="login", value=room.address),) if room.address else ()),
        ),
    )


def _notes(settings: ApplicationSettings, pools: list[_Pool]) -> Iterator[str]:
    sizes = {pool.name: pool.size for pool in pools}
    database, cache = sizes.get("PostgreSQL"), sizes.get("Redis")
    if database and cache and cache < database:
        yield (
            f"each process may have {database} requests at the database but {cache} connections "
            "to Redis; redis-py raises when its pool is empty, unless it is a "
            "BlockingConnectionPool"
        )
    if settings.flag("reload"):
        yield "with reload the server runs one process, whatever server.workers says"


@check
def pools(
    settings: ApplicationSettings,
    service: Service,
    slots: Each[Slots],
    redis_limits: Each[ClientLimits],
    *,
    postgres_default: int = 97,
    redis_default: int = 10000,
) -> Iterator[Finding]:
    """All pools of all processes against what each server has to give.

    The defaults count where a server was not seen: PostgreSQL's 100 less 3 reserved, Redis'
    maxclients.
    """
    workers = settings.number("workers") or service.workers
    processes = max(1, workers) * service.replicas
    postgres = _instance(service, settings, "postgres", "postgresql")
    redis = _instance(service, settings, "redis", "redis")
    found = list(
        _pools(
            settings,
            _postgres_room(postgres, slots, postgres_default),
            _redis_room(redis, redis_limits, redis_default),
        )
    )
    notes, told = list(_notes(settings, found)), False
    for pool in found:
        terms = f"{service.replicas} replicas x {workers} workers x {pool.size}"
        room = pool.room
        if pool.size is None:
            finding = _unbounded(pool, settings)
        elif room is not None and processes * pool.size > room.connections:
            finding = _beyond(pool, room, processes, terms, settings, service.name)
        else:
            continue
        if settings.development and not (room and room.seen):
            notes.append(f"not for production: {finding.summary}")
        else:
            told = True
            yield finding
    if not told:
        sums = ", ".join(
            f"{processes * pool.size} to {pool.name}" for pool in found if pool.size is not None
        )
        yield Finding(
            status=Status.OK if found else Status.SKIPPED,
            summary=f"{processes} processes open at most {sums or 'no stated number'}."
            if found
            else f"{settings.source} states no pools.",
            measures=tuple(
                Measure(name=f"declared_{pool.name.lower()}", value=processes * pool.size)
                for pool in found
                if pool.size is not None
            ),
            notes=tuple(notes),
        )
