"""Reads lists of libraries: requirements, pyproject.toml, and the lock files of four tools."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from backend_doctor.backends.settings.library_rules import KNOWN, normal
from backend_doctor.text import safe_text, shorten

LISTS = re.compile(
    # what only developers and tests install is not in use at the target
    r"requirements(?!.*[-_.](dev|test|doc|lint)(s|ing|elopment)?[-_.]).*\.txt"
    r"|pyproject\.toml|poetry\.lock|uv\.lock|Pipfile\.lock"
)
"""The names of lists that are looked for."""
_LONGEST_LINE = 500
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*([^;]*)(;.*)?")
_END = re.compile(r"(?:^|\s)#|\s--|\\")
_BOUND = re.compile(r"(===|==|~=|>=|<=|!=|>|<|\^|~)?\s*([0-9vV][0-9A-Za-z.!+*]*)")
_VALUE = re.compile(r"(name|version|category|optional|groups)\s*=\s*(.*)")


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A library as a list names it. ``version`` is the one that is pinned, ``least`` the lowest
    that is allowed; both "" where there is none.

    ``place`` is file and line; ``conditional`` when a marker says where it is installed.
    """

    name: str
    place: str
    version: str = ""
    least: str = ""
    conditional: bool = False


def named_in(file: str, text: str, source: str) -> list[Named]:
    """The judged libraries in the text of a list called ``file``, in the order of their lines.

    Raises ValueError or RecursionError for what is not what its name says.
    """
    if file.endswith(("Pipfile.lock", ".json")):
        found = _pipfile(text)
    elif file == "pyproject.toml":
        found = _project(text)
    elif file.endswith((".lock", ".toml")):
        found = _locked(text.splitlines())
    else:
        found = _requirements(text.splitlines())
    return [
        msgspec.structs.replace(one, place=f"{source}:{line}" if line else source)
        for line, one in found
        if one.name in KNOWN
    ]


Found = Iterator[tuple[int, Named]]


def _bounded(name: str, bounds: str, *, bare: str = "", conditional: bool = False) -> Named:
    """``bare`` is what a version without a sign stands for."""
    version, least = "", ""
    for sign, number in _BOUND.findall(bounds):
        sign = sign or bare
        number = safe_text(shorten(number, 40))
        if sign in ("==", "===") and "*" not in number:
            version = number
        elif sign in ("==", "~=", ">=", ">", "^", "~"):
            least = number
    return Named(name=name, place="", version=version, least=least, conditional=conditional)


def _requirement(text: str) -> Named | None:
    """One line of a list, or one text of pyproject.toml; None where it names nothing."""
    line = text[:_LONGEST_LINE].strip()
    match = _REQUIREMENT.match(_END.split(line, maxsplit=1)[0])
    if match is None:
        return None
    bounds = "" if match[2].startswith("@") else match[2]
    return _bounded(normal(match[1]), bounds, conditional=bool(match[3]))


def _requirements(lines: Iterable[str]) -> Found:
    for number, line in enumerate(lines, 1):
        if found := _requirement(line):
            yield number, found


def _locked(lines: Iterable[str]) -> Found:
    """The packages of a lock file in TOML, told by its lines: their order is the tools' own."""
    package: dict[str, str] = {}
    line, inside = 0, False
    for number, text in enumerate((*lines, "[[package]]"), 1):
        stripped = text.strip()
        if stripped.startswith("[["):
            if package.keys() >= {"name", "version"} and _installed(package):
                name, version = (package[key].strip("\"'") for key in ("name", "version"))
                yield line, _bounded(normal(name), version, bare="==")
            inside, package = stripped in ("[[package]]", "[[packages]]"), {}
        elif stripped.startswith("["):
            inside = False
        elif inside and (match := _VALUE.fullmatch(stripped[:_LONGEST_LINE])):
            package.setdefault(match[1], match[2])
            line = number if match[1] == "name" else line


def _installed(package: dict[str, str]) -> bool:
    groups = package.get("groups", '"main"')
    category = package.get("category", '"main"')
    return "main" in groups and "main" in category and package.get("optional") != "true"


def _project(text: str) -> Found:
    import tomllib

    tree = tomllib.loads(text)
    lines = text.splitlines()
    for requirement in _items(_inner(tree, "project"), "dependencies"):
        found = _requirement(requirement) if isinstance(requirement, str) else None
        if found and found.name in KNOWN:
            yield _line(lines, rf'.*["\']{re.escape(requirement)}["\']'), found
    poetry = _inner(_inner(_inner(tree, "tool"), "poetry"), "dependencies")
    for name, said in poetry.items():
        told = said if isinstance(said, dict) else {"version": said}
        conditional = any(key in told for key in ("markers", "python", "platform"))
        if normal(name) in KNOWN and told.get("optional") is not True:
            found = _bounded(
                normal(name), str(told.get("version", "")), bare="==", conditional=conditional
            )
            yield _line(lines, rf'["\']?{re.escape(name)}["\']?\s*='), found


def _pipfile(text: str) -> Found:
    tree, lines = json.loads(text), text.splitlines()
    for name, said in _inner(tree, "default").items():
        told = said if isinstance(said, dict) else {}
        bounds, conditional = str(told.get("version", "")), "markers" in told
        if normal(name) in KNOWN:
            found = _bounded(normal(name), bounds, conditional=conditional)
            yield _line(lines, rf'"{re.escape(name)}"\s*:'), found


def _inner(tree: Any, key: str) -> dict[str, Any]:
    found = tree.get(key) if isinstance(tree, dict) else None
    return found if isinstance(found, dict) else {}


def _items(tree: dict[str, Any], key: str) -> list[Any]:
    found = tree.get(key)
    return found if isinstance(found, list) else []


def _line(lines: list[str], start: str) -> int:
    """The first line that starts so and is no comment; 0 where it is written otherwise."""
    pattern = re.compile(rf"\s*(?!#){start}")
    return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 0)
