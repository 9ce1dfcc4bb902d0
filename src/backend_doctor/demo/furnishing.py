"""What the servers of the demo hold: the shop's data, and a login for the doctor on each."""

import asyncio
import shlex
from collections.abc import Mapping
from importlib.resources import files
from secrets import token_urlsafe
from typing import Any

from backend_doctor.demo.command import ENTRY, environment
from backend_doctor.demo.servers import PostgresServer, RedisServer
from backend_doctor.demo.servers.mongodb import MongoServer
from backend_doctor.demo.servers.postgres import SUPERUSER
from backend_doctor.demo.servers.rabbitmq import RabbitServer
from backend_doctor.errors import UserError

DOCTOR, SHOP, CUSTOMER, SIGNING = "doctor", "shop", "ada", "signing"
PRODUCTS = 20

Passwords = Mapping[str, str]


def make_passwords() -> dict[str, str]:
    """One for each role, for this run alone."""
    return {role: token_urlsafe(36) for role in (DOCTOR, SHOP, CUSTOMER, SUPERUSER, SIGNING)}


async def furnish_postgres(postgres: PostgresServer, passwords: Passwords) -> None:
    """Roles and tables; the doctor's rights are what `backend-doctor grants` prints, no more."""
    import asyncpg

    from backend_doctor.demo.shop.accounts import hashed

    admin = await asyncpg.connect(postgres.admin_url(), ssl=False)
    await admin.execute(await _grants("postgres"))
    await admin.execute(f"ALTER ROLE {DOCTOR} PASSWORD '{passwords[DOCTOR]}'")
    await admin.execute(f"CREATE ROLE {SHOP} LOGIN PASSWORD '{passwords[SHOP]}'")
    await admin.execute(f"CREATE DATABASE shop OWNER {SHOP}")
    await admin.close()
    admin = await asyncpg.connect(postgres.admin_url("shop"), ssl=False)
    await admin.execute("CREATE EXTENSION pg_stat_statements")
    await admin.close()
    owner = await asyncpg.connect(postgres.url(SHOP, passwords[SHOP], "shop"), ssl=False)
    await owner.execute(files("backend_doctor.demo.shop").joinpath("schema.sql").read_text())
    # for the plans of slow statements; the customers' table is nobody else's business
    await owner.execute(f"GRANT SELECT ON orders, stock TO {DOCTOR}")
    customer = "INSERT INTO customers VALUES ($1, $2)"
    await owner.execute(customer, CUSTOMER, hashed(passwords[CUSTOMER]))
    await owner.close()


async def furnish_redis(redis: RedisServer, passwords: Passwords) -> None:
    """The doctor's user, with what `backend-doctor grants` prints."""
    from redis.asyncio import Redis

    async with Redis.from_url(redis.admin_url()) as admin:
        execute: Any = admin.execute_command
        for line in (await _grants("redis")).splitlines():
            if not line.startswith("#"):
                await execute(*shlex.split(line))
        await execute("ACL", "SETUSER", DOCTOR, "on", f">{passwords[DOCTOR]}")


async def furnish_mongodb(mongodb: MongoServer, passwords: Passwords) -> None:
    """The products, the shop's user and the doctor's."""
    from pymongo import AsyncMongoClient

    async with AsyncMongoClient[dict[str, Any]](mongodb.admin_url()) as client:
        create = client.admin.command
        roles = [{"role": "readWrite", "db": "shop"}]
        await create("createUser", SHOP, pwd=passwords[SHOP], roles=roles)
        roles = [{"role": role, "db": "admin"} for role in ("clusterMonitor", "readAnyDatabase")]
        await create("createUser", DOCTOR, pwd=passwords[DOCTOR], roles=roles)
        numbers = range(1, PRODUCTS + 1)
        await client["shop"]["products"].insert_many(
            {"_id": number, "name": f"product {number}", "sold": 0} for number in numbers
        )


async def furnish_rabbitmq(rabbitmq: RabbitServer, passwords: Passwords) -> None:
    """The shop's user, and the doctor's, who looks and may change nothing."""
    import httpx

    users = {
        SHOP: ("", {"configure": r"^shop\.", "write": r"^shop\.", "read": r"^shop\."}),
        DOCTOR: ("monitoring", {"configure": "^$", "write": r"^amq\.default$", "read": "^$"}),
    }
    login = ("guest", rabbitmq.password)
    api = f"{rabbitmq.management_url}/api"
    async with httpx.AsyncClient(trust_env=False, timeout=10, auth=login) as client:
        for user, (tags, rights) in users.items():
            account = {"password": passwords[user], "tags": tags}
            for path, body in ((user, account), (f"%2F/{user}", rights)):
                what = "users" if body is account else "permissions"
                (await client.put(f"{api}/{what}/{path}", json=body)).raise_for_status()


async def _grants(kind: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *ENTRY, "grants", kind, "--role", DOCTOR, env=environment(), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    if process.returncode != 0:
        raise UserError(f"the demo went wrong: grants {kind} ended with {process.returncode}")
    return printed.decode()
