"""Typed values out of a configuration tree; what does not fit is told with its place."""

import datetime
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from backend_doctor.config.model import LimitValue
from backend_doctor.place import did_you_mean, listed, shown
from backend_doctor.references import Resolved, resolve, substitute
from backend_doctor.yamlfile import Node

T = TypeVar("T")
MOST = 1_000_000
_NUMBER = r"(?a)[+-]?\d{1,9}"
_FRACTION = r"(?a)[+-]?\d{1,9}\.\d{1,9}"
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Reader(msgspec.Struct, frozen=True):
    """Reads values with references resolved; relative paths start at ``folder``.

    Every method raises ConfigurationError that names the place and never shows a value.
    """

    environ: Mapping[str, str]
    folder: Path

    def mapping(self, node: Node, what: str, keys: Collection[str] = ()) -> dict[str, Node]:
        """The entries of a mapping; with ``keys``, any other key is an error."""
        if not isinstance(node.value, dict):
            raise node.place.error(f"is {node.type_name}", what)
        for key, value in node.value.items():
            if keys and key not in keys:
                hint = did_you_mean(key, keys)
                raise value.place.error(f"unknown key {shown(key)}", listed(keys), hint)
        return node.value

    def items(self, node: Node, what: str) -> list[Node]:
        """The entries of a list."""
        if not isinstance(node.value, list):
            raise node.place.error(f"is {node.type_name}", what)
        return node.value

    def required(self, entries: Mapping[str, Node], key: str, owner: Node) -> Node:
        """The entry of a key that must be there."""
        if key not in entries:
            raise owner.place.error(f'"{key}" is missing', f"{key}: ...")
        return entries[key]

    def resolved(self, node: Node, what: str) -> Resolved:
        """A text with ``${NAME}`` replaced, and where that came from."""
        if not isinstance(node.value, str):
            raise node.place.error(f"is {node.type_name}", what)
        found = substitute(node.value, self.environ, place=str(node.place))
        if not found.text.strip():
            raise node.place.error(f"is empty{f' ({found.origin})' if found.origin else ''}", what)
        return found

    def secret(self, node: Node, what: str) -> Resolved:
        """Like :meth:`resolved`, and ``env:NAME`` or ``file:PATH`` may stand in its place."""
        found = self.resolved(node, what)
        value = resolve(found.text, self.environ, self.folder, place=str(node.place))
        return Resolved(value.text, value.origin or found.origin)

    def text(self, node: Node, what: str) -> str:
        """A text that is not empty."""
        return self.resolved(node, what).text

    def texts(self, node: Node, what: str) -> tuple[str, ...]:
        """A list of texts, or one text with commas between them, as a variable holds it."""
        if isinstance(node.value, list):
            found = [self.text(item, what) for item in node.value]
        else:
            found = [part.strip() for part in self.text(node, what).split(",")]
        return tuple(filter(None, found))

    def number(self, node: Node, minimum: int, maximum: int = MOST) -> int:
        """A whole number, also as the text of a variable."""
        value, shown_value = node.value, ""
        what = f"a whole number, {minimum} or more"
        if isinstance(value, str) and "${" in value:
            text = self.text(node, what).strip()
            value = int(text) if re.fullmatch(_NUMBER, text) else text
        elif isinstance(value, int) and not isinstance(value, bool):
            shown_value = f" ({value})" if abs(value) < MOST else ""
        if not isinstance(value, int) or isinstance(value, bool):
            raise node.place.error(f"is {node.type_name}, not a whole number", what)
        if not minimum <= value <= maximum:
            problem = "is too small" if value < minimum else "is too large"
            raise node.place.error(problem + shown_value, what)
        return value

    def flag(self, node: Node) -> bool:
        """True or false, also as the text of a variable."""
        value = node.value
        if isinstance(value, str) and "${" in value:
            value = _FLAGS.get(self.text(node, "true or false").strip().lower(), value)
        if not isinstance(value, bool):
            raise node.place.error(f"is {node.type_name}", "true or false")
        return value

    def choice(self, node: Node, choices: Mapping[str, T]) -> T:
        """One of several words."""
        text = self.text(node, listed(choices))
        if text not in choices:
            hint = did_you_mean(text, choices)
            raise node.place.error("is none of the known words", listed(choices), hint)
        return choices[text]

    def limit(self, node: Node) -> LimitValue:
        """A check's limit: a finite number, true or false, or a text."""
        what = "a number, a text, or true or false"
        if isinstance(node.value, float) and not math.isfinite(node.value):
            raise node.place.error("is not a finite number", what)
        if isinstance(node.value, (bool, int, float)):
            return node.value
        text = self.text(node, what)
        if isinstance(node.value, str) and "${" in node.value:
            if re.fullmatch(_FRACTION, text):
                return float(text)
            return int(text) if re.fullmatch(_NUMBER, text) else _FLAGS.get(text.lower(), text)
        return text

    def date(self, node: Node) -> datetime.date:
        """A day."""
        value = node.value
        if isinstance(value, str):
            try:
                value = datetime.date.fromisoformat(self.text(node, "a day"))
            except ValueError:
                value = None
        if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
            raise node.place.error("is not a day", "a day such as 2027-01-31")
        return value
