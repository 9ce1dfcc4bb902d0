"""Any facts of a schema: indexes, foreign keys, sequences and ages of transaction ids."""

from typing import Any

from hypothesis import strategies as st

from backend_doctor.backends.postgres.foreign_keys import ForeignKey, ForeignKeys
from backend_doctor.backends.postgres.large_tables import LargeTable, LargeTables
from backend_doctor.backends.postgres.schema_indexes import SchemaIndex, SchemaIndexes
from backend_doctor.backends.postgres.sequences import Sequence, Sequences
from backend_doctor.backends.postgres.wraparound import Aged, Holder, Wraparound
from backend_doctor.facts import Fact

NAMES = st.sampled_from(["orders", "x'); DROP TABLE t; --", "\x1b[31m", "ü\u202e", ' "q"'])
COUNTS = st.integers(0, 2**40)
AGES = st.floats(0, 1e9, allow_nan=False)
COLUMNS = st.lists(st.sampled_from(["id", "order_id", ""]), min_size=1, max_size=3).map(tuple)
IDS = st.integers(0, 2**31 - 1)


def _some(one: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(one, min_size=least, max_size=3).map(tuple)


_INDEX = st.builds(
    SchemaIndex,
    schema=NAMES,
    table=NAMES,
    name=NAMES,
    method=st.sampled_from(["btree", "gin", "hash"]),
    columns=COLUMNS,
    twin=st.just("") | NAMES,
    wider=st.just("") | NAMES,
    pages=COUNTS,
    scans=COUNTS,
    writes=COUNTS,
)
_KEY = st.builds(
    ForeignKey,
    schema=NAMES,
    table=NAMES,
    name=NAMES,
    columns=COLUMNS,
    parent_schema=NAMES,
    parent=NAMES,
    rows=AGES,
    parent_rows=AGES,
    parent_deletes=COUNTS,
    parent_updates=COUNTS,
    indexes=_some(NAMES),
    extendable=st.just("") | NAMES,
    leading=_some(NAMES),
    broken=st.just("") | NAMES,
)
_SEQUENCE = st.builds(
    Sequence,
    schema=NAMES,
    name=NAMES,
    table_schema=st.just("") | NAMES,
    table=st.just("") | NAMES,
    column=st.just("") | NAMES,
    column_bytes=st.sampled_from([2, 4, 8]),
    sequence_bytes=st.sampled_from([2, 4, 8]),
    maximum=st.sampled_from([2**15 - 1, 2**31 - 1, 2**63 - 1, 1000]),
    limit=st.sampled_from([2**15 - 1, 2**31 - 1, 2**63 - 1]),
    increment=st.sampled_from([1, 2, -1]),
    last=st.none() | st.integers(1, 2**15 - 1),
)
_AGED = st.builds(Aged, name=NAMES, schema=NAMES, xids=IDS, multixacts=IDS, pages=COUNTS)
_HOLDER = st.builds(
    Holder,
    kind=st.sampled_from(["session", "prepared", "slot", "standby"]),
    name=NAMES,
    xids=IDS,
)
_LARGE = st.builds(
    LargeTable,
    schema=NAMES,
    name=NAMES,
    pages=st.integers(1280, 2**31),
    rows=st.just(-1.0) | AGES,
    row_bytes=st.none() | st.floats(28, 8000),
    fillfactor=st.integers(10, 100),
    dead=COUNTS,
    changed=st.just(0) | COUNTS,
    inserted=COUNTS,
    deleted=COUNTS,
    analyzed=st.none() | AGES,
    readable=st.booleans(),
)
SCHEMA_FACTS: dict[type[Fact], st.SearchStrategy[Any]] = {
    SchemaIndexes: st.builds(
        SchemaIndexes,
        database_pages=COUNTS,
        hidden_builds=st.integers(0, 1),
        replicas=st.integers(0, 2),
        statistics_seconds=AGES,
        twins=_some(_some(_INDEX, 2)),
        prefixes=_some(_INDEX),
        invalid=_some(_INDEX),
        building=_some(_INDEX),
        unread=_some(_INDEX),
    ),
    ForeignKeys: st.builds(
        ForeignKeys, keys=COUNTS, count=COUNTS, statistics_seconds=AGES, lacking=_some(_KEY)
    ),
    LargeTables: st.builds(LargeTables, tables=_some(_LARGE), role=NAMES),
    Sequences: st.builds(
        Sequences,
        sequences=_some(_SEQUENCE),
        candidates=COUNTS,
        passed_over=st.integers(0, 3),
    ),
    Wraparound: st.builds(
        Wraparound, databases=_some(_AGED, 1), tables=_some(_AGED), holders=_some(_HOLDER)
    ),
}
