"""What a run saw, raw: saved by ``collect``, judged at once or later by the same road."""

import math
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from backend_doctor.errors import UserError
from backend_doctor.facts import Absence, AbsenceKind, Fact, Instance, Looks, Service
from backend_doctor.model import Target
from backend_doctor.text import storable

SCHEMA_VERSION = 1
F = TypeVar("F", bound=Fact)
_ONE_LOOK = "Needs two looks; --window 0 allows one"
_NOT_READ = Absence(kind=AbsenceKind.FAILED, reason="was not read before the run ended")


class Look(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observation: ``at`` seconds after the run's start, a raw value or an absence."""

    at: float
    value: dict[str, Any] | None = None
    absent: Absence | None = None


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """One backend instance with all looks at its facts, by the fact type's name."""

    instance: Instance
    target: Target
    facts: dict[str, list[Look]]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that one run saw, without a verdict. ``started`` is RFC 3339 in UTC."""

    schema_version: int = SCHEMA_VERSION
    tool_version: str
    started: str
    seconds: float
    window: float
    source: str
    services: list[Service]
    backends: list[Examined]
    warnings: list[str] = []
    interrupted: str = ""


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that is not finite")
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value


def raw(fact: Fact) -> dict[str, Any]:
    """A fact as plain data that JSON can carry. Raises ValueError for nan and infinity."""
    plain: dict[str, Any] = _clean(msgspec.to_builtins(fact))
    return plain


def decode(fact: type[F], value: dict[str, Any]) -> F:
    """The typed fact in plain data. Raises msgspec.ValidationError when it does not fit."""
    return msgspec.convert(value, fact)


def last_seen(fact: type[F], looks: list[Look] | None) -> F | Absence:
    """The fact as it was seen last."""
    if not looks:
        return _NOT_READ
    look = looks[-1]
    return decode(fact, look.value) if look.value is not None else look.absent or _NOT_READ


def seen_twice(fact: type[F], looks: list[Look] | None, window: float) -> Looks[F] | Absence:
    """Two looks at the fact, or why no rate can be told. ``window`` is the run's."""
    values = [look.value for look in looks or ()]
    if looks and values[-1] is None:
        return looks[-1].absent or _NOT_READ
    if window == 0 and len(values) < 2:
        return Absence(kind=AbsenceKind.NOT_APPLICABLE, reason=_ONE_LOOK)
    if not looks:
        return _NOT_READ
    if len(values) < 2 or values[0] is None or values[-1] is None:
        return Absence(
            kind=AbsenceKind.FAILED, reason="seen only once, so no rate can be told; check again"
        )
    first, last = decode(fact, values[0]), decode(fact, values[-1])
    if first.epoch != last.epoch:
        return Absence(
            kind=AbsenceKind.FAILED,
            reason="the server restarted or its statistics were reset between the two looks",
        )
    return Looks(first, last, looks[-1].at - looks[0].at)


def save(snapshot: Snapshot, path: Path) -> None:
    """Writes a snapshot, readable by its owner only. Raises UserError when it cannot."""
    data = msgspec.json.format(msgspec.json.encode(snapshot), indent=1) + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, 0o600)
            stream.write(data)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror}. Name a file in a folder of yours."
        ) from error


def _complete(snapshot: Snapshot) -> Snapshot:
    """The same. Raises msgspec.ValidationError when a backend's service is not in it."""
    known = {service.name for service in snapshot.services}
    for backend in snapshot.backends:
        if backend.instance.service not in known:
            raise msgspec.ValidationError("a backend belongs to a service that is not in it")
    return snapshot


def load(path: Path) -> Snapshot:
    """Reads a snapshot. Raises UserError when it is missing, damaged or of another version."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}. "
            "Save one with: backend-doctor collect -o FILE"
        ) from error
    try:
        found = msgspec.json.decode(data, type=dict[str, Any]).get("schema_version")
        if found != SCHEMA_VERSION:
            raise UserError(
                f"{path}: is snapshot version {found}; this version reads {SCHEMA_VERSION}. "
                "Judge it with the version of backend-doctor that saved it."
            )
        return _complete(msgspec.json.decode(data, type=Snapshot))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(
            f"{path}: is not a snapshot: {error}. Save one with: backend-doctor collect -o FILE"
        ) from error
