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

RIGHTS = " ".join(f"+{'|'.join(parts).lower()}" for parts in sorted(COMMANDS))
"""ACL rules for exactly :data:`COMMANDS`; valid on Redis 6 and later and on Valkey."""

_PLAIN = re.compile(r"[A-Za-z0-9_.:@/-]+")


def quote_argument(text: str) -> str:
    """One argument as redis-cli reads it: bare, or in double quotes with escapes."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}"
        for byte in text.encode("utf-8", "surrogateescape")
    )
    return f'"{"".join(escaped)}"'


def allow(user: str) -> str:
    """The line that an administrator gives the server so that ``user`` may read our facts."""
    return f"ACL SETUSER {quote_argument(user)} {RIGHTS}"
