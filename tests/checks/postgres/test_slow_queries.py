"""postgres.slow_queries: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.postgres.builders import (
    HOSTILE,
    cause,
    evidence,
    looks,
    run,
    session,
    waiting,
    writes,
)
from tests.checks.postgres.slow_statements import (
    MISSING,
    counted,
    cure,
    index,
    judge,
    plans,
    scan,
    table,
    window,
)

from backend_doctor import Finding, Status, Step, Subject
from backend_doctor.backends.postgres.plans.explained import Scan
from backend_doctor.backends.postgres.plans.planned import Proof
from backend_doctor.backends.postgres.plans.plans import Plans
from backend_doctor.backends.postgres.plans.tables import Column
from backend_doctor.backends.postgres.statements import (
    StatementStatistics,
)


def test_who_locked_the_table_of_a_slow_statement_is_named() -> None:
    locked = plans(refusal="it is locked by another session (55P03)", locked=("orders",))
    slow = window(counted("1", 10, 3000.0))
    holder = session(71, application="migration", excludes=("public.orders",))
    waiter = waiting(72, 70, relation="public.orders", mode="AccessExclusiveLock", wait="relation")
    for one, does in ((holder, "migration has locked"), (waiter, "shop-api waits to lock")):
        (finding,) = judge(locked, slow, looks([session(1), one]))
        assert finding.status is Status.UNKNOWN
        assert f"pid {one.pid} of {does} public.orders for itself alone" in finding.summary
        assert Subject(kind="pid", value=str(one.pid)) in finding.subjects
        assert finding.remedies == ()
    (finding,) = judge(locked, slow, looks([session(1, excludes=("public.orders_old",))]))
    assert "'orders'" in finding.remedies[0].command


def test_the_price_of_an_index_is_what_is_written_in_the_window() -> None:
    (finding,) = judge(plans(scan()), counters=writes("orders", 1000, 1060))
    assert evidence(finding, "writes_per_second") == 12.0
    (build,) = [one for one in finding.remedies if one.step is Step.CURE]
    assert "pays for it (12.0 rows a second in the window)" in build.effect
    (finding,) = judge(plans(scan()))
    assert "writes_per_second" not in {one.key for one in finding.evidence}
    (build,) = [one for one in finding.remedies if one.step is Step.CURE]
    assert "pays for it (5 so far)" in build.effect


def test_a_whole_table_read_for_ten_rows_lacks_an_index() -> None:
    active = session(7, state="active", query_id="1", application="shop-api")
    (finding,) = judge(plans(scan()), found=looks([active]))
    assert (finding.status, cause(finding)) == (Status.WARNING, MISSING)
    expected: dict[str, object] = {
        "statement_share": pytest.approx(0.857),
        "mean_ms": 30.0,
        "calls": 100,
        "table": "public.orders",
        "rows": 300_000,
        "removed_rows": 299_990,
        "query_id": "1",
    }
    assert {key: evidence(finding, key) for key in expected} == expected
    assert cure(finding) == (
        "SET lock_timeout = '30s';\n"
        'CREATE INDEX CONCURRENTLY "orders_customer_id_idx"\n'
        '    ON "public"."orders" ("customer_id");'
    )
    confirm = [one for one in finding.remedies if one.step is Step.CONFIRM][-1]
    assert "indisvalid" in confirm.command
    assert confirm.effect.startswith("after the build: indisvalid is true")
    assert {str(subject) for subject in finding.subjects} == {"query 1", "application shop-api"}
    assert "query.pileup" in finding.explains


def test_each_number_of_the_window_is_said_once() -> None:
    (finding,) = judge(
        plans(scan()), window(counted("1", 123, 5904.0, 1230), counted("2", 1, 50.0))
    )
    said = " ".join((finding.summary, *(one.text for one in finding.evidence)))
    for number in ("99%", "48.0 ms", "123 calls"):
        assert said.count(number) == 1, said
    assert "most of the window's execution time" in finding.summary


def test_half_a_second_a_call_is_critical() -> None:
    (finding,) = judge(plans(scan()), window(counted("1", 10, 6000.0, 100)))
    assert finding.status is Status.CRITICAL


HEALTHY = {
    "a small table": (plans(scan(), orders=table(rows=200.0)), None),
    "most rows are wanted": (plans(scan()), window(counted("1", 100, 3000.0, 100 * 180_000))),
    "a small part of the time": (
        plans(scan()),
        window(counted("1", 100, 3000.0, 1000), counted("2", 30_000, 60_000.0)),
    ),
    "quick": (plans(scan()), window(counted("1", 1000, 3000.0, 1000))),
    "hardly ever": (plans(scan()), window(counted("1", 2, 60.0, 1000))),
    "the cost lies elsewhere": (plans(scan(cost_share=0.1)), None),
    "all of it was before the window": (
        plans(scan()),
        window(counted("1", 100, 3000.0), first=(counted("1", 100, 3000.0),)),
    ),
    "a common value, by the plan": (
        plans(scan(direct=False, rows=180_000.0, equal=("status",))),
        None,
    ),
    "no plan reads it whole": (plans(), None),
}


@pytest.mark.parametrize("what", HEALTHY)
def test_healthy(what: str) -> None:
    planned, statements = HEALTHY[what]
    (finding,) = judge(planned, statements)
    assert (finding.status, cause(finding)) == (Status.OK, "")


def test_what_cannot_be_told_from_estimates_is_not_a_finding() -> None:
    range_only = scan(direct=False, equal=(), ranged=("customer_id",), rows=1500.0)
    (finding,) = judge(plans(range_only))
    assert finding.status is Status.OK
    assert "does not tell how many rows" in finding.notes[0]
    never_analyzed = plans(scan(direct=False), orders=table(spread=()))
    (finding,) = judge(never_analyzed)
    assert finding.status is Status.UNKNOWN
    assert cure(finding) == 'ANALYZE "public"."orders";'


def test_columns_stand_by_equality_and_how_much_they_tell() -> None:
    both = scan(equal=("status", "customer_id"), ranged=("id",))
    (finding,) = judge(plans(both))
    assert '("customer_id")' in cure(finding)
    weak = scan(equal=("status",), ranged=("code",))
    (finding,) = judge(plans(weak))
    assert '("status", "code")' in cure(finding)


@pytest.mark.parametrize(
    "existing",
    [
        scan(equal=(), others=1),
        scan(equal=("place",)),
        scan(equal=("customer_id",), as_text=("customer_id",)),
    ],
    ids=["no plain column", "no b-tree for the type", "the type is converted"],
)
def test_no_index_is_proposed_that_could_not_serve(existing: Scan) -> None:
    (finding,) = judge(plans(existing))
    assert finding.status is Status.OK
    assert "no plain column" in finding.notes[0]


def test_varchar_read_as_text_can_be_looked_up() -> None:
    (finding,) = judge(plans(scan(equal=("code",), as_text=("code",))))
    assert '("code")' in cure(finding)


def test_indexes_that_are_there() -> None:
    serving = table(index("good", "customer_id", "status"))
    (finding,) = judge(plans(scan(), orders=serving))
    assert finding.status is Status.OK
    assert "leaves the index good aside" in finding.notes[0]
    invalid = table(index("half", "customer_id", valid=False))
    (finding,) = judge(plans(scan(), orders=invalid))
    assert cure(finding).endswith('\nREINDEX INDEX CONCURRENTLY "public"."half";')
    behind = table(index("other", "status", "customer_id"))
    (finding,) = judge(plans(scan(), orders=behind))
    assert evidence(finding, "existing_index") == "other"
    partial = table(index("part", "customer_id", partial=True))
    assert cause(judge(plans(scan(), orders=partial))[0]) == MISSING


def test_names_are_quoted() -> None:
    hostile = table(name=HOSTILE, columns=(Column(HOSTILE, "int4", "N"),), spread=())
    (finding,) = judge(plans(scan(table=HOSTILE, equal=(HOSTILE,)), orders=hostile))
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    assert f'ON "public".{quoted} ({quoted});' in cure(finding)


def test_a_statement_that_waits_for_locks_is_another_checks() -> None:
    stuck = session(7, state="active", query_id="1", wait_type="Lock")
    (finding,) = judge(plans(scan()), found=looks([stuck]))
    assert finding.status is Status.OK
    assert "postgres.lock_waits" in finding.notes[0]


def test_a_slow_statement_without_a_plan_is_unknown_with_its_reason() -> None:
    slow = window(counted("1", 10, 3000.0))
    for kind, refused in (("select", "it calls the function mine"), ("change", "it changes data")):
        (finding,) = judge(plans(kind=kind, refusal=refused), slow)
        assert (finding.status, finding.cause) == (Status.UNKNOWN, None)
        assert refused in finding.summary
    (finding,) = judge(plans(refusal="it changes data"))
    assert finding.status is Status.OK
    assert "it changes data" in finding.notes[0]
    (finding,) = judge(plans(refusal="the role may not read it", blind=True))
    assert finding.status is Status.UNKNOWN
    assert cure(finding) == 'GRANT pg_read_all_data TO "doctor";'


def test_what_was_to_be_run_and_was_not_says_why_beside_a_sound_plan() -> None:
    (finding,) = judge(plans(not_run="not run: no values are known for its placeholders"))
    assert finding.status is Status.OK
    assert finding.notes[0].endswith("sound; not run: no values are known for its placeholders")
    (finding,) = judge(plans())
    assert finding.notes[0].endswith("its plan is sound")


def test_commands_without_a_plan_are_no_statements() -> None:
    commands = plans(kind="utility", refusal="it is a command that has no plan")
    (finding,) = judge(commands, window(counted("1", 3, 60_000.0)))
    assert (finding.status, finding.notes) == (Status.OK, ())


def test_without_the_extension_only_long_statements_are_seen() -> None:
    absent = StatementStatistics(database="shop", role="doctor", sees_all=True)

    def seen(age: float) -> Finding:
        long = session(7, state="active", state_age=age, query_id="1")
        (finding,) = run("slow_queries", absent, None, None, looks([long]), None)
        return finding

    short, long = seen(3.0), seen(30.0)
    assert (short.status, long.status) == (Status.OK, Status.UNKNOWN)
    assert "pg_stat_statements is not loaded" in short.notes[0]
    for finding in (short, long):
        (remedy,) = finding.remedies
        assert "shared_preload_libraries = 'pg_stat_statements'" in remedy.command
        assert "CREATE EXTENSION pg_stat_statements" in remedy.command


def test_a_statement_without_end_is_judged_by_its_plan_or_its_client() -> None:
    runs = {"state": "active", "state_age": 60.0, "query_id": "9", "query": "SELECT * FROM orders"}
    planned = plans(scan(direct=False), query_id="9", pids=(7,), seconds=60.0)
    (finding,) = judge(planned, found=looks([session(7, **runs)]))
    assert (finding.status, cause(finding)) == (Status.WARNING, MISSING)
    assert evidence(finding, "statement_seconds") == 60.0
    assert "pid 7" in map(str, finding.subjects)
    writes = session(7, **{**runs, "wait_type": "Client", "wait": "ClientWrite"})
    (finding,) = judge(Plans(statements=()), found=looks([writes]))
    assert cause(finding) == "query.result_too_big"
    dump = session(7, **{**runs, "wait_type": "Client", "wait": "ClientWrite", "query": "COPY a"})
    for quiet in (looks([dump]), looks([writes], [session(7, **runs)])):
        assert judge(Plans(statements=()), found=quiet)[0].status is Status.OK


def test_a_client_that_takes_too_much_may_be_caught_in_one_look_only() -> None:
    def seen(writing: int, running: int) -> Finding:
        runs = {"state": "active", "query_id": "1"}
        waits = {**runs, "wait_type": "Client", "wait": "ClientWrite"}
        first = [session(number, **waits) for number in range(writing)]
        last = [session(number, **runs) for number in range(running)]
        busy = window(counted("1", 10, 3000.0, 600_000))
        return judge(plans(), busy, looks(first, last))[0]

    for writing, running in ((3, 0), (3, 3)):
        finding = seen(writing, running)
        assert cause(finding) == "query.result_too_big"
        assert finding.cause is not None
        assert finding.cause.confidence == "likely"
        assert evidence(finding, "sessions_waiting_for_client") == 3
    for writing, running in ((1, 0), (2, 3), (0, 3)):
        assert seen(writing, running).cause is None


def test_a_tried_index_is_proven_or_said_to_be_not() -> None:
    def tried(**fields: Any) -> Finding:
        proof = Proof(
            table="public.orders",
            columns=("customer_id",),
            definition="CREATE INDEX",
            values="common",
            **fields,
        )
        (finding,) = judge(plans(scan(direct=False), proof=proof))
        return finding

    proven = tried(cost_before=5000.0, cost_after=50.0, chosen=True)
    assert evidence(proven, "proven_costs") == (5000, 50)
    slight = tried(cost_before=5000.0, cost_after=4000.0, chosen=True)
    assert [one.cause.confidence for one in (proven, slight) if one.cause] == ["certain", "likely"]
    assert "HypoPG is not installed" in tried(reason="HypoPG is not installed").notes[0]
    assert "leaves it aside" in tried(cost_before=5.0, cost_after=5.0).notes[0]
