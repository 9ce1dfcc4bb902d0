import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Remedy,
    Status,
    Step,
    check,
)
from backend_doctor.backends.postgres.server_settings import ServerSettings
from backend_doctor.backends.postgres.sizes import size_text

_GIB = 1024**3
_HELPERS = {
    "pg_stat_statements": "tells which statements take the time",
    "hypopg": "proves an index before it is built",
}
_LOGS = {
    "log_lock_waits": ("off", "on", "lock waits"),
    "log_min_duration_statement": ("-1", "'1s'", "slow statements"),
    "log_temp_files": ("-1", "'10MB'", "temporary files"),
    "log_checkpoints": ("off", "on", "checkpoints"),
}


@dataclass(frozen=True)
class _Harm:
    """A setting that must not stand as it does; ``label`` is the cause that it makes."""

    name: str
    bad: str
    good: str
    why: str


_DURABILITY = (
    _Harm("fsync", "off", "on", "a crash of the machine can destroy the whole cluster"),
    _Harm("full_page_writes", "off", "on", "a crash can leave pages half written, unnoticed"),
    _Harm("zero_damaged_pages", "on", "off", "damaged pages are emptied instead of reported"),
)
_VACUUM = (
    _Harm("autovacuum", "off", "on", "dead rows stay and the planner's statistics age"),
    _Harm("track_counts", "off", "on", "autovacuum cannot know what there is to do"),
)


def _is_local(instance: Instance) -> bool:
    if instance.host.startswith("/") or instance.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(instance.host).is_loopback
    except ValueError:
        return False


def _set(harms: list[_Harm]) -> str:
    lines = [f"ALTER SYSTEM SET {harm.name} = {harm.good};" for harm in harms]
    return "\n".join([*lines, "SELECT pg_reload_conf();"])


def _confirm(names: list[str]) -> Remedy:
    listed = ", ".join(f"'{name}'" for name in names)
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT name, setting, source, sourcefile, sourceline, pending_restart\n"
        f"  FROM pg_settings WHERE name IN ({listed});",
        effect="shows where the values come from (the file only to a superuser)",
    )


def _harmful(status: Status, cause: Cause, harms: list[_Harm]) -> Finding:
    names = [harm.name for harm in harms]
    return Finding(
        status=status,
        summary=f"{' and '.join(f'{harm.name} is {harm.bad}' for harm in harms)}: {harms[0].why}.",
        evidence=tuple(
            Evidence(
                key=harm.name,
                value=harm.bad,
                text=f"{harm.name} is {harm.bad}: {harm.why}",
                source="pg_settings",
            )
            for harm in harms
        ),
        cause=cause,
        remedies=(
            _confirm(names),
            Remedy(
                step=Step.CURE,
                command=_set(harms),
                effect="puts the default back, without a restart; a line on the server's command "
                "line would still win",
                changes_state=True,
            ),
        ),
    )


def _pending(names: tuple[str, ...]) -> Finding:
    return Finding(
        status=Status.WARNING,
        summary=f"{len(names)} changed setting(s) wait for a restart: {', '.join(names)}.",
        evidence=(
            Evidence(
                key="pending_restart",
                value=names,
                text=f"written, read again, and not in force: {', '.join(names)}",
                source="pg_settings.pending_restart",
            ),
        ),
        cause=Cause(
            label="settings.pending_restart",
            confidence=Confidence.CERTAIN,
            because="these settings change only when the server starts, and it has not since",
        ),
        remedies=(
            _confirm(list(names)),
            Remedy(
                step=Step.CURE,
                command="pg_ctl restart -D DATA_DIRECTORY -m fast"
                "   # or the service's own command; at a time of your choice",
                effect="ends all sessions and starts with the new values; until then, the next "
                "start for any other reason brings the change as a surprise",
                changes_state=True,
                language="sh",
            ),
        ),
    )


def _memory_advice(settings: ServerSettings, connections: int) -> Iterator[str]:
    cache = settings.find("effective_cache_size")
    if connections > 500:
        yield (
            f"max_connections is {connections}: each session is a process, and snapshots cost "
            "more the more there are; PgBouncer in front serves many clients with few sessions"
        )
    if cache is None or cache.source == "default":
        return
    sort = settings.amount("work_mem") * (settings.amount("hash_mem_multiplier") or 1.0)
    if sort * connections > cache.amount:
        yield (
            f"{connections} connections with a sort of {size_text(sort)} each take more than the "
            f"{size_text(cache.amount)} that effective_cache_size says the machine has to spare: "
            "keep work_mem low for all, and raise it for the role that needs it (ALTER ROLE)"
        )
    buffers = settings.amount("shared_buffers")
    if cache.amount >= 4 * _GIB and buffers <= _GIB / 8:
        yield (
            f"shared_buffers is {size_text(buffers)} on a machine with {size_text(cache.amount)} "
            f"for caching: ALTER SYSTEM SET shared_buffers = '{cache.amount / 3 / _GIB:.0f}GB'; "
            "it needs a restart"
        )


def _advice(settings: ServerSettings, *, local: bool) -> Iterator[str]:
    """What would help and does not hurt today, each with what to type."""
    if settings.value("idle_in_transaction_session_timeout") == "0":
        yield (
            "nothing ends a forgotten transaction: "
            "ALTER SYSTEM SET idle_in_transaction_session_timeout = '5min';"
        )
    silent = {name: one for name, one in _LOGS.items() if settings.value(name) == one[0]}
    if silent:
        commands = " ".join(f"ALTER SYSTEM SET {name} = {silent[name][1]};" for name in silent)
        said = ", ".join(one[2] for one in silent.values())
        yield f"the log will not tell of {said}: {commands}"
    yield from _memory_advice(settings, int(settings.amount("max_connections")))
    missing = [name for name in _HELPERS if name not in settings.installed]
    if missing and not local:
        told = ", ".join(
            f"{name} ({_HELPERS[name]}"
            + ("" if name in settings.available else "; not installed on the machine")
            + ")"
            for name in missing
        )
        yield f"extensions that would help in database {settings.database}: {told}"
    if settings.value("synchronous_commit") == "off" and not local:
        yield "synchronous_commit is off: a crash loses the last commits, and corrupts nothing"
    switched = [one.name for one in settings.settings if one.name.startswith("enable_")]
    if switched:
        yield f"the planner may not use what {', '.join(switched)} stand for: for everybody?"
    if settings.amount("random_page_cost") >= 4 and not local:
        yield (
            "random_page_cost is 4, which is for spinning disks: on SSDs "
            "ALTER SYSTEM SET random_page_cost = 1.1;"
        )


def _as_in_development(harms: list[_Harm]) -> str:
    said = "; ".join(f"{harm.name} is {harm.bad}: {harm.why}" for harm in harms)
    return f"taken for a development server, since it is reached on this very machine: {said}"


def _found(settings: ServerSettings, harms: tuple[_Harm, ...]) -> list[_Harm]:
    return [harm for harm in harms if settings.value(harm.name) == harm.bad]


@check
def server_settings(settings: ServerSettings, instance: Instance) -> Iterator[Finding]:
    """Settings endanger the data, or are not the ones in force.

    A server that is reached over a loopback address or a socket is taken for a development
    server: what would be an alarm elsewhere is a note there. Advice never alarms.
    """
    local = _is_local(instance)
    unsafe, unswept = _found(settings, _DURABILITY), _found(settings, _VACUUM)
    notes = [_as_in_development([*unsafe, *unswept])] if local and (unsafe or unswept) else []
    notes += _advice(settings, local=local)
    findings = []
    if unsafe and not local:
        because = "the server does not wait until the disk has what a crash would need"
        cause = Cause(
            label="settings.durability_off", confidence=Confidence.CERTAIN, because=because
        )
        findings.append(_harmful(Status.CRITICAL, cause, unsafe))
    if unswept and not local:
        because = "no table is vacuumed or analyzed but by hand"
        cause = Cause(
            label="settings.autovacuum_off", confidence=Confidence.CERTAIN, because=because
        )
        findings.append(_harmful(Status.WARNING, cause, unswept))
    if settings.pending:
        findings.append(_pending(settings.pending))
    if not findings:
        summary = "No setting endangers the data, and all that are written are in force."
        if unsafe or unswept:
            summary = "Settings as on a development server, all of them in force."
        findings.append(Finding(status=Status.OK, summary=summary))
    yield msgspec.structs.replace(findings[0], notes=tuple(notes))
    yield from findings[1:]
