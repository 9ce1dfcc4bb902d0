"""Facts of dead rows and of who holds the horizon, as the tests of their checks need them."""

from collections.abc import Iterable
from typing import Any

from backend_doctor.backends.postgres.horizon import Holder, Horizon
from backend_doctor.backends.postgres.table_activity import Maintained, TableActivity

DAY = 86_400.0


def table(name: str = "orders", **fields: Any) -> Maintained:
    """100,000 rows, autovacuum's usual thresholds, vacuumed and analyzed an hour ago."""
    usual = {
        "schema": "public",
        "rows": 100_000,
        "dead": 0,
        "changed": 0,
        "vacuum_at": 20_050,
        "analyze_at": 10_050,
        "vacuumed": 3600.0,
        "analyzed": 3600.0,
    }
    return Maintained(**{**usual, **fields, "name": name})


def activity(*tables: Maintained, **fields: Any) -> TableActivity:
    """A server that has been up for a day."""
    return TableActivity(tables=tables, **{"uptime": DAY, **fields})


def holder(pid: int, **fields: Any) -> Holder:
    """The transaction of the session that ``builders.session`` makes with this pid and
    ``transaction_us`` of 5."""
    usual = {
        "kind": "session",
        "name": "shop-api",
        "user": "shop",
        "database": "shop",
        "pid": pid,
        "started_us": 1_000_000 * pid,
        "transaction_us": 5,
        "seconds": 20.0,
        "xids": 100,
    }
    return Holder(**{**usual, **fields})


def prepared(gid: str = "order-7", **fields: Any) -> Holder:
    """A prepared transaction of an hour."""
    usual = {"kind": "prepared", "user": "shop", "database": "shop", "seconds": 3600.0, "xids": 9}
    return Holder(**{**usual, **fields, "name": gid})


def slot(name: str = "replica_2", **fields: Any) -> Holder:
    """A slot without its consumer, of unknown age (before 17)."""
    return Holder(**{"kind": "slot", "active": False, "xids": 20_000, **fields, "name": name})


def standby(name: str = "walreceiver", **fields: Any) -> Holder:
    """A standby with hot_standby_feedback."""
    return Holder(**{"kind": "standby", "pid": 77, "xids": 20_000, **fields, "name": name})


def horizon(*holders: Holder) -> Horizon:
    """All holders, in the database shop."""
    oldest_first: Iterable[Holder] = sorted(holders, key=lambda one: one.xids or 0, reverse=True)
    return Horizon(holders=tuple(oldest_first), database="shop")
