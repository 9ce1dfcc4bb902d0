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
    Subject,
    check,
)
from backend_doctor.backends.postgres.counters import Counters, counts_within
from backend_doctor.backends.postgres.sizes import size_text
from backend_doctor.backends.postgres.statements import Load, Statements, window_loads
from backend_doctor.backends.sql import quote_identifier

_MIB = 1024**2


def _spillers(statements: Looks[Statements] | None) -> list[Load]:
    """The statements that wrote a tenth of the temporary blocks or more, most first."""
    loads = window_loads(statements) if statements else []
    least = sum(load.temp_blocks for load in loads) / 10
    found = [load for load in loads if load.temp_blocks and load.temp_blocks >= least]
    return sorted(found, key=lambda load: load.temp_blocks, reverse=True)


def _remedies(spillers: list[Load]) -> Iterator[Remedy]:
    yield Remedy(
        step=Step.CONFIRM,
        command="SELECT datname, temp_files, pg_size_pretty(temp_bytes) AS written\n"
        "  FROM pg_stat_database WHERE temp_bytes > 0 ORDER BY temp_bytes DESC;",
        effect="shows which database writes them; run it twice and compare",
    )
    yield Remedy(
        step=Step.STOP,
        command="ALTER SYSTEM SET temp_file_limit = '20GB'; SELECT pg_reload_conf();",
        effect="a session that wants more temporary space than that fails, and the disk does not "
        "fill up; each session has the limit for itself",
        changes_state=True,
    )
    role = spillers[0].role if spillers else "ROLE"
    yield Remedy(
        step=Step.CURE,
        command=f"ALTER ROLE {quote_identifier(role)} SET work_mem = '64MB';",
        effect=f"new sessions of {role} sort and hash in memory up to that size, once for each "
        "sort and each session; an index that gives the order, or fewer rows, is the better cure",
        changes_state=True,
    )
    yield Remedy(
        step=Step.PREVENT,
        command="ALTER SYSTEM SET log_temp_files = '10MB'; SELECT pg_reload_conf();",
        effect="the log names each statement that writes a file of that size",
        changes_state=True,
    )


@check
def temporary_files(
    counters: Looks[Counters],
    statements: Looks[Statements] | None,
    *,
    bytes_per_second: int = 100 * _MIB,
    files: int = 3,
    calls: int = 3,
) -> Iterator[Finding]:
    """Sorts and hashes do not fit in work_mem and are written to disk all the time.

    ``bytes_per_second`` of temporary files over the window (1 GB in ten seconds), in at least
    ``files`` of them and, where statements are counted, by ``calls`` of those that spill: one
    report that spills once is nothing to act on.
    """
    window = counts_within(counters)
    rate = window.all.temp_bytes / window.seconds if window.seconds else 0.0
    measure = Measure(
        name="temporary_bytes_per_second", value=round(rate), unit="B", warning=bytes_per_second
    )
    spillers = _spillers(statements)
    often = not spillers or sum(load.calls for load in spillers) >= calls
    if rate < bytes_per_second or window.all.temp_files < files or not often:
        summary = (
            f"{window.all.temp_files} temporary files with {size_text(window.all.temp_bytes)} "
            f"in {window.seconds:.0f} s."
        )
        yield Finding(status=Status.OK, summary=summary, measures=(measure,))
        return
    most = max(window.databases, key=lambda one: one.temp_bytes)
    evidence = [
        Evidence(
            key="temporary_bytes",
            value=window.all.temp_bytes,
            text=f"{size_text(window.all.temp_bytes)} were written to {window.all.temp_files} "
            f"temporary files in {window.seconds:.1f} s, most of it in database {most.name}",
            source="pg_stat_database.temp_bytes",
        )
    ]
    for load in spillers[:3]:
        written = size_text(load.temp_blocks * 8192)
        evidence.append(
            Evidence(
                key="spilling_query_id",
                value=load.query_id,
                text=f"{load.calls} calls of statement {load.query_id} by {load.role} wrote "
                f"{written}",
                source="pg_stat_statements.temp_blks_written",
            )
        )
    yield Finding(
        status=Status.WARNING,
        summary=f"Sorts and hashes write {size_text(rate)} a second to temporary files.",
        evidence=tuple(evidence),
        cause=Cause(
            label="temp.heavy_spills",
            confidence=Confidence.CERTAIN if spillers else Confidence.LIKELY,
            because="what statements sort or hash is larger than work_mem, again and again",
        ),
        remedies=tuple(_remedies(spillers)),
        subjects=tuple(Subject(kind="query", value=load.query_id) for load in spillers[:3]),
        measures=(measure,),
    )
