"""Commands to hand to a person: quoted by rule, tied to what was seen, never run by us."""

import textwrap
from collections.abc import Sequence
from shlex import quote

from backend_doctor.backends.redis.clients import Holding
from backend_doctor.backends.redis.rights import allow
from backend_doctor.facts import Instance
from backend_doctor.model import Remedy, Step

# as many as fit well into one paste; the command can be had again from the next run
_MOST_IDS = 500
_LOGIN = (
    "where a login is needed, export REDISCLI_AUTH and add --user (and --tls) in the first line"
)


def redis_cli(instance: Instance) -> str:
    """redis-cli with the place of this server."""
    if instance.host.startswith("/"):
        return f"redis-cli -s {quote(instance.host)}"
    return f"redis-cli -h {quote(instance.host)} -p {instance.port}"


def _ids(holding: Holding) -> str:
    numbers = " ".join(str(one) for one, _ in holding.idle[:_MOST_IDS])
    return "\n".join(textwrap.wrap(numbers, 76, break_long_words=False))


def close_idle(holding: Holding, instance: Instance) -> Remedy:
    """Closes exactly these clients, each only if it has not been used since it was seen."""
    count = min(len(holding.idle), _MOST_IDS)
    idle = min(seconds for _, seconds in holding.idle)
    left = f" (the first {count} of {len(holding.idle)})" if count < len(holding.idle) else ""
    return Remedy(
        step=Step.STOP,
        command=f'cli() {{ {redis_cli(instance)} "$@"; }}\n'
        f"ids=' {_ids(holding)} '\n"
        "cli CLIENT LIST | awk -v ids=\"$(echo \" $ids \" | tr '\\n' ' ')\" '\n"
        '  { for (i = 1; i <= NF; i++) { split($i, f, "="); v[f[1]] = f[2] }\n'
        f'    if (index(ids, " " v["id"] " ") && v["idle"] >= {idle}) '
        'print "CLIENT KILL ID", v["id"] }\' | cli',
        effect=f"closes {count} clients of {holding.holder}{left}, those that have idled for "
        f"{idle} s or more still; no key is touched, and a pool that needs one connects anew; "
        f"{_LOGIN}",
        changes_state=True,
        language="sh",
    )


def look_at_clients(holding: Holding, instance: Instance) -> Remedy:
    """Shows the clients of one holder as they are now."""
    pattern = f" name={holding.holder} " if holding.named else " name= "
    return Remedy(
        step=Step.CONFIRM,
        command=f"{redis_cli(instance)} CLIENT LIST | grep -F -- {quote(pattern)}",
        effect="shows their address, age and idle seconds, and the last command of each",
        language="sh",
    )


def show_clients(user: str) -> Remedy:
    """Lets the user of ours see who the clients are."""
    return Remedy(
        step=Step.CONFIRM,
        command=allow(user),
        effect="run by an administrator, lets this user list the clients, so that the next run "
        "names who holds them",
        changes_state=True,
        language="redis",
    )


def find_peers(instance: Instance, processes: Sequence[str]) -> tuple[Remedy, ...]:
    """What is left to do while the server lets nobody in."""
    if instance.host.startswith("/"):
        command, where = f"ss -xp | grep -F -A1 -- {quote(instance.host)}", "the server"
    else:
        command = f"ss -tnp state established '( dport = :{instance.port} )'"
        where = "each host of an application"
    first = processes[0] if processes else "one instance of a client application"
    return (
        Remedy(
            step=Step.STOP,
            command=f"Restart {first}, then run this again.",
            effect="its connections close, which makes room for its own new ones and for a look "
            "inside; the requests that it serves at that moment fail",
            changes_state=True,
            language="text",
        ),
        Remedy(
            step=Step.CONFIRM,
            command=command,
            effect=f"run as root on {where}: shows which processes hold the connections",
            language="sh",
        ),
    )


def share_a_pool(holder: str, connections: int) -> Remedy:
    """One bounded pool for each process."""
    return Remedy(
        step=Step.CURE,
        command="# once a process, at start-up\n"
        "pool = redis.asyncio.BlockingConnectionPool.from_url(\n"
        f"    url, max_connections={connections}, timeout=5)\n"
        "client = redis.asyncio.Redis(connection_pool=pool)\n"
        "# at shutdown\n"
        "await client.aclose(); await pool.aclose()",
        effect=f"in {holder}: one pool for the whole process with a bound on it; no client made "
        "in a request, and whatever is opened is closed on every path (async with)",
        language="text",
    )


def close_what_idles() -> Remedy:
    """Lets the server close clients that do nothing."""
    return Remedy(
        step=Step.PREVENT,
        command="CONFIG SET timeout 300",
        effect="closes normal clients that idle for 5 minutes (subscribers and replicas stay); "
        "pools must connect anew; also write it into the configuration file",
        changes_state=True,
        language="redis",
    )


def take_more_clients(maxclients: int) -> Remedy:
    """Doubles the limit: for clients that all work, never for a leak, which it only delays."""
    more = 2 * maxclients
    return Remedy(
        step=Step.PREVENT,
        command=f"CONFIG SET maxclients {more}",
        effect=f"takes {more} clients if the process may open {more + 32} files (ulimit -n, "
        "LimitNOFILE)",
        changes_state=True,
        language="redis",
    )
