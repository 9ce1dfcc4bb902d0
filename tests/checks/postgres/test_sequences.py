"""postgres.sequences: facts in, findings out; the remedies are tried on real servers."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.checks.postgres.builders import HOSTILE, cause, evidence, run
from tests.safety.client import Client

from backend_doctor import Absent, Finding, Status, Step
from backend_doctor.backends.postgres.connection import connect
from backend_doctor.backends.postgres.sequences import Sequence, Sequences
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer

INT2, INT4 = 2**15 - 1, 2**31 - 1


def sequence(share: float, **fields: Any) -> Sequence:
    usual = {
        "schema": "public",
        "name": "orders_id_seq",
        "table_schema": "public",
        "table": "orders",
        "column": "id",
        "column_bytes": 4,
        "sequence_bytes": 8,
        "limit": INT4,
        "last": round(INT4 * share),
    }
    return Sequence(**{**usual, **fields})


def judge(*found: Sequence, **fields: Any) -> list[Finding]:
    usual = {"candidates": len(found), "role": "doctor"}
    return run("sequences", Sequences(sequences=found, **{**usual, **fields}))


def command(finding: Finding, step: Step) -> str:
    return next((one.command for one in finding.remedies if one.step is step), "")


@pytest.mark.parametrize(
    ("share", "status"),
    [(0.0, "ok"), (0.799, "ok"), (0.801, "warning"), (0.949, "warning"), (0.951, "critical")],
)
def test_thresholds_are_shares_of_the_values(share: float, status: str) -> None:
    (finding,) = judge(sequence(share))
    assert finding.status is Status(status)
    assert cause(finding) == ("" if status == "ok" else "sequence.exhausted")
    assert finding.measures[0].value == pytest.approx(share, abs=1e-4)


def test_the_finding_says_what_binds_it_and_what_is_left() -> None:
    (finding,) = judge(sequence(0.9))
    assert evidence(finding, "sequence") == "public.orders_id_seq"
    assert evidence(finding, "sequence_used_share") == 0.9
    assert evidence(finding, "values_left") == INT4 - round(INT4 * 0.9)
    assert "the type integer of its column public.orders.id" in finding.evidence[0].text
    assert [str(subject) for subject in finding.subjects] == ["table public.orders"]


def test_steps_and_direction_count() -> None:
    tens = Sequence(schema="s", name="n", limit=1000, maximum=1000, increment=10, last=801)
    assert (tens.left, round(tens.used, 2)) == (19, 0.81)
    down = Sequence(
        schema="s", name="n", minimum=-100, maximum=-1, limit=-100, increment=-1, last=-96
    )
    assert (down.left, down.used) == (4, 0.96)
    half = Sequence(schema="s", name="n", minimum=-(2**31), maximum=-1, limit=-1, last=-(2**30))
    assert half.used == pytest.approx(0.5)
    fresh = Sequence(schema="s", name="n", limit=10, maximum=10)
    assert (fresh.left, fresh.used) == (10, 0.0)


def test_a_value_beyond_the_columns_type_has_run_out() -> None:
    (finding,) = judge(sequence(0.0, last=INT4 + 5))
    assert finding.status is Status.CRITICAL
    assert "has run out: inserts fail" in finding.summary
    assert evidence(finding, "values_left") == 0


def test_one_that_was_never_used_is_fine() -> None:
    (finding,) = judge(sequence(0.0, last=None))
    assert finding.status is Status.OK


def test_each_sequence_is_a_finding_the_fullest_first() -> None:
    findings = judge(sequence(0.85), sequence(0.99, name="late"), sequence(0.1))
    assert [evidence(finding, "sequence") for finding in findings] == [
        "public.late",
        "public.orders_id_seq",
    ]
    assert [len(finding.measures) for finding in findings] == [1, 0]


def test_without_the_right_it_is_unknown_with_the_grant() -> None:
    with pytest.raises(Absent) as told:
        judge(sequence(0.0, last=None, readable=False))
    assert told.value.absence.remedy.startswith('GRANT pg_read_all_data TO "doctor";')


def test_what_is_seen_is_told_though_another_is_hidden() -> None:
    (finding,) = judge(sequence(0.99), sequence(0.0, name="hidden", readable=False, last=None))
    assert finding.status is Status.CRITICAL
    assert "cannot see how far 1 sequence is;" in finding.notes[0]


def test_a_locked_one_is_noted() -> None:
    (finding,) = judge(sequence(0.0, last=None, locked=True))
    assert finding.status is Status.OK
    assert "public.orders_id_seq" in finding.notes[0]


def test_the_negative_half_is_offered_late_and_once() -> None:
    late, early = judge(sequence(0.99), sequence(0.85))
    assert "RESTART WITH -2147483648" in command(late, Step.STOP)
    assert command(early, Step.STOP) == ""
    (again,) = judge(sequence(0.0, minimum=-(2**31), maximum=-1, limit=-1, last=-5))
    assert (again.status, command(again, Step.STOP)) == (Status.CRITICAL, "")


def test_hostile_names_stay_names() -> None:
    (finding,) = judge(sequence(0.99, name=HOSTILE, table=HOSTILE, column=HOSTILE))
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    assert f'ALTER SEQUENCE "public".{quoted} ' in command(finding, Step.STOP)
    assert f'ALTER TABLE "public".{quoted} ALTER COLUMN {quoted} ' in command(finding, Step.CURE)


TABLES = {
    "serial": ("id serial PRIMARY KEY", INT4),
    "smallserial": ("id smallserial PRIMARY KEY", INT2),
    "identity": ("id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY", INT4),
    "small identity": ("id smallint GENERATED BY DEFAULT AS IDENTITY (START 7) PRIMARY KEY", INT2),
    "wide sequence": ("id int PRIMARY KEY DEFAULT nextval('wide.orders_id_seq')", INT4),
    "narrow sequence": ("id bigint PRIMARY KEY DEFAULT nextval('wide.orders_id_seq')", INT4),
    "own maximum": ("id bigint PRIMARY KEY DEFAULT nextval('wide.orders_id_seq')", 1000),
}
KINDS = {"wide sequence": "bigint", "narrow sequence": "integer", "own maximum": "bigint"}


@pytest.fixture(scope="module", params=[15, 18])
def server(request: pytest.FixtureRequest) -> PostgresServer:
    shared: PostgresServer = request.getfixturevalue(f"postgres{request.param}")
    return shared


@pytest.fixture
def owner(server: PostgresServer) -> Iterator[Client]:
    with Client(server.admin_url()) as client:
        client.do("CREATE SCHEMA wide")
        try:
            yield client
        finally:
            client.do("ROLLBACK; RESET lock_timeout; DROP SCHEMA wide CASCADE")


def furnish(owner: Client, case: str) -> int:
    """A table whose next id is the last one; returns that."""
    column, limit = TABLES[case]
    if case in KINDS:
        most = f"MAXVALUE {limit}" if case == "own maximum" else ""
        owner.do(f"CREATE SEQUENCE wide.orders_id_seq AS {KINDS[case]} {most}")
    owner.do(f"CREATE TABLE wide.orders ({column}, note text)")
    owner.do(f"SELECT setval('wide.orders_id_seq', {limit - 2})")
    assert insert(owner) == limit - 1
    return limit


def insert(owner: Client) -> int:
    number: int = owner.ask("INSERT INTO wide.orders (note) VALUES ('x') RETURNING id")
    return number


def find(server: PostgresServer) -> Finding:
    """What the check says of the server itself."""

    async def collect() -> Sequences:
        login, connection = await connect(parse_url(server.admin_url(), place="test"), limit=5)
        assert connection is not None, login
        try:
            return await Sequences.collect(connection)
        finally:
            await connection.close()

    found = asyncio.run(collect())
    ours = tuple(one for one in found.sequences if one.schema == "wide")
    (finding,) = judge(*ours)
    assert finding.status is Status.CRITICAL
    return finding


@pytest.mark.parametrize("case", TABLES)
def test_each_remedy_alone_makes_room(case: str, server: PostgresServer, owner: Client) -> None:
    limit = furnish(owner, case)
    finding = find(server)
    assert owner.ask(command(finding, Step.CONFIRM)) == limit - 1
    stop = command(finding, Step.STOP)
    assert bool(stop) == (case not in ("narrow sequence", "own maximum"))
    owner.do(command(finding, Step.CURE))
    assert [insert(owner), insert(owner)] == [limit, limit + 1]
    assert owner.ask("SELECT min_value FROM pg_sequences WHERE schemaname = 'wide'") == 1
    start = owner.ask("SELECT start_value FROM pg_sequences WHERE schemaname = 'wide'")
    assert start == (7 if case == "small identity" else 1)


@pytest.mark.parametrize("late", [False, True], ids=["at once", "when that half is full too"])
@pytest.mark.parametrize(
    "case", ["serial", "smallserial", "identity", "small identity", "wide sequence"]
)
def test_the_cure_leads_back_from_the_negative_half(
    case: str, late: bool, server: PostgresServer, owner: Client
) -> None:
    limit = furnish(owner, case)
    finding = find(server)
    owner.do(command(finding, Step.STOP))
    assert [insert(owner), insert(owner)] == [-limit - 1, -limit]
    if late:
        owner.do("SELECT setval('wide.orders_id_seq', -3)")
        assert insert(owner) == -2
        finding = find(server)
        assert command(finding, Step.STOP) == ""
    owner.do(command(finding, Step.CURE))
    assert [insert(owner), insert(owner)] == [limit, limit + 1]
    assert owner.ask("SELECT min_value FROM pg_sequences WHERE schemaname = 'wide'") == 1


def test_the_cure_goes_back_to_no_number_that_was_given(
    server: PostgresServer, owner: Client
) -> None:
    limit = furnish(owner, "serial")
    finding = find(server)
    owner.do("DELETE FROM wide.orders")
    owner.do(command(finding, Step.STOP))
    owner.do(command(finding, Step.CURE))
    assert insert(owner) == limit


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"column_bytes": 2, "sequence_bytes": 2, "maximum": INT2, "limit": INT2, "last": INT2},
         "the type smallint of its column"),
        ({"column_bytes": 8, "sequence_bytes": 4, "maximum": INT4}, "its own type integer"),
        ({"column_bytes": 8, "maximum": 1000, "limit": 1000, "last": 990}, "its own maximum"),
    ],
)  # fmt: skip
def test_the_cause_names_what_binds(fields: dict[str, Any], words: str) -> None:
    (finding,) = judge(sequence(0.99, **fields))
    assert finding.cause is not None
    assert finding.cause.because.startswith(words)


def test_it_is_not_all_used_while_a_value_is_left() -> None:
    (finding,) = judge(sequence(0.0, last=INT4 - 3647))
    assert finding.summary.endswith("runs out: 99.9% used, 3647 left.")
    assert evidence(finding, "sequence_used_share") == 0.9999
    assert finding.measures[0].value == 0.9999
    assert "100" not in finding.evidence[1].text
    (gone,) = judge(sequence(0.0, last=INT4))
    assert "100.0% used, 0 left" in gone.summary
