"""Where in the configuration something stands, and the one form of its errors."""

import re
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from backend_doctor.errors import ConfigurationError
from backend_doctor.text import safe_text, shorten

_WORD = r"[A-Za-z0-9_.\-]{1,60}"


class Place(msgspec.Struct, frozen=True):
    """A file (or variable, or argument), a line (0: none) and a key path ("": the top)."""

    source: str
    line: int = 0
    path: str = ""

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        return safe_text(f"{where}: {self.path}" if self.path else where)

    @property
    def origin(self) -> str:
        """Source and line, for people who look the value up."""
        return safe_text(f"{self.source}:{self.line}" if self.line else self.source)

    def child(self, key: str | int, line: int) -> "Place":
        """The place of an entry of this mapping or list."""
        if isinstance(key, int):
            return replace(self, line=line, path=f"{self.path}[{key}]")
        return replace(self, line=line, path=f"{self.path}.{key}" if self.path else key)

    def error(self, problem: str, expected: str = "", hint: str = "") -> ConfigurationError:
        """The error to raise: ``PLACE: problem; expected ...; did you mean "..."?``."""
        return fault(str(self), problem, expected, hint)


def fault(place: str, problem: str, expected: str = "", hint: str = "") -> ConfigurationError:
    """A :class:`ConfigurationError` in the one form all of them have."""
    parts = [problem, f"expected {expected}" if expected else "", hint]
    return ConfigurationError(f"{place}: " + "; ".join(filter(None, parts)))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question that names the nearest known word, or "" when none is near."""
    from difflib import get_close_matches

    by_spelling = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_spelling, n=1, cutoff=0.6)
    return f'did you mean "{by_spelling[near[0]]}"?' if near else ""


def shown(word: str) -> str:
    """A key or name fit to be repeated in a message.

    What is not a plain word is not repeated: a URL pasted in a key's place may hold a password.
    """
    return f'"{word}"' if re.fullmatch(_WORD, word) else "what stands here (not shown)"


def listed(words: Iterable[str]) -> str:
    """Words for an "expected": separated by commas, the last by "or"."""
    *first, last = words
    return shorten(f"{', '.join(first)} or {last}" if first else last, 200)
