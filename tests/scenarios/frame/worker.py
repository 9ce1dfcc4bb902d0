"""One process of an application: fills its pool and uses it lightly, until its input ends."""

import asyncio
import json
import sys

import asyncpg


async def _keep_filling(task: dict[str, str], size: int, held: list[object]) -> None:
    settings = {"application_name": task["application"]}
    while len(held) < size:
        try:
            held.append(await asyncpg.connect(task["url"], server_settings=settings))
        except asyncpg.TooManyConnectionsError:
            await asyncio.sleep(0.5)


async def _use(statement: str, held: list[object]) -> None:
    turn = 0
    while True:
        await asyncio.sleep(0.2)
        if held:
            turn += 1
            connection = held[turn % len(held)]
            await connection.fetch(statement)  # type: ignore[attr-defined]


async def _serve(task: dict[str, str], size: int) -> None:
    held: list[object] = []
    work = [_keep_filling(task, size, held), _use(task["statement"], held)]
    running = asyncio.gather(*work)
    await asyncio.to_thread(sys.stdin.read)
    running.cancel()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    asyncio.run(_serve(given, int(given["size"])))
