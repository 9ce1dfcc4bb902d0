"""What to do about a process that grows: words and commands for a person, never run by us."""

from shlex import quote

from backend_doctor.backends.byhand import by_hand
from backend_doctor.backends.process.connection import Member
from backend_doctor.backends.process.words import who
from backend_doctor.facts import Instance
from backend_doctor.model import Remedy, Step


def longer(instance: Instance, duration: str) -> Remedy:
    """A look that is long enough for a verdict."""
    target = f"{instance.service}.{instance.backend}.{instance.name}"
    return Remedy(
        step=Step.CONFIRM,
        command=f"backend-doctor check {quote(target)} --for {duration}",
        effect="samples for that long and judges the trend; earlier runs of the last two hours "
        "count too",
        language="sh",
    )


def restart(member: Member) -> Remedy:
    """What helps at once, whatever the cause."""
    return by_hand(
        Step.STOP,
        f"Restart {who(member)} in an orderly way before the limit is reached: one "
        "replica or worker at a time.",
        effect="gives all of its memory and files back; the requests that it serves are finished "
        "or lost, and what grew grows again",
    )


def attribute(member: Member) -> Remedy:
    """Where in the code the memory is taken."""
    return Remedy(
        step=Step.CONFIRM,
        command=f"memray attach --aggregate --duration 120 -o growth.bin {member.pid}\n"
        "memray tree --biggest-allocs 10 growth.bin",
        effect="names the lines that took memory and kept it for two minutes; memray must be "
        "installed in the application's own environment; the process stands still for about "
        "0.4 s and runs slower meanwhile",
        changes_state=True,
        language="sh",
    )


def list_files(member: Member) -> Remedy:
    """Which files are open, by kind."""
    return Remedy(
        step=Step.CONFIRM,
        command=f"find /proc/{member.pid}/fd -type l -printf '%l\\n' | "
        "sed 's/[0-9]\\{2,\\}/N/g' | sort | uniq -c | sort -rn | head\n"
        f"ss -tnp | grep -F pid={member.pid}, | awk '{{print $1, $5}}' | sort | uniq -c | "
        "sort -rn | head",
        effect="counts what is open, by kind and by peer; CLOSE-WAIT is a connection that the "
        "other side has closed and the application has not",
        language="sh",
    )


def recycle() -> Remedy:
    """Bounds the harm of what leaks slowly."""
    return by_hand(
        Step.PREVENT,
        "gunicorn --max-requests 10000 --max-requests-jitter 1000\n"
        "uvicorn --limit-max-requests 10000",
        effect="replaces a worker after so many requests; it hides a leak, and does not cure it",
    )


def close_files() -> Remedy:
    """Every file and client is closed on every path."""
    return by_hand(
        Step.CURE,
        "async with httpx.AsyncClient() as client: ...   # or one client a process\n"
        "with open(path) as file: ...",
        effect="whatever is opened in a request is closed in it, errors included; clients and "
        "pools are made once, at start-up",
    )


def join_threads() -> Remedy:
    """One bounded pool of threads."""
    return by_hand(
        Step.CURE,
        "pool = concurrent.futures.ThreadPoolExecutor(max_workers=16)   # once a process",
        effect="no thread is started in a request; a thread takes memory until it ends",
    )


def bound() -> Remedy:
    """What keeps a cache from growing."""
    return by_hand(
        Step.CURE,
        "functools.lru_cache(maxsize=10_000)   # never maxsize=None on what users send",
        effect="every cache, registry and queue has a bound; listeners are removed where they "
        "were added",
    )


def more_memory(source: str) -> Remedy:
    """Room for the moment."""
    return by_hand(
        Step.STOP,
        f"Raise the limit in {source} (container: resources.limits.memory, docker update "
        "--memory; unit: MemoryMax=), or run fewer workers.",
        effect="buys time; takes the memory from whatever else runs on the machine",
    )
