"""Which index a scan lacks: pure arithmetic on what the catalogue and ANALYZE know."""

import msgspec

from backend_doctor.backends.postgres.plans.explained import Scan
from backend_doctor.backends.postgres.plans.tables import Index, Table
from backend_doctor.backends.postgres.remedies import GIVE_UP, GIVES_UP
from backend_doctor.backends.sql import quote_identifier, quote_literal
from backend_doctor.model import Remedy, Step

# a column more makes the index larger; it is worth it while this many rows are left to filter
ENOUGH_ROWS = 100
_MOST_COLUMNS = 3
# header, line pointer and alignment of an index entry; pages are filled to 90 % (nbtree)
_ENTRY_BYTES, _FILL, _PAGE_BYTES = 16, 0.9, 8192
_LONGEST_NAME = 63


class Proposal(msgspec.Struct, frozen=True):
    """An index that would serve a scan. ``broken`` is an invalid one with these columns,
    ``near`` a valid one that holds its first column or begins with another of the filter's."""

    table: Table
    columns: tuple[str, ...]
    broken: Index | None = None
    near: Index | None = None

    @property
    def place(self) -> str:
        """The table's quoted name."""
        return f"{quote_identifier(self.table.schema)}.{quote_identifier(self.table.name)}"

    @property
    def name(self) -> str:
        """A name that no index of the table has, as short as the server would cut it."""
        taken = {index.name for index in self.table.indexes}
        stem = "_".join((self.table.name, *self.columns)).encode()[: _LONGEST_NAME - 8]
        names = (f"{stem.decode(errors='ignore')}_idx{number or ''}" for number in range(100))
        return next(name for name in names if name not in taken)

    @property
    def bytes(self) -> int:
        """Its size as far as it can be told before it is there."""
        widths = {one.column: one.width for one in self.table.spread}
        entry = _ENTRY_BYTES + sum(widths.get(column, 8) for column in self.columns)
        return round(self.table.rows * entry / _FILL) or _PAGE_BYTES

    @property
    def command(self) -> str:
        """The statement that makes it while the table is in use."""
        if self.broken is not None:
            schema = quote_identifier(self.table.schema)
            return f"REINDEX INDEX CONCURRENTLY {schema}.{quote_identifier(self.broken.name)};"
        columns = ", ".join(map(quote_identifier, self.columns))
        name = quote_identifier(self.name)
        return f"CREATE INDEX CONCURRENTLY {name}\n    ON {self.place} ({columns});"


def indexable(scan: Scan, table: Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of the filter that a b-tree can look up: by equality, and by range."""

    def can(column: str) -> bool:
        known = table.type_of(column)
        if known is None or known.category == "G" or known.type in ("json", "xml", "xid", "cid"):
            return False
        # varchar is compared as text by itself; another type was converted, and no index helps
        return column not in scan.as_text or known.type in ("varchar", "text")

    return tuple(filter(can, scan.equal)), tuple(filter(can, scan.ranged))


def _columns(scan: Scan, table: Table) -> tuple[str, ...]:
    equal, ranged = indexable(scan, table)
    chosen: list[str] = []
    left = table.rows
    for column in sorted(equal, key=lambda one: table.distinct(one) or 0, reverse=True):
        if chosen and (left <= ENOUGH_ROWS or (table.distinct(column) or 1) < 2):
            break
        chosen.append(column)
        left /= table.distinct(column) or 1
    if ranged and (not chosen or left > ENOUGH_ROWS):
        chosen = [*chosen[: _MOST_COLUMNS - 1], ranged[0]]
    return tuple(chosen[:_MOST_COLUMNS])


def propose(scan: Scan, table: Table) -> Proposal | None:
    """The index that the scan lacks; None if none would serve, or one that serves is there."""
    columns = _columns(scan, table)
    if not columns:
        return None
    broken = near = None
    for index in table.indexes:
        starts = index.columns[:1] == columns[:1] and index.method in ("btree", "hash")
        if starts and not index.valid:
            broken = index if index.columns == columns and not index.partial else broken
        elif starts and not index.partial:
            return None
        elif index.valid and (columns[0] in index.columns or index.columns[0] in scan.equal):
            near = near or index
    return Proposal(table, columns, broken, near)


def serving(scan: Scan, table: Table) -> Index | None:
    """A valid index on the filter's best column that the planner nevertheless leaves aside."""
    columns = _columns(scan, table)
    return next(
        (
            index
            for index in table.indexes
            if index.valid and not index.partial and index.columns[:1] == columns[:1] != ()
        ),
        None,
    )


def build_index(proposal: Proposal) -> tuple[Remedy, Remedy]:
    """Builds the index while the table is in use, and tells whether it was finished."""
    table, megabytes = proposal.table, max(1, round(proposal.bytes / 2**20))
    name = proposal.broken.name if proposal.broken else proposal.name
    build = Remedy(
        step=Step.CURE,
        command=GIVE_UP + proposal.command,
        effect=f"builds it while {table.name} is read and written; outside of a transaction, on "
        f"the primary. {GIVES_UP}. About {megabytes} MiB by estimate; "
        f"{table.index_price}. Never without CONCURRENTLY: that locks out all writes",
        changes_state=True,
        builds=(f"{table.schema}.{table.name}", *proposal.columns),
    )
    place = f"{quote_identifier(table.schema)}.{quote_identifier(name)}"
    confirm = Remedy(
        step=Step.CONFIRM,
        command="SELECT indexrelid::regclass, indisvalid FROM pg_index\n"
        f" WHERE indexrelid = to_regclass({quote_literal(place)});",
        effect="after the build: indisvalid is true once the index is complete; false means that "
        "the build failed",
    )
    return build, confirm
