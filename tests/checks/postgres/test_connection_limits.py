"""postgres.connection_limits: facts in, findings out."""

import pytest
from tests.checks.postgres.builders import (
    HOSTILE,
    NO_POOLER,
    cause,
    evidence,
    instance,
    looks,
    pids,
    run,
    service,
    session,
)

from backend_doctor import Finding, Login, Problem, Service, Status, Subject
from backend_doctor.backends.postgres.limits import (
    ConnectionLimit,
    ConnectionLimits,
    refusing_limit,
)


def limit(used: int, most: int = 10, kind: str = "role", name: str = "shop") -> ConnectionLimits:
    return ConnectionLimits(limits=(ConnectionLimit(kind=kind, name=name, most=most, used=used),))


def judge(limits: ConnectionLimits, owner: Service | None = None) -> Finding:
    owner = owner or service()
    held = looks([session(1), session(2), session(3, user="other", database="else")])
    facts = (limits, held, None, *NO_POOLER, owner, owner.instances[0])
    (found,) = run("connection_limits", *facts)
    return found


@pytest.mark.parametrize(
    ("used", "status"), [(0, "ok"), (8, "ok"), (9, "warning"), (10, "critical"), (11, "critical")]
)
def test_thresholds_are_shares_of_the_limit(used: int, status: str) -> None:
    found = judge(limit(used))
    assert found.status is Status(status)
    assert cause(found) == ("" if status == "ok" else "pool.role_limit")


def test_a_role_at_its_limit_and_who_holds_it() -> None:
    found = judge(limit(10))
    assert evidence(found, "connections_in_limit") == 10
    assert evidence(found, "connection_limit") == 10
    assert evidence(found, "application") == "shop-api"
    assert pids(found) == {1, 2}
    assert "reach.full" in found.explains
    assert Subject(kind="error", value="postgres.too_many_connections") in found.subjects


def test_a_database_is_told_apart() -> None:
    found = judge(limit(5, 5, "database", "else"))
    assert cause(found) == "pool.database_limit"
    assert pids(found) == {3}


def test_a_declared_pool_that_fills_its_limit_is_fine() -> None:
    found = judge(limit(10), service(2, pool_size=5))
    assert (found.status, cause(found)) == (Status.OK, "")
    assert "cannot ask for more" in found.notes[0]
    assert judge(limit(10), service(2, pool_size=4)).status is Status.CRITICAL


def test_nothing_limited() -> None:
    found = judge(ConnectionLimits())
    assert found.status is Status.OK
    assert "No role" in found.summary


@pytest.mark.parametrize("kind", ["role", "database"])
def test_a_refusal_of_our_own_is_told_apart_from_a_full_server(kind: str) -> None:
    login = Login(
        problem=Problem.FULL,
        address="db",
        code="53300",
        message=f'too many connections for {kind} "a"b"',
    )
    refusing = refusing_limit(login)
    assert refusing is not None
    assert (refusing.kind, refusing.name) == (kind, 'a"b')
    found = judge(ConnectionLimits(limits=(refusing,), refused=True))
    assert (found.status, cause(found)) == (Status.CRITICAL, f"pool.{kind}_limit")
    assert Subject(kind="login", value="db:5432/shop") in found.subjects
    assert evidence(found, "refused") is True


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Problem.FULL, "sorry, too many clients already"),
        (Problem.LOGIN, 'password failed; too many connections for role "x"'),
    ],
)
def test_other_refusals_name_no_limit(problem: Problem, message: str) -> None:
    assert refusing_limit(Login(problem=problem, address="db", message=message)) is None


def test_hostile_names_reach_no_command() -> None:
    found = judge(limit(10, name=HOSTILE))
    assert not any("DROP" in r.command for r in found.remedies if r.language == "sql")
    assert instance().address == "db:5432/shop"
