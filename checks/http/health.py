from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median, quantiles

import msgspec

from backend_doctor import (
    Cause,
    Confidence,
    Each,
    Evidence,
    Finding,
    Looks,
    Measure,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.backends.http.errors import POSTGRES_POOL_ERRORS, meaning, named
from backend_doctor.backends.http.pool import crowds, stuck_holders
from backend_doctor.backends.http.remedies import errors_name, look_at_answers, read_the_log
from backend_doctor.backends.postgres.sessions import Sessions

_UNANSWERED = (
    "who waits for a pooled connection fails only after the pool's own timeout, often longer "
    "(SQLAlchemy: 30 s). Where the sessions stand still, idle or in a transaction, they are kept "
    "from the requests, or these wait for something else; where all work, the pool is small or its "
    "statements are slow; where none is seen, the requests stop before they ask the database"
)


def _p95(samples: Sequence[Sample]) -> float:
    seconds = [sample.seconds for sample in samples]
    return quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]


def _latency(answers: HealthAnswers, samples: Sequence[Sample], p95: float) -> Iterator[Evidence]:
    """How long the requests took: half of them, nearly all, and the slowest."""
    seconds = [sample.seconds for sample in samples]
    source = f"{len(samples)} x GET {answers.path}, one after the other"
    yield Evidence(
        key="p50_seconds",
        value=round(median(seconds), 3),
        text=f"half of the {len(samples)} requests ended within {median(seconds):.2f} s",
        source=source,
    )
    yield Evidence(
        key="p95_seconds",
        value=round(p95, 3),
        text=f"95 % of the {len(samples)} requests ended, or were given up, within {p95:.2f} s",
        source=source,
    )
    yield Evidence(
        key="slowest_seconds",
        value=round(max(seconds), 3),
        text=f"the slowest of the {len(samples)} took {max(seconds):.2f} s",
        source=source,
    )


def _measures(
    samples: Sequence[Sample], p95: float, warning: float, critical: float
) -> tuple[Measure, ...]:
    seconds = [sample.seconds for sample in samples]
    return (
        Measure(
            name="response_seconds_p95",
            value=round(p95, 4),
            unit="s",
            warning=warning,
            critical=critical,
        ),
        Measure(name="response_seconds_p50", value=round(median(seconds), 4), unit="s"),
        Measure(name="response_seconds_max", value=max(seconds), unit="s"),
        Measure(name="failed_responses", value=sum(sample.failed for sample in samples)),
    )


def _spread(samples: Sequence[Sample]) -> str:
    counts = Counter(sample.result for sample in samples)
    return ", ".join(f"{count} x {result}" for result, count in counts.most_common())


def _evidence(answers: HealthAnswers, samples: Sequence[Sample], p95: float) -> Iterator[Evidence]:
    yield Evidence(
        key="answers",
        value=_spread(samples),
        text=f"{len(samples)} GETs of {answers.path}: {_spread(samples)}",
        source=f"GET {answers.path}",
    )
    yield from _latency(answers, samples, p95)
    for name in named(sample.error for sample in samples):
        count = sum(sample.error == name for sample in samples)
        yield Evidence(
            key="named_error",
            value=name,
            text=f"{count} of the answers name {name}: {meaning(name)}",
            source="body of the answers",
        )


def _meanwhile(databases: Each[Looks[Sessions]]) -> Iterator[Evidence]:
    """What the applications did in their databases while requests got no answer."""
    for name, looks in databases.items():
        for crowd in crowds(looks)[:3] if isinstance(looks, Looks) else ():
            yield Evidence(
                key="sessions_meanwhile",
                value=crowd.after,
                text=f"meanwhile in {name}: {crowd.text}",
                source="pg_stat_activity in both looks",
            )


def _applications(
    samples: Sequence[Sample], databases: Each[Looks[Sessions]], wait: float
) -> set[str]:
    """Whose sessions are stuck while requests fail for want of a connection, or take so long."""
    starved = any(one.error in POSTGRES_POOL_ERRORS or one.seconds >= wait for one in samples)
    if not starved:
        return set()
    return {
        holder
        for looks in databases.values()
        if isinstance(looks, Looks)
        for holder in stuck_holders(looks)
    }


def _server_error(
    answers: HealthAnswers,
    samples: Sequence[Sample],
    evidence: tuple[Evidence, ...],
    applications: set[str],
) -> Finding:
    failed = [sample for sample in samples if sample.failed]
    hangs = all(sample.unanswered for sample in failed)
    errors = named(sample.error for sample in failed)
    said = f", and they name {', '.join(errors)}" if errors else ""
    cure = (errors_name(meaning(name) for name in errors),) if errors else ()
    return Finding(
        status=Status.CRITICAL if 2 * len(failed) >= len(samples) else Status.WARNING,
        summary=f"{len(failed)} of {len(samples)} GETs of {answers.path} failed "
        f"({_spread(failed)}){said}.",
        evidence=evidence,
        cause=Cause(
            label="http.server_error",
            confidence=Confidence.CERTAIN,
            because="requests come to no end: the application waits for something, or stands still"
            if hangs
            else "the application, or what stands in front of it, fails"
            + ("; what the answers name is where to look" if errors else ""),
        ),
        remedies=(look_at_answers(answers.url), read_the_log(), *cure),
        explains=("cors.error_masks_5xx", "cors.proxy_error"),
        subjects=(
            Subject(kind="endpoint", value=answers.path),
            *(Subject(kind="error", value=name) for name in errors),
            *(Subject(kind="application", value=name) for name in sorted(applications)),
        ),
        notes=(_UNANSWERED,) if hangs else (),
    )


def _refused(
    answers: HealthAnswers, samples: Sequence[Sample], evidence: tuple[Evidence, ...]
) -> Finding:
    statuses = {sample.status for sample in samples}
    if not answers.declared:
        return Finding(
            status=Status.OK,
            summary=f"The server answers ({_spread(samples)}).",
            evidence=evidence,
            notes=("no health path is declared; to judge one, set http.health",),
        )
    because = "the application refuses what its own monitor is told to ask"
    if statuses <= {401, 403}:
        because = "the health path wants credentials, so no load balancer can ask it either"
    if statuses == {404}:
        because = "the application, or the proxy in front of it, has no such path"
    return Finding(
        status=Status.WARNING,
        summary=f"GET {answers.path} is refused ({_spread(samples)}).",
        evidence=evidence,
        cause=Cause(label="http.health_refused", confidence=Confidence.CERTAIN, because=because),
        remedies=(look_at_answers(answers.url),),
        subjects=(Subject(kind="endpoint", value=answers.path),),
    )


def _slow(
    answers: HealthAnswers,
    p95: float,
    critical: bool,
    evidence: tuple[Evidence, ...],
    applications: set[str],
) -> Finding:
    return Finding(
        status=Status.CRITICAL if critical else Status.WARNING,
        summary=f"GET {answers.path} takes up to {p95:.2f} s (95th percentile).",
        evidence=evidence,
        cause=Cause(
            label="http.slow",
            confidence=Confidence.CERTAIN,
            because="the application answers, and late: it waits for something, or has more to "
            "do than it can",
        ),
        remedies=(look_at_answers(answers.url),),
        subjects=(
            Subject(kind="endpoint", value=answers.path),
            *(Subject(kind="application", value=name) for name in sorted(applications)),
        ),
    )


@check
def health(
    answers: HealthAnswers,
    looks: Looks[HealthAnswers] | None,
    databases: Each[Looks[Sessions]],
    *,
    warning_seconds: float = 1.0,
    critical_seconds: float = 3.0,
    wait_seconds: float = 0.2,
) -> Iterator[Finding]:
    """The health path fails, is refused, or answers late.

    Judged over all requests of both looks. Critical when half of them fail. Late is a 95th
    percentile of 1 s, after which a Kubernetes probe gives up unless told otherwise, and 3 s, as
    load balancers wait for 5 s and less (AWS, HAProxy). A failure after ``wait_seconds`` may be
    one of a request that got no database connection.
    """
    samples = (*looks.first.samples, *looks.last.samples) if looks else answers.samples
    p95 = _p95(samples)
    evidence = tuple(_evidence(answers, samples, p95))
    failed = [sample for sample in samples if sample.failed]
    if failed:
        applications = _applications(failed, databases, wait_seconds)
        if any(sample.unanswered for sample in failed):
            evidence += tuple(_meanwhile(databases))
        found = _server_error(answers, samples, evidence, applications)
    elif all(sample.status >= 400 for sample in samples):
        found = _refused(answers, samples, evidence)
    elif p95 >= warning_seconds:
        applications = _applications(samples, databases, warning_seconds)
        found = _slow(answers, p95, p95 >= critical_seconds, evidence, applications)
    else:
        found = Finding(
            status=Status.OK,
            summary=f"GET {answers.path} answers {_spread(samples)}, 95 % within {p95:.2f} s.",
            evidence=evidence,
        )
    yield msgspec.structs.replace(
        found, measures=_measures(samples, p95, warning_seconds, critical_seconds)
    )
