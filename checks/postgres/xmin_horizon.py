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
    check,
)
from backend_doctor.backends.postgres.horizon import Holder, Horizon
from backend_doctor.backends.postgres.horizon_remedies import (
    holder_subjects,
    look_at_holders,
    release,
)


def _age(holder: Holder) -> int:
    return max(holder.xids or 0, holder.catalog_xids or 0)


def _finding(holder: Holder, critical_xids: int) -> Finding:
    age = _age(holder)
    what = "rows of all databases" if holder.xids else "rows of system catalogues"
    standby = holder.kind == "standby" or (holder.active and holder.xids)
    label = "xmin.held_by_standby" if standby else "xmin.held_by_slot"
    remedy = release(holder, None)
    confirm = () if remedy.step is Step.CONFIRM else (look_at_holders(),)
    return Finding(
        status=Status.CRITICAL if age >= critical_xids else Status.WARNING,
        summary=f"Vacuum has to keep {what} that died within the last {age} transactions: "
        f"{holder.text} holds them.",
        evidence=(
            Evidence(
                key="holder_xids",
                value=age,
                text=f"{holder.text} holds a snapshot that is {age} transactions old",
                source="pg_stat_replication.backend_xmin"
                if holder.kind == "standby"
                else "pg_replication_slots.xmin, catalog_xmin",
            ),
        ),
        cause=Cause(
            label=label,
            confidence=Confidence.CERTAIN,
            because="a query of the standby is as old, and hot_standby_feedback tells the primary"
            if standby
            else "the slot keeps what its consumer may still need, and the consumer does not "
            "move on",
        ),
        remedies=(
            remedy,
            *confirm,
            Remedy(
                step=Step.PREVENT,
                command="-- on the standby\nALTER SYSTEM SET hot_standby_feedback = off;\n"
                "ALTER SYSTEM SET max_standby_streaming_delay = '5min';\n"
                "SELECT pg_reload_conf();"
                if standby
                else "alert on: SELECT slot_name FROM pg_replication_slots WHERE NOT active;",
                effect="long queries of the standby are cancelled instead of holding the primary"
                if standby
                else "a slot without its consumer is noticed; drop slots with what they were for",
                changes_state=bool(standby),
                language="sql" if standby else "text",
            ),
        ),
        subjects=tuple(holder_subjects(holder)),
    )


@check
def xmin_horizon(
    horizon: Horizon,
    *,
    held_seconds: float = 3600.0,
    least_xids: int = 10_000,
    warning_xids: int = 50_000_000,
    critical_xids: int = 200_000_000,
) -> Iterator[Finding]:
    """A replication slot or a standby keeps vacuum from removing old rows anywhere.

    ``warning_xids`` and ``critical_xids`` (the default of autovacuum_freeze_max_age) are ages in
    transactions; a slot without its consumer for ``held_seconds`` counts from ``least_xids`` on.
    Sessions and prepared transactions are judged by postgres.long_transactions.
    """
    oldest = max(horizon.holders, key=_age, default=None)
    measure = Measure(
        name="oldest_xmin_transactions",
        value=_age(oldest) if oldest else 0,
        warning=warning_xids,
        critical=critical_xids,
    )
    held = [
        holder
        for holder in horizon.of("slot", "standby")
        if _age(holder) >= warning_xids
        or (
            not holder.active
            and (holder.seconds or 0.0) >= held_seconds
            and _age(holder) >= least_xids
        )
    ]
    found = [_finding(holder, critical_xids) for holder in held[:5]]
    if not found:
        who = f", by {oldest.text}" if oldest else ""
        summary = f"The oldest snapshot is {measure.value:.0f} transactions old{who}."
        found = [Finding(status=Status.OK, summary=summary)]
    yield msgspec.structs.replace(found[0], measures=(measure,))
    yield from found[1:]
