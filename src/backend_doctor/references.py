"""Values that stand elsewhere: ``${NAME}``, ``env:NAME`` and ``file:PATH``."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from backend_doctor.errors import ConfigurationError
from backend_doctor.place import did_you_mean, fault
from backend_doctor.text import safe_text

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST = 65_536
_DEEPEST = 10


class Resolved(msgspec.Struct, frozen=True):
    """A text with its references resolved; ``origin`` names them ("from A, B"), or is ""."""

    text: str
    origin: str = ""


def substitute(text: str, environ: Mapping[str, str], *, place: str) -> Resolved:
    """Replaces ``${NAME}`` and ``${NAME:-default}``; ``$${`` stands for a literal ``${``.

    A default may hold references itself; the value of a variable is never looked into.
    As in a shell, the default also replaces an empty value. Raises ConfigurationError.
    """
    names: list[str] = []
    result = _substitute(text, environ, place, names, 0)
    return Resolved(result, f"from {', '.join(dict.fromkeys(names))}" if names else "")


def _substitute(
    text: str, environ: Mapping[str, str], place: str, names: list[str], depth: int
) -> str:
    if depth > _DEEPEST:
        raise fault(place, f"references are nested more than {_DEEPEST} deep")
    done, position = [], 0
    while (start := text.find("${", position)) >= 0:
        if text[start - 1 : start] == "$":
            done.append(text[position : start - 1] + "${")
            position = start + 2
            continue
        end = _closing(text, start + 2, place)
        name, separator, default = text[start + 2 : end].partition(":-")
        if not _NAME.fullmatch(name):
            raise fault(place, "a ${...} holds no variable name", "${NAME} or ${NAME:-default}")
        value = environ.get(name, "")
        names.append(name if value else f"{name} (its default)")
        if separator and not value:
            value = _substitute(default, environ, place, names, depth + 1)
        elif name not in environ:
            raise _not_set(name, environ, place, "${" + name + ":-default}")
        done.append(text[position:start] + value)
        position = end + 1
    return "".join(done) + text[position:]


def _closing(text: str, position: int, place: str) -> int:
    depth = 1
    for match in re.finditer(r"\$\{|\}", text[position:]):
        depth += 1 if match.group() == "${" else -1
        if depth == 0:
            return position + match.start()
    raise fault(place, "a ${ is never closed", "${NAME}, or $${ for the two characters themselves")


def _not_set(name: str, environ: Mapping[str, str], place: str, instead: str) -> ConfigurationError:
    wanted = "it to be exported before this runs" + (f", or {instead}" if instead else "")
    if name in environ:
        return fault(place, f"{name} is set but empty in the environment", wanted)
    hint = did_you_mean(name, (known for known in environ if known.isupper()))
    return fault(place, f"{name} is not set in the environment", wanted, hint)


def is_reference(text: str) -> bool:
    """Whether the text is ``env:NAME`` or ``file:PATH``."""
    return text.startswith(("env:", "file:"))


def resolve(text: str, environ: Mapping[str, str], folder: Path, *, place: str) -> Resolved:
    """What ``env:NAME`` or ``file:PATH`` (relative to ``folder``) stands for; else the text.

    Raises ConfigurationError.
    """
    if text.startswith("env:"):
        name = text.removeprefix("env:")
        if not _NAME.fullmatch(name):
            raise fault(place, "env: is not followed by a variable name", "env:NAME")
        if not environ.get(name):
            raise _not_set(name, environ, place, "")
        return Resolved(environ[name], f"from {name}")
    if text.startswith("file:"):
        path = text.removeprefix("file:")
        if "://" in path:
            raise fault(place, "file: is followed by a URL", "file:PATH, or the URL alone")
        return Resolved(read_secret(folder, path, place=place), f"from file {safe_text(path)}")
    return Resolved(text)


def variable(name: str, environ: Mapping[str, str], folder: Path, *, place: str) -> Resolved | None:
    """What ``NAME`` holds, or the file (from ``folder``) that ``NAME_FILE`` names; None: unset.

    Raises ConfigurationError.
    """
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    if value and path:
        raise fault(place, f"{name} and {name}_FILE are both set", "one of them")
    if path:
        origin = f"from {name}_FILE"
        return Resolved(read_secret(folder, path, place=f"{place} ({origin})"), origin)
    return Resolved(value, f"from {name}") if value else None


def read_secret(folder: Path, path: str, *, place: str) -> str:
    """The text of a secret's file without its trailing newline. Raises ConfigurationError."""
    shown = safe_text(path)
    try:
        with (folder / Path(path).expanduser()).open("rb") as file:
            content = file.read(_LARGEST + 1)
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise fault(place, f"the file {shown} is not UTF-8 text") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise fault(place, f"the file {shown} cannot be read: {reason}") from None
    if len(content) > _LARGEST:
        raise fault(place, f"the file {shown} is larger than {_LARGEST} bytes", "one secret")
    if not text:
        raise fault(place, f"the file {shown} is empty", "one secret")
    return text
