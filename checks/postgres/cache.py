from collections.abc import Iterator, Sequence

import msgspec

from backend_doctor import (
    Absent,
    Cause,
    Confidence,
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
from backend_doctor.backends.postgres.counters import Counters, WindowCounts, counts_within
from backend_doctor.backends.postgres.server_settings import ServerSettings
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.sizes import size_text
from backend_doctor.backends.postgres.statements import Load, Statements, window_loads

_MIB = 1024**2
_BLOCK = 8192
_WARM = 600.0
# the second: asynchronous reads, in PostgreSQL 18 and later
_READS = ("DataFileRead", "AioIoCompletion")


class _Reading(msgspec.Struct, frozen=True):
    """What was read within the window. ``share`` of the sessions' busy time went into reads, by
    the clock or (``timed`` false) by what the two looks saw them wait for."""

    window: WindowCounts
    share: float
    timed: bool

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.window.all.read_blocks * _BLOCK / self.window.seconds

    @property
    def block_ms(self) -> float:
        """Milliseconds that a block took; 0.0 when it was not timed."""
        blocks = self.window.all.read_blocks
        return self.window.all.read_ms / blocks if blocks else 0.0


def _share_waiting(sessions: Looks[Sessions] | None) -> float:
    """The smaller share of the two looks: of the sessions at work, those that wait for a read."""
    if sessions is None:
        return 0.0
    shares = []
    for look in (sessions.first, sessions.last):
        busy = [one for one in look.clients if one.state == "active"]
        reading = [one for one in busy if one.wait_type == "IO" and one.wait in _READS]
        shares.append(len(reading) / len(busy) if busy else 0.0)
    return min(shares)


def _reading(window: WindowCounts, timed: bool, sessions: Looks[Sessions] | None) -> _Reading:
    if not timed:
        return _Reading(window, _share_waiting(sessions), False)
    busy = window.all.active_ms
    return _Reading(window, min(1.0, window.all.read_ms / busy) if busy else 0.0, True)


def _remedies(buffers: float, readers: Sequence[Load] = ()) -> tuple[Remedy, ...]:
    confirm, read_less, more_memory = _all_remedies(buffers)
    # where one statement reads the most, memory would only be spent on that
    alone = bool(readers) and 2 * readers[0].read_blocks >= sum(one.read_blocks for one in readers)
    return (confirm, read_less) if alone else (confirm, read_less, more_memory)


def _all_remedies(buffers: float) -> tuple[Remedy, Remedy, Remedy]:
    return (
        Remedy(
            step=Step.CONFIRM,
            command="SELECT relname, heap_blks_read + idx_blks_read AS blocks_read,\n"
            "       heap_blks_hit + idx_blks_hit AS blocks_hit\n"
            "  FROM pg_statio_user_tables ORDER BY 2 DESC NULLS LAST LIMIT 10;",
            effect="shows which tables are read from outside; run it twice and compare",
        ),
        Remedy(
            step=Step.CURE,
            command="make the statements named above read less: an index that fits, fewer columns "
            "and rows, old rows moved to partitions of their own",
            effect="a working set that fits needs no larger cache",
            language="text",
        ),
        Remedy(
            step=Step.CURE,
            command="ALTER SYSTEM SET shared_buffers = '25% of the memory, such as 8GB';"
            "   -- write the number; in force after a restart",
            effect=f"it is {size_text(buffers)} now; what it takes is missing to the system's own "
            "cache, so more than 40 % seldom helps",
            changes_state=True,
            language="text",
        ),
    )


def _evidence(reading: _Reading, buffers: float, readers: list[Load]) -> Iterator[Evidence]:
    counts = reading.window.all
    hits = counts.hit_blocks / max(1, counts.hit_blocks + counts.read_blocks)
    yield Evidence(
        key="read_bytes_per_second",
        value=round(reading.rate),
        text=f"{size_text(reading.rate)} a second were read from outside shared_buffers "
        f"({size_text(buffers)}); {hits:.0%} of the blocks were found inside",
        source="pg_stat_database.blks_read, blks_hit",
    )
    how = f"{reading.block_ms:.2f} ms a block" if reading.timed else "in both looks"
    yield Evidence(
        key="read_time_share",
        value=round(reading.share, 2),
        text=f"{reading.share:.0%} of the sessions' working time went into these reads ({how})",
        source="pg_stat_database.blk_read_time" if reading.timed else "pg_stat_activity.wait_event",
    )
    for load in readers[:3]:
        yield Evidence(
            key="reading_query_id",
            value=load.query_id,
            text=f"{load.calls} calls of statement {load.query_id} by {load.role} read "
            f"{size_text(load.read_blocks * _BLOCK)}",
            source="pg_stat_statements.shared_blks_read",
        )


def _readers(statements: Looks[Statements] | None) -> list[Load]:
    """The statements that a tenth of the reads or more was for, most first."""
    loads = window_loads(statements) if statements else []
    least = sum(one.read_blocks for one in loads) / 10
    found = [one for one in loads if one.read_blocks and one.read_blocks >= least]
    return sorted(found, key=lambda one: one.read_blocks, reverse=True)


def _found(reading: _Reading, buffers: float, readers: list[Load], measure: Measure) -> Finding:
    return Finding(
        status=Status.WARNING,
        summary=f"What is read does not fit in memory: {size_text(reading.rate)} a second come "
        f"from the disk, and sessions spend {reading.share:.0%} of their time waiting for it.",
        evidence=tuple(_evidence(reading, buffers, readers)),
        cause=Cause(
            label="cache.working_set",
            confidence=Confidence.LIKELY,
            because=f"the same statements read more than shared_buffers ({size_text(buffers)}) and "
            "the system's cache hold, over and over, so blocks leave before they are used again",
        ),
        remedies=_remedies(buffers, readers),
        explains=("query.pileup", "pool.server_full", "pool.undersized"),
        subjects=tuple(Subject(kind="query", value=one.query_id) for one in readers[:3]),
        measures=(measure,),
    )


@check
def cache(
    counters: Looks[Counters],
    settings: ServerSettings,
    statements: Looks[Statements] | None,
    sessions: Looks[Sessions] | None,
    *,
    bytes_per_second: int = 5 * _MIB,
    time_share: float = 0.5,
    block_ms: float = 0.05,
    calls: int = 20,
) -> Iterator[Finding]:
    """What is read again and again does not fit in memory, so that statements wait for the disk.

    ``bytes_per_second`` from outside shared_buffers, ``time_share`` of the working time spent on
    them, ``block_ms`` for a block (a block that only the system's cache gives takes a few
    thousandths), by ``calls`` of statements that read: a large scan is nothing to act on. Nor is
    a cache that fills after a start: the window has read more than shared_buffers, or the server
    has run for ten minutes.
    """
    window = counts_within(counters)
    if not window.seconds:
        raise Absent("the two looks fell together")
    timed = settings.value("track_io_timing") == "on"
    buffers = settings.amount("shared_buffers")
    reading, readers = _reading(window, timed, sessions), _readers(statements)
    measure = Measure(name="read_bytes_per_second", value=round(reading.rate), unit="B")
    warm = window.all.read_blocks * _BLOCK >= buffers or counters.last.uptime >= _WARM
    heavy = reading.rate >= bytes_per_second and warm
    slow = reading.share >= time_share and (not timed or reading.block_ms >= block_ms)
    often = sum(one.calls for one in readers) >= calls
    if heavy and slow and often:
        yield _found(reading, buffers, readers, measure)
        return
    if heavy and slow and statements is None:
        yield Finding(
            status=Status.UNKNOWN,
            summary=f"Sessions spend {reading.share:.0%} of their time on reads from the disk; "
            "whether it is one large scan or a cache too small is not known without statements.",
            remedies=(_remedies(buffers)[0],),
            measures=(measure,),
        )
        return
    note = (
        "how long reads take is not known: "
        "ALTER SYSTEM SET track_io_timing = on; SELECT pg_reload_conf();"
    )
    yield Finding(
        status=Status.OK,
        summary=f"{size_text(reading.rate)} a second are read from outside shared_buffers "
        f"({size_text(buffers)}).",
        notes=(note,) if heavy and not timed else (),
        measures=(measure,),
    )
