"""One attempt to log in, whatever the backend: its failure told apart within the limit."""

import asyncio
import contextlib
import errno
import os
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from backend_doctor.backends.wire import identify_in_time
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Login, Problem
from backend_doctor.secret import scrub
from backend_doctor.text import shorten, storable

C = TypeVar("C")
# (problem, the server's own code, message) of an error that only this backend's driver knows
Classify = Callable[[BaseException], tuple[Problem, str, str] | None]
_PATIENCE = 1.0
_MAYBE_FOREIGN = (Problem.OTHER, Problem.TLS, Problem.WRONG_PROTOCOL)
_REFUSALS = {errno.ECONNREFUSED, errno.ENOENT, errno.ENOTSOCK}
# idle_session_timeout, idle_in_transaction_session_timeout, transaction_timeout
_IDLED = {"57P05", "25P03", "25P04"}
_NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT}


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in found:
        found.append(step)
        step = step.__cause__ or step.__context__
    return found


def _errno(error: OSError) -> int:
    # several addresses of one name that all fail arrive as one error without a number
    numbers = re.findall(r"\[Errno (\d+)\]", str(error))
    return error.errno or (int(numbers[0]) if numbers else 0)


def _network_problem(error: BaseException) -> tuple[Problem, str, str] | None:
    if isinstance(error, socket.gaierror):
        return Problem.NAME_UNKNOWN, "", str(error.strerror or error)
    if isinstance(error, UnicodeError):
        return Problem.NAME_UNKNOWN, "", "it cannot be the name of a host"
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        return Problem.TLS, "", str(reason)
    if isinstance(error, TimeoutError):
        return Problem.TIMED_OUT, "", "no answer in time"
    if isinstance(error, OSError):
        number = _errno(error)
        name = errno.errorcode.get(number, "")
        said = os.strerror(number) if number else str(error)
        if number in _REFUSALS:
            return Problem.REFUSED, name, said
        if number in _NO_ROUTE:
            return Problem.TIMED_OUT, name, said
        return Problem.OTHER, name, said
    return None


def explain(error: BaseException, classify: Classify) -> tuple[Problem, str, str]:
    """(problem, code, message): what the driver knows first, then what the network says."""
    for link in _chain(error):
        found = classify(link) or _network_problem(link)
        if found is not None:
            return found
    return Problem.OTHER, "", f"{type(error).__name__}: {error}"


def lost(
    login: Login,
    endpoint: Endpoint,
    error: BaseException,
    farewell: tuple[str, str] | None,
    lasted: float,
) -> Login | None:
    """The login after the other side has ended its connection, ``lasted`` seconds later.

    ``farewell`` is the server's last (code, message), else what ``error`` tells counts. None
    when the server only ended an idle session by its own rule, or the driver waited no longer.
    """
    links = _chain(error)
    codes = (getattr(link, "sqlstate", None) for link in links)
    code = next((str(found) for found in codes if found), "")
    code, said = farewell or (code, str(error))
    if code in _IDLED or any("Timeout" in type(link).__name__ for link in links):
        return None
    secrets = [endpoint.password] if endpoint.password else []
    return msgspec.structs.replace(
        login,
        problem=Problem.LOST,
        code=code,
        message=storable(shorten(scrub(f"{said}, {lasted:.1f} s after the login", secrets), 300)),
    )


async def _foreign(endpoint: Endpoint, protocol: str, seconds: float) -> str:
    if endpoint.socket or seconds <= 0:
        return ""
    found = await identify_in_time(endpoint.host, endpoint.port, seconds=seconds)
    return found if found != protocol else ""


async def _connect_or_recognise(
    connecting: Awaitable[C], endpoint: Endpoint, protocol: str, limit: float
) -> C | str:
    """The connection, or the name of the foreign protocol that answers in its place."""
    task, deadline = asyncio.ensure_future(connecting), time.monotonic() + limit
    try:
        patience = min(_PATIENCE, limit / 3)
        done, _ = await asyncio.wait({task}, timeout=patience)
        if not done:
            probe = asyncio.create_task(_foreign(endpoint, protocol, (limit - patience) * 0.8))
            await asyncio.wait((task, probe), return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and (foreign := probe.result()):
                return foreign
            done, _ = await asyncio.wait({task}, timeout=max(0.0, deadline - time.monotonic()))
            probe.cancel()
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
        with contextlib.suppress(BaseException):
            await asyncio.wait({task}, timeout=0.1)


async def log_in(
    open_connection: Callable[[], Awaitable[tuple[C, str]]],
    classify: Classify,
    *,
    endpoint: Endpoint,
    protocol: str,
    limit: float,
) -> tuple[Login, C | None]:
    """Opens one connection within ``limit`` seconds; never raises for a failed login.

    ``open_connection`` gives (connection, product and version). ``protocol`` is the name under
    which :func:`wire.identify` knows our own.
    """
    started = time.monotonic()
    secrets = [endpoint.password] if endpoint.password else []
    failed = Login(problem=Problem.OTHER, address=endpoint.address, limit=limit)

    def took() -> float:
        return round(time.monotonic() - started, 4)

    try:
        opened = await _connect_or_recognise(open_connection(), endpoint, protocol, limit)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - every failure to log in is an answer
        problem, code, message = explain(error, classify)
        foreign = ""
        if problem in _MAYBE_FOREIGN and "certificate" not in message:
            foreign = await _foreign(endpoint, protocol, limit - took())
        if problem is Problem.TLS and foreign == "TLS":
            foreign = ""
        return msgspec.structs.replace(
            failed,
            problem=Problem.WRONG_PROTOCOL if foreign else problem,
            code=code,
            message=storable(shorten(scrub(message, secrets), 300)),
            answered_by=foreign,
            seconds=took(),
        ), None
    if isinstance(opened, str):
        return msgspec.structs.replace(
            failed, problem=Problem.WRONG_PROTOCOL, answered_by=opened, seconds=took()
        ), None
    connection, server = opened
    return msgspec.structs.replace(
        failed, problem=Problem.NONE, server=storable(server), seconds=took()
    ), connection
