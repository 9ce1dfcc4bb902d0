"""YAML read with line numbers kept, and nothing in it trusted."""

import datetime
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from backend_doctor.errors import ConfigurationError
from backend_doctor.place import Place, fault, shown
from backend_doctor.text import safe_text

if TYPE_CHECKING:
    import yaml

LARGEST = 1_048_576
"""Bytes; a thousand services take about a fifth of it."""
MOST_NODES = 100_000
DEEPEST = 20

Scalar = str | int | float | bool | datetime.date | None
_TYPES = {"str", "int", "float", "bool", "null", "timestamp"}


class Node(msgspec.Struct, frozen=True):
    """One value of the tree and its place: a scalar, a list or a mapping of nodes."""

    value: "Scalar | list[Node] | dict[str, Node]"
    place: Place

    @property
    def type_name(self) -> str:
        """What the value is, for people who expected something else; never the value."""
        names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
        names |= {int: "a whole number", float: "a number", type(None): "empty"}
        return names.get(type(self.value), "a date")


def read(path: Path) -> Node:
    """The tree of a YAML file. Raises ConfigurationError with file and line."""
    return parse(_load(path), safe_text(str(path)))


def _load(path: Path) -> str:
    source = safe_text(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise fault(source, f"cannot be read: {reason}", "a YAML file") from None
    if len(content) > LARGEST:
        raise fault(source, f"is larger than {LARGEST // 1024} KiB", "a configuration file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise fault(f"{source}:{line}", "is not UTF-8 text", "a YAML file in UTF-8") from None


def parse(text: str, source: str) -> Node:
    """The tree of a YAML text. Raises ConfigurationError with ``source`` and line."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, source) from None
    except RecursionError:
        raise fault(source, f"is nested more than {DEEPEST} deep") from None
    if root is None:
        raise fault(source, "is empty", 'a mapping with "services"')
    return _Builder().build(root, Place(source, root.start_mark.line + 1), 0)


class _Builder:
    """Turns PyYAML's nodes into ours; counts them, as aliases can multiply without end."""

    def __init__(self) -> None:
        import yaml

        self._nodes = 0
        self._loader = yaml.SafeLoader("")
        self._yaml = yaml

    def build(self, node: "yaml.Node", place: Place, depth: int) -> Node:
        self._nodes += 1
        if depth > DEEPEST:
            raise place.error(f"is nested more than {DEEPEST} deep, or contains itself")
        if self._nodes > MOST_NODES:
            raise fault(place.origin, f"aliases (*name) expand to more than {MOST_NODES} values")
        if isinstance(node, self._yaml.MappingNode):
            return Node(self._mapping(node, place, depth), place)
        if isinstance(node, self._yaml.SequenceNode):
            items = [
                self.build(item, place.child(index, item.start_mark.line + 1), depth + 1)
                for index, item in enumerate(node.value)
            ]
            return Node(items, place)
        return Node(self._scalar(node, place), place)

    def _mapping(self, node: "yaml.MappingNode", place: Place, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key_node, self._yaml.ScalarNode) or not isinstance(key, str):
                raise Place(place.source, line, place.path).error("a key is not a plain word")
            if key_node.tag.endswith(":merge"):
                raise Place(place.source, line, place.path).error(
                    "merge keys (<<) are not supported", "the entries themselves"
                )
            if key in entries:
                first = entries[key].place.line
                raise Place(place.source, line, place.path).error(
                    f"{shown(key)} is given twice", f"each key once (the first is in line {first})"
                )
            spoken = key if shown(key).startswith('"') else "(key not shown)"
            entries[key] = self.build(value_node, place.child(spoken, line), depth + 1)
        return entries

    def _scalar(self, node: "yaml.Node", place: Place) -> Scalar:
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TYPES:
            raise place.error("has a YAML tag (!...)", "a plain value; quote it if it is text")
        try:
            value: Scalar = self._loader.construct_object(node)
        except (ValueError, self._yaml.YAMLError):
            raise place.error("is not a valid value of its kind", "text in quotes") from None
        return value


def _syntax_error(error: "yaml.YAMLError", text: str, source: str) -> ConfigurationError:
    mark = getattr(error, "problem_mark", None)
    position = getattr(error, "position", None)
    if mark is not None:
        source += f":{mark.line + 1}"
    elif isinstance(position, int):
        source += f":{text.count(chr(10), 0, position) + 1}"
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "is not readable"
    return fault(source, f"is not valid YAML: {_explain(str(problem))}")


def _explain(problem: str) -> str:
    """PyYAML's words without the pieces of the file that they quote, and with the usual cure."""
    known = {
        "undefined alias": "a value that begins with * must be in quotes",
        "another document": "one document only, without a second ---",
        "'\\t'": "tabs cannot indent; use blanks",
        "cannot start any token": "a value that begins with %, @ or ` must be in quotes",
        "mapping values are not allowed": "a value that holds ': ' must be in quotes, "
        "or the indentation is wrong",
        "unexpected end of stream": "a quote is never closed",
        "special characters": "a control character",
        "unknown escape": r"a backslash in double quotes; write \\ or use single quotes",
    }
    for part, explanation in known.items():
        if part in problem:
            return explanation
    return re.sub(r"""(['"])(?!<)[^'"]{2,}\1""", "something else", problem)
