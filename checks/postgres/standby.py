from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Looks,
    Measure,
    Remedy,
    Status,
    Step,
    check,
)
from backend_doctor.backends.postgres.counters import Counters, Recovery
from backend_doctor.backends.postgres.replication import Replication
from backend_doctor.backends.postgres.sizes import size_text, time_text

_MIB = 1024**2
_LOOK = Remedy(
    step=Step.CONFIRM,
    command="SELECT pg_is_in_recovery() AS standby, pg_is_wal_replay_paused() AS paused,\n"
    "       pg_last_wal_receive_lsn() AS received, pg_last_wal_replay_lsn() AS replayed,\n"
    "       pg_last_xact_replay_timestamp() AS last_commit_replayed,\n"
    "       (SELECT status FROM pg_stat_wal_receiver) AS receiver;",
    effect="on the standby: shows whether it receives, and whether it replays",
)


def _promoted(measures: tuple[Measure, ...]) -> Finding:
    return Finding(
        status=Status.CRITICAL,
        summary="Declared as a replica, this server is a primary: it takes writes of its own.",
        evidence=(
            Evidence(
                key="in_recovery",
                value=False,
                text="the configuration says role: replica, and pg_is_in_recovery() is false",
                source="pg_is_in_recovery()",
            ),
        ),
        cause=Cause(
            label="replication.promoted",
            confidence=Confidence.CERTAIN,
            because="it was promoted, or was never a standby, so it gets nothing of the primary",
        ),
        remedies=(
            Remedy(
                step=Step.STOP,
                command="take it out of the list of replicas that the application reads from",
                effect="nobody reads data that has gone its own way",
                language="text",
            ),
            Remedy(
                step=Step.CURE,
                command="after a planned failover, correct the role in the configuration; else "
                "make the standby anew (pg_rewind or pg_basebackup)",
                effect="two servers that both take writes cannot be joined again",
                changes_state=True,
                language="text",
            ),
        ),
        measures=measures,
    )


def _broken(recovery: Recovery, measures: tuple[Measure, ...]) -> Finding:
    age = recovery.replayed_age
    last = "nothing yet" if age is None else f"a commit of {time_text(age)} ago"
    return Finding(
        status=Status.CRITICAL,
        summary="This standby receives nothing from its primary, and does not fetch from an "
        "archive.",
        evidence=(
            Evidence(
                key="wal_receivers",
                value=recovery.receivers,
                text="no WAL receiver runs, in both looks, and no restore_command is set",
                source="pg_stat_wal_receiver",
            ),
            Evidence(
                key="last_replayed",
                value=age,
                text=f"the last that it replayed is {last}",
                source="pg_last_xact_replay_timestamp()",
            ),
        ),
        cause=Cause(
            label="replication.broken",
            confidence=Confidence.CERTAIN,
            because="a standby without a WAL receiver stays where it is, and answers all the same",
        ),
        remedies=(
            _LOOK,
            Remedy(
                step=Step.STOP,
                command="send reads to the primary until this standby receives again",
                effect="what it answers gets older by the minute",
                language="text",
            ),
            Remedy(
                step=Step.CURE,
                command="read this server's log for `could not connect to the primary` or "
                "`requested WAL segment ... has already been removed`",
                effect="the first is primary_conninfo, the network or a password; after the "
                "second the standby has to be made anew (pg_basebackup), with a slot",
                language="text",
            ),
        ),
        measures=measures,
    )


def _behind(
    recovery: Recovery, replication: Replication, critical: float, measures: tuple[Measure, ...]
) -> Finding:
    age = recovery.replayed_age or 0.0
    evidence = [
        Evidence(
            key="lag_bytes",
            value=recovery.waiting,
            text=f"{size_text(recovery.waiting)} of WAL are received and not replayed, some of it "
            "since before the first look",
            source="pg_last_wal_replay_lsn()",
        ),
        Evidence(
            key="lag_seconds",
            value=round(age, 1),
            text=f"the last commit that it replayed is {time_text(age)} old",
            source="pg_last_xact_replay_timestamp()",
        ),
    ]
    because = "replay is slower than what arrives: one process replays what many wrote, or waits"
    cure = Remedy(
        step=Step.CURE,
        command="SELECT pid, xact_start, left(query, 60) AS query FROM pg_stat_activity\n"
        " WHERE backend_type = 'client backend' ORDER BY xact_start LIMIT 5;",
        effect="a query on the standby holds replay up, for max_standby_streaming_delay at most",
    )
    if replication.paused:
        evidence.append(
            Evidence(
                key="replay_paused",
                value=True,
                text="replay is paused",
                source="pg_is_wal_replay_paused()",
            )
        )
        because = "somebody paused replay with pg_wal_replay_pause()"
        cure = Remedy(
            step=Step.CURE,
            command="SELECT pg_wal_replay_resume();",
            effect="replays what waits; queries that need old rows may be cancelled",
            changes_state=True,
        )
    return Finding(
        status=Status.CRITICAL if age >= critical else Status.WARNING,
        summary=f"This standby has {size_text(recovery.waiting)} of WAL still to replay; the last "
        f"commit that it knows is {time_text(age)} old.",
        evidence=tuple(evidence),
        cause=Cause(label="replication.lag", confidence=Confidence.CERTAIN, because=because),
        remedies=(_LOOK, cure),
        measures=measures,
    )


@check
def standby(
    replication: Replication,
    counters: Looks[Counters],
    instance: Instance,
    *,
    warning: float = 30.0,
    critical: float = 300.0,
    bytes: int = 16 * _MIB,
) -> Iterator[Finding]:
    """This standby is behind, or follows nobody any more.

    Behind is one that has ``bytes`` of WAL to replay in both looks, does not get through within
    the window what it had received before, and whose last replayed commit is ``warning`` or
    ``critical`` seconds old (recovery_min_apply_delay not counted). One that has replayed all it
    received has no lag, however old its last commit: the primary was idle.
    """
    first, last = counters.first.recovery, counters.last.recovery
    waiting = last.waiting if last else 0
    measures = (Measure(name="replay_lag_bytes", value=waiting, unit="B"),)
    if last is None:
        if instance.settings.get("role") == "replica":
            yield _promoted(measures)
        else:
            summary = "This server is a primary."
            yield Finding(status=Status.OK, summary=summary, measures=measures)
        return
    still = first is not None and first.replayed == last.replayed
    alone = first is not None and not first.receivers and not last.receivers
    if still and alone and not replication.restores:
        yield _broken(last, measures)
        return
    age = (last.replayed_age or 0.0) - replication.apply_delay
    stuck = first is not None and last.replayed < (first.received or 0)
    waits = first is not None and min(first.waiting, last.waiting) >= bytes
    if stuck and waits and age >= warning:
        yield _behind(last, replication, critical + replication.apply_delay, measures)
        return
    summary = f"This standby has {size_text(last.waiting)} of WAL still to replay."
    if not last.waiting:
        summary = "This standby has replayed all that it received."
    yield Finding(status=Status.OK, summary=summary, measures=measures)
