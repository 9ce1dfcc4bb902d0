"""Which settings are known, and by what names; what is not listed here is never kept."""

import re

_POSTGRES = r"database\.postgres(ql)?\."
_CORS = r"(\w+\.)?cors\.(allow_|allowed_)?"
_LASTS = (
    r"_(expires?|expiration|lifetime|ttl|timeout|max_age)(_in)?(_(seconds|minutes|hours|days))?"
)
_UNITS = {"minutes": 60, "hours": 3600, "days": 86400}

_KNOWN: dict[str, str] = {
    "env": r"((app|application)\.)?(app_)?env(ironment)?",
    "name": r"(app|application)\.name",
    "debug": r"((app|application|server)\.)?debug",
    "reload": r"((app|application|server|uvicorn)\.)?reload",
    "log_level": r"((app|application|server|logging|log)\.)?log_?level|(logging|log)\.level",
    "workers": r"server\.workers",
    "algorithm": r"(\w+\.)*(jwt_)?algorithm",
    "echo": _POSTGRES + r"echo",
    "pool_size": _POSTGRES + r"pool_size",
    "max_overflow": _POSTGRES + r"max_overflow",
    "pool_pre_ping": _POSTGRES + r"pool_pre_ping",
    "pool_recycle": _POSTGRES + r"pool_recycle",
    "idle_session_timeout": _POSTGRES + r"(\w+\.)*idle_session_timeout",
    "mongodb_pool": r"database\.mongo(db)?\.max_?pool_?size",
    "redis_pool": r"database\.redis\.max_connections",
    "access_token": r"(\w+\.)*(jwt_)?access_token" + _LASTS,
    "refresh_token": r"(\w+\.)*(jwt_)?refresh_token" + _LASTS,
    "session": r"(\w+\.)*session" + _LASTS + r"|(\w+\.)*session\.(ttl|max_age)(_seconds)?",
    "cors_origins": _CORS + r"origins",
    "cors_origin_regex": _CORS + r"origins?_regex",
    "cors_credentials": _CORS + r"credentials",
}
_PATTERNS = {name: re.compile(pattern) for name, pattern in _KNOWN.items()}
_STORE = re.compile(r"(database\.(?P<kind>\w+)|(?P<broker>rabbitmq))\.(url|uri|dsn)")
_SECRET = re.compile(
    r"(\w+\.)*(((app|jwt|auth|session|cookie)_)?(secret_key|signing_key)|jwt_secret)"
    r"|(security|jwt|auth)\.secret"
)
LIFETIMES = frozenset({"access_token", "refresh_token", "session"})
"""Known names whose values are durations."""


def known(key: str) -> str:
    """The name under which a dotted key is known, or ""."""
    return next((name for name, pattern in _PATTERNS.items() if pattern.fullmatch(key)), "")


def is_secret(key: str) -> bool:
    """Whether a dotted key holds what signs tokens, sessions or cookies."""
    return _SECRET.fullmatch(key) is not None


def store(key: str) -> str:
    """The kind of store whose URL a dotted key holds, or ""."""
    match = _STORE.fullmatch(key)
    return (match["kind"] or match["broker"]) if match else ""


def unit(key: str) -> int:
    """The seconds that one stands for in a duration: by the key's last word, else 1."""
    return _UNITS.get(key.rpartition("_")[2], 1)
