from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import quantiles

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
from backend_doctor.backends.http.pool import stuck_holders
from backend_doctor.backends.http.remedies import errors_name, look_at_answers, read_the_log
from backend_doctor.backends.postgres.sessions import Sessions


def _p95(samples: Sequence[Sample]) -> float:
    seconds = [sample.seconds for sample in samples]
    return quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]


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
    yield Evidence(
        key="p95_seconds",
        value=round(p95, 3),
        text=f"95 % of the answers took at most {p95:.2f} s",
        source=f"GET {answers.path}",
    )
    for name in named(sample.error for sample in samples):
        count = sum(sample.error == name for sample in samples)
        yield Evidence(
            key="named_error",
            value=name,
            text=f"{count} of the answers name {name}: {meaning(name)}",
            source="body of the answers",
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
            because="the application, or what stands in front of it, fails"
            + ("; what the answers name is where to look" if errors else ""),
        ),
        remedies=(look_at_answers(answers.url), read_the_log(), *cure),
        explains=("cors.error_masks_5xx",),
        subjects=(
            Subject(kind="endpoint", value=answers.path),
            *(Subject(kind="error", value=name) for name in errors),
            *(Subject(kind="application", value=name) for name in sorted(applications)),
        ),
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

    Judged over all requests of both looks. Critical when half of them fail. A failure after
    ``wait_seconds`` may be one of a request that got no database connection.
    """
    samples = (*looks.first.samples, *looks.last.samples) if looks else answers.samples
    p95 = _p95(samples)
    measures = (
        Measure(
            name="response_seconds_p95",
            value=round(p95, 4),
            unit="s",
            warning=warning_seconds,
            critical=critical_seconds,
        ),
        Measure(name="failed_responses", value=sum(sample.failed for sample in samples)),
    )
    evidence = tuple(_evidence(answers, samples, p95))
    failed = [sample for sample in samples if sample.failed]
    if failed:
        applications = _applications(failed, databases, wait_seconds)
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
    yield msgspec.structs.replace(found, measures=measures)
