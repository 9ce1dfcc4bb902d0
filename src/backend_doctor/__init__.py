"""Operations and diagnostics toolkit: names one root cause first, and only ever reads.

A check file needs nothing but the names below and the fact types of its backend.
They are loaded on first use, so that ``backend-doctor --version`` imports none of them.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Absent": "facts",
    "Cause": "model",
    "Confidence": "model",
    "Each": "facts",
    "Evidence": "model",
    "Fact": "facts",
    "Finding": "model",
    "Fleet": "fleet",
    "Instance": "facts",
    "Login": "facts",
    "Looks": "facts",
    "Measure": "model",
    "Problem": "facts",
    "Remedy": "model",
    "SEEN_BY_CLIENTS": "model",
    "Service": "facts",
    "Status": "model",
    "Step": "model",
    "Subject": "model",
    "check": "registry",
    "fleet_of": "fleet",
}
__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from backend_doctor.facts import Absent as Absent
    from backend_doctor.facts import Each as Each
    from backend_doctor.facts import Fact as Fact
    from backend_doctor.facts import Instance as Instance
    from backend_doctor.facts import Login as Login
    from backend_doctor.facts import Looks as Looks
    from backend_doctor.facts import Problem as Problem
    from backend_doctor.facts import Service as Service
    from backend_doctor.fleet import Fleet as Fleet
    from backend_doctor.fleet import fleet_of as fleet_of
    from backend_doctor.model import SEEN_BY_CLIENTS as SEEN_BY_CLIENTS
    from backend_doctor.model import Cause as Cause
    from backend_doctor.model import Confidence as Confidence
    from backend_doctor.model import Evidence as Evidence
    from backend_doctor.model import Finding as Finding
    from backend_doctor.model import Measure as Measure
    from backend_doctor.model import Remedy as Remedy
    from backend_doctor.model import Status as Status
    from backend_doctor.model import Step as Step
    from backend_doctor.model import Subject as Subject
    from backend_doctor.registry import check as check


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
