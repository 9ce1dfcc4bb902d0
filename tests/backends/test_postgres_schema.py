"""What is read of the schema on real servers: indexes, foreign keys, sequences, ages of ids."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from tests.safety.client import Client

from backend_doctor.backends.postgres.connection import connect
from backend_doctor.backends.postgres.foreign_keys import ForeignKey, ForeignKeys
from backend_doctor.backends.postgres.large_tables import LargeTables
from backend_doctor.backends.postgres.schema_indexes import SchemaIndex, SchemaIndexes
from backend_doctor.backends.postgres.sequences import Sequence, Sequences
from backend_doctor.backends.postgres.wraparound import Wraparound
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.facts import Fact

F = TypeVar("F", bound=Fact)
DATABASE = "schema facts"
INDEXES = """
CREATE TABLE indexed (id int PRIMARY KEY, a int, b text COLLATE "C", c int, "odd ""name" text);
INSERT INTO indexed SELECT g, g, 'x' || g, g, 'x' FROM generate_series(1, 60000) AS g;
CREATE INDEX a_one ON indexed (a);
CREATE INDEX a_two ON indexed (a);
CREATE UNIQUE INDEX a_unique ON indexed (a);
CREATE INDEX a_down ON indexed (a DESC);
CREATE INDEX a_hash ON indexed USING hash (a);
CREATE INDEX a_included ON indexed (a) INCLUDE (c);
CREATE INDEX a_and_b ON indexed (a, b);
CREATE UNIQUE INDEX id_again ON indexed (id);
CREATE INDEX b_c ON indexed (b);
CREATE INDEX b_locale ON indexed (b COLLATE "POSIX");
CREATE INDEX b_pattern ON indexed (b text_pattern_ops);
CREATE INDEX part_one ON indexed (c) WHERE a > 5;
CREATE INDEX part_another_name ON public.indexed (c)   WHERE a > 5;
CREATE INDEX part_other ON indexed (c) WHERE a > 6;
CREATE INDEX expression_one ON indexed (lower(b));
CREATE INDEX expression_again ON public.indexed USING btree (lower(b));
CREATE INDEX expression_other ON indexed (upper(b));
CREATE INDEX "odd ""one" ON indexed ("odd ""name");
CREATE INDEX "odd ""two" ON indexed ("odd ""name");
CREATE TABLE broken (a int);
INSERT INTO broken VALUES (1), (1);
CREATE TABLE parted (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE INDEX parted_a ON parted (a);
CREATE INDEX parted_again ON parted (a);
CREATE INDEX parted_invalid ON ONLY parted (b);
ANALYZE;
"""
KEYS = """
CREATE TABLE parent (id int PRIMARY KEY, a int, b int, UNIQUE (a, b));
CREATE TABLE covered (x int, y int, z int, PRIMARY KEY (y, x, z),
  FOREIGN KEY (x, y) REFERENCES parent (a, b), FOREIGN KEY (y) REFERENCES parent);
CREATE TABLE hashed (p int REFERENCES parent);
CREATE INDEX ON hashed USING hash (p);
CREATE TABLE plain (p int CONSTRAINT plain_key REFERENCES parent);
CREATE TABLE partial (p int REFERENCES parent, q int);
CREATE INDEX ON partial (p) WHERE p > 0;
CREATE INDEX ON partial (q, p);
CREATE INDEX ON partial (abs(p));
CREATE TABLE half (x int, y int, FOREIGN KEY (x, y) REFERENCES parent (a, b));
CREATE INDEX half_y ON half (y);
CREATE TABLE spread (id int, p int REFERENCES parent) PARTITION BY RANGE (id);
CREATE TABLE spread_1 PARTITION OF spread FOR VALUES FROM (0) TO (10);
CREATE INDEX ON spread_1 (p);
CREATE TABLE strewn (id int, p int REFERENCES parent) PARTITION BY RANGE (id);
CREATE TABLE strewn_1 (p int, id int);
ALTER TABLE strewn ATTACH PARTITION strewn_1 FOR VALUES FROM (0) TO (1000);
INSERT INTO parent SELECT g, g, g FROM generate_series(1, 500) AS g;
INSERT INTO plain SELECT g FROM generate_series(1, 400) AS g;
INSERT INTO strewn SELECT g, g FROM generate_series(1, 300) AS g;
DELETE FROM parent WHERE id > 450;
ANALYZE;
"""
SEQUENCES = """
CREATE TABLE narrow (id int GENERATED ALWAYS AS IDENTITY, s smallserial, n int, w bigserial);
CREATE SEQUENCE loose;
ALTER TABLE narrow ALTER n SET DEFAULT nextval('loose');
CREATE SEQUENCE down INCREMENT -1 MINVALUE -1000 MAXVALUE -1;
CREATE SEQUENCE turns MAXVALUE 10 CYCLE;
CREATE SEQUENCE "odd ""seq" MAXVALUE 100;
CREATE DOMAIN small AS smallint;
CREATE SEQUENCE domained;
CREATE TABLE of_domain (d small DEFAULT nextval('domained'));
SELECT setval('narrow_s_seq', 32000), setval('loose', 2000000000), setval('down', -900),
       setval('domained', 30000);
"""
LARGE = """
CREATE TABLE filled (id int, name text, at timestamp, ok bool, n bigint, note text);
INSERT INTO filled
SELECT g, repeat(md5(g::text), 12), now(), true, g, CASE WHEN g % 2 = 0 THEN 'even' END
  FROM generate_series(1, 30000) AS g;
CREATE TABLE emptied AS SELECT * FROM filled;
DELETE FROM emptied WHERE id % 4 > 0;
CREATE TABLE spaced (id int, name text) WITH (fillfactor = 40);
INSERT INTO spaced SELECT g, repeat(md5(g::text), 12) FROM generate_series(1, 12000) AS g;
CREATE TABLE shortened AS SELECT * FROM filled;
ALTER TABLE shortened DROP name;
"""


@pytest.fixture(scope="module", params=[15, 16, 17, 18])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    shared: PostgresServer = request.getfixturevalue(f"postgres{request.param}")
    with Client(shared.admin_url()) as admin:
        admin.do(f'CREATE DATABASE "{DATABASE}"')
        admin.do("CREATE ROLE schema_plain LOGIN; CREATE ROLE schema_reader LOGIN")
        admin.do("GRANT pg_monitor, pg_read_all_data TO schema_reader")
        with Client(shared.admin_url(DATABASE)) as owner:
            for sql in (INDEXES, KEYS, SEQUENCES, LARGE):
                owner.do(sql)
            # counts that are reported after ANALYZE would be taken for changes since
            owner.do("SELECT pg_stat_force_next_flush()")
            owner.do("SELECT 1")
            owner.do("VACUUM ANALYZE filled, emptied, spaced, shortened")
            with pytest.raises(Exception, match="could not create unique index"):
                owner.do("CREATE UNIQUE INDEX CONCURRENTLY unfinished ON broken (a)")
        yield shared
        admin.do(f'DROP DATABASE "{DATABASE}" WITH (FORCE)')
        admin.do("DROP ROLE schema_plain; DROP ROLE schema_reader")


def read(server: PostgresServer, fact: type[F], user: str = "schema_reader") -> F:
    async def run() -> Any:
        url = server.url(user, None, DATABASE)
        login, connection = await connect(parse_url(url, place="test"), limit=5)
        assert connection is not None, login
        try:
            before = connection.statements
            found = await fact.collect(connection)  # type: ignore[attr-defined]
            assert connection.statements == before + 1
            return found
        finally:
            await connection.close()

    found: F = asyncio.run(run())
    return found


def eventually(read: Callable[[], bool]) -> bool:
    """Statistics of other sessions arrive within a second of their end."""

    async def run() -> bool:
        for _ in range(40):
            if await asyncio.to_thread(read):
                return True
            await asyncio.sleep(0.1)
        return False

    return asyncio.run(run())


def names(found: tuple[SchemaIndex, ...]) -> set[str]:
    return {index.name for index in found}


def test_twins_are_equal_in_all_that_a_plan_asks_for(server: PostgresServer) -> None:
    found = read(server, SchemaIndexes)
    assert {frozenset(names(group)) for group in found.twins} == {
        frozenset({"a_one", "a_two", "a_unique"}),
        frozenset({"indexed_pkey", "id_again"}),
        frozenset({"part_one", "part_another_name"}),
        frozenset({"expression_one", "expression_again"}),
        frozenset({'odd "one', 'odd "two'}),
        frozenset({"parted_a", "parted_again"}),
    }
    by_name = {index.name: index for group in found.twins for index in group}
    assert by_name["indexed_pkey"].constrained
    assert not by_name["id_again"].constrained
    assert by_name["a_unique"].unique
    assert not by_name["a_one"].unique
    assert by_name["a_one"].bytes > 2**20
    assert by_name["a_one"].columns == ("a",)
    assert by_name["a_one"].writes >= 60_000
    assert by_name["part_one"].partial
    assert by_name["expression_one"].columns == ("",)
    assert by_name["parted_a"].partitioned
    assert by_name['odd "one'].columns == ('odd "name',)


def test_the_beginning_of_a_wider_index_is_told(server: PostgresServer) -> None:
    prefixes = {index.name: index.wider for index in read(server, SchemaIndexes).prefixes}
    assert prefixes == {"a_one": "a_included", "a_two": "a_included"}


def test_an_unfinished_index_is_invalid_and_a_partitioned_one_is_not(
    server: PostgresServer,
) -> None:
    found = read(server, SchemaIndexes)
    assert names(found.invalid) == {"unfinished"}
    assert found.building == ()
    assert found.hidden_builds == 0


@pytest.mark.parametrize("user", ["schema_reader", "schema_plain"])
def test_an_index_that_is_being_built_is_not_called_invalid(
    server: PostgresServer, user: str
) -> None:
    url = server.admin_url(DATABASE)
    with Client(url) as writer, Client(url) as builder:
        writer.do("CREATE TABLE slow (a int)")
        writer.do("BEGIN; INSERT INTO slow VALUES (1)")
        build = builder.start("CREATE INDEX CONCURRENTLY slow_a ON slow (a)")
        found = read(server, SchemaIndexes, user)
        writer.do("COMMIT")
        builder.finish(build)
        writer.do("DROP TABLE slow")
    if user == "schema_reader":
        assert (names(found.building), names(found.invalid)) == ({"slow_a"}, {"unfinished"})
    else:
        assert found.hidden_builds == 1


def test_an_index_that_is_being_dropped_is_not_called_invalid(server: PostgresServer) -> None:
    url = server.admin_url(DATABASE)
    with Client(url) as reader, Client(url) as dropper:
        reader.do("CREATE TABLE slow (a int); CREATE INDEX slow_a ON slow (a)")
        reader.do("BEGIN; SELECT count(*) FROM slow")
        drop = dropper.start("DROP INDEX CONCURRENTLY slow_a")
        found = read(server, SchemaIndexes)
        reader.do("COMMIT")
        dropper.finish(drop)
        reader.do("DROP TABLE slow")
    assert (names(found.building), names(found.invalid)) == ({"slow_a"}, {"unfinished"})


def test_an_index_that_was_used_is_not_unread(server: PostgresServer) -> None:
    before = read(server, SchemaIndexes)
    assert {"a_down", "b_pattern"} <= names(before.unread)
    assert not names(before.unread) & {"indexed_pkey", "a_unique", "id_again", "unfinished"}
    assert 0 < before.statistics_seconds < 3600
    assert before.database_pages > 500
    with Client(server.admin_url(DATABASE)) as client:
        client.do("SET enable_seqscan = off; SET enable_bitmapscan = off")
        client.do("SELECT count(*) FROM indexed WHERE b ~<~ 'a'")
    assert eventually(lambda: "b_pattern" not in names(read(server, SchemaIndexes).unread))


def test_foreign_keys_are_served_by_the_first_columns_in_any_order(
    server: PostgresServer,
) -> None:
    found = read(server, ForeignKeys)
    lacking = {key.table: key for key in found.lacking}
    assert lacking.keys() == {"plain", "partial", "half", "strewn"}
    assert (found.count, found.keys) == (4, 8)
    assert lacking["half"].extendable == "half_y"
    assert lacking["half"].columns == ("x", "y")
    assert lacking["half"].new_columns == ("y", "x")
    assert lacking["strewn"].partitioned
    assert lacking["strewn"].rows == 300
    assert isinstance(lacking["plain"], ForeignKey)
    assert (lacking["plain"].rows, lacking["plain"].parent_rows) == (400, 450)
    assert lacking["plain"].name == "plain_key"
    assert found.lacking[0].table == "plain", "the largest first"

    def deletes() -> bool:
        return read(server, ForeignKeys).lacking[0].parent_deletes == 50

    assert eventually(deletes)


def test_a_foreign_key_with_an_unfinished_index_names_it(server: PostgresServer) -> None:
    with Client(server.admin_url(DATABASE)) as owner:
        owner.do("CREATE INDEX plain_p ON plain (p)")
        owner.do("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'plain_p'::regclass")
        (broken,) = [key for key in read(server, ForeignKeys).lacking if key.table == "plain"]
        owner.do("DROP INDEX plain_p")
    assert broken.broken == "plain_p"


def test_sequences_are_held_to_the_narrower_of_both_types(server: PostgresServer) -> None:
    found = {one.name: one for one in read(server, Sequences).sequences}
    assert found.keys() == {
        "narrow_id_seq",
        "narrow_s_seq",
        "loose",
        "down",
        'odd "seq',
        "domained",
    }
    assert found["narrow_id_seq"] == Sequence(
        schema="public",
        name="narrow_id_seq",
        table_schema="public",
        table="narrow",
        column="id",
        identity=True,
        column_bytes=4,
        sequence_bytes=4,
        maximum=2**31 - 1,
        limit=2**31 - 1,
    )
    assert (found["narrow_s_seq"].last, found["narrow_s_seq"].left) == (32000, 767)
    loose = found["loose"]
    assert (loose.feeds, loose.limit, loose.last) == ("public.narrow.n", 2**31 - 1, 2_000_000_000)
    assert (loose.sequence_bytes, loose.column_bytes) == (8, 4)
    assert (found["down"].left, round(found["down"].used, 3)) == (100, 0.9)
    assert (found["domained"].limit, found["domained"].feeds) == (32767, "public.of_domain.d")


def test_a_role_without_rights_sees_no_value_and_is_told_so(server: PostgresServer) -> None:
    found = read(server, Sequences, "schema_plain")
    assert found.role == "schema_plain"
    assert {(one.readable, one.last) for one in found.sequences} == {(False, None)}


def test_a_locked_sequence_keeps_nobody_waiting(server: PostgresServer) -> None:
    with Client(server.admin_url(DATABASE)) as altering:
        altering.do("BEGIN; ALTER SEQUENCE loose MAXVALUE 3000000000")
        found = {one.name: one for one in read(server, Sequences).sequences}
        altering.do("ROLLBACK")
    assert (found["loose"].locked, found["loose"].last) == (True, None)
    assert found["narrow_s_seq"].last == 32000


def test_nothing_waits_for_a_table_that_is_locked(server: PostgresServer) -> None:
    with Client(server.admin_url(DATABASE)) as altering:
        altering.do("BEGIN; LOCK TABLE indexed, plain, parent, narrow, broken")
        for fact in (SchemaIndexes, ForeignKeys, Sequences, Wraparound):
            read(server, fact)
        altering.do("ROLLBACK")


def test_ages_of_a_young_server_are_small(server: PostgresServer) -> None:
    found = read(server, Wraparound)
    assert {"postgres", "template0", DATABASE} <= {one.name for one in found.databases}
    assert all(0 <= one.xids < 1_000_000 for one in (*found.databases, *found.tables))
    assert all(0 <= one.multixacts < 1_000_000 for one in (*found.databases, *found.tables))
    assert 5 <= len(found.tables) <= 10
    assert found.freeze_max_age == 200_000_000
    assert found.multixact_freeze_max_age == 400_000_000
    assert found.autovacuum
    assert found.sees_all
    assert not read(server, Wraparound, "schema_plain").sees_all


def test_who_holds_the_horizon_is_named(server: PostgresServer) -> None:
    with Client(server.admin_url(DATABASE), "keeper") as keeper, Client(server.admin_url()) as busy:
        keeper.do("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        for _ in range(3):
            busy.ask("SELECT pg_current_xact_id()::text")
        found = read(server, Wraparound).holders
        keeper.do("ROLLBACK")
        assert found[0].kind == "session"
        assert found[0].name == f"{keeper.pid} (keeper)"
        assert found[0].xids >= 3


def test_how_full_a_table_is_can_be_estimated_by_who_may_read_it(server: PostgresServer) -> None:
    assert eventually(lambda: all(t.analyzed for t in read(server, LargeTables).tables))
    tables = {one.name: one for one in read(server, LargeTables).tables}
    assert tables.keys() == {"filled", "emptied", "spaced", "shortened"}
    assert tables["filled"].unused == pytest.approx(0, abs=0.05)
    assert tables["emptied"].unused == pytest.approx(0.75, abs=0.05)
    assert tables["spaced"].unused == pytest.approx(0, abs=0.05)
    assert tables["shortened"].row_bytes is None
    emptied = tables["emptied"]
    assert (emptied.inserted, emptied.deleted, emptied.changed) == (30_000, 22_500, 0)
    plain = read(server, LargeTables, "schema_plain")
    assert plain.role == "schema_plain"
    assert {(one.readable, one.row_bytes) for one in plain.tables} == {(False, None)}
