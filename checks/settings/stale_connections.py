from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Remedy,
    Status,
    Step,
    check,
)
from backend_doctor.backends.settings.application import ApplicationSettings, Stated

_PRE_PING = Remedy(
    step=Step.CURE,
    command="pool_pre_ping: true",
    effect="a connection is tried before it is handed out, and replaced if it is dead: one small "
    "round trip for each checkout",
    changes_state=True,
    language="yaml",
)


def _evidence(stated: Stated, meaning: str) -> Evidence:
    return Evidence(
        key=stated.key,
        value=str(stated.value).lower(),
        text=f"{stated.place}: {stated.key} is {str(stated.value).lower()}, {meaning}",
        source=stated.key,
    )


def _no_pre_ping(stated: Stated) -> Finding:
    return Finding(
        status=Status.WARNING,
        summary=f"Connections are handed out untried: {stated.key} is false ({stated.place}).",
        evidence=(_evidence(stated, "so a dead connection fails the request that gets it"),),
        cause=Cause(
            label="pool.no_pre_ping",
            confidence=Confidence.CERTAIN,
            because="after a restart or failover of the database each connection in the pool "
            "fails one request before it is replaced",
        ),
        remedies=(_PRE_PING,),
    )


def _outlives(stated: Stated, recycle: int, timeout: int, known: Stated | None) -> Finding:
    lives = "for ever" if recycle < 0 else f"{recycle} s"
    server = f"{known.key} ({known.place})" if known else "the usual idle timeout on the way"
    evidence = [_evidence(stated, f"so connections are kept {lives}")]
    if known:
        evidence.append(_evidence(known, f"so the server ends idle ones after {timeout} s"))
    return Finding(
        status=Status.WARNING,
        summary=f"Pooled connections are kept {lives} ({stated.place}), and {server} ends idle "
        f"ones after {timeout} s.",
        evidence=tuple(evidence),
        cause=Cause(
            label="pool.recycle_beyond_timeout",
            confidence=Confidence.CERTAIN if known else Confidence.POSSIBLE,
            because="the first request after a quiet spell gets a connection that the other side "
            "has closed",
        ),
        remedies=(
            Remedy(
                step=Step.CURE,
                command=f"pool_recycle: {max(1, timeout // 2)}",
                effect="connections are replaced before anything on the way ends them",
                changes_state=True,
                language="yaml",
            ),
            _PRE_PING,
        ),
    )


def _timeout(stated: Stated | None) -> int | None:
    """Seconds; PostgreSQL takes a bare number as milliseconds, and 0 as none."""
    value = stated.value if stated else None
    return int(value) // 1000 if isinstance(value, (int, float)) and value >= 1000 else None


@check
def stale_connections(
    settings: ApplicationSettings, *, idle_timeout: int = 3600
) -> Iterator[Finding]:
    """Dead connections that the pool hands out: no pre-ping, recycled later than they are cut.

    ``idle_timeout`` in seconds is the shortest on the way to the server, where the settings
    name none: many firewalls cut at 3600 s, some load balancers at 350 s or less.
    """
    ping = settings.values.get("pool_pre_ping")
    stated, recycle = settings.values.get("pool_recycle"), settings.number("pool_recycle")
    known = settings.values.get("idle_session_timeout")
    timeout = _timeout(known)
    least = idle_timeout if timeout is None else timeout
    notes, told = [], False
    if ping is not None and ping.value is False:
        if settings.development:
            notes.append(f"{ping.key} is false ({ping.place}): not for production")
        else:
            told = True
            yield _no_pre_ping(ping)
    if stated is not None and recycle is not None and (recycle < 0 or recycle > least):
        if settings.development or settings.flag("pool_pre_ping"):
            notes.append(f"{stated.key} is {recycle} ({stated.place}); idle ones may be cut before")
        else:
            told = True
            yield _outlives(stated, recycle, least, known if timeout is not None else None)
    if told:
        return
    if ping is None and stated is None:
        yield Finding(
            status=Status.SKIPPED,
            summary=f"{settings.source} states neither pool_pre_ping nor pool_recycle.",
            notes=("SQLAlchemy's defaults are no pre-ping and no recycling",),
        )
        return
    sound = "Connections are recycled before they are cut."
    if settings.flag("pool_pre_ping"):
        sound = "Dead connections are found before they are used."
    yield Finding(
        status=Status.OK,
        summary="Fine for development." if notes and settings.development else sound,
        notes=tuple(notes),
    )
