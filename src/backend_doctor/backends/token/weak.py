"""Signing secrets that an attacker tries first; told without keeping the secret."""

import re
from typing import Literal

Weakness = Literal["", "placeholder", "repeated", "service name"]

# RFC 7518, 3.2: a key of the hash's size or larger
SHORTEST = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Bytes that the standard asks of an HMAC secret, by algorithm."""

PLACEHOLDERS = (
    "your-secret-key",
    "your-secret-key-here",
    "your_secret_key",
    "your_secret_key_here",
    "your-256-bit-secret",
    "your-super-secret-key",
    "your-super-secret-key-change-in-production",
    "your-secret-key-change-in-production",
    "your-secret-key-change-this-in-production",
    "your-jwt-secret",
    "change-me",
    "changeme",
    "change_me",
    "changethis",
    "change-this",
    "change-me-in-production",
    "secret",
    "secret-key",
    "secret_key",
    "secretkey",
    "SECRET_KEY",
    "SECRET",
    "supersecret",
    "super-secret",
    "super-secret-key",
    "supersecretkey",
    "mysecret",
    "mysecretkey",
    "my-secret-key",
    "jwt-secret",
    "jwt_secret",
    "jwtsecret",
    "password",
    "test",
    "test-secret",
    "dev",
    "dev-secret",
    "dev-secret-key",
    "development",
    "example",
    "default",
    "key",
    "token",
    "admin",
    "hunter2",
    "123456",
    "1234567890",
    # the key printed in FastAPI's tutorial: 64 characters, so that no check of length finds it
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
)
"""Spellings seen in tutorials and templates: few enough to try each on a sample."""

_TELLING = re.compile(
    "change(me|this|it)|replace(me|this)|your(super|jwt|app|own|very|\\d+bit)*secret"
    "|secret(key)?here|django-?insecure|insecure|notsosecret|supersecret|placeholder"
)
_SEQUENCES = ("1234567890" * 8, "0123456789" * 8, "abcdefghijklmnopqrstuvwxyz", "qwertyuiop")


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.casefold())


_WORDS = frozenset(_letters(word) for word in PLACEHOLDERS if _letters(word))


def _repeats(secret: str) -> bool:
    few = len(set(secret)) <= 4
    # a text that repeats a part of itself is found in its own double before its end
    return few or (secret + secret).find(secret, 1) < len(secret)


def weakness(secret: str, service: str = "") -> Weakness:
    """Why a secret can be guessed, or ""; its length is judged by :data:`SHORTEST`."""
    if secret in PLACEHOLDERS or _TELLING.search(_letters(secret)):
        return "placeholder"
    mostly_letters = len(_letters(secret)) * 2 >= len(secret)
    if mostly_letters and _letters(secret) in _WORDS:
        return "placeholder"
    if service and _letters(secret) in {_letters(service), _letters(service) + "secret"}:
        return "service name" if mostly_letters else ""
    if _repeats(secret) or any(secret.casefold() in sequence for sequence in _SEQUENCES):
        return "repeated"
    return ""


def long_enough(secret: str) -> tuple[str, ...]:
    """The HMAC algorithms for which it is as long as RFC 7518 asks."""
    size = len(secret.encode("utf-8", "surrogatepass"))
    return tuple(name for name, least in SHORTEST.items() if size >= least)
