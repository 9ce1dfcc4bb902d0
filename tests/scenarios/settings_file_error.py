"""A configuration file holds a line with which the server would not start again."""

import asyncpg
from tests.scenarios.frame.fault import Placement, PostgresFault, Scenario, unless
from tests.scenarios.frame.oracle import Facts
from tests.scenarios.frame.place import PostgresPlace
from tests.scenarios.frame.rights import Login
from tests.scenarios.frame.switches import change_file, include

_ERRORS = "SELECT sourcefile, sourceline, error FROM pg_file_settings WHERE error IS NOT NULL"


class SettingsFileError(PostgresFault):
    """A name is misspelt, or a file to include is not there (variant 1). The twin's unknown name
    is an extension's, or the file is wanted only if it exists. The doctor may read
    pg_file_settings."""

    truth = "P21"

    async def inject(self, place: PostgresPlace) -> None:
        await _let_in(place)
        if place.variant:
            await include(place, "include", "tuning.conf")
        else:
            await change_file(place, {"work_mem": "8MB", "max_conections": "60"})

    async def inject_twin(self, place: PostgresPlace) -> None:
        await _let_in(place)
        if place.variant:
            await include(place, "include_if_exists", "tuning.conf")
        else:
            await change_file(place, {"work_mem": "8MB", "our_metrics.interval": "60"})

    async def look(self, place: PostgresPlace, twin: bool) -> Facts:
        rows = await (await place.oracle.connection()).fetch(_ERRORS)
        return {
            "error_places": [f"{row['sourcefile']}:{row['sourceline']}" for row in rows],
            "error_words": [row["error"] for row in rows],
        }

    def missing(self, place: PostgresPlace, facts: Facts, twin: bool) -> list[str]:
        lines = len(set(facts["error_places"]))
        return unless({"one line is in error, or none": lines == (0 if twin else 1)})


async def _let_in(place: PostgresPlace) -> None:
    admin = await asyncpg.connect(place.server.admin_url(place.names.database))
    try:
        await admin.execute(
            f"GRANT SELECT ON pg_file_settings TO {Login().user};"
            f" GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO {Login().user}"
        )
    finally:
        await admin.close()


SCENARIO = Scenario("P21", (Placement(SettingsFileError()),))
