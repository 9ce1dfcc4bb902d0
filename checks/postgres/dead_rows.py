from collections.abc import Iterator, Sequence

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Each,
    Evidence,
    Finding,
    Looks,
    Measure,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.pgbouncer.sockets import Clients, Servers
from backend_doctor.backends.pgbouncer.through import kept, with_clients
from backend_doctor.backends.postgres.horizon import Holder, Horizon, held_by, lasting
from backend_doctor.backends.postgres.horizon_remedies import (
    holder_subjects,
    look_at_holders,
    release,
    vacuum,
)
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.table_activity import Maintained, TableActivity
from backend_doctor.backends.postgres.transactions import span

_SOURCE = "pg_stat_user_tables.n_dead_tup, pg_class.reloptions"
_EXPLAINS = (
    "tx.long_running",
    "tx.prepared_forgotten",
    "xmin.held_by_slot",
    "xmin.held_by_standby",
)
_SWITCHES = tuple(
    Subject(kind="server_setting", value=name) for name in ("autovacuum", "track_counts")
)


class _Limits(msgspec.Struct, frozen=True):
    long_seconds: float
    settle_seconds: float
    standby_xids: int


def _in_vain(table: Maintained, holder: Holder, limits: _Limits) -> bool:
    """Whether a vacuum has ended since the holder began, and left the dead rows there."""
    since = limits.settle_seconds if holder.seconds is None else holder.seconds
    return table.vacuumed is not None and table.vacuumed < since


def _is_blocked(table: Maintained, holder: Holder, enabled: bool, limits: _Limits) -> bool:
    """Whether the holder keeps this table's dead rows: vacuum failed meanwhile; or the holder
    lasts; or the table has more dead than live rows, which one change of all rows does not make."""
    if _in_vain(table, holder, limits):
        return True
    if holder.kind in ("slot", "standby"):
        return not holder.active or (holder.xids or 0) >= limits.standby_xids
    long = (holder.seconds or 0.0) >= limits.long_seconds
    return long or (enabled and table.dead > table.rows)


def _why(
    table: Maintained, activity: TableActivity, culprits: Sequence[Holder], limits: _Limits
) -> str:
    """What keeps vacuum from it: blocked, off, behind; or nothing: due."""
    enabled = activity.autovacuum and table.autovacuum
    waited = activity.uptime if table.vacuumed is None else table.vacuumed
    if culprits and _is_blocked(table, culprits[0], enabled, limits):
        return "blocked"
    if not enabled:
        return "off"
    return "behind" if not table.vacuum_runs and waited >= limits.settle_seconds else "due"


def _about(tables: Sequence[Maintained]) -> Iterator[Evidence]:
    worst = tables[0]
    ago = f"{span(worst.vacuumed)} ago" if worst.vacuumed is not None else "never"
    more = ", ".join(f"{table.place} {table.dead}" for table in tables[1:4])
    yield Evidence(
        key="dead_rows",
        value=worst.dead,
        text=f"{worst.place} has about {worst.dead} dead rows beside {worst.rows} live ones "
        f"({worst.dead_share:.0%} of all); its vacuum is due at {worst.vacuum_at}, the last ended "
        f"{ago}{f'; further: {more}' if more else ''}",
        source=_SOURCE,
    )
    count = f"{len(tables)} tables are" if len(tables) > 1 else "1 table is"
    own = "their own thresholds" if len(tables) > 1 else "its own threshold"
    yield Evidence(
        key="table",
        value=worst.place,
        text=f"{count} over twice {own}{', the most' * (len(tables) > 1)}: {worst.place}",
        source=_SOURCE,
    )


def _holding(culprits: Sequence[Holder]) -> Iterator[Evidence]:
    oldest = culprits[0]
    others = "; ".join(holder.text for holder in culprits[1:4])
    yield Evidence(
        key="holder_pid" if oldest.kind == "session" else f"holder_{oldest.kind}",
        value=oldest.pid if oldest.kind == "session" else oldest.name,
        text=f"{oldest.text} holds the xmin horizon"
        f"{f', and with the same age {others}' if others else ''}: rows that died since stay",
        source="pg_stat_activity, pg_prepared_xacts, pg_replication_slots",
    )
    yield Evidence(
        key="horizon_xids",
        value=oldest.xids,
        text=f"{oldest.xids} transactions have begun since",
        source="age(xmin)",
    )


def _next(younger: Sequence[Holder]) -> tuple[str, ...]:
    if not younger:
        return ()
    one, more = younger[0], len(younger) - 1
    rest = f" and {more} younger" if more else ""
    return (f"only if rows are still held after that, look at {one.text}{rest}",)


def _tables(tables: Sequence[Maintained]) -> tuple[Subject, ...]:
    return tuple(Subject(kind="table", value=table.place) for table in tables[:20])


def _blocked(
    tables: Sequence[Maintained],
    culprits: Sequence[Holder],
    younger: Sequence[Holder],
    sessions: Sessions | None,
    status: Status,
    limits: _Limits,
) -> Finding:
    oldest, certain = culprits[0], _in_vain(tables[0], culprits[0], limits)
    released = [release(holder, sessions) for holder in culprits[:3]]
    stop = [remedy for remedy in released if remedy.step is Step.STOP]
    look = [remedy for remedy in released if remedy.step is Step.CONFIRM]
    return Finding(
        status=status,
        summary=f"Vacuum cannot remove {tables[0].dead} dead rows of {tables[0].place}: "
        f"{oldest.text} still may need them.",
        evidence=(*_about(tables), *_holding(culprits)),
        cause=Cause(
            label="bloat.vacuum_blocked_by_xmin",
            confidence=Confidence.CERTAIN if certain else Confidence.LIKELY,
            because=f"{oldest.text} is older than they are"
            + (", and a vacuum that ended since left them there" if certain else ""),
        ),
        remedies=(*stop, *look, look_at_holders(), vacuum(tables[:3])),
        explains=_EXPLAINS,
        subjects=(
            *(subject for holder in culprits for subject in holder_subjects(holder)),
            *_tables(tables),
        ),
        notes=_next(younger),
    )


def _off(tables: Sequence[Maintained], everywhere: bool, status: Status) -> Finding:
    names = ", ".join(table.place for table in tables[:3])
    switch = (
        "ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET track_counts = on;\n"
        "SELECT pg_reload_conf();"
        if everywhere
        else "\n".join(
            f"ALTER TABLE {table.quoted} RESET (autovacuum_enabled);" for table in tables[:3]
        )
    )
    where = "for the whole server" if everywhere else f"for {names}"
    return Finding(
        status=status,
        summary=f"Autovacuum is off {where}, and {tables[0].place} has {tables[0].dead} dead rows.",
        evidence=tuple(_about(tables)),
        cause=Cause(
            label="bloat.autovacuum_off",
            confidence=Confidence.CERTAIN,
            because=f"nothing removes dead rows: autovacuum is switched off {where}",
        ),
        remedies=(
            vacuum(tables[:3]),
            Remedy(
                step=Step.PREVENT,
                command=switch,
                effect="lets the server remove dead rows by itself",
                changes_state=True,
            ),
        ),
        subjects=(*_tables(tables), *(_SWITCHES if everywhere else ())),
    )


def _behind(tables: Sequence[Maintained], activity: TableActivity, status: Status) -> Finding:
    worst, busy = tables[0], activity.workers >= activity.max_workers
    why = f"all {activity.max_workers} workers of autovacuum are busy" if busy else "vacuum is due"
    return Finding(
        status=status,
        summary=f"Vacuum is behind: {worst.place} has {worst.dead} dead rows, due at "
        f"{worst.vacuum_at}.",
        evidence=tuple(_about(tables)),
        cause=Cause(
            label="bloat.vacuum_behind",
            confidence=Confidence.LIKELY if busy else Confidence.POSSIBLE,
            because=f"{why}, nothing old is in its way, and it does not keep up",
        ),
        remedies=(
            vacuum(tables[:3]),
            Remedy(
                step=Step.PREVENT,
                command=f"ALTER TABLE {worst.quoted}\n"
                "  SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 1);",
                effect="vacuum comes earlier for this table, and works faster",
                changes_state=True,
            ),
        ),
        subjects=_tables(tables),
    )


@check
def dead_rows(
    activity: TableActivity,
    horizon: Horizon,
    sessions: Looks[Sessions] | None,
    clients: Each[Clients],
    servers: Each[Servers],
    *,
    threshold_factor: float = 2.0,
    least_dead_rows: int = 10_000,
    critical_dead_rows: int = 1_000_000,
    long_seconds: float = 60.0,
    settle_seconds: float = 180.0,
    standby_xids: int = 100_000,
) -> Iterator[Finding]:
    """Dead rows pile up: vacuum is blocked by an old transaction, switched off, or behind.

    Judged from ``threshold_factor`` times each table's own threshold and ``least_dead_rows`` on;
    critical from ``critical_dead_rows`` on where they outnumber the live ones. A holder of the
    horizon counts that stood still over both looks or is ``long_seconds`` old; a standby, and a
    slot in use, from ``standby_xids`` on. Vacuum is behind when it last ended
    ``settle_seconds`` ago (three times the default autovacuum_naptime).
    """
    limits = _Limits(long_seconds, settle_seconds, standby_xids)
    measure = Measure(
        name="most_dead_rows", value=max((table.dead for table in activity.tables), default=0)
    )
    over = sorted(
        (
            table
            for table in activity.tables
            if table.dead >= max(least_dead_rows, threshold_factor * table.vacuum_at)
        ),
        key=lambda table: table.dead,
        reverse=True,
    )
    worst = over[0] if over else None
    critical = worst and worst.dead >= critical_dead_rows and worst.dead > worst.rows
    status = Status.CRITICAL if critical else Status.WARNING
    culprits, younger = lasting(horizon, sessions, long_seconds)
    kinds: dict[str, list[Maintained]] = {"blocked": [], "off": [], "behind": [], "due": []}
    for table in over:
        kinds[_why(table, activity, culprits, limits)].append(table)
    found = []
    if kinds["blocked"]:
        last = sessions.last if sessions else None
        blocked = _blocked(kinds["blocked"], culprits, younger, last, status, limits)
        held = kept(held_by(culprits, last), sessions)
        found.append(with_clients(blocked, held, clients, servers))
    if kinds["off"]:
        found.append(_off(kinds["off"], not activity.autovacuum, status))
    if kinds["behind"]:
        found.append(_behind(kinds["behind"], activity, status))
    if not found:
        summary = "No table has kept many more dead rows than its own threshold."
        found.append(Finding(status=Status.OK, summary=summary))
    notes = tuple(
        f"{table.place} has {table.dead} dead rows; vacuum "
        f"{'works on it now' if table.vacuum_runs else 'is due'}"
        for table in kinds["due"][:5]
    )
    yield msgspec.structs.replace(found[0], measures=(measure,), notes=(*found[0].notes, *notes))
    yield from found[1:]
