"""Which judged libraries the application's lists name: beside its settings, or in a lock file."""

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from backend_doctor.backends.settings.connection import SettingsFile
from backend_doctor.backends.settings.library_lists import LISTS, Named, named_in
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance
from backend_doctor.text import safe_text

LARGEST = 2 * 1024 * 1024
"""Bytes; the lock files of large applications take half of it."""
_MOST_LISTS = 20
_MOST_FOLDERS = 3


class Libraries(Fact, frozen=True):
    """The judged libraries that are ``named``, and the ``files`` that were read for them.

    ``unread`` says which lists could not be read, and why.
    """

    named: tuple[Named, ...] = ()
    files: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @classmethod
    async def collect(cls, file: SettingsFile, instance: Instance) -> Self:
        """Reads the declared ``lock_file``, else the lists beside the settings file.

        Raises Absent where the declared file cannot be read, or where there is no list.
        """
        declared = instance.settings.get("lock_file")
        if isinstance(declared, str):
            found = await asyncio.to_thread(cls._read, (Path(declared),))
            if found.unread:
                raise Absent(found.unread[0], remedy="lock_file must be a list of libraries")
            return found
        lists = tuple(_beside(file.path)) if file.path else ()
        if not lists:
            raise Absent("no list of libraries lies there", kind=AbsenceKind.NOT_APPLICABLE)
        return await asyncio.to_thread(cls._read, lists)

    @classmethod
    def _read(cls, lists: tuple[Path, ...]) -> Self:
        named, files, unread = list[Named](), list[str](), list[str]()
        for path in lists:
            source = safe_text(str(path))
            try:
                named += named_in(path.name, _text(path), source)
            except OSError as error:
                unread.append(f"{source} cannot be read: {error.strerror or error}")
            except (ValueError, RecursionError):
                unread.append(f"{source} is not what its name says")
            else:
                files.append(source)
        return cls(named=tuple(named), files=tuple(files), unread=tuple(unread))


def _text(path: Path) -> str:
    # a pipe or a device might never end
    if not path.is_file():
        raise OSError("there is no such file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(f"it is larger than {LARGEST // 1024} KiB")
    return content.decode("utf-8", "replace")


def _beside(path: Path) -> Iterator[Path]:
    """The lists in the folder of a file and in two above.

    Nothing above a repository's root, nor from a folder such as /tmp, where anybody may write.
    """
    here = path.parent.resolve()
    for folder in (here, *here.parents)[:_MOST_FOLDERS]:
        try:
            if folder.stat().st_mode & stat.S_IWOTH:
                return
            entries = sorted(folder.iterdir())
        except OSError:
            return
        lists = [entry for entry in entries if LISTS.fullmatch(entry.name)]
        # a link may lead anywhere
        yield from (entry for entry in lists[:_MOST_LISTS] if not entry.is_symlink())
        if (folder / ".git") in entries:
            return
