"""A server that speaks German (lc_messages): its refusals mean what they mean in English."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from tests.conftest import POSTGRES
from tests.safety.client import Client

from backend_doctor.backends.postgres.connection import connect
from backend_doctor.backends.postgres.limits import ConnectionLimit, refusing_limit
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import PostgresServer
from backend_doctor.facts import Login, Problem


class GermanServer(PostgresServer):
    """PostgreSQL of Debian, which has the catalogues; LANGUAGE serves without a German locale."""

    def __init__(self) -> None:
        super().__init__(POSTGRES[15](), settings={"lc_messages": "C.UTF-8", "max_connections": 6})

    def _environment(self) -> dict[str, str]:
        return {"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANGUAGE": "de"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with GermanServer() as running:
        with Client(running.admin_url()) as admin:
            admin.do('CREATE ROLE app LOGIN; CREATE ROLE "lim»it""ed" LOGIN CONNECTION LIMIT 1')
            admin.do("CREATE DATABASE small CONNECTION LIMIT 1")
        yield running


def refused(url: str) -> tuple[Login, str]:
    """Our login, and what the server says to any other."""

    async def attempt() -> tuple[Login, str]:
        login, _ = await connect(parse_url(url, place="test"), limit=5)
        with pytest.raises(asyncpg.PostgresError) as caught:
            await asyncpg.connect(url)
        return login, str(caught.value)

    return asyncio.run(attempt())


@pytest.mark.parametrize(
    ("user", "database", "limit", "said"),
    [
        ('lim»it"ed', "postgres", ("role", 'lim»it"ed'), "zu viele Verbindungen von Rolle"),
        ("app", "small", ("database", "small"), "zu viele Verbindungen für Datenbank"),
    ],
)
def test_a_limit_of_its_own(
    server: PostgresServer, user: str, database: str, limit: tuple[str, str], said: str
) -> None:
    url = server.url(user, None, database)
    with Client(url):
        login, message = refused(url)
    assert message.startswith(said)
    kind, name = limit
    assert refusing_limit(login) == ConnectionLimit(kind=kind, name=name)


def test_a_full_server_and_a_wrong_login_name_no_limit(server: PostgresServer) -> None:
    url = server.url("app")
    with Client(url), Client(url), Client(url):
        full, said = refused(url)
    assert said.startswith("die verbleibenden Verbindungen")
    assert (full.problem, full.message) == (Problem.FULL, said)
    stranger, said = refused(server.url("nobody"))
    assert said == "Rolle »nobody« existiert nicht"
    assert (stranger.problem, stranger.message) == (Problem.LOGIN, said)
    assert refusing_limit(full) is refusing_limit(stranger) is None
