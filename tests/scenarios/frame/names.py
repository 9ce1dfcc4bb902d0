"""Names and sizes as a real company might have them, another set for every seed."""

from dataclasses import dataclass
from random import Random

_SERVICES = ("shop", "billing", "catalog", "booking", "ledger", "fleet", "wallet", "orders")
_ROLES = ("api", "web", "backend", "core", "gateway")
_OTHERS = ("reporting", "mailer", "search-sync", "auditor", "exporter")
_JOBS = ("schema-migrate", "flyway", "nightly-report", "bi-extract", "deploy-7")
_TABLES = ("customers", "invoices", "bookings", "payments", "parcels", "tickets", "stock")
_COLUMNS = ("amount", "quantity", "balance", "score", "visits")


@dataclass(frozen=True)
class Names:
    """What one place is called: service, application, role, database, tables, column."""

    service: str
    application: str
    other: str
    jobs: tuple[str, str]
    role: str
    database: str
    table: str
    quiet_table: str
    column: str


def draw_names(random: Random) -> Names:
    """A set of names that do not collide with one another."""
    service = random.choice(_SERVICES)
    first, second = random.sample(_JOBS, 2)
    table, quiet = random.sample(_TABLES, 2)
    return Names(
        service=service,
        application=f"{service}-{random.choice(_ROLES)}",
        other=random.choice(_OTHERS),
        jobs=(first, second),
        role=random.choice((f"{service}_app", f"{service}-rw", f"svc_{service}")),
        database=random.choice((service, f"{service}_production", f"{service}-db")),
        table=table,
        quiet_table=quiet,
        column=random.choice(_COLUMNS),
    )
