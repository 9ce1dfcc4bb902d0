"""Hostile text made harmless: what comes from a target passes here before it is shown."""

import re
from collections.abc import Iterable

# C0 and C1 controls, DEL, line and paragraph separators, bidirectional overrides and
# isolates, zero-width and invisible characters, lone surrogates, the byte order mark: none of
# them is printable, and compiling this takes longer than a whole report of printable text
_HARMFUL = (
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_HARMFUL_IN_FACTS = "[\x00\ud800-\udfff]"


def _escape(match: re.Match[str]) -> str:
    point = ord(match.group())
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def _escaped(text: str) -> str:
    return text if text.isprintable() else re.sub(_HARMFUL, _escape, text)


def safe_text(text: str) -> str:
    """One line for any renderer: runs of white space become one blank, other controls escapes."""
    return _escaped(re.sub(r"[ \t\r\n\f\v]+", " ", text))


def safe_block(text: str) -> str:
    """Like :func:`safe_text`, but line by line: for commands that span several lines."""
    return "\n".join(_escaped(line.expandtabs()) for line in text.split("\n"))


def storable(text: str) -> str:
    """``text`` without what JSON or UTF-8 cannot carry (NUL, lone surrogates), as escapes."""
    return text if text.isprintable() else re.sub(_HARMFUL_IN_FACTS, _escape, text)


def shorten(text: str, width: int) -> str:
    """``text`` cut to ``width`` characters, an ellipsis included."""
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def nearest(word: str, words: Iterable[str]) -> str:
    """The one that was probably meant: the closest in spelling, else one that holds it; or ""."""
    from difflib import get_close_matches

    known = list(words)
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return next(iter([*near, *(one for one in known if len(word) >= 3 and word in one)]), "")
