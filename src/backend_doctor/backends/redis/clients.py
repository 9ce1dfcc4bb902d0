"""Who holds the server's clients: CLIENT LIST in groups, and what idles in them."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Self

import msgspec

from backend_doctor.backends.redis.connection import CLIENT_NAME, RedisConnection
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.facts import Absent, Fact

# the server answers nobody else while it writes the list: some 1 ms for every 1,000 clients
MOST_CLIENTS = 20_000
# N normal and x in a transaction do not wait by design; these do
_WAITING_FLAGS = frozenset("PbSMO")


def parse_client(line: str) -> dict[str, str]:
    """The fields of one line of CLIENT LIST; a blank within a value (a path) belongs to it."""
    fields: dict[str, str] = {}
    last = ""
    for part in line.split(" "):
        key, equals, value = part.partition("=")
        if equals and key.replace("-", "").isalpha():
            last = key
            fields[key] = value
        elif last:
            fields[last] += f" {part}"
    return fields


class _Client(msgspec.Struct, frozen=True):
    """One line of CLIENT LIST; ages in whole seconds."""

    id: int
    name: str
    library: str
    user: str
    host: str
    command: str
    age: int
    idle: int
    waits: bool

    @property
    def key(self) -> tuple[str, str, str, str]:
        return (self.name, self.library, self.user, self.host)

    @property
    def may_be_ours(self) -> bool:
        """Whether it has just run CLIENT LIST under our name, or without one."""
        return (
            self.name in (CLIENT_NAME, "")
            and self.idle == 0
            and self.command in ("client|list", "client")
        )


def _client(fields: dict[str, str]) -> _Client:
    address = fields.get("addr", "")
    return _Client(
        id=int(fields["id"]),
        name=fields.get("name", ""),
        library=fields.get("lib-name", ""),
        user=fields.get("user", ""),
        # of a unix socket it is the path itself
        host=address.rpartition(":")[0].strip("[]"),
        command=fields.get("cmd", ""),
        age=int(fields["age"]),
        idle=int(fields["idle"]),
        waits=bool(_WAITING_FLAGS.intersection(fields.get("flags", ""))),
    )


def _without_us(clients: list[_Client]) -> list[_Client]:
    # CLIENT ID would need one more right; whoever else ran it this very second is older
    own = max((client.id for client in clients if client.may_be_ours), default=None)
    return [client for client in clients if client.id != own]


class ClientGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Clients of one name, library, user and host.

    ``ids``, ``idles`` and ``ages`` (seconds) run side by side and leave out the ``waiting``:
    subscribers, blocked clients, replicas and monitors, which are quiet by design.
    ``commands`` are the most frequent last ones.
    """

    name: str
    library: str
    user: str
    host: str
    ids: tuple[int, ...]
    idles: tuple[int, ...]
    ages: tuple[int, ...]
    waiting: int = 0
    commands: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All clients of the group."""
        return len(self.ids) + self.waiting

    @property
    def holder(self) -> str:
        """Who it is, for people: the client name, else library and host."""
        return self.name or f"unnamed {self.library or 'clients'} at {self.host}".strip()


def _groups(clients: list[_Client]) -> Iterator[ClientGroup]:
    members: dict[tuple[str, str, str, str], list[_Client]] = defaultdict(list)
    for client in clients:
        members[client.key].append(client)
    for (name, library, user, host), group in members.items():
        watched = [client for client in group if not client.waits]
        yield ClientGroup(
            name=name,
            library=library,
            user=user,
            host=host,
            ids=tuple(client.id for client in watched),
            idles=tuple(client.idle for client in watched),
            ages=tuple(client.age for client in watched),
            waiting=len(group) - len(watched),
            commands=tuple(
                command for command, _ in Counter(c.command for c in watched).most_common(3)
            ),
        )


class Holding(msgspec.Struct, frozen=True):
    """What one holder has over all hosts. ``idle`` are (id, idle seconds) of the unused ones."""

    holder: str
    named: bool
    hosts: tuple[tuple[str, int], ...]
    total: int
    idle: tuple[tuple[int, int], ...]
    never_used: int
    commands: tuple[str, ...]

    @property
    def idle_share(self) -> float:
        """Unused over all."""
        return len(self.idle) / self.total if self.total else 0.0


class Clients(Fact, frozen=True):
    """All clients but ours, in groups."""

    groups: tuple[ClientGroup, ...]

    def holdings(self, idle_seconds: float, earlier: "Clients | None" = None) -> list[Holding]:
        """Who holds how many, most first; idle for ``idle_seconds``, and seen ``earlier`` too.

        Never used: nothing came after the first 2 s of its life.
        """
        known = {one for group in earlier.groups for one in group.ids} if earlier else None
        by_holder: dict[str, list[ClientGroup]] = defaultdict(list)
        for group in self.groups:
            by_holder[group.holder].append(group)
        found = [
            _holding(holder, groups, idle_seconds, known) for holder, groups in by_holder.items()
        ]
        return sorted(found, key=lambda holding: holding.total, reverse=True)

    @classmethod
    async def collect(cls, redis: RedisConnection, limits: ClientLimits) -> Self:
        """One CLIENT LIST. Raises Absent where it is not allowed, or would cost too much."""
        if (limits.used or 0) > MOST_CLIENTS:
            raise Absent(f"listing more than {MOST_CLIENTS} clients would hold the server up")
        lines = (await redis.client_list()).splitlines()
        clients = [_client(parse_client(line)) for line in lines if line]
        return cls(groups=tuple(_groups(_without_us(clients))))


def _holding(
    holder: str, groups: list[ClientGroup], idle_seconds: float, known: set[int] | None
) -> Holding:
    hosts: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    idle, never_used = [], 0
    for group in groups:
        hosts[group.host] += group.total
        commands.update(group.commands)
        for one, quiet, age in zip(group.ids, group.idles, group.ages, strict=True):
            if quiet >= idle_seconds and (known is None or one in known):
                idle.append((one, quiet))
                never_used += age - quiet <= 2
    return Holding(
        holder=holder,
        named=bool(groups[0].name),
        hosts=tuple(hosts.most_common()),
        total=hosts.total(),
        idle=tuple(idle),
        never_used=never_used,
        commands=tuple(command for command, _ in commands.most_common(3)),
    )
