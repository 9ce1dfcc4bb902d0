"""What the servers of the demo hold: the shop's tables, and a login for the doctor."""

import asyncio
import shlex
from importlib.resources import files
from secrets import token_urlsafe
from typing import Any

from backend_doctor.demo.command import ENTRY, environment
from backend_doctor.demo.servers import PostgresServer, RedisServer
from backend_doctor.demo.servers.postgres import SUPERUSER
from backend_doctor.errors import UserError

DOCTOR = "doctor"


async def furnish(postgres: PostgresServer, redis: RedisServer) -> dict[str, str]:
    """Roles and tables; returns the passwords by role. The doctor's rights are what
    `backend-doctor grants` prints, no more."""
    import asyncpg

    passwords = {role: token_urlsafe(18) for role in ("shop", DOCTOR)}
    admin = await asyncpg.connect(postgres.admin_url(), ssl=False)
    await admin.execute(await _grants("postgres"))
    await admin.execute(f"ALTER ROLE {DOCTOR} PASSWORD '{passwords[DOCTOR]}'")
    await admin.execute(f"CREATE ROLE shop LOGIN PASSWORD '{passwords['shop']}'")
    await admin.execute("CREATE DATABASE shop OWNER shop")
    await admin.close()
    owner = await asyncpg.connect(postgres.url("shop", passwords["shop"], "shop"), ssl=False)
    await owner.execute(files("backend_doctor.demo.shop").joinpath("schema.sql").read_text())
    await owner.close()
    await _furnish_redis(redis, passwords[DOCTOR])
    return {**passwords, SUPERUSER: postgres.password or ""}


async def _furnish_redis(redis: RedisServer, password: str) -> None:
    from redis.asyncio import Redis

    async with Redis.from_url(redis.admin_url()) as admin:
        execute: Any = admin.execute_command
        for line in (await _grants("redis")).splitlines():
            if not line.startswith("#"):
                await execute(*shlex.split(line))
        await execute("ACL", "SETUSER", DOCTOR, "on", f">{password}")


async def _grants(kind: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *ENTRY, "grants", kind, "--role", DOCTOR, env=environment(), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    if process.returncode != 0:
        raise UserError(f"the demo went wrong: grants {kind} ended with {process.returncode}")
    return printed.decode()
