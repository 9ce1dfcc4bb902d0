"""The rights with which the doctor looks: what an administrator would grant, nothing more."""

import secrets
from dataclasses import dataclass, field

import asyncpg
from redis.asyncio import Redis

from backend_doctor.demo.servers import PostgresServer, RedisServer


@dataclass(frozen=True)
class Login:
    """A name and a password of the doctor's own; both are set when the rights are granted."""

    user: str = "doctor"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12) + "/@%", repr=False)


async def grant_postgres(server: PostgresServer, login: Login) -> None:
    """Creates the doctor's role; reserved connections where the server knows them."""
    connection = await asyncpg.connect(server.admin_url())
    try:
        password = login.password.replace("'", "''")
        await connection.execute(f"CREATE ROLE \"{login.user}\" LOGIN PASSWORD '{password}'")
        await connection.execute(f'GRANT pg_monitor TO "{login.user}"')
        if connection.get_server_version().major >= 16:
            await connection.execute(f'GRANT pg_use_reserved_connections TO "{login.user}"')
    finally:
        await connection.close()


REDIS_RULES = (
    *("+info", "+ping", "+client|list", "+client|setname", "+client|setinfo", "+client|id"),
    *("+slowlog|get", "+slowlog|len", "+latency|latest", "+latency|histogram", "+memory|stats"),
    *("+select", "+hello", "+auth"),
)


async def grant_redis(server: RedisServer, login: Login) -> None:
    """Creates the doctor's ACL user."""
    async with Redis.from_url(server.admin_url()) as admin:
        await admin.execute_command(
            "ACL", "SETUSER", login.user, "on", f">{login.password}", "-@all", *REDIS_RULES
        )
