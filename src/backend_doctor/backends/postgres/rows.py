"""What the server sends, as text: bytes where its encoding may not be ours."""

from collections.abc import Iterable, Mapping
from typing import Any


def text_of(value: Any) -> Any:
    """Bytes as text, what is no UTF-8 escaped; anything else as it is."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def rows_of(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each by column."""
    return [{name: text_of(value) for name, value in row.items()} for row in records]
