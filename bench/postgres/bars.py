"""What must hold of our own runs; peers are measured, not judged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.postgres.contest import Result
from bench.postgres.faults import FAULTS
from bench.postgres.hard import HEALTHY, LARGE, LOCKED, Figures

STATEMENTS, FASTER, LARGE_SECONDS, LOCK_MS = 25, 8, 1.0, 200
# sampled every 5 ms from the outside, and the server's timer is late by a few
LOCK_TOLERANCE_MS = 10
PROVEN = ('CREATE INDEX CONCURRENTLY "orders_customer_id_idx"', "with the index its plan")


@dataclass(frozen=True)
class Bar:
    """One promise, with its figure."""

    text: str
    held: bool

    def __str__(self) -> str:
        return f"{'PASS' if self.held else 'FAIL'}  {self.text}"


def contest_bars(results: Sequence[Result]) -> Iterator[Bar]:
    """Of the contest: the first result has two looks, the second one, the third is
    check_postgres."""
    two, one, peer = results[:3]
    yield Bar(f"faults named: {two.named} of {len(FAULTS)}", two.named == len(FAULTS))
    yield Bar(f"ranked first: {two.rounds[0].first}, must be the leak", two.leak_first is True)
    proven = all(words in run.usage.output for run in two.rounds for words in PROVEN)
    yield Bar("the index is proposed and proven", proven)
    most = max(result.most(lambda run: run.cost.connections) for result in (two, one))
    yield Bar(f"connections: {most}, at most 1", most == 1)
    faster = peer.middle(lambda run: run.usage.wall) / one.middle(lambda run: run.usage.wall)
    yield Bar(
        f"wall time with --window 0 is {faster:.1f} times less than check_postgres takes, "
        f"at least {FASTER}",
        faster >= FASTER,
    )
    records = max(result.most(lambda run: run.cost.wal_records) for result in (two, one))
    yield Bar(f"records in the write-ahead log of the sick server: {records}", records == 0)


def hard_bars(figures: Sequence[Figures]) -> Iterator[Bar]:
    """Of the hard servers."""
    by_case = {one.case.name: one for one in figures}
    healthy, large, locked = (by_case[case.name] for case in (HEALTHY, LARGE, LOCKED))
    yield Bar(
        f"statements without plans: {healthy.statements}, at most {STATEMENTS}",
        healthy.statements <= STATEMENTS,
    )
    still = not any(look.wrote for look in healthy.looks)
    yield Bar("a quiet server's write-ahead log and transaction count stand still", still)
    yield Bar(
        f"{large.case.name}: {large.wall:.2f} s, under {LARGE_SECONDS:g}",
        large.wall < LARGE_SECONDS,
    )
    yield Bar(
        f"{locked.case.name}: waited {locked.waited:.0f} ms, at most {LOCK_MS}",
        0 < locked.waited <= LOCK_MS + LOCK_TOLERANCE_MS,
    )
    for one in figures:
        if one.case.must_say:
            yield Bar(f"{one.case.name}: the report says so", one.said)
