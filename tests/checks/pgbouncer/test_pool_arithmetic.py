"""pgbouncer.pool_arithmetic: a sum that could overflow, and one that merely might some day."""

from tests.checks.pgbouncer.builders import bouncer, database, pool, postgres, run, service
from tests.checks.postgres.builders import cause, evidence, refused, slots

from backend_doctor import Each, Finding, Service
from backend_doctor.backends.pgbouncer.demand import demand_of
from backend_doctor.backends.pgbouncer.pools import Pool, Pools
from backend_doctor.backends.pgbouncer.settings import Database, Databases
from backend_doctor.backends.postgres.slots import Slots


def judge(
    *members: Pool,
    place: Database | None = None,
    has: Slots | None = None,
    of: Service | None = None,
) -> Finding:
    (finding,) = run(
        "pool_arithmetic",
        Databases(databases=(place or database(pool_size=20),)),
        Pools(samples=(members,)),
        Each[Slots]({"primary": has or slots(3)}),
        of or service(),
        bouncer(),
    )
    return finding


def busy(user: str, clients: int) -> Pool:
    return pool(0, user=user, clients=clients, active=1)


def test_enough_for_all() -> None:
    finding = judge(busy("a", 50))
    assert (finding.status.value, finding.notes) == ("ok", ())
    assert evidence(finding, "possible_server_connections") == 20


def test_clients_enough_to_overflow_it() -> None:
    finding = judge(busy("a", 50), busy("b", 30))
    assert finding.status.value == "warning"
    assert cause(finding) == "pgbouncer.oversubscribed"
    assert "may open 40 connections" in finding.summary


def test_too_few_clients_for_it_are_a_note() -> None:
    finding = judge(busy("a", 50), busy("b", 3))
    assert finding.status.value == "ok"
    assert "2 users x 20 = 40" in finding.notes[0]


def test_a_bound_on_the_database_holds() -> None:
    bounded = database(pool_size=20, max_connections=25)
    assert judge(busy("a", 50), busy("b", 30), place=bounded).status.value == "ok"


def test_the_reserve_counts() -> None:
    place = database(pool_size=10, reserve_pool=5)
    demand = demand_of([place], [busy("a", 50), busy("b", 2)])
    assert (demand.possible, demand.now) == (30, 17)
    assert demand_of([place], []).possible == 0


def test_where_the_server_is_not_known_it_is_skipped() -> None:
    assert judge(busy("a", 50), of=service(bouncer())).status.value == "skipped"
    assert judge(busy("a", 50), has=refused(30)).status.value == "skipped"
    elsewhere = service(bouncer(), postgres(host="other"))
    assert judge(busy("a", 50), of=elsewhere).status.value == "skipped"
