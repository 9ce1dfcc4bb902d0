"""Who explains whom, on findings made up for it."""

from itertools import count, permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend_doctor import Cause, Confidence, Finding, Remedy, Status, Step, Subject
from backend_doctor.diagnosis import diagnose
from backend_doctor.model import Result

LABELS = ("leak.idle_in_transaction", "lock.idle_holder", "pool.server_full", "reach.full")
ADDRESSES = {
    ("shop", "postgres", "primary"): "db1:5432",
    ("shop", "postgres", "replica"): "db2:5432",
    ("shop", "postgres", "reports"): "db1:5432",
    ("shop", "redis", "redis"): "cache:6379",
    ("blog", "postgres", "primary"): "db1:5432",
}
numbers = count(1)


def pid(number: int) -> Subject:
    return Subject(kind="pid", value=str(number))


def application(name: str) -> Subject:
    return Subject(kind="application", value=name)


def result(
    cause: str = "",
    *subjects: Subject,
    status: Status = Status.WARNING,
    explains: tuple[str, ...] = (),
    where: tuple[str, str, str] = ("shop", "postgres", "primary"),
    confidence: Confidence = Confidence.CERTAIN,
    remedies: tuple[Remedy, ...] = (),
) -> Result:
    named = Cause(label=cause, confidence=confidence, because="so") if cause else None
    service, backend, instance = where
    return Result(
        id=f"f{next(numbers)}",
        check=f"{backend}.x",
        service=service,
        backend=backend,
        instance=instance,
        finding=Finding(
            status=status,
            summary="x.",
            cause=named,
            remedies=remedies,
            explains=explains,
            subjects=subjects,
        ),
    )


def roots(found: tuple[Result, ...]) -> list[str]:
    return [r.id for r in found if r.explained_by is None]


def test_a_symptom_folds_under_what_explains_it() -> None:
    symptom = result("pool.server_full", pid(1), pid(2), status=Status.CRITICAL)
    root = result("leak.idle_in_transaction", pid(1), explains=("pool.server_full",))
    for order in permutations([symptom, root]):
        first, second = diagnose(order, ADDRESSES)
        assert (first.id, second.id) == (root.id, symptom.id)
        assert second.explained_by is not None
        assert second.explained_by.under == root.id
        assert second.explained_by.shared == (pid(1),)


def test_without_a_shared_subject_both_are_roots() -> None:
    symptom = result("pool.server_full", pid(2))
    root = result("leak.idle_in_transaction", pid(1), explains=("pool.server_full",))
    assert len(roots(diagnose([symptom, root], ADDRESSES))) == 2


def test_a_shared_subject_alone_explains_nothing() -> None:
    assert len(roots(diagnose([result("a.b", pid(1)), result("c.d", pid(1))], ADDRESSES))) == 2


def test_a_pool_names_sessions_of_the_server_behind_it() -> None:
    def behind(number: int, server: str) -> Subject:
        return Subject(kind="pid", value=str(number), server=server)

    root = result("lock.ddl_queue", pid(1), explains=("pool.blocked_sessions",))
    pooler = ("shop", "pgbouncer", "pool")
    for server, left in (("db1:5432", 1), ("db2:5432", 2)):
        symptom = result("pool.blocked_sessions", behind(1, server), where=pooler)
        found = diagnose([symptom, root], ADDRESSES)
        assert len(roots(found)) == left, "a pid of another server is another session"


def test_two_unrelated_faults_are_two_roots() -> None:
    leak = result("leak.idle_in_transaction", pid(1), application("billing"))
    full = result("redis.maxclients", application("web"), where=("shop", "redis", "redis"))
    assert len(roots(diagnose([leak, full], ADDRESSES))) == 2


def test_pids_of_different_servers_do_not_match() -> None:
    root = result("leak.idle_in_transaction", pid(1), explains=("pool.server_full",))
    elsewhere = result("pool.server_full", pid(1), where=("shop", "postgres", "replica"))
    same_server = result("pool.server_full", pid(1), where=("shop", "postgres", "reports"))
    assert len(roots(diagnose([root, elsewhere], ADDRESSES))) == 2
    assert len(roots(diagnose([root, same_server], ADDRESSES))) == 1


def test_an_application_is_known_across_backends_but_not_across_services() -> None:
    root = result("leak.idle_in_transaction", application("web"), explains=("redis.maxclients",))
    redis = result("redis.maxclients", application("web"), where=("shop", "redis", "redis"))
    other = result("redis.maxclients", application("web"), where=("blog", "postgres", "primary"))
    assert roots(diagnose([root, redis], ADDRESSES)) == [root.id]
    assert len(roots(diagnose([root, other], ADDRESSES))) == 2


def test_the_same_cause_twice_is_told_once() -> None:
    weak = result("lock.idle_holder", pid(1), confidence=Confidence.POSSIBLE)
    strong = result("lock.idle_holder", pid(1), status=Status.CRITICAL)
    assert roots(diagnose([weak, strong], ADDRESSES)) == [strong.id]
    assert len(roots(diagnose([weak, result("lock.idle_holder", pid(9))], ADDRESSES))) == 2


def test_two_leaks_of_one_full_server_are_two_although_they_share_its_login() -> None:
    login = Subject(kind="login", value="db1:5432")
    billing = result("leak.idle_in_transaction", login, pid(1), explains=("reach.full",))
    web = result("leak.idle_in_transaction", login, pid(2), explains=("reach.full",))
    full = result("reach.full", login, status=Status.CRITICAL)
    assert set(roots(diagnose([full, billing, web], ADDRESSES))) == {billing.id, web.id}
    assert len(roots(diagnose([full, result("reach.full", login)], ADDRESSES))) == 1


def test_equals_that_explain_each_other_keep_one_root() -> None:
    one = result("a.b", pid(1), explains=("c.d",))
    other = result("c.d", pid(1), explains=("a.b",))
    assert len(roots(diagnose([one, other], ADDRESSES))) == 1


def test_a_chain_lies_under_its_end() -> None:
    end = result("leak.idle_in_transaction", pid(1), explains=("lock.idle_holder",))
    middle = result("lock.idle_holder", pid(1), pid(2), explains=("pool.server_full",))
    start = result("pool.server_full", pid(2))
    for order in permutations([end, middle, start]):
        found = diagnose(order, ADDRESSES)
        assert roots(found) == [end.id]
        assert {r.explained_by.under for r in found if r.explained_by} == {end.id}


def test_what_is_fine_neither_explains_nor_is_explained() -> None:
    fine = result("", pid(1), status=Status.OK, explains=("pool.server_full",))
    muted = result("a.b", pid(1), status=Status.SKIPPED, explains=("pool.server_full",))
    symptom = result("pool.server_full", pid(1), explains=("a.b",))
    assert len(roots(diagnose([fine, muted, symptom], ADDRESSES))) == 3


def test_unknowns_of_a_failed_login_fold_under_it() -> None:
    login = Subject(kind="login", value="db1:5432")
    down = result("reach.refused", login, status=Status.CRITICAL)
    blind = result("", login, status=Status.UNKNOWN)
    another = result("", login, status=Status.UNKNOWN, where=("shop", "postgres", "replica"))
    alone = result("", status=Status.UNKNOWN)
    assert roots(diagnose([blind, another, alone, down], ADDRESSES)) == [
        down.id,
        another.id,
        alone.id,
    ]


def test_the_worst_root_comes_first_symptoms_right_after() -> None:
    fine = result(status=Status.OK)
    unknown = result(status=Status.UNKNOWN)
    warning = result("a.b", pid(7), status=Status.WARNING)
    critical = result("c.d", pid(8), status=Status.CRITICAL)
    root = result("e.f", pid(1), status=Status.WARNING, explains=("g.h",))
    symptom = result("g.h", pid(1), status=Status.CRITICAL)
    found = [r.id for r in diagnose([fine, unknown, warning, symptom, critical, root], ADDRESSES)]
    expected = [root, symptom, critical, warning, unknown, fine]
    assert found == [one.id for one in expected]


RESULTS = st.lists(
    st.builds(
        result,
        st.sampled_from(["", *LABELS]),
        st.builds(pid, st.integers(1, 2)),
        status=st.sampled_from(Status),
        explains=st.lists(st.sampled_from(LABELS), max_size=4).map(tuple),
        where=st.sampled_from(list(ADDRESSES)),
        confidence=st.sampled_from(Confidence),
    ),
    max_size=8,
)


@given(RESULTS)
def test_nothing_is_lost_and_there_is_no_circle(found: list[Result]) -> None:
    told = diagnose(found, ADDRESSES)
    assert sorted(r.id for r in told) == sorted(r.id for r in found)
    tops = set(roots(told))
    assert tops or not found
    current: Any = None
    for one in told:
        if one.explained_by is None:
            current = one
        else:
            assert one.explained_by.under == current.id in tops
            assert one.explained_by.shared
            assert one.service == current.service


def test_sessions_of_one_server_fold_by_session_not_by_application() -> None:
    web = application("web")
    leak = result("leak.idle_in_transaction", pid(1), web, explains=("pool.server_full",))
    full = result("pool.server_full", pid(2), web)
    assert set(roots(diagnose([leak, full], ADDRESSES))) == {leak.id, full.id}


def test_of_two_that_explain_it_the_one_with_more_of_it_does_and_comes_first() -> None:
    full = result("pool.server_full", *map(pid, range(27)), status=Status.CRITICAL)
    lock = result(
        "lock.idle_holder", pid(1), pid(2), status=Status.CRITICAL, explains=("pool.server_full",)
    )
    leak = result(
        "leak.idle_in_transaction",
        *map(pid, range(10, 22)),
        status=Status.CRITICAL,
        explains=("pool.server_full",),
        confidence=Confidence.LIKELY,
    )
    for order in permutations((full, lock, leak)):
        found = diagnose(order, ADDRESSES)
        assert [one.id for one in found] == [leak.id, full.id, lock.id]
        assert found[1].explained_by is not None
        assert found[1].explained_by.under == leak.id


def test_what_is_at_work_now_stands_before_what_may_do_harm_some_day() -> None:
    table = Subject(kind="table", value="public.orders")
    twin = result("index.duplicate", table)
    slow = result(
        "query.missing_index", Subject(kind="query", value="7"), confidence=Confidence.LIKELY
    )
    for order in permutations((twin, slow)):
        assert roots(diagnose(order, ADDRESSES)) == [slow.id, twin.id]


def index(*builds: str) -> Remedy:
    name = "_".join(builds)
    return Remedy(step=Step.CURE, command=f"CREATE INDEX {name}", effect="x", builds=builds)


def test_an_index_that_serves_two_is_built_once() -> None:
    look = Remedy(step=Step.CONFIRM, command="SELECT 1", effect="x")
    slow = result("query.missing_index", pid(1), remedies=(look, index("public.t", "a", "b")))
    for builds, served in ((("public.t", "a"), True), (("public.t", "b"), False)):
        key = result("index.missing_on_foreign_key", remedies=(look, index(*builds)))
        first, second = diagnose([key, slow], ADDRESSES)
        assert (first.id, first.finding) == (slow.id, slow.finding)
        assert second.finding.remedies == (() if served else key.finding.remedies)
        said = "the index of postgres.x on public.t (a, b) serves it too"
        assert second.finding.notes == ((said,) if served else ())
    elsewhere = result("a.b", where=("shop", "postgres", "replica"), remedies=(index("public.t"),))
    assert diagnose([slow, elsewhere], ADDRESSES)[1].finding == elsewhere.finding
