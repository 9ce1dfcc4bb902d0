"""How a message is read, for the tests of all that may say one."""

from backend_doctor.registry import load_checks
from backend_doctor.triage import load_messages, read

CHECKS = load_checks(plugins=False)
MESSAGES = load_messages()


def lead(text: str) -> str:
    """The title of the one message in a text."""
    sightings = read(text.splitlines(), MESSAGES).sightings
    assert sightings, f"not recognised: {text}"
    return sightings[0].message.title


def said(error: BaseException) -> str:
    """An error as the last line of its traceback shows it."""
    return f"{type(error).__module__}.{type(error).__qualname__}: {error}"
