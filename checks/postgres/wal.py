from collections.abc import Iterator

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Looks,
    Measure,
    Remedy,
    Status,
    Step,
    check,
)
from backend_doctor.backends.postgres.counters import Counters, counts_within
from backend_doctor.backends.postgres.replication import Archiver, Replication, Slot
from backend_doctor.backends.postgres.sizes import size_text, time_text
from backend_doctor.backends.sql import quote_literal

_GIB = 1024**3
_CUT = ("unreserved", "lost")


def _slot_text(slot: Slot) -> str:
    state = "in use" if slot.active else "not in use"
    kept = "nothing any more" if slot.retained is None else size_text(slot.retained)
    return f"slot {slot.name} ({slot.kind}, {state}, {slot.status}) keeps {kept} of WAL"


def _slot_remedies(slot: Slot, limit: int) -> Iterator[Remedy]:
    name = quote_literal(slot.name)
    yield Remedy(
        step=Step.CONFIRM,
        command="SELECT slot_name, slot_type, active, active_pid, wal_status, safe_wal_size,\n"
        f"       restart_lsn FROM pg_replication_slots WHERE slot_name = {name};",
        effect="shows whether anybody reads from it; then find out whose it is before anything "
        "else: a standby, a backup tool, a change feed",
    )
    if not slot.active:
        yield Remedy(
            step=Step.CURE,
            command="SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots\n"
            f" WHERE slot_name = {name} AND NOT active;",
            effect="only if its consumer will not come back, or has to be made anew: it loses its "
            "place for good, and the WAL goes with the next checkpoint",
            changes_state=True,
        )
    if limit < 0:
        yield Remedy(
            step=Step.PREVENT,
            command="ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();",
            effect="a slot that would keep more is given up before the disk is full; its consumer "
            "must then be made anew. Take less than what is free",
            changes_state=True,
        )


def _slot_finding(slot: Slot, replication: Replication, critical: float) -> Finding:
    cut = slot.status in _CUT
    urgent = slot.status == "unreserved" or (slot.retained or 0) >= critical
    evidence = [
        Evidence(
            key="slot",
            value=slot.name,
            text=_slot_text(slot),
            source="pg_replication_slots",
        ),
        Evidence(
            key="wal_status",
            value=slot.status,
            text={
                "lost": "WAL that it needs is gone: its consumer cannot go on",
                "unreserved": "it keeps more than max_slot_wal_keep_size allows: it is lost at "
                "the next checkpoint",
            }.get(slot.status, "the server still keeps all that it needs"),
            source="pg_replication_slots.wal_status",
        ),
    ]
    if slot.retained is not None:
        evidence.append(
            Evidence(
                key="retained_bytes",
                value=slot.retained,
                text=f"{size_text(slot.retained)} of WAL since its restart_lsn",
                source="pg_replication_slots.restart_lsn",
            )
        )
    said = (
        "has lost the WAL that it needs"
        if slot.status == "lost"
        else (f"keeps {size_text(slot.retained or 0)} of WAL back")
    )
    because = "WAL is kept until a slot's consumer has it" + (
        ", and nobody reads from this one" if not slot.active else ", and this one is behind"
    )
    return Finding(
        status=Status.CRITICAL if urgent else Status.WARNING,
        summary=f"Replication slot {slot.name} {said}.",
        evidence=tuple(evidence),
        cause=Cause(
            label="slot.retains_wal",
            confidence=Confidence.CERTAIN if cut or not slot.active else Confidence.LIKELY,
            because=because,
        ),
        remedies=tuple(_slot_remedies(slot, replication.slot_limit)),
    )


def _archiver_finding(archiver: Archiver, critical: float) -> Finding:
    never = archiver.archived_age is None
    since = "never" if never else f"{time_text(archiver.archived_age or 0)} ago"
    old = never or (archiver.archived_age or 0) >= critical
    return Finding(
        status=Status.CRITICAL if old else Status.WARNING,
        summary=f"WAL is not archived: the last attempt failed, the last success was {since}.",
        evidence=(
            Evidence(
                key="failed_attempts",
                value=archiver.failed,
                text=f"{archiver.failed} attempts failed since the statistics began, the last "
                f"{time_text(archiver.failed_age or 0)} ago with {archiver.last_failed}",
                source="pg_stat_archiver",
            ),
        ),
        cause=Cause(
            label="archive.failing",
            confidence=Confidence.CERTAIN,
            because="archive_command failed after its last success; pg_wal grows until it works, "
            "and no backup reaches beyond the last file that was archived",
        ),
        remedies=(
            Remedy(
                step=Step.CONFIRM,
                command="SELECT last_failed_wal, last_failed_time, last_archived_wal,\n"
                "       last_archived_time FROM pg_stat_archiver;",
                effect="shows whether it still fails; why stands in the server's log, with the "
                "command's own words",
            ),
            Remedy(
                step=Step.CURE,
                command="repair what archive_command writes to: its disk, its credentials, its "
                "network; never delete from pg_wal",
                effect="the server tries again every minute by itself",
                changes_state=True,
                language="text",
            ),
        ),
    )


def _notes(slots: list[Slot], rate: float, limit: float) -> Iterator[str]:
    for slot in slots:
        if slot.active or slot.retained is None:
            continue
        until = ""
        if rate > 0 and slot.retained < limit:
            until = f"; at the rate of the window it reaches {size_text(limit)} in " + time_text(
                (limit - slot.retained) / rate
            )
        yield f"{_slot_text(slot)}{until}"


@check
def wal(
    replication: Replication,
    counters: Looks[Counters] | None,
    *,
    slot_bytes: int = 10 * _GIB,
    critical_slot_bytes: int = 50 * _GIB,
    archive_seconds: float = 3600.0,
) -> Iterator[Finding]:
    """WAL piles up: a replication slot keeps it back, or it cannot be archived.

    A slot warns from ``slot_bytes`` of WAL on and when it has lost what it needs, and is critical
    from ``critical_slot_bytes`` on and when it is about to be lost (wal_status ``unreserved``).
    Archiving that fails is critical when its last success is ``archive_seconds`` ago.
    """
    window = counts_within(counters) if counters else None
    rate = window.wal_bytes / window.seconds if window and window.seconds else 0.0
    bad = [
        slot
        for slot in replication.slots
        if slot.status in _CUT or (slot.retained or 0) >= slot_bytes
    ]
    findings = [_slot_finding(slot, replication, critical_slot_bytes) for slot in bad]
    if replication.archiver and replication.archiver.failing:
        findings.append(_archiver_finding(replication.archiver, archive_seconds))
    kept = max((slot.retained or 0 for slot in replication.slots), default=0)
    measures = (
        Measure(name="slot_retained_bytes", value=kept, unit="B", warning=slot_bytes),
        Measure(name="wal_bytes_per_second", value=round(rate), unit="B"),
    )
    calm = [slot for slot in replication.slots if slot not in bad]
    notes = tuple(_notes(calm, rate, slot_bytes))
    if not findings:
        count = len(replication.slots)
        summary = f"{count} replication slot(s), which keep at most {size_text(kept)} of WAL."
        if not count:
            summary = "No replication slot keeps WAL back."
        findings.append(Finding(status=Status.OK, summary=summary))
    yield msgspec.structs.replace(findings[0], notes=notes, measures=measures)
    yield from findings[1:]
