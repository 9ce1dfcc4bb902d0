"""pgbouncer.client_limit: near the limit, at it, and far from it."""

import pytest
from tests.checks.pgbouncer.builders import SETTINGS, bouncer, run, waiting
from tests.checks.postgres.builders import cause, evidence

from backend_doctor import Confidence, Finding
from backend_doctor.backends.pgbouncer.settings import ClientCount
from backend_doctor.backends.pgbouncer.sockets import Clients


def judge(used: int, clients: Clients | None = None) -> Finding:
    (finding,) = run("client_limit", ClientCount(used=used), SETTINGS, clients, bouncer())
    return finding


@pytest.mark.parametrize(
    ("used", "status"), [(0, "ok"), (79, "ok"), (80, "warning"), (94, "warning"), (95, "critical")]
)
def test_status(used: int, status: str) -> None:
    assert judge(used).status.value == status


def test_at_the_limit_who_holds_them_is_named() -> None:
    clients = Clients(clients=(*waiting(70), *waiting(30, "jobs")))
    finding = judge(100, clients)
    assert cause(finding) == "pgbouncer.client_limit"
    assert finding.cause is not None
    assert finding.cause.confidence is Confidence.CERTAIN
    assert "70 by shop-api; new ones are refused" in finding.summary
    assert evidence(finding, "used_clients") == 100
    named = {(one.kind, one.value) for one in finding.subjects}
    assert {
        ("application", "shop-api"),
        ("login", "pool:6432/shop"),
        ("error", "pgbouncer.client_limit"),
    } <= named
    assert "reach.full" in finding.explains


def test_without_the_list_it_says_so() -> None:
    assert "not known" in judge(97).notes[0]


def test_no_limit_is_known() -> None:
    unknown = type(SETTINGS)(max_client_conn=0)
    (finding,) = run("client_limit", ClientCount(used=5), unknown, None, bouncer())
    assert finding.status.value == "ok"
