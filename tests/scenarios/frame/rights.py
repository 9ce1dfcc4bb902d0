"""The rights with which the doctor looks: exactly what ``backend-doctor grants`` prints."""

import asyncio
import secrets
import shlex
from dataclasses import dataclass, field
from typing import cast

import asyncpg
from redis.asyncio import Redis
from tests.scenarios.frame.doctor import doctor_command, doctor_environment

from backend_doctor.demo.servers import PostgresServer, RedisServer


@dataclass(frozen=True)
class Login:
    """A name and a password of the doctor's own; both are set when the rights are granted."""

    user: str = "doctor"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12) + "/@%", repr=False)


async def _printed(kind: str, login: Login, *options: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *doctor_command("grants", kind, "--role", login.user, *options),
        stdout=asyncio.subprocess.PIPE,
        env=doctor_environment(),
    )
    output, _ = await process.communicate()
    if process.returncode != 0 or not output.strip():
        raise RuntimeError(f"grants {kind} printed nothing, exit {process.returncode}")
    return output.decode()


async def grant_postgres(server: PostgresServer, login: Login, *options: str) -> None:
    """Creates the doctor's role as an administrator would who pastes what is printed.

    ``options`` are those of the command that prints it.
    """
    connection = await asyncpg.connect(server.admin_url())
    try:
        await connection.execute(await _printed("postgres", login, *options))
        password = login.password.replace("'", "''")
        await connection.execute(f"ALTER ROLE \"{login.user}\" PASSWORD '{password}'")
    finally:
        await connection.close()


async def grant_redis(server: RedisServer, login: Login) -> None:
    """Creates the doctor's ACL user likewise: its commands are the lines without a #."""
    lines = (await _printed("redis", login)).splitlines()
    commands = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    async with Redis.from_url(server.admin_url()) as admin:
        for words in commands:
            answer = cast("object", await admin.execute_command(*words))  # type: ignore[no-untyped-call]
            if answer not in (b"OK", True):
                raise RuntimeError(f"{words} answered {answer!r}")
        await admin.acl_setuser(login.user, enabled=True, passwords=[f"+{login.password}"])


async def pgbouncer_settings(user: str) -> dict[str, str]:
    """The settings of PgBouncer's that an administrator pastes: the lines without a ;."""
    lines = (await _printed("pgbouncer", Login(user))).splitlines()
    pairs = (line.split(" = ", 1) for line in lines if line and not line.startswith(";"))
    return {words[0]: words[1] for words in pairs}
