"""What PyJWT, Python and the machine say leads to its message."""

import asyncio
import gc
import os
import resource
import socket
import warnings
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from tests.triage_words import lead, said

KEY = "q7Zk-2mXv9_TfLr4WbN8sYc1HdPu6EgJ"


def jwt_error(act: Callable[[], Any]) -> str:
    with pytest.raises(jwt.PyJWTError) as raised:
        act()
    return said(raised.value)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("claims", "key", "options", "title"),
    [
        ({"exp": 1}, KEY, {}, "A token has expired"),
        ({"nbf": 4e9}, KEY, {}, "A token comes from the future"),
        ({"iat": 4e9}, KEY, {}, "A token comes from the future"),
        ({}, KEY + "x", {}, "A token's signature is not right"),
        ({}, KEY, {"algorithms": ["HS512"]}, "A token's algorithm is not allowed"),
        ({"aud": "a"}, KEY, {"audience": "b"}, "A token is for another audience"),
        ({}, KEY, {"audience": "b"}, "A token is for another audience"),
        ({"iss": "a"}, KEY, {"issuer": "b"}, "A token is of another issuer"),
        ({"sub": 5}, KEY, {}, "A token's claim is of the wrong type"),
    ],
)
def test_pyjwt(
    claims: dict[str, Any], key: str, options: dict[str, Any], title: str, named: bool
) -> None:
    token = jwt.encode(claims, KEY, algorithm="HS256")
    decoding = {"algorithms": ["HS256"], **options}
    text = jwt_error(lambda: jwt.decode(token, key, **decoding))
    assert lead(text if named else text.partition(": ")[2]) == title


@pytest.mark.parametrize("token", ["", "abc", "a.b.c", "a.b", 'Bearer "x"'])
def test_pyjwt_cannot_read(token: str) -> None:
    text = jwt_error(lambda: jwt.decode(token, KEY, algorithms=["HS256"]))
    assert lead(text) == "A token cannot be read"


def test_pyjwt_warns_of_a_short_secret() -> None:
    with pytest.warns(jwt.InsecureKeyLengthWarning) as caught:
        jwt.encode({}, "short", algorithm="HS256")
    assert lead(str(caught[0].message)) == "A token's secret is too short"


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(OSError) as raised:
        socket.getaddrinfo("no-such-host.invalid", 80)
    assert lead(said(raised.value)) == "A name does not resolve"


def test_too_many_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with pytest.raises(OSError) as raised:
            opened.extend(os.dup(0) for _ in iter(int, 1))
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert lead(said(raised.value)) == "The process may open no more files"


def test_asyncio_tells_of_lost_tasks(caplog: pytest.LogCaptureFixture) -> None:
    async def lose() -> None:
        async def work() -> None:
            await asyncio.get_running_loop().create_future()

        async def fail() -> None:
            raise ValueError("lost")

        lost, failed = asyncio.ensure_future(work()), asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asyncio.tasks._unregister_task(lost)
        del lost, failed

    asyncio.run(lose())
    gc.collect()
    found = {lead(record.getMessage()) for record in caplog.records}
    assert found == {
        "asyncio: a task was thrown away while it waited",
        "asyncio: an error that nobody looked at",
    }


def test_python_tells_of_a_missing_await() -> None:
    async def work() -> None:
        return

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()  # type: ignore[unused-coroutine]
        gc.collect()
    texts = [str(warning.message) for warning in caught if "awaited" in str(warning.message)]
    assert lead(texts[0]) == "asyncio: a coroutine was called and not awaited"
