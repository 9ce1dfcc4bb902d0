import ipaddress
from collections.abc import Iterator, Sequence

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Measure,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.postgres.server_settings import FileError, ServerSettings
from backend_doctor.backends.postgres.sizes import size_text

_GIB = 1024**3
_HELPERS = ("pg_stat_statements", "hypopg")
# the value that says nothing, and what is not told then
_LOGS = {
    "log_lock_waits": ("off", "lock waits"),
    "log_min_duration_statement": ("-1", "slow statements"),
    "log_temp_files": ("-1", "temporary files"),
    "log_checkpoints": ("off", "checkpoints"),
}


class _Harm(msgspec.Struct, frozen=True):
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


def _harmful(
    status: Status, cause: Cause, harms: list[_Harm], explains: tuple[str, ...] = ()
) -> Finding:
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
        explains=explains,
        subjects=tuple(Subject(kind="server_setting", value=harm.name) for harm in harms),
    )


def _pending(names: tuple[str, ...]) -> Finding:
    many = len(names) > 1
    count = f"{len(names)} changed settings wait" if many else "1 changed setting waits"
    return Finding(
        status=Status.WARNING,
        summary=f"{count} for a restart: {', '.join(names)}.",
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


def _told(error: FileError) -> str:
    return f"{error.place}{f', {error.name}' if error.name else ''}: {error.error}"


def _unreadable(errors: Sequence[FileError]) -> Finding:
    first, more = errors[0], len(errors) - 1
    also = f", nor {more} more" if more else ""
    return Finding(
        status=Status.CRITICAL,
        summary=f"The server could not start again: it cannot take {_told(first)}{also}.",
        evidence=tuple(
            Evidence(
                key="file_error", value=one.place, text=_told(one), source="pg_file_settings.error"
            )
            for one in errors
        ),
        cause=Cause(
            label="settings.file_error",
            confidence=Confidence.CERTAIN,
            because="a start refuses a configuration with an error, and a reload leaves changes "
            "out; the server runs on with what it read before",
        ),
        remedies=(
            Remedy(
                step=Step.CURE,
                command=f"Correct or remove the line {first.line} of {first.file}.",
                effect="changes nothing yet: the file is read at the next reload; a line of "
                "postgresql.auto.conf too, while nobody runs ALTER SYSTEM",
                changes_state=True,
                language="text",
            ),
            Remedy(
                step=Step.CONFIRM,
                command="SELECT sourcefile, sourceline, name, error\n"
                "  FROM pg_file_settings WHERE error IS NOT NULL;",
                effect="reads the files, puts nothing in force: only lines that wait for a restart "
                "may be left; then SELECT pg_reload_conf()",
            ),
        ),
    )


def _memory_advice(settings: ServerSettings, connections: int) -> Iterator[str]:
    cache = settings.find("effective_cache_size")
    if connections > 500:
        yield f"PgBouncer instead of max_connections = {connections}"
    if cache is None or cache.source == "default":
        return
    sort = settings.amount("work_mem") * (settings.amount("hash_mem_multiplier") or 1.0)
    if sort * connections > cache.amount:
        yield (
            f"a lower work_mem for all ({connections} connections with a sort of "
            f"{size_text(sort)} each need more than {size_text(cache.amount)})"
        )
    buffers = settings.amount("shared_buffers")
    if cache.amount >= 4 * _GIB and buffers <= _GIB / 8:
        yield (
            f"shared_buffers = '{cache.amount / 3 / _GIB:.0f}GB' and a restart "
            f"(it is {size_text(buffers)})"
        )


def _advice(settings: ServerSettings, *, local: bool) -> Iterator[str]:
    """What would help and does not hurt today, in a few words; the runbook has the commands."""
    if settings.value("idle_in_transaction_session_timeout") == "0":
        yield "end idle transactions"
    silent = [said for name, (off, said) in _LOGS.items() if settings.value(name) == off]
    if silent:
        yield f"log {', '.join(silent)}"
    yield from _memory_advice(settings, int(settings.amount("max_connections")))
    missing = [name for name in _HELPERS if name not in settings.installed]
    if missing and not local:
        told = ", ".join(
            name + ("" if name in settings.available else " (not installed on the machine)")
            for name in missing
        )
        yield f"in database {settings.database} the extensions {told}"
    if settings.value("synchronous_commit") == "off" and not local:
        yield "synchronous_commit = on, else a crash loses the last commits"
    switched = [one.name for one in settings.settings if one.name.startswith("enable_")]
    if switched:
        yield f"{', '.join(switched)} on for everybody"
    if settings.amount("random_page_cost") >= 4 and not local:
        yield "random_page_cost = 1.1 on SSDs"
    if not settings.sees_files:
        yield "let the role see errors in configuration files"


def _notes(settings: ServerSettings, harms: list[_Harm], *, local: bool) -> Iterator[str]:
    if harms and local:
        said = ", ".join(f"{harm.name} is {harm.bad}" for harm in harms)
        yield f"a development server (it is local): {said}"
    advice = "; ".join(_advice(settings, local=local))
    if advice:
        yield f"advice in its runbook: {advice}"


def _found(settings: ServerSettings, harms: tuple[_Harm, ...]) -> list[_Harm]:
    return [harm for harm in harms if settings.value(harm.name) == harm.bad]


@check
def server_settings(settings: ServerSettings, instance: Instance) -> Iterator[Finding]:
    """Settings endanger the data, are not the ones in force, or cannot be read at a start.

    A server that is reached over a loopback address or a socket is taken for a development
    server: what would be an alarm elsewhere is a note there. Advice never alarms.
    """
    local = _is_local(instance)
    unsafe, unswept = _found(settings, _DURABILITY), _found(settings, _VACUUM)
    notes = tuple(_notes(settings, [*unsafe, *unswept], local=local))
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
        findings.append(_harmful(Status.WARNING, cause, unswept, ("bloat.autovacuum_off",)))
    if settings.file_errors:
        findings.append(_unreadable(settings.file_errors))
    if settings.pending:
        findings.append(_pending(settings.pending))
    if not findings:
        summary = "No setting endangers the data, and all that are written are in force."
        if unsafe or unswept:
            summary = "Settings as on a development server, all of them in force."
        findings.append(Finding(status=Status.OK, summary=summary))
    harmful = Measure(name="harmful_settings", value=len(unsafe) + len(unswept))
    yield msgspec.structs.replace(findings[0], notes=notes, measures=(harmful,))
    yield from findings[1:]
