"""Counters and statements over a window, as the tests of several checks need them."""

from typing import Any

from tests.checks.postgres.builders import WINDOW

from backend_doctor import Looks
from backend_doctor.backends.postgres.counters import Counters, DatabaseCounters
from backend_doctor.backends.postgres.server_settings import ServerSettings, Setting
from backend_doctor.backends.postgres.statements import Counted, Statements

MIB = 1024**2
GIB = 1024**3


def counted(
    *, uptime: float = 3600.0, server: dict[str, int] | None = None, **database: Any
) -> Any:
    """Two looks between which the database ``shop`` and the ``server`` counted so much."""
    before = dict.fromkeys(database, 1000)
    after = {name: 1000 + amount for name, amount in database.items()}

    def at(counts: dict[str, Any], more: dict[str, Any]) -> Counters:
        shop = DatabaseCounters(name="shop", **counts)
        return Counters(databases=(shop,), uptime=uptime, started_at="2026-11-23", **more)

    return Looks(at(before, {}), at(after, server or {}), WINDOW)


def ran(*loads: dict[str, Any]) -> Looks[Statements]:
    """Two looks between which these statements ended, each of a query id of its own."""
    usual = {"database": "shop", "role": "shop", "calls": 100, "ms": 1000.0, "rows": 100}
    last = tuple(
        Counted(**{**usual, "query_id": str(number), **load})
        for number, load in enumerate(loads, start=1)
    )
    return Looks(Statements(counted=()), Statements(counted=last, entries=len(last)), WINDOW)


def settings(**values: str) -> ServerSettings:
    """Settings with the units that the server gives them."""
    units = {"shared_buffers": "8kB", "max_wal_size": "MB", "checkpoint_timeout": "s"}
    found = {
        "shared_buffers": "2048",
        "max_wal_size": "1024",
        "checkpoint_timeout": "300",
        "track_io_timing": "on",
        **values,
    }
    return ServerSettings(
        settings=tuple(
            Setting(name=name, value=value, unit=units.get(name, ""))
            for name, value in found.items()
        )
    )
