"""Finds checks and their runbooks by path; a check's signature is its declaration."""

import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from backend_doctor.errors import UserError
from backend_doctor.facts import Each, Fact, Looks
from backend_doctor.model import Finding

CheckFunction = Callable[..., Iterable[Finding]]
Decorated = TypeVar("Decorated", bound=CheckFunction)
Form = Literal["one", "looks", "each", "each_looks"]
_MARK = "__backend_doctor_check__"
_PLUGINS = "backend_doctor.checks"
_CAUSE_LABEL = r"^[a-z]+\.[a-z0-9_]+$"


def check(function: Decorated) -> Decorated:
    """Marks the one function of a check file that is the check."""
    setattr(function, _MARK, True)
    return function


class Need(msgspec.Struct, frozen=True):
    """One positional parameter: which fact, once, as two looks or of each instance."""

    parameter: str
    fact: type[Fact]
    form: Form
    optional: bool


class Limit(msgspec.Struct, frozen=True):
    """One keyword-only parameter: a threshold that the configuration may change."""

    name: str
    type: type
    default: Any


class Check(msgspec.Struct, frozen=True):
    """A loaded check. ``id`` is ``<backend>.<symptom>``, ``path`` its file."""

    id: str
    backend: str
    path: Path
    function: CheckFunction
    needs: tuple[Need, ...]
    limits: tuple[Limit, ...]

    @property
    def title(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes it can name: its runbook's sections that are titled with a label."""
        runbook = self.runbook
        if runbook is None:
            return ()
        headings = re.findall(r"^#{2,4} +`?([^`\n]+?)`? *$", runbook.read_text(), re.MULTILINE)
        return tuple(heading for heading in headings if re.match(_CAUSE_LABEL, heading))

    @property
    def runbook(self) -> Path | None:
        """``runbooks/<backend>/<symptom>.md`` beside the checks folder, if it is there."""
        page = self.path.parents[2] / "runbooks" / self.backend / f"{self.path.stem}.md"
        return page if page.is_file() else None


def bundled_folder(name: Literal["checks", "runbooks"] = "checks") -> Path:
    """The folder that ships with the package, or two folders up in a source tree."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parents[1] / name


def need_of(parameter: str, annotation: Any) -> Need:
    """What one annotation asks for: ``F``, ``F | None``, ``Looks[F]``, ``Each[F]`` or
    ``Each[Looks[F]]``.

    Raises TypeError for anything else.
    """
    optional = False
    if get_origin(annotation) in (Union, UnionType):
        rest = [part for part in get_args(annotation) if part is not NoneType]
        optional = len(rest) < len(get_args(annotation))
        if len(rest) != 1:
            raise TypeError(f"parameter {parameter!r} asks for more than one fact")
        annotation = rest[0]
    form: Form = "one"
    if get_origin(annotation) is Each:
        form = "each"
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Looks:
        form = "each_looks" if form == "each" else "looks"
        annotation = get_args(annotation)[0]
    if not (isinstance(annotation, type) and issubclass(annotation, Fact)):
        raise TypeError(f"parameter {parameter!r} is annotated with {annotation!r}, not a fact")
    return Need(parameter, annotation, form, optional)


def home(fact: type[Fact]) -> str:
    """The kind of backend that a fact is read from; "" for facts that every kind has."""
    package, _, rest = fact.__module__.partition(".backends.")
    return rest.partition(".")[0] if package == __package__ and "." in rest else ""


def _declare(path: Path, backend: str, function: CheckFunction) -> Check:
    hints = inspect.get_annotations(function, eval_str=True)
    needs, limits = [], []
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in hints:
            raise TypeError(f"parameter {name!r} has no type")
        if parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty:
                raise TypeError(f"limit {name!r} has no default")
            limits.append(Limit(name, hints[name], parameter.default))
        else:
            needs.append(need_of(name, hints[name]))
    if not inspect.getdoc(function):
        raise TypeError("the check has no docstring")
    return Check(f"{backend}.{path.stem}", backend, path, function, tuple(needs), tuple(limits))


def load_file(path: Path) -> Check:
    """Loads one check file. Raises UserError naming the file when it does not declare one."""
    backend = path.parent.name
    name = f"backend_doctor_checks.{abs(hash(path.parents[1])):x}.{backend}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        marked = [value for value in vars(module).values() if getattr(value, _MARK, False)]
        if len(marked) != 1 or marked[0].__name__ != path.stem:
            raise TypeError(f"expected one function named {path.stem!r} marked @check")
        return _declare(path, backend, marked[0])
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{path}: this check cannot be loaded: {type(error).__name__}: {error}\n"
            "Mend the file, or leave its folder out."
        ) from error


def _files(folder: Path, backends: Iterable[str]) -> Iterator[Path]:
    for backend in backends:
        for path in sorted(folder.glob(f"{backend}/*.py")):
            if not path.name.startswith("_"):
                yield path


def _plugin_folders() -> Iterator[Path]:
    if not any(_declares(place) for place in sys.path):
        return
    from importlib.metadata import entry_points

    for point in entry_points(group=_PLUGINS):
        try:
            spec = importlib.util.find_spec(point.value)
        except ImportError:
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise UserError(
                f"entry point {point.name!r} in group {_PLUGINS}: no package named "
                f"{point.value!r}\nInstall the plugin again, or uninstall it."
            )
        yield Path(next(iter(spec.submodule_search_locations)))


def _declares(place: str) -> bool:
    """Whether a distribution in one place of ``sys.path`` names our group, or may.

    importlib.metadata would parse every distribution's entry points at each start, mostly to find
    none; for so many files paths as text take a quarter of what Path takes.
    """
    try:
        names = os.listdir(place or ".")  # noqa: PTH208
    except NotADirectoryError:
        return True  # an archive, which only importlib.metadata looks into
    except OSError:
        return False
    return any(
        _PLUGINS.encode() in _entry_points(f"{place or '.'}/{name}/entry_points.txt")
        for name in names
        if name.lower().endswith((".dist-info", "egg-info"))
    )


def _entry_points(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:  # noqa: PTH123
            return stream.read()
    except OSError:
        return b""


def load_checks(
    folders: Iterable[Path] = (), *, backends: Iterable[str] | None = None, plugins: bool = True
) -> dict[str, Check]:
    """All checks by id: ours, those of installed plugins, then those in ``folders``.

    ``backends`` limits which kinds are loaded, so that no other kind's facts are imported. A
    later folder's check replaces an earlier one of the same id. Raises UserError for a folder
    that is missing or a file that declares no check.
    """
    wanted = ["*"] if backends is None else sorted(set(backends))
    checks: dict[str, Check] = {}
    plugin_folders = _plugin_folders() if plugins else ()
    for folder in (bundled_folder(), *plugin_folders, *folders):
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no such folder of checks; expected BACKEND/SYMPTOM.py in it"
            )
        for path in _files(folder, wanted):
            loaded = load_file(path)
            checks[loaded.id] = loaded
    return checks
