"""Illnesses: one module each, found by listing this folder.

A module has ``LABEL`` (the cause that a check names), ``TITLE`` (one line for people),
``EXIT_CODE`` (of `check` meanwhile) and ``sick(patient)``, an asynchronous context manager that
makes the patient sick, yields what can be seen of it, and heals.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol

from backend_doctor.errors import UserError

if TYPE_CHECKING:
    from backend_doctor.demo.patient import Patient

DEFAULT = "leak.idle_in_transaction"


class Sicken(Protocol):
    """Makes sick on entry, heals on exit."""

    def __call__(self, patient: "Patient") -> AbstractAsyncContextManager[str]: ...


@dataclass(frozen=True)
class Illness:
    """One module's content."""

    label: str
    title: str
    exit_code: int
    sick: Sicken


def illnesses() -> dict[str, Illness]:
    """All illnesses by label."""
    found = {}
    for entry in iter_modules(__path__):
        module = import_module(f"{__name__}.{entry.name}")
        found[module.LABEL] = Illness(module.LABEL, module.TITLE, module.EXIT_CODE, module.sick)
    return found


def illness(label: str) -> Illness:
    """One illness; raises UserError for a label that none has."""
    known = illnesses()
    if label not in known:
        raise UserError(
            f"the demo has no illness of that label; choose one of: {', '.join(sorted(known))}"
        )
    return known[label]
