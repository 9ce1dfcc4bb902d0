"""The commands that we may ever send, and the ACL that allows them and nothing else."""

import re

COMMANDS = frozenset(
    {
        ("INFO",),
        ("CLIENT", "LIST"),
        ("CLIENT", "SETNAME"),
    }
)
"""Reads without a key, and our own connection's name; AUTH needs no right."""

KEY_COMMANDS = frozenset({("PTTL",), ("SCAN",), ("SELECT",)})
"""What is sent beside them only where ``session_keys`` is declared; no value is ever read."""


def name_of(parts: tuple[str, ...]) -> str:
    """The command's name: of it no argument, which may be a key.

    Raises ValueError for one that we never send.
    """
    for words in (parts[:2], parts[:1]):
        if words in COMMANDS | KEY_COMMANDS:
            return " ".join(words)
    raise ValueError(f"{parts[0]} is not among the commands that we send")


def _rules(commands: frozenset[tuple[str, ...]]) -> str:
    return " ".join(f"+{'|'.join(parts).lower()}" for parts in sorted(commands))


RIGHTS = _rules(COMMANDS)
"""ACL rules for exactly :data:`COMMANDS`; valid on Redis 6 and later and on Valkey."""

_PLAIN = r"[A-Za-z0-9_.:@/-]+"


def quote_argument(text: str) -> str:
    """One argument as redis-cli reads it: bare, or in double quotes with escapes."""
    if re.fullmatch(_PLAIN, text):
        return text
    escaped = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}"
        for byte in text.encode("utf-8", "surrogateescape")
    )
    return f'"{"".join(escaped)}"'


def rights(session_keys: str = "") -> str:
    """:data:`RIGHTS`, and where a pattern is given, those to find its keys and ask for their
    times; SCAN tells the names of all keys."""
    if not session_keys:
        return RIGHTS
    return f"{RIGHTS} {_rules(KEY_COMMANDS)} {quote_argument(f'~{session_keys}')}"


def allow(user: str, session_keys: str = "") -> str:
    """The line that an administrator gives the server so that ``user`` may read our facts."""
    return f"ACL SETUSER {quote_argument(user)} {rights(session_keys)}"
