"""Reports of every shape that a run can end in."""

from backend_doctor.model import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Fold,
    Measure,
    Remedy,
    Report,
    Result,
    Status,
    Step,
    Subject,
    Target,
)

TERMINATE = """\
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE pid = 4211
  AND backend_start = '2026-11-22 18:00:00+00'
  AND state = 'idle in transaction';"""
TIMEOUT = "ALTER ROLE billing SET idle_in_transaction_session_timeout = '60s';"
LEAK = Finding(
    status=Status.CRITICAL,
    summary="27 of 27 usable connections are taken; new clients are refused.",
    evidence=(
        Evidence(
            key="slots",
            value=27,
            text="max_connections 30, reserved 3, in use 27 (warn 80 %, crit 95 %)",
            source="pg_stat_activity",
        ),
        Evidence(
            key="sessions_idle_in_transaction",
            value=25,
            text='25 idle in transaction, the oldest for 14 min 02 s: pid 4211, app "billing", '
            "last statement SELECT balance FROM accounts WHERE id = $1",
        ),
    ),
    cause=Cause(
        label="leak.idle_in_transaction",
        confidence=Confidence.LIKELY,
        because='app "billing" holds 26 of the 27, and 25 of those sit in an open transaction',
    ),
    remedies=(
        Remedy(
            step=Step.PREVENT,
            command=TIMEOUT,
            effect="ends such sessions from now on",
            changes_state=True,
        ),
        Remedy(
            step=Step.STOP,
            command=TERMINATE,
            effect='ends 1 session of app "billing"; its open transaction is rolled back',
            changes_state=True,
        ),
        Remedy(
            step=Step.CURE,
            command="close every transaction in the code, also when it raises",
            effect="no session is left behind",
            language="text",
        ),
    ),
    explains=("query.slow",),
    subjects=(Subject(kind="pid", value="4211"),),
    measures=(
        Measure(name="connections_used", value=27, warning=21.6, critical=25.65, maximum=27),
        Measure(name="connections_used_percent", value=100, unit="%"),
        Measure(name="commits_total", value=12345, unit="c"),
    ),
    notes=("seen twice, 5 s apart",),
)


def ok(summary: str = "All is well.", **more: object) -> Finding:
    """A finding without a complaint."""
    return Finding(status=Status.OK, summary=summary, **more)  # type: ignore[arg-type]


def result(
    number: int,
    check: str,
    finding: Finding,
    instance: str = "",
    service: str = "shop",
    fold: Fold | None = None,
) -> Result:
    """A finding with its address; the check's first word is the backend,
    and an unnamed instance goes by it as in the configuration."""
    return Result(
        id=f"f{number}",
        check=check,
        service=service,
        backend=check.partition(".")[0],
        instance=instance or check.partition(".")[0],
        finding=finding,
        explained_by=fold,
    )


def target(
    backend: str,
    server: str = "PostgreSQL 15.20",
    instance: str = "",
    notes: tuple[str, ...] = (),
) -> Target:
    """A target that answered within 84 ms, or, without ``server``, did not."""
    return Target(
        service="shop",
        backend=backend,
        instance=instance or backend,
        address="127.0.0.1:5432/orders",
        server=server,
        seconds=0.084,
        statements=12,
        connections=1,
        notes=notes,
    )


def report(
    results: tuple[Result, ...], targets: tuple[Target, ...] | None = None, interrupted: str = ""
) -> Report:
    """A run of 11.2 s on 22 November 2026."""
    return Report(
        tool_version="0.1.0",
        started="2026-11-22T18:00:00Z",
        seconds=11.2,
        window=5.0,
        source="backend-doctor.yaml",
        targets=(target("postgres"), target("redis", "Redis 7.0.15"))
        if targets is None
        else targets,
        results=results,
        interrupted=interrupted,
    )


HEALTHY = report(
    (
        result(1, "postgres.pool_exhaustion", ok("9 of 27 usable connections are taken.")),
        result(2, "postgres.reachable", ok()),
        result(3, "redis.clients", ok(notes=("growing 1 client/min: too short to tell",))),
    )
)
SYMPTOM = Finding(
    status=Status.WARNING,
    summary="One statement waits 12 s on average.",
    cause=Cause(label="query.slow", confidence=Confidence.POSSIBLE, because="it is slow"),
)
FULL_REDIS = Finding(
    status=Status.CRITICAL,
    summary="20 of 20 clients are connected; 2 were refused in the last 5 s.",
    cause=Cause(label="redis.maxclients", confidence=Confidence.CERTAIN, because="it is full"),
)
TWO_CRITICALS = report(
    (
        result(1, "postgres.pool_exhaustion", LEAK),
        result(2, "redis.clients", FULL_REDIS),
        result(
            3,
            "postgres.slow",
            SYMPTOM,
            fold=Fold(under="f1", shared=(Subject(kind="pid", value="4211"),)),
        ),
        result(4, "postgres.reachable", ok()),
    ),
    (target("postgres"), target("redis"), target("redis", "Redis 7.0.15", "sessions")),
)
_NO_LOGIN = Fold(under="f1", shared=(Subject(kind="login", value="127.0.0.1:5432"),))
_BLIND = Finding(status=Status.UNKNOWN, summary="Could not be judged: refused.")
UNREACHABLE = report(
    (
        result(
            1,
            "postgres.reachable",
            Finding(
                status=Status.CRITICAL,
                summary="Nothing listens at 127.0.0.1:5432.",
                cause=Cause(
                    label="reach.refused", confidence=Confidence.LIKELY, because="errno 111"
                ),
                remedies=(
                    Remedy(
                        step=Step.CONFIRM,
                        command="pg_isready -h 127.0.0.1 -p 5432",
                        effect="asks the server itself",
                        language="sh",
                    ),
                ),
            ),
        ),
        result(2, "redis.clients", ok()),
        result(3, "postgres.pool_exhaustion", _BLIND, fold=_NO_LOGIN),
        result(4, "postgres.slow", _BLIND, fold=_NO_LOGIN),
    ),
    (target("postgres", server=""), target("redis", "Redis 7.0.15")),
)
ALL_UNKNOWN = report(
    tuple(
        result(
            number,
            check,
            Finding(
                status=Status.UNKNOWN,
                summary="Could not be judged: the role may not see others' sessions.",
                remedies=(
                    Remedy(
                        step=Step.CURE,
                        command="GRANT pg_monitor TO doctor;",
                        effect="lets it be judged",
                        changes_state=True,
                    ),
                ),
            ),
        )
        for number, check in enumerate(("postgres.pool_exhaustion", "postgres.slow"))
    ),
    (target("postgres", notes=("a pooler stands between: PgBouncer",)),),
)
INTERRUPTED = report(
    (result(1, "redis.clients", ok()),), interrupted="the deadline of 30 s has passed"
)
FIFTEEN = report(
    tuple(
        result(number, f"postgres.check{number}", SYMPTOM, instance=f"db{number}")
        for number in range(15)
    ),
    tuple(target("postgres", instance=f"db{number}") for number in range(15)),
)
EMPTY = report((), ())
ALL = {
    "healthy": HEALTHY,
    "two_criticals": TWO_CRITICALS,
    "unreachable": UNREACHABLE,
    "all_unknown": ALL_UNKNOWN,
    "interrupted": INTERRUPTED,
    "fifteen": FIFTEEN,
    "empty": EMPTY,
}
