"""The shop's own rooms: its settings and its tokens."""

import asyncio
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import yaml
from redis.asyncio import Redis

from backend_doctor.demo.servers import RedisServer
from backend_doctor.demo.shop.accounts import hashed
from backend_doctor.demo.shop.faults import Fault, Faults
from backend_doctor.demo.shop.settings import OVERRIDES, Settings, changed, overridden
from backend_doctor.demo.shop.tokens import TokenError, Tokens


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def tree() -> dict[str, Any]:
    text = files("backend_doctor.demo.shop").joinpath("settings.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def settings(**security: Any) -> Settings:
    given = {"security": {"secret_key": "k" * 40, **security}}
    return Settings.from_tree(changed(tree(), given))


def test_every_reference_in_the_settings_file_is_given_by_the_environment() -> None:
    environ = {name: f"given-{name}" for name in OVERRIDES}
    resolved = yaml.safe_dump(overridden(tree(), environ))
    assert "${" in yaml.safe_dump(tree())
    assert "${" not in resolved
    assert all(f"given-{name}" in resolved for name in OVERRIDES)


def test_the_environment_stands_above_the_file_and_leaves_the_rest() -> None:
    found = Settings.from_tree(
        overridden(tree(), {"CORS_ORIGINS": "https://a.example,https://b.example"})
    )
    assert found.cors["allow_origins"] == ["https://a.example", "https://b.example"]
    assert found.cors["allow_credentials"] is True
    assert found.pool["pool_size"] == 4


def test_a_password_fits_only_itself() -> None:
    known = hashed("secret")
    assert hashed("secret", known[:16]) == known
    assert hashed("other", known[:16]) != known
    assert hashed("secret") != known


def test_a_refresh_token_works_once_and_its_reuse_ends_the_family(redis: RedisServer) -> None:
    async def play() -> None:
        async with Redis.from_url(redis.admin_url()) as cache:
            tokens = Tokens(settings(), cache, Faults())
            first = await tokens.issue("ada")
            assert tokens.user_of(first.access_token) == "ada"
            second = await tokens.rotate(first.refresh_token)
            third = await tokens.rotate(second.refresh_token)
            with pytest.raises(TokenError, match="used before"):
                await tokens.rotate(second.refresh_token)
            with pytest.raises(TokenError, match="used before"):
                await tokens.rotate(third.refresh_token)
            other = await tokens.issue("ada")
            assert tokens.user_of((await tokens.rotate(other.refresh_token)).access_token) == "ada"

    asyncio.run(play())


def test_of_two_refreshes_at_once_one_succeeds(redis: RedisServer) -> None:
    async def play() -> list[object]:
        async with Redis.from_url(redis.admin_url()) as cache:
            tokens = Tokens(settings(), cache, Faults())
            pair = await tokens.issue("ada")
            both = (tokens.rotate(pair.refresh_token), tokens.rotate(pair.refresh_token))
            return list(await asyncio.gather(*both, return_exceptions=True))

    found = asyncio.run(play())
    assert sum(isinstance(one, TokenError) for one in found) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [({"secret_key": "j" * 40}, "[Ss]ignature"), ({"access_token_expire_minutes": -1}, "expired")],
)
def test_other_secrets_and_expired_tokens_are_refused(
    redis: RedisServer, change: dict[str, Any], why: str
) -> None:
    async def play() -> None:
        async with Redis.from_url(redis.admin_url()) as cache:
            issued = await Tokens(settings(**change), cache, Faults()).issue("ada")
            with pytest.raises(TokenError, match=why):
                Tokens(settings(), cache, Faults()).user_of(issued.access_token)

    asyncio.run(play())


def test_refresh_tokens_open_no_door_and_a_clock_ahead_locks_its_own(redis: RedisServer) -> None:
    async def play() -> None:
        async with Redis.from_url(redis.admin_url()) as cache:
            tokens = Tokens(settings(), cache, Faults())
            with pytest.raises(TokenError, match="no access token"):
                tokens.user_of((await tokens.issue("ada")).refresh_token)
            ahead = await Tokens(settings(), cache, Faults({Fault.CLOCK_AHEAD})).issue("ada")
            with pytest.raises(TokenError, match="not yet valid"):
                tokens.user_of(ahead.access_token)

    asyncio.run(play())
