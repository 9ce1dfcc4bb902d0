"""Whatever is wrong with a configuration: one clear message, and no secret in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.config.malformed import CANARY, MALFORMED, URL, Malformed

from backend_doctor.config.load import load
from backend_doctor.config.model import Configuration, ConfigurationError

BY_COMMAND = sorted(MALFORMED)[::12]


@pytest.fixture
def written(bare: Path, request: pytest.FixtureRequest) -> Malformed:
    case = MALFORMED[request.param]
    content = case.content.encode() if isinstance(case.content, str) else case.content
    (bare / "shop.yaml").write_bytes(content)
    return case


def inspect(message: str, case: Malformed) -> None:
    where = f"shop.yaml:{case.line}: " if case.line else "shop.yaml: "
    assert message.startswith(where + (f"{case.path}: " if case.path else ""))
    assert case.said in message
    assert "c4n4ry" not in message
    assert message.count("\n") <= 1
    assert message.isprintable()
    assert len(message) < 400


def test_there_are_enough() -> None:
    assert len(MALFORMED) >= 60


@pytest.mark.parametrize("written", sorted(MALFORMED), indirect=True)
def test_one_clear_message(written: Malformed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_FOR_TEST", CANARY)
    with pytest.raises(ConfigurationError) as caught:
        load(config=Path("shop.yaml"))
    inspect(str(caught.value), written)


@pytest.mark.parametrize("written", BY_COMMAND, indirect=True)
def test_by_the_command(written: Malformed) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backend_doctor", "config", "show", "--config", "shop.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PASSWORD_FOR_TEST": CANARY},
    )
    assert done.returncode == 3
    assert done.stdout == ""
    inspect(done.stderr.rstrip("\n").removeprefix("backend-doctor: "), written)


def test_an_unreadable_file(bare: Path) -> None:
    for path, reason in ((bare, "Is a directory"), (bare / "no", "No such file"), (Path("\0"), "")):
        with pytest.raises(ConfigurationError, match=f"cannot be read: {reason}"):
            load(config=path)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=9)
KEYS = st.sampled_from(
    ["services", "limits", "ignore", "checks", "shop", "postgres", "redis", "url", "name"]
) | st.text(max_size=5)
TREES = st.recursive(
    SCALARS | st.just(URL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def load_or_refuse(path: Path, content: bytes) -> Configuration | None:
    path.write_bytes(content)
    try:
        return load(config=path)
    except ConfigurationError as error:
        message = str(error)
    assert CANARY not in message
    assert URL not in message
    return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.fixed_dictionaries({"services": st.dictionaries(KEYS, TREES, max_size=2)}) | TREES)
@example(tree={"services": {"shop": {"postgres": URL}}})
def test_any_tree_is_read_or_refused(bare: Path, tree: object) -> None:
    content = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    configuration = load_or_refuse(bare / "shop.yaml", content)
    assert configuration is None or configuration.services


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_refused(bare: Path, content: bytes) -> None:
    assert load_or_refuse(bare / "shop.yaml", content) is None
