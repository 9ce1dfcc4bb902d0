"""Session keys in a real Redis or Valkey: counted, timed, never named."""

import asyncio
import subprocess

import msgspec
import pytest
from redis import Redis
from tests.backends.redis_looks import KINDS, MakeRedis, admin_of, endpoint_of, instance_of, opened

from backend_doctor.backends.redis.rights import RIGHTS, allow
from backend_doctor.backends.redis.session_keys import SessionKeys
from backend_doctor.facts import Absent


def _sessions(url: str, pattern: str = "SESSION:*") -> SessionKeys | Absent:
    endpoint = endpoint_of(url)
    place = msgspec.structs.replace(
        instance_of(endpoint), database=endpoint.database or "", settings={"session_keys": pattern}
    )

    async def look() -> SessionKeys | Absent:
        _, connection = await opened(endpoint)
        try:
            return await SessionKeys.collect(connection, place)
        except Absent as absent:
            # what was sent after the refused command must not be taken for later replies
            assert (await connection.info())["redis_version"]
            return absent
        finally:
            await connection.close()

    return asyncio.run(look())


@pytest.mark.parametrize("kind", KINDS)
def test_session_keys_are_counted_and_timed_in_their_database(
    make_redis: MakeRedis, kind: str
) -> None:
    server = make_redis(kind)
    with Redis.from_url(server.admin_url(3)) as admin:
        for number in range(30):
            admin.set(f"SESSION:{number}", "value", ex=100 + 10 * number)
        admin.set(b"SESSION:\xff", "value")
        admin.set("other", "value", ex=9000)
        found = _sessions(server.admin_url(3))
        assert isinstance(found, SessionKeys)
        assert (found.matched, found.timed, found.endless, found.complete) == (31, 30, 1, True)
        assert found.shortest == pytest.approx(100, abs=5)
        assert found.median == pytest.approx(250, abs=5)
        assert found.longest == pytest.approx(390, abs=5)
        assert _sessions(server.admin_url(0)) == SessionKeys(matched=0, complete=True)
        with admin.pipeline(transaction=False) as many:
            for number in range(6000):
                many.set(f"SESSION:{number}", "value", ex=1000)
            many.execute()
        before = admin.info("commandstats")["cmdstat_pttl"]["calls"]
        some = _sessions(server.admin_url(3))
        assert isinstance(some, SessionKeys)
        assert 1500 <= some.matched <= 2600
        assert (some.timed, some.complete) == (200, False)
        calls = admin.info("commandstats")
        assert calls["cmdstat_pttl"]["calls"] - before == 200
        assert calls["cmdstat_scan"]["calls"] <= 12


@pytest.mark.parametrize("rules", ["", "+scan +select", "+scan +select +pttl"])
def test_without_rights_session_keys_are_unknown_and_no_key_is_named(
    make_redis: MakeRedis, rules: str
) -> None:
    server = make_redis("redis")
    with admin_of(server) as admin:
        admin.execute_command(*f"ACL SETUSER watcher on >pass {RIGHTS} {rules}".split())
        for number in range(5):
            admin.set(f"SESSION:{number}", "value", ex=100)
        refused = _sessions(server.url("watcher", "pass", 0))
        assert isinstance(refused, Absent)
        assert "SESSION" not in str(refused)
        remedy = refused.absence.remedy
        assert remedy == allow("watcher", "SESSION:*")
        subprocess.run(
            ["redis-cli", "-p", str(server.port)], input=remedy, text=True, timeout=10, check=True
        )
        found = _sessions(server.url("watcher", "pass", 0))
        assert isinstance(found, SessionKeys)
        assert found.timed == 5
