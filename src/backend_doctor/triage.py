"""Recognises messages in what a user pastes, and knows the runbook that each leads to.

They are kept in ``messages.yaml`` beside the runbooks: a list of :class:`Message`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from backend_doctor import console
from backend_doctor.console import Blocked
from backend_doctor.errors import UserError
from backend_doctor.registry import Check, bundled_folder

LONGEST_LINE = 20_000
"""Characters of a line that are looked at."""

# a terminal or a chat breaks long messages; a line shorter than this was not broken
_BROKEN_AT = 40
# what is longer was written by a program, not pasted from a screen
_PASTED_LINES = 1000
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "\N{NO-BREAK SPACE}": " "})


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of message.

    ``says`` are phrases of it, any of which is enough; ``*`` stands for any text within the
    line. ``causes`` says of each label when it is the one, ``also`` what no check can tell.
    ``runbook`` is a check's id. ``telling`` goes from 1, a mere symptom, to 9, the cause.
    """

    title: str
    says: tuple[str, ...]
    means: str
    runbook: str
    causes: dict[str, str]
    also: tuple[str, ...] = ()
    telling: int = 5


@dataclass(frozen=True)
class Sighting:
    """A kind of message that was found, on so many lines.

    ``blocked`` is the request that the first of them tells of, where a browser wrote it.
    """

    message: Message
    lines: int
    blocked: Blocked | None = None


@dataclass(frozen=True)
class Reading:
    """What was found in a text, most telling first."""

    lines: int
    sightings: tuple[Sighting, ...]


def load_messages(folders: Iterable[Path] = ()) -> list[Message]:
    """All messages: ours, then those beside the runbooks of further folders of checks.

    Raises UserError for a file that does not hold a list of messages.
    """
    beside = (folder.parent / "runbooks" for folder in folders)
    found: list[Message] = []
    for runbooks in (bundled_folder("runbooks"), *beside):
        for path in sorted(runbooks.glob("*/messages.yaml")):
            found.extend(_read(path))
    return found


def _read(path: Path) -> list[Message]:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=list[Message])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise UserError(f"{path}: no list of messages: {error}\nMend the file.") from error


def _spaced(text: str) -> str:
    text = text[:LONGEST_LINE]
    if not text.isascii():
        text = text.translate(_QUOTES)
    return " ".join(text.split())


def _plain(text: str) -> str:
    return _spaced(text).casefold()


class _Matcher:
    """Finds the most telling message that a line holds."""

    def __init__(self, messages: Iterable[Message]) -> None:
        ordered = sorted(messages, key=lambda message: -message.telling)
        phrases = (
            (message, [part.strip() for part in _plain(phrase).split("*") if part.strip()])
            for message in ordered
            for phrase in message.says
        )
        # a log may have a million lines: most are done with one look for each longest part
        self._phrases = [(max(parts, key=len), parts, found) for found, parts in phrases]

    def find(self, line: str) -> Message | None:
        """The message in a plain line, if any."""
        for longest, parts, message in self._phrases:
            if longest in line and _holds(line, parts):
                return message
        return None


def _holds(line: str, parts: list[str]) -> bool:
    place = 0
    for part in parts:
        place = line.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True


def read(lines: Iterable[str], messages: Iterable[Message]) -> Reading:
    """The kinds of messages in a text, each once; a message broken over two lines is found."""
    matcher, counts, total = _Matcher(messages), dict[int, Sighting](), 0
    before: deque[str] = deque(maxlen=2)
    for line in lines:
        total += 1
        text = whole = _spaced(line)
        found = matcher.find(text.casefold())
        pasted = total <= _PASTED_LINES and before and len(before[-1]) >= _BROKEN_AT
        if found is None and pasted:
            whole = " ".join((*before, text))
            found = matcher.find(whole.casefold())
        before.append(text)
        if found is not None:
            before.clear()
            seen = counts.get(id(found)) or Sighting(found, 0)
            blocked = seen.blocked or console.parse(whole)
            counts[id(found)] = Sighting(found, seen.lines + 1, blocked)
    ordered = sorted(counts.values(), key=lambda s: (-s.message.telling, -s.lines))
    return Reading(total, tuple(ordered))


def telling_checks(message: Message, checks: Mapping[str, Check]) -> tuple[str, ...]:
    """The ids of the checks that can tell which of the causes it is, the runbook's own first.

    A cause that checks of several kinds can name is left to the runbook's kind.
    """
    kind = message.runbook.partition(".")[0]
    ids = [message.runbook, *(_namers(message.causes, kind, checks)), f"{kind}.reachability"]
    return tuple(dict.fromkeys(check_id for check_id in ids if check_id in checks))


def _namers(causes: Iterable[str], kind: str, checks: Mapping[str, Check]) -> Iterator[str]:
    for cause in causes:
        able = [check for check in checks.values() if cause in check.causes]
        own = [check for check in able if check.backend == kind]
        yield from (check.id for check in own or able)
