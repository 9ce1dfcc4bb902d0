"""Values that stand elsewhere."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.errors import ConfigurationError
from backend_doctor.references import resolve, substitute

ENVIRON = {"HOST": "db", "PASSWORD": "${HOST}", "EMPTY": "", "DATABASE_URL": "x"}


@pytest.mark.parametrize(
    ("text", "result", "origin"),
    [
        ("plain", "plain", ""),
        ("${HOST}", "db", "from HOST"),
        ("a ${HOST}:${HOST} b", "a db:db b", "from HOST"),
        ("${PASSWORD}", "${HOST}", "from PASSWORD"),
        ("${NONE:-x}", "x", "from NONE (its default)"),
        ("${EMPTY:-x}", "x", "from EMPTY (its default)"),
        ("${NONE:-}", "", "from NONE (its default)"),
        ("${EMPTY}", "", "from EMPTY (its default)"),
        ("${HOST:-x}", "db", "from HOST"),
        ("${NONE:-${HOST}}", "db", "from NONE (its default), HOST"),
        ("${NONE:-${NADA:-a}b}c", "abc", "from NONE (its default), NADA (its default)"),
        ("$${HOST} $HOST $ } {", "${HOST} $HOST $ } {", ""),
    ],
)
def test_substitution(text: str, result: str, origin: str) -> None:
    found = substitute(text, ENVIRON, place="here")
    assert (found.text, found.origin) == (result, origin)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${NONE}", "here: NONE is not set in the environment; expected it to be exported"),
        ("${DATABSE_URL}", 'or ${DATABSE_URL:-default}; did you mean "DATABASE_URL"?'),
        ("a${HOST", "never closed"),
        ("${}", "no variable name"),
        ("${a b}", "no variable name"),
        ("${NONE:-" * 12 + "}" * 12, "nested more than 10 deep"),
    ],
)
def test_refusals(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        substitute(text, ENVIRON, place="here")
    assert said in str(caught.value)


@given(st.text("a${}:-HOST ", max_size=30))
def test_any_text_is_substituted_or_refused(text: str) -> None:
    try:
        found = substitute(text, ENVIRON, place="here")
    except ConfigurationError:
        assert "${" in text
    else:
        assert found.text == text or "${" in text


def test_env_and_file_stand_for_a_value(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://h\n")
    assert resolve("env:HOST", ENVIRON, tmp_path, place="here").text == "db"
    found = resolve("file:url", ENVIRON, tmp_path, place="here")
    assert (found.text, found.origin) == ("redis://h", "from file url")
    assert resolve(f"file:{tmp_path}/url", {}, Path("/"), place="here").text == "redis://h"
    assert resolve("file-like", {}, tmp_path, place="here").text == "file-like"


def test_a_variable_that_is_there_but_empty_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="EMPTY is set but empty") as caught:
        resolve("env:EMPTY", {"EMPTY": ""}, tmp_path, place="here")
    assert "did you mean" not in str(caught.value)


def test_files_that_hold_no_secret(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    for name, said in (("empty", "is empty"), ("latin", "is not UTF-8"), ("a\0b", "not a file")):
        with pytest.raises(ConfigurationError, match=said):
            resolve(f"file:{name}", {}, tmp_path, place="here")
