"""What to do about an index that a filter keeps from being used: rewrite it, or index that."""

import re

import msgspec

from backend_doctor.backends.postgres.plans.predicates import Wrapped
from backend_doctor.backends.postgres.plans.tables import Index, Table
from backend_doctor.backends.postgres.remedies import GIVE_UP, GIVES_UP
from backend_doctor.backends.sql import quote_identifier
from backend_doctor.model import Remedy, Step

_IMMUTABLE = frozenset({"lower", "upper", "btrim", "ltrim", "rtrim", "abs", "md5", "length"})
# as many values as the column has, or nearly
_SELECTIVE = frozenset({"lower", "upper", "btrim", "ltrim", "rtrim", "md5"})
_OF_TIME = frozenset({"date", "date_trunc", "extract", "date_part"})


class Unusable(msgspec.Struct, frozen=True):
    """An index on a column that a filter compares only inside of an expression."""

    wrapped: Wrapped
    index: Index

    @property
    def why(self) -> str:
        """What keeps the index from serving, in words."""
        column, name = self.wrapped.column, self.index.name
        if self.wrapped.kind == "pattern":
            return (
                f"the index {name} on {column} serves LIKE only for patterns that begin with fixed "
                "letters, and only if it was made for it"
            )
        return (
            f"the index {name} holds {column} as it is, and the filter compares "
            f"{self.wrapped.expression}"
        )


class Unindexed(msgspec.Struct, frozen=True):
    """A filter on one function of a column, which an index on that would serve; there is none."""

    wrapped: Wrapped

    @property
    def expression(self) -> str:
        """As an index has it."""
        return f"{self.wrapped.function}({quote_identifier(self.wrapped.column)})"


def unindexed(wrapped: tuple[Wrapped, ...], table: Table) -> Unindexed | None:
    """The first equality with such a function; None where an index on an expression is there,
    since that may be it."""
    if any("" in index.columns for index in table.indexes):
        return None
    for one in wrapped:
        alone = re.fullmatch(r"\w+\(\(?[^()]+\)?(::text)?\)", one.expression)
        selective = one.operator == "=" and one.function in _SELECTIVE
        if alone and selective and "?" not in one.expression and table.type_of(one.column):
            return Unindexed(one)
    return None


def index_on(found: Unindexed, table: Table) -> Remedy:
    """The index that serves the filter as it is."""
    return Remedy(
        step=Step.CURE,
        command=_build(table, f"{found.wrapped.column}_{found.wrapped.function}", found.expression),
        effect=f"serves the filter as it is, built while {table.name} is read and written; outside "
        f"of a transaction, on the primary; {table.index_price}. Never without CONCURRENTLY: that "
        "locks out all writes",
        changes_state=True,
    )


def unusable(wrapped: tuple[Wrapped, ...], table: Table) -> Unusable | None:
    """The first valid b-tree or hash index whose first column is so wrapped."""
    for one in wrapped:
        known = table.type_of(one.column)
        if known is None or (one.kind == "cast" and known.type == "varchar"):
            continue
        for index in table.indexes:
            whole = index.valid and not index.partial and index.method in ("btree", "hash")
            if whole and index.columns[:1] == (one.column,):
                return Unusable(one, index)
    return None


def _build(table: Table, name: str, expression: str, method: str = "") -> str:
    stem = "_".join((table.name, name)).encode()[:50].decode(errors="ignore")
    place = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
    return (
        f"CREATE INDEX CONCURRENTLY {quote_identifier(stem + '_idx')}\n"
        f"    ON {place} {method}({expression});"
    )


def _rewritten(one: Wrapped, type_name: str) -> str:
    column = quote_identifier(one.column)
    if one.function in _OF_TIME:
        return f"{column} >= $from AND {column} < $until"
    if one.kind == "cast":
        return f"{column} {one.operator} $value::{quote_identifier(type_name)}"
    if one.kind == "arithmetic":
        return f"{column} {one.operator} ($value, with the arithmetic done on this side)"
    return f"{column} {one.operator} $value"


def make_usable(found: Unusable, table: Table) -> tuple[Remedy, ...]:
    """The rewritten condition, or the index that serves the condition as it is; what is printed
    to be run can be run as it stands."""
    one = found.wrapped
    known = table.type_of(one.column)
    column = quote_identifier(one.column)
    on_expression = f"{one.function}({column})" if one.function in _IMMUTABLE else ""
    method, extension, prefix = "", "", ""
    if one.kind == "pattern":
        method, on_expression = "USING gin ", f"{column} gin_trgm_ops"
        extension = "CREATE EXTENSION IF NOT EXISTS pg_trgm;\n"
        prefix = (
            f". Where all patterns begin with fixed letters, a b-tree on ({column} "
            "text_pattern_ops) is smaller"
        )
    rewrite = Remedy(
        step=Step.PREVENT if on_expression else Step.CURE,
        command=f"-- instead of {one.expression} {one.operator} ...\n"
        f"{_rewritten(one, known.type if known else '')}",
        effect="leaves the column as it is, so that the index "
        f"{found.index.name} leads to the rows; a change in the application, and only where it "
        "asks the same",
        language="text",
    )
    if not on_expression:
        return (rewrite,)
    name = f"{one.column}_{one.function or 'trgm'}"
    build = Remedy(
        step=Step.CURE,
        command=extension + GIVE_UP + _build(table, name, on_expression, method),
        effect=f"serves the filter as it is, built while {table.name} is read and written; outside "
        f"of a transaction, on the primary{prefix}. {GIVES_UP}; {table.index_price}. Never without "
        "CONCURRENTLY: that locks out all writes",
        changes_state=True,
    )
    return (build,) if one.kind == "pattern" else (build, rewrite)
