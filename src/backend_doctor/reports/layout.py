"""Plain-text layout: wrapping, columns, colour. Knows nothing of findings."""

import math
import textwrap

import msgspec

from backend_doctor.text import shorten

LABEL_WIDTH = 12
_ASCII = str.maketrans({"…": "...", "·": "-", "–": "-", "—": "-", "→": "->", "×": "x", "≥": ">="})
_COLORS = {
    "critical": "1;31",
    "warning": "1;33",
    "unknown": "1;35",
    "ok": "32",
    "healthy": "1;32",
    "skipped": "2",
    "!": "1;31",
}


def ascii_only(text: str) -> str:
    """``text`` for a terminal without Unicode: near equivalents, else escapes."""
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def duration(seconds: float) -> str:
    """``84 ms``, ``1.6 s``, ``11 s``, ``14 min 02 s``."""
    if not math.isfinite(seconds):
        return "? s"
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


class Pen(msgspec.Struct, frozen=True):
    """Lays out lines of at most ``width`` columns; a word longer than that is never cut."""

    width: int
    color: bool

    def paint(self, word: str, line: str) -> str:
        """``line`` with the first occurrence of a status word (or ``!``) in its colour."""
        code = _COLORS.get(word.lower())
        if not self.color or code is None:
            return line
        return line.replace(word, f"\x1b[{code}m{word}\x1b[0m", 1)

    def prose(self, text: str, indent: int, first: str | None = None) -> list[str]:
        """``text`` wrapped at ``indent`` columns; ``first`` stands before its first line."""
        hang = " " * indent
        lead = hang if first is None else first
        lines = textwrap.wrap(
            text,
            max(self.width, indent + 20),
            initial_indent=lead,
            subsequent_indent=hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return lines or [lead.rstrip()]

    def labelled(self, label: str, text: str) -> list[str]:
        """``  label     text``, wrapped with a hanging indent."""
        return self.prose(text, LABEL_WIDTH, f"  {label:<{LABEL_WIDTH - 2}}")

    def ends(self, left: str, right: str) -> str:
        """``left`` and ``right`` pushed to both margins, two blanks apart at least."""
        return f"{left}{' ' * max(2, self.width - len(left) - len(right))}{right}"

    def table(self, rows: list[tuple[str, ...]], shrinkable: int) -> list[str]:
        """Rows as columns two blanks apart; the first ``shrinkable`` give way, widest first."""
        if not rows:
            return []
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        while sum(widths) + 2 * (len(widths) - 1) > self.width:
            widest = max(range(shrinkable), key=lambda column: widths[column])
            if widths[widest] <= 12:
                break
            widths[widest] -= 1
        return [
            "  ".join(
                shorten(cell, width).ljust(width) if column < shrinkable else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
