"""The published schema agrees with what is read: the same keys, and the same values refused."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.config.example import EXAMPLE, EXAMPLE_FILES
from tests.config.malformed import MALFORMED

from backend_doctor.cli.init import first_configuration
from backend_doctor.config.kinds import SETTINGS
from backend_doctor.config.load import load
from backend_doctor.config.model import ConfigurationError
from backend_doctor.config.placeless import PLACELESS
from backend_doctor.config.schema import IGNORE_KEYS, SERVICE_KEYS, TOP_KEYS

SCHEMA = json.loads(
    files("backend_doctor.config").joinpath("config.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = jsonschema.Draft202012Validator(
    SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
KEYS: dict[str, tuple[str, ...]] = {
    **{kind: ("name", "url", *settings) for kind, settings in SETTINGS.items()},
    **{kind: ("name", *keys) for kind, (_, keys, _) in PLACELESS.items()},
}
"""What may stand in a backend of each kind, as the code declares."""
NO_TEXTS: tuple[object, ...] = (None, True, -2, 0, 1.5, 10**7, [], {}, [[]])
# texts that a schema can tell from others, by a pattern, a format or a list of words
TOLD = {
    "role", "name", "service name", "service reserved", "limits id", "ignore no day",
    "health without slash", "cors path", "token body", "token session keys that are all keys",
}  # fmt: skip


def as_json(text: str | bytes) -> Any:
    """A file's tree as an editor sees it. Raises ValueError for what JSON cannot hold."""
    return json.loads(json.dumps(yaml.safe_load(text), default=str, allow_nan=False))


def objects_in(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The mappings that a part of the schema allows, but for those within its keys."""
    if "$ref" in schema:
        yield from objects_in(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    for part in schema.get("anyOf", ()):
        yield from objects_in(part)
    if "properties" in schema:
        yield schema["properties"]


def of(*path: str) -> set[str]:
    """The keys of the one mapping at a place of the schema."""
    (found,) = objects_in(SCHEMA)
    for key in path:
        part = found[key]
        (found,) = objects_in(part.get("additionalProperties") or part.get("items") or part)
    return set(found)


def loads(tree: object) -> bool:
    Path("shop.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True))
    try:
        load(config=Path("shop.yaml"))
    except ConfigurationError:
        return False
    return True


@pytest.fixture(autouse=True)
def furnished(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the example refers to."""
    monkeypatch.setenv("SHOP_URL", "postgresql://app@db:5432/shop")
    monkeypatch.setenv("PASSWORD_FOR_TEST", "no URL")
    monkeypatch.setenv("COUNT", "7")
    (bare / "mine").mkdir()
    for name, content in EXAMPLE_FILES.items():
        (bare / name).write_text(content)


def test_it_accepts_what_loads() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for text in (EXAMPLE, first_configuration({})[0]):
        VALIDATOR.validate(as_json(text))
    assert loads(yaml.safe_load(EXAMPLE))


def test_it_has_the_keys_that_are_read() -> None:
    assert of() == set(TOP_KEYS)
    assert of("services") == set(SERVICE_KEYS)
    assert of("ignore") == set(IGNORE_KEYS)


@pytest.mark.parametrize("kind", KEYS)
def test_it_has_the_keys_of_each_kind(kind: str) -> None:
    assert of("services", kind) == set(KEYS[kind])


def with_one(kind: str, key: str, value: object) -> Any:
    """A service whose backend of a kind has that value, and else what the example has."""
    given = yaml.safe_load(EXAMPLE)["services"]["shop"][kind]
    first = given[0] if isinstance(given, list) else given
    usual = first if isinstance(first, dict) else {"url": first}
    beside = {} if kind == "process" else usual
    return {"services": {"shop": {"redis": "redis://h", kind: {**beside, key: value}}}}


@pytest.mark.parametrize("kind", KEYS)
def test_what_is_no_text_is_refused_by_both_or_neither(kind: str) -> None:
    for key in KEYS[kind]:
        for value in NO_TEXTS:
            tree = with_one(kind, key, value)
            assert VALIDATOR.is_valid(tree) == loads(tree), (key, value)


@pytest.mark.parametrize("kind", KEYS)
def test_what_loads_from_a_variable_is_accepted(kind: str) -> None:
    for key in KEYS[kind]:
        tree = with_one(kind, key, "${COUNT}")
        assert VALIDATOR.is_valid(tree) or not loads(tree), key


def is_text(tree: Any, path: str) -> bool:
    """Whether a text, or a list of them, stands at a place such as ``ignore[0].service``."""
    try:
        for key, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path.partition(" (")[0]):
            tree = tree[key] if key else tree[int(number)]
    except (KeyError, IndexError, TypeError):
        return False
    texts = tree if isinstance(tree, list) else [tree]
    return all(isinstance(text, str) for text in texts)


def loads_beside_others(tree: Any) -> bool:
    """Whether it was only told apart by how it was written, or lacked another backend."""
    for service in tree["services"].values():
        for kind, backend in yaml.safe_load(EXAMPLE)["services"]["shop"].items():
            service.setdefault(kind, backend)
    return loads(tree)


@pytest.mark.parametrize("name", sorted(MALFORMED.keys() - {"bomb"}))
def test_it_refuses_whatever_a_schema_can_tell(name: str) -> None:
    case = MALFORMED[name]
    try:
        tree = as_json(case.content)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return
    if VALIDATOR.is_valid(tree):
        assert name not in TOLD
        assert is_text(tree, case.path) or loads_beside_others(tree)
