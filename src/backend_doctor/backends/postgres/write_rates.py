"""What one more index would cost: the writes to its table, counted within the window."""

from collections.abc import Iterator, Mapping

from backend_doctor.backends.postgres.counters import Counters
from backend_doctor.facts import Looks
from backend_doctor.model import Evidence

Rates = Mapping[tuple[str, str], float]
"""Rows written a second, by schema and table."""


def write_rates(counters: Looks[Counters] | None) -> Rates:
    """Those of the tables that both looks counted; of a table whose own counters were reset in
    between none can be told."""
    if counters is None:
        return {}
    before = {(one.schema, one.name): one.rows for one in counters.first.tables}
    return {
        (one.schema, one.name): (one.rows - rows) / counters.seconds
        for one in counters.last.tables
        if (rows := before.get((one.schema, one.name))) is not None and one.rows >= rows
    }


def written(table: str, rate: float | None) -> Iterator[Evidence]:
    """The rate as evidence, where it was counted."""
    if rate is not None:
        yield Evidence(
            key="writes_per_second",
            value=round(rate, 1),
            text=f"{rate:.1f} rows a second were written to {table} in the window",
            source="pg_stat_user_tables.n_tup_ins, n_tup_upd, n_tup_del, two looks",
            repeats=_none(rate),
        )


def price(rate: float | None, total: int | None = None) -> str:
    """What an index costs its table, as a part of a sentence; ``total`` stands where no rate was
    counted."""
    many = "" if total is None else f" ({total} so far)"
    if rate is not None:
        many = "" if _none(rate) else f" ({rate:.1f} rows a second in the window)"
    return f"every write to the table pays for it{many}"


def _none(rate: float) -> bool:
    return round(rate, 1) == 0
