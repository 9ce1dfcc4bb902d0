"""Runs the checks on a snapshot: facts in, findings out; what raises becomes one unknown."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from backend_doctor.config.model import Ignore
from backend_doctor.diagnosis import diagnose
from backend_doctor.facts import (
    Absence,
    AbsenceKind,
    Absent,
    Each,
    Fact,
    Instance,
    Looks,
    Service,
)
from backend_doctor.model import Finding, Remedy, Report, Result, Status, Step, Subject
from backend_doctor.registry import Check, Need, home
from backend_doctor.snapshot import Examined, Snapshot, last_seen, seen_twice
from backend_doctor.text import safe_text, shorten

Limits = Mapping[str, Mapping[str, Any]]


def _seen(need: Need, backend: Examined, window: float) -> Fact | Looks[Fact] | Absence:
    looks = backend.facts.get(need.fact.__name__)
    if "looks" in need.form:
        return seen_twice(need.fact, looks, window)
    return last_seen(need.fact, looks)


class _Resolver:
    """Gives a check's parameters their facts for one examined instance."""

    def __init__(self, snapshot: Snapshot, backend: Examined) -> None:
        self._backend = backend
        self._window = snapshot.window
        self._service = next(
            service for service in snapshot.services if service.name == backend.instance.service
        )
        self._siblings = [
            other
            for other in snapshot.backends
            if other.instance.service == backend.instance.service
        ]

    def resolve(self, need: Need) -> object:
        """The argument for one parameter. Raises Absent when a needed fact is not there."""
        if need.fact is Service:
            return self._service
        if need.fact is Instance:
            return self._backend.instance
        if need.form in ("each", "each_looks"):
            kind = home(need.fact) or self._backend.instance.backend
            found_each: dict[str, Fact | Looks[Fact] | Absence] = {
                other.instance.name: _seen(need, other, self._window)
                for other in self._siblings
                if other.instance.backend == kind
            }
            return Each[Fact | Looks[Fact]](found_each)
        found = _seen(need, self._backend, self._window)
        if not isinstance(found, Absence):
            return found
        if need.optional:
            return None
        reason = found.reason
        if found.kind is not AbsenceKind.NOT_APPLICABLE:
            reason = f"{need.fact.spoken()}: {reason}"
        raise Absent(reason, remedy=found.remedy, kind=found.kind)


_LANGUAGES = {"postgres": "sql", "redis": "redis", "mongodb": "text", "pgbouncer": "text"}


def _blind(absence: Absence, instance: Instance) -> Finding:
    applicable = absence.kind is not AbsenceKind.NOT_APPLICABLE
    remedies = (
        (
            Remedy(
                step=Step.CURE,
                command=absence.remedy,
                effect="lets it be judged",
                changes_state=True,
                language=_LANGUAGES.get(instance.backend, "sh"),
            ),
        )
        if absence.remedy
        else ()
    )
    login = absence.kind is AbsenceKind.LOGIN
    return Finding(
        status=Status.UNKNOWN if applicable else Status.SKIPPED,
        summary=f"Could not be judged: {absence.reason}." if applicable else f"{absence.reason}.",
        remedies=remedies,
        subjects=(Subject(kind="login", value=instance.address),) if login else (),
    )


def _broken(check: Check, error: Exception) -> Finding:
    said = shorten(safe_text(str(error)), 160)
    return Finding(
        status=Status.UNKNOWN,
        summary=f"The check {check.id} failed: {type(error).__name__}: {said}",
        notes=(f"a fault of the check itself, in {check.path.name}; the other checks went on",),
    )


def _valid(found: object) -> Finding:
    """What a check yielded. Raises when it is no finding, or holds what no report can show."""
    if not isinstance(found, Finding):
        raise TypeError(f"it yielded {type(found).__name__}, not Finding")
    msgspec.convert(msgspec.to_builtins(found), Finding)
    return found


def run_check(
    check: Check, backend: Examined, snapshot: Snapshot, limits: Mapping[str, Any]
) -> list[Finding]:
    """One check on one instance. Never raises: what it cannot tell is an unknown finding."""
    resolver = _Resolver(snapshot, backend)
    try:
        arguments = [resolver.resolve(need) for need in check.needs]
        findings = [_valid(found) for found in check.function(*arguments, **limits)]
    except Absent as absent:
        return [_blind(absent.absence, backend.instance)]
    except msgspec.ValidationError as error:
        return [_broken(check, error)]
    except Exception as error:  # noqa: BLE001 - one broken check must not stop the others
        return [_broken(check, error)]
    return findings or [_broken(check, RuntimeError("it yielded no finding at all"))]


def _muted(finding: Finding, rule: Ignore) -> Finding:
    note = f"ignored until {rule.until.isoformat()}: {rule.reason} (was {finding.status.value})"
    return msgspec.structs.replace(finding, status=Status.SKIPPED, notes=(*finding.notes, note))


def _rule(ignores: Iterable[Ignore], check: str, finding: Finding, service: str) -> Ignore | None:
    today = datetime.datetime.now(datetime.UTC).date()
    cause = finding.cause.label if finding.cause else ""
    for rule in ignores:
        fits = rule.cause in ("", cause) and rule.service in ("", service)
        if rule.check == check and fits and rule.until >= today:
            return rule
    return None


def judge(
    snapshot: Snapshot,
    checks: Iterable[Check],
    limits: Limits | None = None,
    ignores: Sequence[Ignore] = (),
) -> Report:
    """Runs every check on every instance of its kind and orders what they say.

    ``limits`` by check id and name; findings that an ignore rule fits are shown as skipped.
    """
    available = list(checks)
    results: list[Result] = []
    for backend in snapshot.backends:
        instance = backend.instance
        for check in available:
            if check.backend != instance.backend:
                continue
            for finding in run_check(check, backend, snapshot, (limits or {}).get(check.id, {})):
                rule = _rule(ignores, check.id, finding, instance.service)
                if rule is not None:
                    finding = _muted(finding, rule)
                results.append(
                    Result(
                        id=f"f{len(results) + 1}",
                        check=check.id,
                        service=instance.service,
                        backend=instance.backend,
                        instance=instance.name,
                        finding=finding,
                    )
                )
    return Report(
        tool_version=snapshot.tool_version,
        started=snapshot.started,
        seconds=snapshot.seconds,
        window=snapshot.window,
        source=snapshot.source,
        targets=tuple(backend.target for backend in snapshot.backends),
        results=diagnose(results, {b.instance.key: b.instance.address for b in snapshot.backends}),
        interrupted=snapshot.interrupted,
        warnings=tuple(snapshot.warnings),
    )
