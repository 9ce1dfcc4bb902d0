from collections.abc import Iterator

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
from backend_doctor.backends.postgres.replication import Replication, Standby
from backend_doctor.backends.postgres.sizes import size_text, time_text
from backend_doctor.backends.sql import quote_identifier, quote_literal

_MIB = 1024**2


def _worst(standbys: tuple[Standby, ...]) -> Standby:
    return max(standbys, key=lambda one: (one.seconds or 0.0, one.behind or 0))


def _bytes_and_seconds(behind: int, seconds: float | None) -> str:
    late = "" if seconds is None else f" and {time_text(seconds)}"
    return f"{size_text(behind)}{late}"


def _remedies(standby: Standby) -> tuple[Remedy, ...]:
    return (
        Remedy(
            step=Step.CONFIRM,
            command="SELECT application_name, client_addr, state, sent_lsn, write_lsn, flush_lsn,\n"
            "       replay_lsn, write_lag, flush_lag, replay_lag FROM pg_stat_replication\n"
            f" WHERE application_name = {quote_literal(standby.name)};",
            effect="shows where it waits: sent far behind means the primary or its disk, write and "
            "flush the network or the standby's disk, replay the standby itself",
        ),
        Remedy(
            step=Step.STOP,
            command="send reads that must be fresh to the primary until it has caught up",
            effect="no code reads what it wrote a moment ago and misses it",
            language="text",
        ),
        Remedy(
            step=Step.CURE,
            command="on the standby: SELECT pg_is_wal_replay_paused(); and the oldest query:\n"
            "SELECT pid, xact_start, left(query, 60) FROM pg_stat_activity\n"
            " WHERE backend_type = 'client backend' ORDER BY xact_start LIMIT 5;",
            effect="a query there holds replay up for max_standby_streaming_delay at most",
            language="text",
        ),
    )


def _read_share(counters: Looks[Counters] | None) -> str:
    """Whether reads are what keeps the primary busy; "" where next to nothing happened."""
    if counters is None:
        return ""
    window = counts_within(counters).all
    rows = window.rows_read + window.rows_written
    if window.commits + window.rollbacks < 10 * counters.seconds or not rows:
        return ""
    return f"{window.rows_read / rows:.0%} of the rows of the window were read, not written"


def _evidence(standby: Standby) -> tuple[Evidence, ...]:
    evidence = [
        Evidence(
            key="standby",
            value=standby.name,
            text=f"{standby.name} at {standby.address} is {standby.state}"
            + (f" ({standby.sync})" if standby.sync else ""),
            source="pg_stat_replication",
        ),
        Evidence(
            key="lag_bytes",
            value=standby.behind or 0,
            text=f"it has {size_text(standby.behind or 0)} of WAL still to replay",
            source="pg_stat_replication.replay_lsn",
        ),
    ]
    if standby.seconds is not None:
        evidence.append(
            Evidence(
                key="lag_seconds",
                value=round(standby.seconds, 1),
                text=f"what it replays now was written {time_text(standby.seconds)} ago",
                source="pg_stat_replication.replay_lag",
            )
        )
    return tuple(evidence)


def _late(standby: Standby, status: Status, measures: tuple[Measure, ...]) -> Finding:
    behind = _bytes_and_seconds(standby.behind or 0, standby.seconds)
    return Finding(
        status=status,
        summary=f"Standby {standby.name} is {behind} behind.",
        evidence=_evidence(standby),
        cause=Cause(
            label="replication.lag",
            confidence=Confidence.CERTAIN,
            because="WAL is written faster than this standby receives or replays it, or its "
            "replay stands still",
        ),
        remedies=_remedies(standby),
        measures=measures,
    )


def _hidden(replication: Replication) -> Finding:
    return Finding(
        status=Status.UNKNOWN,
        summary=f"{replication.hidden} standby(s) are connected, and role {replication.role} may "
        "not see how far they are.",
        remedies=(
            Remedy(
                step=Step.CURE,
                command=f"GRANT pg_monitor TO {quote_identifier(replication.role)};",
                effect="lets the role see what standbys have replayed",
                changes_state=True,
            ),
        ),
    )


def _status(standby: Standby, warning: float, critical: float, silent: int) -> Status | None:
    seconds, behind = standby.seconds, standby.behind or 0
    if seconds is None:
        return Status.WARNING if behind >= silent else None
    if seconds < warning or not behind:
        return None
    return Status.CRITICAL if seconds >= critical else Status.WARNING


def _calm(
    replication: Replication, counters: Looks[Counters] | None, measures: tuple[Measure, ...]
) -> Finding:
    worst = _worst(replication.standbys)
    behind = _bytes_and_seconds(worst.behind or 0, worst.seconds)
    share = _read_share(counters)
    note = (
        f"{share}; standby {worst.name} is {behind} behind: reads that may be that old can go there"
    )
    return Finding(
        status=Status.OK,
        summary=f"{len(replication.standbys)} standby(s), at most {behind} behind.",
        notes=(note,) if share else (),
        measures=measures,
    )


@check
def replication(
    replication: Replication,
    counters: Looks[Counters] | None,
    *,
    warning: float = 30.0,
    critical: float = 300.0,
    silent_bytes: int = 1024 * _MIB,
) -> Iterator[Finding]:
    """A standby is behind this server, so that reads there are old and a failover loses time.

    ``warning`` and ``critical`` are seconds of replay lag, of a standby that has bytes still to
    replay; one that gives no time (it never answered) warns from ``silent_bytes`` on. An idle
    primary makes no lag. A standby that is delayed on purpose needs limits of its own.
    """
    if replication.hidden:
        yield _hidden(replication)
        return
    seconds = max((one.seconds or 0.0 for one in replication.standbys), default=0.0)
    measures = (
        Measure(
            name="replication_lag_bytes",
            value=max((one.behind or 0 for one in replication.standbys), default=0),
            unit="B",
        ),
        Measure(
            name="replication_lag_seconds",
            value=round(seconds, 3),
            unit="s",
            warning=warning,
            critical=critical,
        ),
    )
    if not replication.standbys:
        summary = "No standby is connected to this server."
        yield Finding(status=Status.OK, summary=summary, measures=measures)
        return
    late = [(one, _status(one, warning, critical, silent_bytes)) for one in replication.standbys]
    alarms = [(one, status) for one, status in late if status is not None]
    if not alarms:
        yield _calm(replication, counters, measures)
    for number, (one, status) in enumerate(alarms):
        yield _late(one, status, () if number else measures)
