"""Plans of real servers, read as an expert reads them; and any JSON, which must not harm."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import msgspec
import pytest
from tests.conftest import POSTGRES
from tests.safety.client import Client

from backend_doctor import Finding, Status
from backend_doctor.backends.postgres.plans.asked import Asked
from backend_doctor.backends.postgres.plans.asked_findings import findings
from backend_doctor.backends.postgres.plans.explained import Plan, read_plan
from backend_doctor.backends.postgres.plans.planned import PlannedStatement
from backend_doctor.backends.postgres.plans.shape import (
    keeper,
    loops_compared,
    most_blocks,
    shape,
    skipping,
    streams,
)
from backend_doctor.backends.postgres.plans.slow_findings import reasons, remarks
from backend_doctor.backends.postgres.plans.slowness import Limits, Reason, SlowStatement
from backend_doctor.backends.postgres.plans.tables import Column, Index, Spread, Table
from backend_doctor.backends.postgres.plans.tree import read_tree
from backend_doctor.backends.postgres.sessions import Session
from backend_doctor.backends.postgres.statements import Load
from backend_doctor.demo.servers import PostgresServer

_MAKE = """
CREATE TABLE visits (id serial PRIMARY KEY, email varchar(40), day timestamp, state text, n int);
INSERT INTO visits (email, day, state, n)
SELECT md5(g::text), timestamp '2020-01-01' + g * interval '1 min',
       CASE WHEN g % 1000 = 0 THEN 'open' ELSE 'done' END, g % 1000
  FROM generate_series(1, 50000) AS g;
CREATE INDEX visits_email_idx ON visits (email);
CREATE INDEX visits_day_idx ON visits (day);
CREATE INDEX visits_state_idx ON visits (state);
CREATE TABLE bounds AS SELECT g AS low, g + 5 AS high FROM generate_series(1, 300) AS g;
CREATE TABLE parts (id int, at int) PARTITION BY RANGE (at);
SELECT format('CREATE TABLE part_%s PARTITION OF parts FOR VALUES FROM (%s) TO (%s)', g, g, g + 1)
  FROM generate_series(1, 5) AS g;
CREATE TABLE many AS SELECT g AS id, g % 10000 AS n FROM generate_series(1, 120000) AS g;
VACUUM ANALYZE;
"""
ASKED = {
    "page": "SELECT * FROM visits ORDER BY id LIMIT 20",
    "deep": "SELECT * FROM visits ORDER BY id LIMIT 20 OFFSET 40000",
    "sorted": "SELECT * FROM visits ORDER BY md5(email)",
    "distinct": "SELECT count(DISTINCT md5(email)) FROM visits",
    "alone": "SELECT * FROM visits WHERE n = 5",
    "first": "SELECT * FROM visits WHERE n < 900 LIMIT 40",
    "lower": "SELECT * FROM visits WHERE lower(email) = 'x'",
    "date": "SELECT * FROM visits WHERE day::date = '2020-01-05'",
    "like": "SELECT * FROM visits WHERE email LIKE '%x'",
    "open": "SELECT * FROM visits WHERE state = 'open'",
    "done": "SELECT * FROM visits WHERE state = 'done'",
    "newest": "SELECT * FROM visits WHERE state = 'done' ORDER BY id LIMIT 20",
    "newest of one": "SELECT * FROM visits WHERE email = 'x' ORDER BY id LIMIT 20",
    "ranges": "SELECT count(*) FROM visits v JOIN bounds b ON v.n BETWEEN b.low AND b.high",
    "parts": "SELECT * FROM parts WHERE id = 5",
    "outer": "SELECT p.id FROM many o LEFT JOIN many p ON p.id = o.id WHERE coalesce(p.n, 0) = 7",
    "both": "SELECT o.id FROM many o JOIN many p ON p.id = o.id WHERE o.n + p.n = 14",
    "equal": "SELECT o.id FROM many o JOIN many p ON p.id = o.id AND p.n = o.n + 1",
    "some": "SELECT o.id FROM many o JOIN many p ON p.id = o.id WHERE o.n + p.n < 300",
}
RUN = "run: "
ENOUGH = "16MB"


async def _explained(url: str) -> dict[str, str]:
    admin = await asyncpg.connect(url)
    try:
        for statement in _MAKE.split(";\n")[:-1]:
            for (made,) in [
                row for row in await admin.fetch(statement) if str(row[0]).startswith("CREATE")
            ]:
                await admin.execute(made)
        await admin.execute("SET work_mem = '128kB'; SET max_parallel_workers_per_gather = 0")
        found = {}
        for name, sql in ASKED.items():
            options = "VERBOSE, FORMAT JSON"
            found[name] = await admin.fetchval(f"EXPLAIN ({options}) {sql}")
            run = f"EXPLAIN ({options}, ANALYZE, BUFFERS) {sql}"
            found[RUN + name] = await admin.fetchval(run)
        await admin.execute(f"SET work_mem = '{ENOUGH}'")
        sort = f"EXPLAIN (VERBOSE, FORMAT JSON, ANALYZE) {ASKED['sorted']}"
        return {**found, "enough": await admin.fetchval(sort)}
    finally:
        await admin.close()


@pytest.fixture(scope="module", params=POSTGRES)
def documents(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    server: PostgresServer = request.getfixturevalue(f"postgres{request.param}")
    with Client(server.admin_url()) as admin:
        admin.do("CREATE DATABASE planned")
        yield asyncio.run(_explained(server.admin_url("planned")))
        admin.do("DROP DATABASE planned WITH (FORCE)")


def visits(**fields: Any) -> Table:
    def index(name: str, column: str) -> Index:
        return Index(
            name=name,
            method="btree",
            unique=False,
            pages=100,
            valid=True,
            partial=False,
            columns=(column,),
        )

    usual: dict[str, Any] = {
        "schema": "public",
        "name": "visits",
        "rows": 50_000.0,
        "pages": 640,
        "writes": 50_000,
        "partition": False,
        "columns": (
            Column("id", "int4", "N"),
            Column("email", "varchar", "S"),
            Column("day", "timestamp", "D"),
            Column("state", "text", "S"),
            Column("n", "int4", "N"),
        ),
        "indexes": (
            index("visits_pkey", "id"),
            index("visits_email_idx", "email"),
            index("visits_day_idx", "day"),
            index("visits_state_idx", "state"),
        ),
        "spread": (Spread(column="email", distinct_values=-1, nulls=0, width=33),),
    }
    return Table(**{**usual, **fields})


def said(
    *plans: Plan, rows: int = 0, blocks: int = 0, temp: int = 0, table: Table | None = None,
    looks: Any = ((), ()), ms: float = 100.0,
) -> list[Reason]:  # fmt: skip
    """The reasons of a statement of ten calls, each with these rows, blocks and milliseconds."""
    load = Load(
        *("1", "shop", "app", 10, 10 * ms, 10 * rows, 1.0),
        hit_blocks=10 * blocks,
        temp_blocks=10 * temp,
    )
    planned = PlannedStatement(query_id="1", database="shop", role="app", plans=plans)
    known = table or visits()
    tables = {(known.schema, known.name): known}
    return reasons(SlowStatement(load, 1.0, planned, looks), tables, Limits())


def labels(found: list[Reason]) -> list[str]:
    return [reason.cause.label for reason in found]


def commands(reason: Reason) -> str:
    return "\n".join(remedy.command for remedy in reason.remedies)


def test_a_tree_holds_what_explain_said_and_no_literal(documents: dict[str, str]) -> None:
    tree = read_tree(documents["lower"])
    (scan,) = tree.walk()
    assert (scan.kind, scan.schema, scan.table, scan.alias) == (
        *("Seq Scan", "public", "visits"),
        "visits",
    )
    assert scan.filter == "(lower((visits.email)::text) = ?::text)"
    assert (scan.actual_rows, scan.loops, scan.own_cost) == (None, 1.0, scan.total_cost)
    run = read_tree(documents[RUN + "lower"])
    assert (run.actual_rows, run.removed) == (0, 50_000)
    assert (run.hit_blocks or 0) + (run.read_blocks or 0) > 100
    assert run.milliseconds is not None
    sort = read_tree(documents[RUN + "sorted"])
    assert sort.sort_on_disk
    assert (sort.sort_space_kb or 0) > 1000
    assert (sort.temp_blocks or 0) > 100
    assert 0 < sort.own_cost < sort.total_cost
    join = read_tree(documents["ranges"]).children[0]
    assert (join.kind, join.join) == ("Nested Loop", "Inner")
    assert "b.low" in join.condition


def test_shapes_are_told_from_the_tree(documents: dict[str, str]) -> None:
    trees = {name: read_tree(text) for name, text in documents.items()}
    deep = skipping(trees["deep"])
    assert deep is not None
    assert streams(deep.children[0])
    assert skipping(trees["page"]) is None
    assert most_blocks(trees["page"]) < 100 < most_blocks(trees["deep"])
    node = keeper(trees["sorted"])
    assert node is not None
    assert (node.kind, node.sort_key) == ("Sort", ("(md5((visits.email)::text))",))
    assert keeper(trees["lower"]) is None
    compared = loops_compared(trees["ranges"])
    assert compared is not None
    assert compared[1] == pytest.approx(50_000 * 300, rel=0.05)
    assert shape(trees["open"]) != shape(trees["done"])
    assert any("reads 5 partitions" in text for text in remarks(trees["parts"]))


def test_a_page_far_back(documents: dict[str, str]) -> None:
    deep, first = read_plan(documents["deep"], "generic"), read_plan(documents["page"], "common")
    for plans in ((deep,), (deep, first)):
        (reason,) = said(*plans, rows=20, blocks=7000)
        assert reason.cause.label == "query.deep_offset"
        assert "WHERE (id) > ($last_id)" in commands(reason)
        assert "CREATE INDEX" not in commands(reason)
    assert said(deep, first, rows=20, blocks=300) == []
    assert said(deep, first, rows=2000, blocks=7000) == []
    assert said(first, rows=20, blocks=7000) == []


def asked(
    *plans: Plan, table: Table | None = None, skips: int = 0, limits: Limits | None = None
) -> list[Finding]:
    """What `query` says of a statement with these plans."""
    planned = PlannedStatement(
        query_id="", database="shop", role="app", kind="select", plans=plans, skips=skips
    )
    return list(findings(Asked(text="", planned=planned, tables=(table or visits(),)), limits))


def test_a_literal_offset_is_told_by_its_plan_and_a_run_by_what_it_read(
    documents: dict[str, str],
) -> None:
    deep = read_plan(documents["deep"], "generic")
    (finding,) = asked(deep, skips=40_000)
    assert finding.cause is not None
    assert (finding.cause.label, finding.cause.confidence) == ("query.deep_offset", "likely")
    assert [(one.key, one.value) for one in finding.evidence] == [("rows_read", 40_020)]
    (finding,) = asked(deep, read_plan(documents[RUN + "deep"], "analyzed"), skips=40_000)
    assert finding.cause is not None
    assert finding.cause.confidence == "certain"
    assert [one.key for one in finding.evidence] == ["rows_read", "blocks_read"]
    assert finding.evidence[0].value == 40_020
    # the plan of OFFSET $1 assumes a tenth of the rows: that is no promise
    assert asked(deep)[0].status is Status.OK
    assert asked(read_plan(documents["page"], "generic"), skips=40_000)[0].status is Status.OK


def test_a_run_tells_what_was_read_of_a_table_that_has_grown(documents: dict[str, str]) -> None:
    run = read_plan(documents[RUN + "alone"], "analyzed")
    (finding,) = asked(run, table=visits(rows=500.0))
    assert finding.cause is not None
    assert (finding.cause.label, finding.cause.confidence) == ("query.missing_index", "certain")
    (rows,) = [one for one in finding.evidence if one.key == "rows"]
    assert (rows.value, rows.source) == (50_000, "EXPLAIN (ANALYZE)")


def test_a_scan_that_a_limit_ends_read_but_a_part(documents: dict[str, str]) -> None:
    first = read_plan(documents[RUN + "first"], "analyzed")
    generic = read_plan(documents["first"], "generic")
    assert first.scans[0].removed is not None
    assert asked(generic, first)[0].status is Status.OK
    (scan,) = (node for node in read_tree(documents[RUN + "first"]).walk() if node.table)
    assert scan.stopped
    (scan,) = (node for node in read_tree(documents[RUN + "alone"]).walk() if node.table)
    assert not scan.stopped


def test_what_is_below_the_limits_is_noted(documents: dict[str, str]) -> None:
    run = read_plan(documents[RUN + "alone"], "analyzed")
    (finding,) = asked(run, limits=Limits(table_rows=100_000.0))
    assert finding.status is Status.OK
    assert finding.notes[0].startswith("public.visits: 50,000 rows are read to keep 50; no finding")
    assert "from 100,000 rows on" in finding.notes[0]
    (finding,) = asked(read_plan(documents["page"], "generic"), table=visits(changed=20_000))
    assert "20,000 rows changed since its last ANALYZE" in finding.notes[0]


def test_a_sort_that_spills_call_after_call(documents: dict[str, str]) -> None:
    plan = read_plan(documents["sorted"], "generic")
    (reason,) = said(plan, rows=50_000, blocks=640, temp=600)
    assert (reason.cause.label, reason.cause.confidence) == ("query.sort_spill", "certain")
    assert f"SET LOCAL work_mem = '{ENOUGH}';" in commands(reason)
    assert not read_tree(documents["enough"]).sort_on_disk
    assert said(plan, rows=50_000, blocks=640) == []
    assert said(plan, rows=50_000, blocks=640, temp=10) == []
    assert said(read_plan(documents["lower"], "generic"), rows=50_000, temp=600) == []
    assert labels(said(read_plan(documents[RUN + "sorted"], "analyzed"), rows=50_000)) == [
        "query.sort_spill"
    ]


def test_a_sort_within_an_aggregate_keeps_the_rows_beneath_it(documents: dict[str, str]) -> None:
    (reason,) = said(read_plan(documents["distinct"], "generic"), rows=1, blocks=640, temp=600)
    (kept,) = (one for one in reason.evidence if one.key == "plan_node")
    assert "keeps about 50000 rows" in kept.text
    assert reason.summary.startswith(f"{'An' if kept.value == 'Aggregate' else 'A'} {kept.value} ")


def test_a_wrapped_column_passes_its_index_by(documents: dict[str, str]) -> None:
    lower = read_plan(documents["lower"], "generic")
    (reason,) = said(lower, rows=1, blocks=640)
    assert (reason.cause.label, reason.cause.confidence) == ("query.non_sargable", "certain")
    assert 'ON "public"."visits" (lower("email"));' in commands(reason)
    (reason,) = said(read_plan(documents["date"], "generic"), rows=100, blocks=640)
    assert '"day" >= $from AND "day" < $until' in commands(reason)
    (reason,) = said(read_plan(documents["like"], "generic"), rows=1, blocks=640)
    assert "gin_trgm_ops" in commands(reason)
    # the calls read little: another plan is used than the one that we could get
    assert said(lower, rows=1, blocks=5) == []
    assert said(lower, rows=30_000, blocks=640) == []
    (reason,) = said(lower, rows=1, blocks=640, table=visits(indexes=()))
    assert reason.cause.label == "query.missing_index"
    assert 'ON "public"."visits" (lower("email"));' in commands(reason)
    on_something = visits(indexes=(msgspec.structs.replace(visits().indexes[0], columns=("",)),))
    assert said(lower, rows=1, blocks=640, table=on_something) == []


def test_old_statistics_mislead_the_planner(documents: dict[str, str]) -> None:
    few = read_plan(documents["open"], "generic")
    changed = visits(changed=30_000)
    (reason,) = said(few, rows=30_000, blocks=30_000, table=changed)
    assert reason.cause.label == "stats.stale"
    assert 'ANALYZE "public"."visits";' in commands(reason)
    assert "table public.visits" in map(str, reason.subjects)
    assert said(few, rows=50, blocks=60, table=changed) == []
    assert "stats.stale" not in labels(said(few, rows=30_000, blocks=30_000))


def test_rows_compared_pair_by_pair(documents: dict[str, str]) -> None:
    plan = read_plan(documents["ranges"], "generic")
    (reason,) = said(plan, rows=1, blocks=650, ms=2000.0)
    assert reason.cause.label == "query.nested_loop_explosion"
    # an estimate is called one, and only a run has counted
    assert [one.key for one in reason.evidence] == ["estimated_pairs"]
    assert "pairs a call, as the planner expects" in reason.summary
    assert said(plan, rows=1, blocks=650, ms=20.0) == []
    run = said(read_plan(documents[RUN + "ranges"], "analyzed"), rows=1, ms=2000.0)
    assert run[0].cause.confidence == "certain"
    assert [one.key for one in run[0].evidence] == ["compared_pairs"]
    assert run[0].summary.endswith("pairs a call")


@pytest.mark.parametrize(
    ("name", "by", "words"), [("outer", "COALESCE(p.n", "NOT EXISTS"), ("both", "p.n", "column =")]
)
def test_rows_that_a_run_joined_for_nothing(
    documents: dict[str, str], name: str, by: str, words: str
) -> None:
    run, label = read_plan(documents[RUN + name], "analyzed"), "query.filter_after_join"
    # its hash does not fit into work_mem either, which comes behind
    reason, *_ = said(run)
    assert (reason.cause.label, reason.cause.confidence) == (label, "certain")
    assert [one.value for one in reason.evidence][:1] == [119_988]
    assert reason.summary.startswith("many and many are joined before a filter throws 119988 rows")
    assert by in str(reason.evidence[1].value)
    assert words in commands(reason)
    assert run.tree is not None
    assert list(remarks(run.tree)) == []
    # no run, no proof; and a part of a costly plan is but a note
    assert label not in labels(said(read_plan(documents[name], "common")))
    above = msgspec.structs.replace(
        run.tree, kind="Sort", children=(run.tree,), total_cost=3 * run.tree.total_cost
    )
    assert label not in labels(said(msgspec.structs.replace(run, tree=above)))
    (note,) = remarks(above)
    assert note.startswith("119988 rows are joined before (")


@pytest.mark.parametrize("name", ["equal", "some"])
def test_a_join_condition_and_a_filter_that_keeps_some_are_no_late_filter(
    documents: dict[str, str], name: str
) -> None:
    found = labels(said(read_plan(documents[RUN + name], "analyzed")))
    assert "query.filter_after_join" not in found


def test_one_plan_for_all_values(documents: dict[str, str]) -> None:
    plans = (
        read_plan(documents["done"], "generic"),
        read_plan(documents["done"], "common"),
        read_plan(documents["open"], "rare"),
    )
    (reason,) = said(*plans, rows=50, blocks=1600)
    assert reason.cause.label == "plan.parameter_sensitive"
    assert said(*plans, rows=49_950, blocks=1600) == []
    assert said(*plans, rows=50, blocks=60) == []


def test_one_plan_for_all_values_whose_limit_hides_the_cost(documents: dict[str, str]) -> None:
    sorts, walks = documents["newest of one"], documents["newest"]
    plans = (read_plan(sorts, "generic"), read_plan(walks, "common"), read_plan(sorts, "rare"))
    (reason,) = said(*plans, rows=20, blocks=5000)
    assert reason.cause.label == "plan.parameter_sensitive"
    assert said(*plans, rows=20, blocks=60) == []
    alike = (*plans[:1], read_plan(sorts, "common"), *plans[2:])
    assert said(*alike, rows=20, blocks=5000) == []


def test_a_client_that_does_not_read() -> None:
    writing = Session(pid=7, wait_type="Client", wait="ClientWrite", application="export")
    (reason,) = said(rows=200_000, looks=((writing,), (writing,)))
    assert reason.cause.label == "query.result_too_big"
    assert "cursor" in commands(reason)
    assert said(rows=200_000, looks=((), (writing,))) == []
    assert said(rows=20, looks=((writing,), (writing,))) == []
    (few,) = said(rows=20, blocks=2560, looks=((writing,), (writing,)))
    assert few.cause.label == "query.result_too_big"
    assert few.evidence[0].text == "a call returns 20 rows and touches 20 MiB for them"
    assert "prefetch=10)" in commands(few)
    assert labels(said(rows=20, blocks=2560, looks=((), (writing, writing)))) == labels([few])
    assert said(rows=20, blocks=2560, looks=((), (writing,))) == []
