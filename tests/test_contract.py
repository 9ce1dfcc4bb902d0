"""What holds the house together: pairs of files, names, layers; read from the syntax trees."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend_doctor.facts import Problem
from backend_doctor.registry import Check, home, load_checks

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "backend_doctor"
SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Prevention")
LABEL = re.compile(r"[a-z]+\.[a-z0-9_]+")
DRIVERS = {"asyncpg", "redis", "motor", "pymongo", "aio_pika", "aiormq", "jwt", "httpx", "psycopg"}
# a module may import its own layer and those above it in this list, never one below
LAYERS = (
    {"model", "secret", "facts", "endpoint", "text", "errors", "deadlines", "history"}
    | {"fleet", "place", "references", "yamlfile"},
    {"backends", "reports"},
    {
        "registry",
        "config",
        "engine",
        "planning",
        "judge",
        "diagnosis",
        "snapshot",
        "running",
        "triage",
        "console",
    },
    {"exporter", "cli", "demo"},
)
FRONT_DOORS = {"__init__", "__main__"}

CHECKS = {check.id: check for check in load_checks(plugins=False).values()}
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def names(folder: str, suffix: str) -> set[str]:
    """The ids ``backend.symptom`` of the files in a mirrored folder; helpers of tests left out."""
    prefix = "test_" if folder.startswith("tests") else ""
    found = (ROOT / folder).glob(f"*/{prefix}*{suffix}")
    return {
        f"{path.parent.name}.{path.name.removeprefix('test_').removesuffix(suffix)}"
        for path in found
        if not path.name.startswith("_")
    }


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every imported module below a node, whole, with the statement that imports it."""
    for statement in ast.walk(node):
        if isinstance(statement, ast.Import):
            yield from ((alias.name, statement) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "imports are absolute"
            yield statement.module or "", statement


def for_type_checkers(module: ast.Module) -> set[ast.AST]:
    """The statements that no run executes."""
    guards = (node for node in ast.walk(module) if isinstance(node, ast.If))
    return {
        inner
        for guard in guards
        if isinstance(guard.test, ast.Name) and guard.test.id == "TYPE_CHECKING"
        for statement in guard.body
        for inner in ast.walk(statement)
    }


def inside_functions(module: ast.Module) -> set[ast.AST]:
    """The statements that importing the module does not execute."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = (node for node in ast.walk(module) if isinstance(node, functions))
    return {inner for function in found for inner in ast.walk(function)}


def labels_named(path: Path) -> set[str]:
    """The cause labels that a check's syntax tree can name, with those of the modules of rules
    and findings that it imports, and of tables whose rows have a label."""
    module, found = tree(path), set[str]()
    for name, _ in imports(module):
        if name.startswith("backend_doctor.") and name.endswith(("_rules", "_findings")):
            found |= labels_named(ROOT / "src" / (name.replace(".", "/") + ".py"))
    for call in ast.walk(module):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        if call.func.id == "judge_login":
            found |= {f"reach.{p.value}" for p in Problem if p is not Problem.NONE}
        if call.func.id == "Cause":
            label = next(word.value for word in call.keywords if word.arg == "label")
            named = assigned(module, label.id) if isinstance(label, ast.Name) else literals(label)
            if isinstance(label, ast.Attribute):
                named = {text for text in literals(module) if LABEL.fullmatch(text)}
            assert named, f"{path.name}:{call.lineno}: the label is not written out in this file"
            found |= named
    return found


def literals(node: ast.AST) -> set[str]:
    constants = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
    return {text for text in constants if isinstance(text, str)}


def assigned(module: ast.Module, variable: str) -> set[str]:
    """The labels among what is assigned to a variable, alone or together with others."""
    return {
        text
        for statement in ast.walk(module)
        if isinstance(statement, ast.Assign)
        and any(
            isinstance(n, ast.Name) and n.id == variable
            for target in statement.targets
            for n in ast.walk(target)
        )
        for text in literals(statement.value)
        if LABEL.fullmatch(text)
    }


def headings(page: str, level: int) -> list[str]:
    outside = re.sub(r"^ *```.*?^ *```", "", page, flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"^#{{{level}}} +(.+?) *$", outside, re.MULTILINE)


def test_there_are_checks() -> None:
    assert {"postgres.pool_exhaustion", "redis.reachability"} <= CHECKS.keys()


def test_every_check_has_its_runbook_and_its_test_and_they_have_their_check() -> None:
    assert names("runbooks", ".md") == CHECKS.keys(), "checks and runbooks do not pair"
    tests = names("tests/checks", ".py")
    assert tests >= CHECKS.keys(), "a check has no test"
    # a long one has further files, of one of its aspects each
    aspects = {name for name in tests for check in CHECKS if name.startswith(f"{check}_")}
    assert tests - CHECKS.keys() <= aspects, "a test has no check"


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
class TestCheck:
    def test_limits_are_keyword_only_typed_and_have_defaults(self, check: Check) -> None:
        for limit in check.limits:
            assert limit.type in (bool, int, float, str), f"{limit.name} cannot be configured"
            assert type(limit.default) is limit.type, f"{limit.name}: default of another type"

    def test_its_causes_are_the_sections_of_its_runbook(self, check: Check) -> None:
        named = labels_named(check.path)
        assert all(LABEL.fullmatch(label) for label in named), "labels are area.what_is_wrong"
        assert named == set(check.causes), "left: named by the check; right: in its runbook"
        assert len(set(check.causes)) == len(check.causes)

    def test_what_it_explains_are_labels(self, check: Check) -> None:
        for call in ast.walk(tree(check.path)):
            if isinstance(call, ast.keyword) and call.arg == "explains":
                assert all(map(LABEL.fullmatch, literals(call.value)))

    def test_its_runbook_has_the_five_sections(self, check: Check) -> None:
        assert check.runbook is not None
        page = check.runbook.read_text(encoding="utf-8")
        assert headings(page, 1)[0].partition(":")[0].strip("`") == check.id
        found = [title for title in headings(page, 2) if title in SECTIONS]
        assert sorted(found) == sorted(SECTIONS)

    def test_it_imports_facts_and_the_vocabulary_only(self, check: Check) -> None:
        for name, _ in imports(tree(check.path)):
            ours = name.partition(".")[0] == "backend_doctor"
            fact_module = name.startswith("backend_doctor.backends.")
            assert not name.endswith(".connection"), f"a check has no connection: {name}"
            assert name.partition(".")[0] not in DRIVERS, f"a check has no driver: {name}"
            assert not ours or name == "backend_doctor" or fact_module, name
            if fact_module:
                asked = {home(need.fact) for need in check.needs if need.form.startswith("each")}
                kinds = {check.backend, "reachability", "sql"} | asked
                assert name.split(".")[2] in kinds, f"facts of another kind: {name}"
            assert not name.startswith(("checks", "backend_doctor.checks")), "never each other"

    def test_it_is_short(self, check: Check) -> None:
        assert len(check.path.read_text(encoding="utf-8").splitlines()) <= 300


def layer(module: str) -> int:
    area = module.partition(".")[0]
    found = [number for number, areas in enumerate(LAYERS) if area in areas]
    assert found, f"src/backend_doctor/{area} has no layer: give it one here and in the design"
    return found[0]


@pytest.mark.parametrize("module", sorted(MODULES.keys() - FRONT_DOORS))
def test_layers_import_one_way(module: str) -> None:
    own, area = layer(module), module.partition(".")[0]
    for name, _ in imports(tree(MODULES[module])):
        root, _, inner = name.partition(".")
        if root != "backend_doctor" or not inner:
            continue
        other = inner.partition(".")[0]
        assert layer(inner) <= own, f"{module} imports {name}, which lies above it"
        if {area, other} == {"backends", "reports"}:
            pytest.fail(f"{module} imports {name}: backends and reports do not know each other")


@pytest.mark.parametrize("module", MODULES)
def test_only_connections_import_drivers_and_only_when_used(module: str) -> None:
    if module.startswith("demo"):
        return
    parsed, place = tree(MODULES[module]), module.split(".")
    drivers = [
        (name, statement)
        for name, statement in imports(parsed)
        if name.partition(".")[0] in DRIVERS and statement not in for_type_checkers(parsed)
    ]
    may = place[0] == "backends" and place[-1] == "connection"
    assert may or not drivers, f"{module} imports {drivers}"
    eager = [name for name, statement in drivers if statement not in inside_functions(parsed)]
    assert not eager, f"{module} imports {eager} before it connects"


@pytest.mark.parametrize("module", MODULES)
def test_only_the_command_line_knows_click(module: str) -> None:
    clicks = [name for name, _ in imports(tree(MODULES[module])) if name.startswith("click")]
    assert not clicks or module.startswith("cli")


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module: str) -> None:
    length = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert length <= 300, f"{module} has {length} lines: split it by purpose"


def undocumented(node: ast.AST, name: str) -> Iterator[str]:
    if isinstance(node, (ast.Module, ast.ClassDef)):
        for child in node.body:
            kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if isinstance(child, kinds) and not child.name.startswith("_"):
                yield from undocumented(child, f"{name}.{child.name}")
    documents = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if isinstance(node, documents) and ast.get_docstring(node) is None:
        yield name


@pytest.mark.parametrize("module", MODULES)
def test_what_is_public_is_documented(module: str) -> None:
    assert list(undocumented(tree(MODULES[module]), module)) == []
