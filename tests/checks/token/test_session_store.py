"""token.session_store: facts in, findings out."""

from typing import Any

import pytest
from tests.checks.token.builders import place, token

from backend_doctor import Absent, Each, Finding, Instance, Looks, Service, Status
from backend_doctor.backends.redis.limits import ClientLimits
from backend_doctor.backends.redis.session_keys import SessionKeys
from backend_doctor.backends.token.grants import Grants
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.facts import Absence, AbsenceKind
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "session_store.py")
LABEL = "token.session_store_expiry"
REDIS = Instance(
    service="shop", backend="redis", name="redis", address="", host="cache", port=6379, database="2"
)
BLIND = Absence(kind=AbsenceKind.BLIND, reason="may not run SCAN", remedy="ACL SETUSER x +scan")


def keys(longest: float | None = 880, timed: int = 40, endless: int = 0) -> SessionKeys:
    """Sessions that end at any time up to ``longest``."""
    median = None if longest is None else longest / 2
    return SessionKeys(
        matched=timed + endless, timed=timed, endless=endless, longest=longest, median=median
    )


def server(evicted: int = 0, policy: str = "noeviction") -> Looks[ClientLimits]:
    first, last = (
        ClientLimits(used=3, evicted=count, eviction_policy=policy) for count in (70, 70 + evicted)
    )
    return Looks(first, last, 2.0)


def judge(
    store: SessionKeys | Absence | None = None,
    sample: SampleToken | None = None,
    *,
    looks: Looks[ClientLimits] | Absence | None = None,
    grants: Grants | None = None,
    **limits: Any,
) -> list[Finding]:
    return list(
        CHECK.function(
            place(session_keys="session:*"),
            Service(name="shop", instances=(REDIS,)),
            sample,
            None,
            grants,
            Each({"redis": store or keys()}),
            Each({"redis": looks or server()}),
            **limits,
        )
    )


def said(*arguments: Any, **more: Any) -> list[tuple[str, Status]]:
    found = judge(*arguments, **more)
    return [(one.cause.label if one.cause else "", one.status) for one in found]


@pytest.mark.parametrize(
    ("longest", "status"), [(800, Status.WARNING), (451, Status.WARNING), (449, Status.CRITICAL)]
)
def test_sessions_that_end_before_the_token_are_named(longest: float, status: Status) -> None:
    assert said(keys(longest), token()) == [(LABEL, status)]


@pytest.mark.parametrize(
    "store",
    [keys(), keys(811), keys(7200), keys(880, timed=1), keys(None, 0, 9), keys(60, 20, 20)],
)
def test_sessions_that_last_as_long_or_for_ever_are_fine(store: SessionKeys) -> None:
    assert said(store, token()) == [("", Status.OK)]


@pytest.mark.parametrize("timed", [1, 19])
def test_few_keys_prove_nothing(timed: int) -> None:
    (finding,) = judge(keys(60, timed), token())
    assert (finding.status, finding.cause) == (Status.UNKNOWN, None)
    assert f"{timed} keys are too few" in finding.summary
    assert said(keys(60, timed), token(), fewest_keys=timed) == [(LABEL, Status.CRITICAL)]


@pytest.mark.parametrize("exp", [300, -60])
def test_only_what_the_token_has_left_proves_that_they_end_too_soon(exp: float) -> None:
    """Its session may be as old as an old sample is; the newest may be that one's."""
    old = token(exp=exp, iat=exp - 900)
    (finding,) = judge(keys(300), old)
    assert finding.status is Status.UNKNOWN
    assert "declare a fresh one" in finding.summary
    assert said(keys(880), old) == [("", Status.OK)]


def test_a_login_just_made_tells_more_than_the_sample() -> None:
    fresh = Grants(status=200, lives=3600.0)
    assert said(keys(), token(), grants=fresh) == [(LABEL, Status.CRITICAL)]
    assert said(keys(), None, grants=fresh) == [(LABEL, Status.CRITICAL)]


@pytest.mark.parametrize("sample", [None, token(refresh=True), token(exp=None), token(problem="x")])
def test_without_a_lifetime_nothing_is_called_fine(sample: SampleToken | None) -> None:
    assert said(keys(5), sample) == [("", Status.UNKNOWN)]


@pytest.mark.parametrize(
    ("policy", "store", "named"),
    [
        ("allkeys-lru", keys(), True),
        ("allkeys-random", keys(None, 0, 3), True),
        ("volatile-ttl", keys(), True),
        ("volatile-lru", keys(None, 0, 3), False),
        ("noeviction", keys(), False),
    ],
)
def test_evictions_count_where_they_may_take_sessions(
    policy: str, store: SessionKeys, named: bool
) -> None:
    expected = (LABEL, Status.WARNING) if named else ("", Status.OK)
    assert said(store, token(), looks=server(8, policy)) == [expected]
    assert said(store, token(), looks=server(0, policy)) == [("", Status.OK)]


def test_both_ways_are_told() -> None:
    found = said(keys(60), token(), looks=server(8, "allkeys-lfu"))
    assert found == [(LABEL, Status.WARNING), (LABEL, Status.CRITICAL)]


def test_evictions_that_were_not_looked_for_are_said_so() -> None:
    absent = Absence(kind=AbsenceKind.BLIND, reason="one look only")
    (finding,) = judge(keys(), token(), looks=absent)
    assert finding.notes == ("Evictions could not be looked for.",)


def test_without_the_right_it_is_unknown_and_says_which() -> None:
    with pytest.raises(Absent) as raised:
        judge(BLIND, token())
    assert raised.value.absence.kind is AbsenceKind.BLIND
    assert raised.value.absence.remedy == "ACL SETUSER x +scan"


def test_no_session_at_all_is_not_called_fine() -> None:
    with pytest.raises(Absent, match="no key that matches"):
        judge(keys(None, 0, 0), token())


def test_nothing_declared_is_skipped() -> None:
    with pytest.raises(Absent) as raised:
        list(CHECK.function(place(), Service(name="s"), token(), None, None, Each({}), Each({})))
    assert raised.value.absence.kind is AbsenceKind.NOT_APPLICABLE


def test_the_look_that_confirms_is_at_that_database_and_quotes_the_pattern() -> None:
    (finding,) = judge(keys(60), token())
    command = finding.remedies[0].command
    assert command.startswith("redis-cli -h cache -p 6379 -n 2 --scan --pattern 'session:*' |")
