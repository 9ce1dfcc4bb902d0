"""A value that is used but never shown."""

from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"


class Secret:
    """Holds a password, token or key; no representation of it shows the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that hands it to a driver."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not serialisable")


def scrub(text: str, secrets: Iterable[Secret]) -> str:
    """``text`` with every secret masked, also in its URL-encoded spellings and fragments.

    A driver that misreads a URL quotes a part of the password, cut at ``/`` or ``@``; such
    parts of four characters and more are masked too.
    """
    forms: set[str] = set()
    for secret in secrets:
        value = secret.reveal()
        parts = value.replace("@", "/").replace(":", "/").replace("?", "/").split("/")
        forms.update((value, quote(value, safe=""), quote(value), quote_plus(value)))
        forms.update(part for part in parts if len(part) >= 4)
    for form in sorted(filter(None, forms), key=len, reverse=True):
        text = text.replace(form, MASK)
    return text
