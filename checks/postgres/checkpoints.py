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
from backend_doctor.backends.postgres.counters import Counters, WindowCounts, counts_within
from backend_doctor.backends.postgres.server_settings import ServerSettings
from backend_doctor.backends.postgres.sizes import size_text, time_text

_MIB = 1024**2


def _needed(wal_rate: float, settings: ServerSettings) -> int:
    """Bytes of max_wal_size with which this rate of WAL would be checkpointed by time alone."""
    timeout = settings.amount("checkpoint_timeout") or 300.0
    # a checkpoint is asked for at about half of it: the WAL since the one before is kept too
    wanted = 2 * wal_rate * timeout
    return max(1, round(wanted / (1024 * _MIB) + 0.5))


def _remedies(needed: int) -> tuple[Remedy, ...]:
    return (
        Remedy(
            step=Step.CONFIRM,
            command="SELECT name, setting, unit FROM pg_settings\n"
            " WHERE name IN ('max_wal_size', 'checkpoint_timeout',\n"
            "                'checkpoint_completion_target', 'log_checkpoints');",
            effect="shows the limits; with log_checkpoints on, the log says `checkpoint starting: "
            "wal` for each that was asked for",
        ),
        Remedy(
            step=Step.CURE,
            command=f"ALTER SYSTEM SET max_wal_size = '{needed}GB'; SELECT pg_reload_conf();",
            effect=f"checkpoints come by time again at this rate of writing; pg_wal may take "
            f"{needed} GB, and a restart after a crash longer",
            changes_state=True,
        ),
    )


def _evidence(window: WindowCounts, interval: float, limit: float) -> tuple[Evidence, ...]:
    return (
        Evidence(
            key="requested_checkpoints",
            value=window.checkpoints_requested,
            text=f"{window.checkpoints_requested} checkpoints were asked for and "
            f"{window.checkpoints_timed} came by time in {window.seconds:.1f} s: one in "
            f"{time_text(interval) if interval >= 2 else f'{interval:.1f} s'}",
            source="pg_stat_checkpointer / pg_stat_bgwriter",
        ),
        Evidence(
            key="wal_bytes_per_second",
            value=round(window.wal_bytes / window.seconds),
            text=f"{size_text(window.wal_bytes)} of WAL were written, and max_wal_size is "
            f"{size_text(limit)}",
            source="pg_stat_wal.wal_bytes",
        ),
    )


@check
def checkpoints(
    counters: Looks[Counters],
    settings: ServerSettings,
    *,
    requested_share: float = 0.5,
    requested: int = 3,
) -> Iterator[Finding]:
    """Checkpoints come one after the other because the room for WAL is too small.

    More than ``requested_share`` of those in the window were asked for, at least ``requested`` of
    them, and with as much WAL between them as max_wal_size makes a checkpoint of: one that a
    backup or an administrator asks for does not count.
    """
    window = counts_within(counters)
    limit = settings.amount("max_wal_size")
    total = window.checkpoints_timed + window.checkpoints_requested
    measure = Measure(name="requested_checkpoints", value=window.checkpoints_requested)
    by_size = window.wal_bytes >= window.checkpoints_requested * limit / 4
    enough = window.checkpoints_requested >= requested and by_size and window.seconds > 0
    if not enough or window.checkpoints_requested <= requested_share * total:
        summary = (
            f"{total} checkpoints in {window.seconds:.0f} s, "
            f"{window.checkpoints_requested} of them asked for."
        )
        yield Finding(status=Status.OK, summary=summary, measures=(measure,))
        return
    interval = window.seconds / window.checkpoints_requested
    yield Finding(
        status=Status.WARNING,
        summary=f"A checkpoint is forced every {interval:.1f} s: max_wal_size is "
        f"{size_text(limit)}, and WAL fills it.",
        evidence=_evidence(window, interval, limit),
        cause=Cause(
            label="checkpoint.too_frequent",
            confidence=Confidence.CERTAIN,
            because="WAL reaches max_wal_size long before checkpoint_timeout; each checkpoint "
            "writes all dirty pages, and makes the next change of each page a whole page of WAL",
        ),
        remedies=_remedies(_needed(window.wal_bytes / window.seconds, settings)),
        measures=(measure,),
    )
