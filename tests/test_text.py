"""Hostile text made harmless, and nothing else changed."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.text import safe_block, safe_text, shorten, storable

ANYTHING = st.text(st.characters(exclude_categories=[])) | st.text("\x1b\x07\x9b\u202e\ud800a\n\t ")


@pytest.mark.parametrize(
    ("hostile", "safe"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\r\n\tb  c", "a b c"),
        ("bell\x07", "bell\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("pay\u202egnp.exe", "pay\\u202egnp.exe"),
        ("\ud800lone", "\\ud800lone"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\u2028line", "\\u2028line"),
        ("\U000e0041tag", "\\U000e0041tag"),
        ("Zürich 東京 👍", "Zürich 東京 👍"),
    ],
)
def test_examples(hostile: str, safe: str) -> None:
    assert safe_text(hostile) == safe


@given(ANYTHING)
def test_safe_text_is_one_printable_line(text: str) -> None:
    safe = safe_text(text)
    safe.encode()
    assert len(safe.splitlines()) <= 1
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in safe)
    assert not set(safe) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert safe_text(safe) == safe


@given(ANYTHING)
def test_safe_block_keeps_its_lines_and_nothing_worse(text: str) -> None:
    safe = safe_block(text)
    assert safe.count("\n") == text.count("\n")
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in safe.replace("\n", ""))


@given(ANYTHING)
def test_storable_text_survives_json_and_utf8(text: str) -> None:
    kept = storable(text)
    assert json.loads(json.dumps(kept).encode()) == kept
    kept.encode()
    assert "\0" not in kept
    assert storable(kept) == kept


@given(st.text(), st.integers(3, 50))
def test_shorten_keeps_within_its_width(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) <= width
    assert short == text or (short.endswith("...") and text.startswith(short[:-3]))
