"""What a person changes in code, in a configuration or at a console: words, never run by us."""

from backend_doctor.model import Remedy, Step


def by_hand(step: Step, command: str, *, effect: str) -> Remedy:
    """A change that no shell and no SQL session makes."""
    return Remedy(step=step, command=command, effect=effect, changes_state=True, language="text")
