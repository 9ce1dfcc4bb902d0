from collections.abc import Iterator, Sequence

from backend_doctor import (
    Cause,
    Confidence,
    Each,
    Evidence,
    Finding,
    Instance,
    Measure,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.http.answers import HealthAnswers, Sample
from backend_doctor.backends.http.errors import CONNECTION_LOST, meaning, named
from backend_doctor.backends.postgres.slots import Slots


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.0f} min"


def _evidence(
    lost: Sequence[Sample], total: int, uptime: float, slots: Slots
) -> Iterator[Evidence]:
    path = ", ".join(dict.fromkeys(sample.path for sample in lost))
    yield Evidence(
        key="requests_on_dead_connections",
        value=len(lost),
        text=f"{len(lost)} of {total} requests failed on a connection that was closed before",
        source=f"GET {path}",
    )
    yield Evidence(
        key="named_error",
        value=CONNECTION_LOST,
        text=f"their answers name {CONNECTION_LOST}: {meaning(CONNECTION_LOST)}",
        source="body of the answers",
    )
    yield Evidence(
        key="server_started_at",
        value=slots.started_us // 1_000_000,
        text=f"the server was started {_ago(uptime)} ago; sessions from before ended with it",
        source="pg_postmaster_start_time()",
    )
    yield Evidence(
        key="used_slots",
        value=slots.used,
        text=f"{slots.text}: it is up, lets us in and has room",
        source="pg_stat_activity",
    )


_REMEDIES = (
    Remedy(
        step=Step.STOP,
        command="restart one process of the application after the other",
        effect="empties the pools at once; else each dead connection fails one more request, or "
        "all of them, where the pool keeps it",
        changes_state=True,
        language="text",
    ),
    Remedy(
        step=Step.CONFIRM,
        command="SELECT pg_postmaster_start_time(), count(*), min(backend_start)\n"
        "  FROM pg_stat_activity WHERE backend_type = 'client backend';",
        effect="shows when the server was started, and that no session is older",
    ),
    Remedy(
        step=Step.CURE,
        command="create_async_engine(url, pool_pre_ping=True, pool_recycle=1800)",
        effect="a connection is tried before it is handed out and replaced if it is dead, and "
        "none grows older than half an hour",
        changes_state=True,
        language="text",
    ),
    Remedy(
        step=Step.PREVENT,
        command="repeat a request once that failed on a lost connection before it wrote anything",
        effect="a restart or failover then costs a moment and no error",
        language="text",
    ),
)


@check
def stale_connections(
    slots: Slots,
    faces: Each[HealthAnswers],
    instance: Instance,
    *,
    recent_seconds: float = 1800.0,
) -> Iterator[Finding]:
    """Requests fail on connections that ended when the server was restarted: the pool kept them.

    Judged by what answers name now, where the server has been up for ``recent_seconds`` at most.
    """
    answers = [seen for seen in faces.values() if isinstance(seen, HealthAnswers)]
    samples = [sample for seen in answers for sample in seen.samples]
    lost = [sample for sample in samples if sample.error == CONNECTION_LOST]
    uptime = slots.uptime
    measures: tuple[Measure, ...] = (Measure(name="requests_on_dead_connections", value=len(lost)),)
    if uptime is None:
        yield Finding(
            status=Status.UNKNOWN,
            summary="Since when the server runs could not be seen."
            + (f" {len(lost)} requests name a lost connection." if lost else ""),
            subjects=(Subject(kind="login", value=instance.address),) * slots.refused,
            measures=measures,
        )
        return
    measures += (Measure(name="server_uptime_seconds", value=round(uptime), unit="s"),)
    up = f"The server has been up for {_ago(uptime)}"
    if not lost or uptime > recent_seconds:
        other = (
            f"{len(lost)} of {len(samples)} requests name a lost connection, and no restart is "
            "behind it: an idle timeout of the server or of something on the way may be"
        )
        yield Finding(
            status=Status.OK,
            summary=f"{up}; {len(lost)} of {len(samples)} requests name a lost connection."
            if answers
            else f"{up}.",
            measures=measures,
            notes=(other,) if lost else (),
        )
        return
    yield Finding(
        status=Status.CRITICAL if 2 * len(lost) >= len(samples) else Status.WARNING,
        summary=f"{len(lost)} of {len(samples)} requests fail on connections that ended when the "
        f"server was restarted {_ago(uptime)} ago.",
        evidence=tuple(_evidence(lost, len(samples), uptime, slots)),
        cause=Cause(
            label="pool.stale_after_restart",
            confidence=Confidence.LIKELY,
            because="the server is well again, but the application's pool still hands out "
            "connections from before, without trying them first",
        ),
        remedies=_REMEDIES,
        explains=("http.server_error", "cors.error_masks_5xx"),
        subjects=(
            *(Subject(kind="endpoint", value=path) for path in named(s.path for s in lost)),
            Subject(kind="error", value=CONNECTION_LOST),
        ),
        measures=measures,
    )
