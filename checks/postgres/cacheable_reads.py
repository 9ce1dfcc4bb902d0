from collections.abc import Iterator, Sequence

from backend_doctor import Each, Evidence, Finding, Looks, Measure, Status, check
from backend_doctor.backends.postgres.caching import CacheableRead, cacheable_reads_of
from backend_doctor.backends.postgres.frequent import FrequentStatements, refuse_without_counters
from backend_doctor.backends.postgres.sessions import Sessions
from backend_doctor.backends.postgres.statements import Statements, StatementStatistics
from backend_doctor.backends.redis.limits import ClientLimits


def _evidence(number: int, found: CacheableRead, seconds: float) -> Iterator[Evidence]:
    load, text = found.load, found.text
    suffix = f"_{number}" if number else ""
    alike = (
        "all with the same text and no values: every call asks the same"
        if not text.parameters
        else "with values, and how many different ones cannot be seen here"
    )
    yield Evidence(
        key=f"cacheable_query_id{suffix}",
        value=load.query_id,
        text=f"{load.calls / seconds:.0f} calls a second of {load.mean_ms:.2f} ms, "
        f"{load.rows_per_call:.1f} rows each, {alike}: {text.text}",
        source="pg_stat_statements, two looks",
    )
    tables = ", ".join(text.tables)
    seen = (
        f"one call for {load.calls / found.writes:.0f} reads"
        if found.writes
        else "none; writes within functions are not seen"
    )
    yield Evidence(
        key=f"cacheable_tables{suffix}",
        value=tables,
        text=f"statements that write {tables} in the window: {seen}",
        source="pg_stat_statements.query",
    )


def _hit_rates(caches: Each[Looks[ClientLimits]]) -> Iterator[Evidence]:
    """How the caches do that the application has today."""
    seen = [(name, looks) for name, looks in caches.items() if isinstance(looks, Looks)]
    for number, (name, looks) in enumerate(seen):
        hits = looks.last.hits - looks.first.hits
        asked = hits + looks.last.misses - looks.first.misses
        text = f"nobody looked a key up in {name} within the window"
        if asked:
            text = f"{hits / asked:.1%} of {asked} lookups in {name} found their key in the window"
        yield Evidence(
            key=f"cache_hit_rate_{number}" if number else "cache_hit_rate",
            value=round(hits / asked, 4) if asked else None,
            text=text,
            source="INFO, keyspace_hits and keyspace_misses, two looks",
        )


def _advice(reads: Sequence[CacheableRead]) -> str:
    which = "it" if len(reads) == 1 else "the first of them"
    return (
        f"advice, not a fault: a cache of a few seconds in front of {which} would take "
        f"{reads[0].share:.0%} of the calls off the database; first make sure that readers may see "
        "a value that is a few seconds old"
    )


@check
def cacheable_reads(
    statistics: StatementStatistics,
    statements: Looks[Statements] | None,
    frequent: FrequentStatements | None,
    sessions: Looks[Sessions] | None,
    caches: Each[Looks[ClientLimits]],
    *,
    share: float = 0.2,
    most_rows: float = 100.0,
    most_writes: float = 0.01,
) -> Iterator[Finding]:
    """Reads that come again and again for what hardly anybody changes: worth a cache.

    Advice only, since a database may well answer them. A read counts with ``share`` of all calls
    or of the execution time, at most ``most_rows`` a call, and at most ``most_writes`` calls
    that write its tables for each of its own.
    """
    refuse_without_counters(statistics, seen=statements is not None and frequent is not None)
    assert statements is not None
    assert frequent is not None
    reads = cacheable_reads_of(
        statements, frequent, sessions, share=share, most_rows=most_rows, most_writes=most_writes
    )
    rate = sum(one.load.calls for one in reads) / statements.seconds
    measure = Measure(name="cacheable_calls_per_second", value=round(rate, 1))
    if not reads:
        notes = (f"texts are not known: {frequent.refusal}",) if frequent.refusal else ()
        summary = "No read is so frequent, and its tables so quiet, that a cache would pay."
        yield Finding(status=Status.OK, summary=summary, notes=notes, measures=(measure,))
        return
    what = "1 statement reads" if len(reads) == 1 else f"{len(reads)} statements read"
    yield Finding(
        status=Status.OK,
        summary=f"{what} {rate:.0f} times a second what hardly anybody changes.",
        evidence=(
            *(
                item
                for number, one in enumerate(reads)
                for item in _evidence(number, one, statements.seconds)
            ),
            *_hit_rates(caches),
        ),
        notes=(_advice(reads),),
        measures=(measure,),
    )
