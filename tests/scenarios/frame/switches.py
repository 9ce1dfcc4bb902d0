"""What an administrator does to the settings of a server."""

from collections.abc import Mapping

import asyncpg
from tests.scenarios.frame.place import PostgresPlace

SAFE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
"""The settings of a server that keeps what it has committed, unlike one for tests."""


async def switch(place: PostgresPlace, settings: Mapping[str, str], *, reload: bool = True) -> None:
    """Writes settings for the whole server, and has them read."""
    admin = await asyncpg.connect(place.server.admin_url())
    try:
        for name, value in settings.items():
            await admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        if reload:
            await admin.execute("SELECT pg_reload_conf()")
    finally:
        await admin.close()


async def change_file(
    place: PostgresPlace, settings: Mapping[str, str], *, reload: bool = True
) -> None:
    """Adds lines to postgresql.conf, of which the last one counts, and has them read."""
    with (place.server.data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    await switch(place, {}, reload=reload)


async def include(place: PostgresPlace, directive: str, name: str) -> None:
    """Adds such a line for a file to postgresql.conf, and has it read."""
    with (place.server.data / "postgresql.conf").open("a") as file:
        file.write(f"{directive} '{name}'\n")
    await switch(place, {})
