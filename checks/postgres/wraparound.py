from collections.abc import Iterator

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Measure,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.postgres.wraparound import Aged, Holder, Wraparound
from backend_doctor.backends.sql import quote_identifier

# ids are compared modulo 2^32, so 2^31 can be told apart; the server stops taking writes 3
# million before that (varsup.c), which leaves a little more than 2.1 billion
_ALL_IDS = 2_100_000_000
_REPAIRED = 3


class _Clock(msgspec.Struct, frozen=True):
    """One of the two counters that wrap: its oldest database and tables, and its settings."""

    ids: str
    field: str
    freeze_max_age: int
    source: str

    def age(self, one: Aged) -> int:
        return one.xids if self.field == "xids" else one.multixacts


def _clocks(found: Wraparound) -> tuple[_Clock, _Clock]:
    return (
        _Clock("transaction", "xids", found.freeze_max_age, "age(datfrozenxid)"),
        _Clock("multixact", "multixacts", found.multixact_freeze_max_age, "mxid_age(datminmxid)"),
    )


def _blocking(found: Wraparound, clock: _Clock) -> Holder | None:
    """Who keeps rows so old that vacuum cannot bring the age below the limit."""
    oldest = max(found.holders, key=lambda one: one.xids, default=None)
    if oldest is None or clock.field != "xids" or oldest.xids < clock.freeze_max_age:
        return None
    return oldest


def _evidence(
    found: Wraparound, clock: _Clock, worst: Aged, tables: list[Aged], holder: Holder | None
) -> Iterator[Evidence]:
    age = clock.age(worst)
    yield Evidence(
        key="wraparound_age",
        value=age,
        text=f"the oldest {clock.ids} id of database {worst.name} is {age} ids old, "
        f"{age / _ALL_IDS:.0%} of what can be told apart",
        source=clock.source,
    )
    yield Evidence(
        key="freeze_max_age",
        value=clock.freeze_max_age,
        text=f"autovacuum freezes by force from an age of {clock.freeze_max_age} on"
        + ("" if found.autovacuum else "; autovacuum is off, which does not stop this one"),
        source="pg_settings",
    )
    for table in tables:
        yield Evidence(
            key="oldest_table",
            value=table.text,
            text=f"{table.text}: {clock.age(table)} ids old, {table.pages * 8192 / 2**20:.0f} MiB",
            source="pg_class.relfrozenxid, relminmxid",
        )
    if holder is not None:
        yield Evidence(
            key="horizon_holder",
            value=holder.name,
            text=f"the {holder.kind} {holder.name} keeps rows of {holder.xids} transactions ago "
            "visible: vacuum cannot freeze what is younger",
            source="pg_stat_activity, pg_replication_slots, pg_prepared_xacts",
        )


def _holders() -> Remedy:
    return Remedy(
        step=Step.CONFIRM,
        command="SELECT 'session' AS what, pid::text, age(backend_xmin) FROM pg_stat_activity\n"
        " WHERE backend_xmin IS NOT NULL\n"
        "UNION ALL SELECT 'slot', slot_name, greatest(age(xmin), age(catalog_xmin))\n"
        "  FROM pg_replication_slots\n"
        "UNION ALL SELECT 'prepared', gid, age(transaction) FROM pg_prepared_xacts\n"
        " ORDER BY 3 DESC NULLS LAST LIMIT 5;",
        effect="shows what vacuum has to wait for: end, drop or roll back the oldest first, since "
        "no vacuum can pass it",
    )


def _vacuums(worst: Aged, tables: list[Aged]) -> Iterator[Remedy]:
    for table in tables[:_REPAIRED]:
        place = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
        yield Remedy(
            step=Step.CURE,
            command=f"VACUUM (VERBOSE, INDEX_CLEANUP OFF, TRUNCATE OFF) {place};",
            effect=f"freezes {table.text} while it is in use, as fast as it can; it reads all of "
            "its old pages. Never VACUUM FULL, which locks the table and needs new ids itself",
            changes_state=True,
        )
    if not tables:
        yield Remedy(
            step=Step.CURE,
            command=f"vacuumdb --freeze --no-index-cleanup --no-truncate {_shell(worst.name)}",
            effect="freezes the tables of that database while they are in use; connect as its "
            "owner or as a superuser",
            changes_state=True,
            language="sh",
        )


def _shell(name: str) -> str:
    return "'" + name.replace("'", "'\\''") + "'"


def _behind(found: Wraparound, clock: _Clock, worst: Aged, status: Status, floor: int) -> Finding:
    tables = sorted(
        (one for one in found.tables if clock.age(one) >= floor), key=clock.age, reverse=True
    )[:5]
    holder = _blocking(found, clock)
    age = clock.age(worst)
    reason = (
        f"the {holder.kind} {holder.name} holds vacuum back"
        if holder
        else "vacuum does not get its tables frozen in time"
    )
    return Finding(
        status=status,
        summary=f"Database {worst.name} has used {age / _ALL_IDS:.0%} of its {clock.ids} ids: "
        f"{max(0, _ALL_IDS - age)} are left before the server takes no writes.",
        evidence=tuple(_evidence(found, clock, worst, tables, holder)),
        cause=Cause(
            label="wraparound.vacuum_behind",
            confidence=Confidence.CERTAIN if holder else Confidence.LIKELY,
            because=f"its age is {age / max(1, clock.freeze_max_age):.1f} times that at which "
            f"autovacuum freezes by force: {reason}",
        ),
        remedies=(_holders(), *_vacuums(worst, tables)),
        subjects=(
            *(Subject(kind="table", value=one.text) for one in tables),
            *(
                (Subject(kind="pid", value=holder.name.partition(" ")[0]),)
                if holder and holder.kind == "session"
                else ()
            ),
        ),
        notes=()
        if found.sees_all
        else ("what other sessions hold back is not known: the role lacks pg_monitor",),
    )


def _status(
    found: Wraparound, clock: _Clock, age: int, warning: float, critical: float, overdue: float
) -> Status:
    if age >= critical * _ALL_IDS:
        return Status.CRITICAL
    late = age >= overdue * clock.freeze_max_age
    if age >= warning * _ALL_IDS or (late and _blocking(found, clock) is not None):
        return Status.WARNING
    return Status.OK


@check
def wraparound(
    found: Wraparound, *, warning: float = 0.60, critical: float = 0.75, overdue: float = 2.0
) -> Iterator[Finding]:
    """Vacuum is behind, and the server runs out of transaction or multixact ids.

    ``warning`` and ``critical`` are shares of the 2.1 billion ids that can be told apart.
    Earlier, a warning comes at ``overdue`` times the age at which autovacuum freezes by force,
    if something holds vacuum back that long: then no vacuum will mend it.
    """
    measures: list[Measure] = []
    findings: list[Finding] = []
    for clock in _clocks(found):
        worst = max(found.databases, key=clock.age)
        age = clock.age(worst)
        measures.append(
            Measure(
                name=f"oldest_{clock.ids}_id_age",
                value=age,
                warning=warning * _ALL_IDS,
                critical=critical * _ALL_IDS,
            )
        )
        status = _status(found, clock, age, warning, critical, overdue)
        if status is not Status.OK:
            floor = min(age, clock.freeze_max_age)
            findings.append(_behind(found, clock, worst, status, floor))
    if not findings:
        oldest = max(found.databases, key=lambda one: one.xids)
        findings.append(
            Finding(
                status=Status.OK,
                summary=f"The oldest transaction id is {oldest.xids} ids old, "
                f"{oldest.xids / _ALL_IDS:.1%} of what can be told apart.",
            )
        )
    for number, finding in enumerate(findings):
        yield msgspec.structs.replace(finding, measures=tuple(measures)) if not number else finding
