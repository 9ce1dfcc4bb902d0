"""RabbitMQ's login and management reads, against a real broker."""

import asyncio
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aio_pika
import httpx
import pytest
from aiormq.exceptions import ChannelAccessRefused, DeliveryError
from tests.safety.client import wait_until
from tests.safety.tool import check, run
from tests.servers.listener import BannerServer, Listener
from tests.servers.proxy import FaultProxy, Mode

from backend_doctor.backends.rabbitmq.connection import (
    PATHS,
    RabbitConnection,
    allow,
    connect,
)
from backend_doctor.backends.rabbitmq.overview import Alarm, Alarms, Overview
from backend_doctor.config.urls import parse_url
from backend_doctor.demo.servers import RabbitServer, ServerError, free_port
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import AbsenceKind, Absent, Instance, Login, Problem

CANARY = "c/an@ry%41"


class Place:
    """A virtual host and a user of its own on the shared broker."""

    def __init__(self, server: RabbitServer) -> None:
        self.server = server
        name = uuid4().hex[:8]
        self.vhost, self.user = f"v/{name}", f"u {name}"
        self.api("PUT", f"vhosts/{quote(self.vhost, safe='')}")
        self.set_user("")
        self.permit()

    def api(self, method: str, path: str, **document: Any) -> Any:
        """One call of the management API as the administrator."""
        answer = httpx.request(
            method,
            f"{self.server.management_url}/api/{path}",
            auth=("guest", self.server.password),
            json=document or None,
            timeout=10,
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def set_user(self, tags: str) -> None:
        self.api("PUT", f"users/{quote(self.user)}", password=CANARY, tags=tags)

    def permit(self) -> None:
        vhost, user = quote(self.vhost, safe=""), quote(self.user)
        self.api("PUT", f"permissions/{vhost}/{user}", configure="^$", write="^$", read="^$")

    @property
    def url(self) -> str:
        return self.server.url(self.user, CANARY, self.vhost)

    def ours(self) -> list[Any]:
        """The connections to the virtual host, as the broker's own command tells them at once."""
        listed = self.server.control("list_connections", "name", "vhost", "client_properties")
        return [line for line in listed.splitlines() if self.vhost in line]


@pytest.fixture
def place(rabbitmq: RabbitServer) -> Iterator[Place]:
    place = Place(rabbitmq)
    yield place
    place.api("DELETE", f"vhosts/{quote(place.vhost, safe='')}")
    place.api("DELETE", f"users/{quote(place.user)}")


def endpoint(url: str) -> Endpoint:
    return parse_url(url, place="test")


def instance(management: str = "") -> Instance:
    return Instance(
        service="shop",
        backend="rabbitmq",
        name="rabbitmq",
        address="broker",
        host="broker",
        port=5672,
        settings={"management": management} if management else {},
    )


async def opened(url: str) -> tuple[Login, RabbitConnection]:
    login, connection = await connect(endpoint(url), limit=5.0)
    assert connection is not None, login
    return login, connection


def log_in(url: str, limit: float = 5.0) -> Login:
    async def once() -> Login:
        login, connection = await connect(endpoint(url), limit=limit)
        if connection is not None:
            await connection.close()
        return login

    return asyncio.run(once())


def facts(url: str, management: str) -> tuple[Overview, Alarms]:
    async def once() -> tuple[Overview, Alarms]:
        _, connection = await opened(url)
        try:
            overview = await Overview.collect(connection, instance(management))
            return overview, await Alarms.collect(connection, instance(management))
        finally:
            await connection.close()

    return asyncio.run(once())


def test_a_login_has_our_name_and_leaves_nothing(place: Place) -> None:
    async def session() -> tuple[Login, list[Any], int]:
        login, connection = await opened(place.url)
        found = await asyncio.to_thread(place.ours)
        await connection.close()
        assert connection.is_closed()
        return login, found, connection.statements

    login, found, statements = asyncio.run(session())
    assert (login.problem, login.notes, statements) == (Problem.NONE, (), 0)
    assert login.server.startswith("RabbitMQ 3.")
    assert len(found) == 1
    assert "backend-doctor" in found[0]
    assert place.ours() == []


def test_abort_closes_the_socket_at_once(place: Place) -> None:
    async def drop() -> None:
        _, connection = await opened(place.url)
        connection.abort()
        await asyncio.sleep(0.3)
        assert connection.is_closed()
        assert await asyncio.to_thread(place.ours) == []

    asyncio.run(drop())


def test_what_refuses_us_is_told_apart(place: Place) -> None:
    server = place.server
    wrong = log_in(server.url(place.user, "wrong/@%", place.vhost))
    assert (wrong.problem, wrong.code) == (Problem.LOGIN, "403")
    assert wrong.seconds < 1, "one attempt"
    missing = log_in(server.url(place.user, CANARY, "no such"))
    assert (missing.problem, missing.code) == (Problem.LOGIN, "530")
    assert "vhost no such not found" in missing.message
    rights = log_in(server.url(place.user, CANARY, "/"))
    assert (rights.problem, rights.code) == (Problem.RIGHTS, "530")
    place.api("PUT", f"vhost-limits/{quote(place.vhost, safe='')}/max-connections", value=0)
    full = log_in(place.url)
    assert (full.problem, full.code) == (Problem.FULL, "530")
    assert "limit (0) is reached" in full.message
    for login in (wrong, missing, rights, full):
        assert CANARY not in login.message


def test_nobody_there(place: Place) -> None:
    refused = log_in(f"amqp://127.0.0.1:{free_port()}/")
    assert (refused.problem, refused.code) == (Problem.REFUSED, "ECONNREFUSED")
    assert refused.seconds < 1
    assert log_in("amqp://no-such-host.invalid/").problem is Problem.NAME_UNKNOWN
    dead = f"127.0.0.1:{free_port()}"
    login = log_in(place.url.replace("@", f"@{dead},"))
    assert login.ok
    assert login.notes[0].startswith(f"{dead} was passed over: ")


@pytest.mark.parametrize(
    ("mode", "amount", "problem"),
    [
        (Mode.BLACK_HOLE, 0, Problem.TIMED_OUT),
        (Mode.HALF_OPEN, 3, Problem.TIMED_OUT),
        (Mode.HALF_OPEN, 520, Problem.TIMED_OUT),
        (Mode.RESET, 0, Problem.OTHER),
        (Mode.CUT, 0, Problem.OTHER),
        (Mode.CUT, 3, Problem.OTHER),
        (Mode.GARBAGE, 0, Problem.WRONG_PROTOCOL),
    ],
)
def test_a_login_that_breaks(mode: Mode, amount: int, problem: Problem, place: Place) -> None:
    port = place.server.port
    with FaultProxy(port) as proxy:
        proxy.switch(mode, amount)
        url = place.url.replace(f":{port}/", f":{proxy.port}/")
        ran = check("--connect-timeout", "1.5", "--window", "0", AMQP=url)
    assert ran.causes() == {f"reach.{problem.value}"}, ran.out
    assert ran.target(proxy.port)["seconds"] <= 2
    assert ran.err == "", "the driver says nothing of its own"


@pytest.mark.parametrize(
    ("protocol", "answered_by"),
    [("http", "HTTP"), ("ssh", "SSH"), ("mysql", "MySQL"), ("redis", "Redis")],
)
def test_another_protocol_is_named(protocol: str, answered_by: str) -> None:
    with BannerServer(protocol) as other:
        login = log_in(f"amqp://127.0.0.1:{other.port}/", 3.0)
    assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, answered_by)


def test_real_servers_are_named(postgres15: Any, valkey: Any, rabbitmq: RabbitServer) -> None:
    for port, name in (
        (postgres15.port, "PostgreSQL"),
        (valkey.port, "Redis"),
        (rabbitmq.management_port, "HTTP"),
    ):
        login = log_in(f"amqp://127.0.0.1:{port}/")
        assert (login.problem, login.answered_by) == (Problem.WRONG_PROTOCOL, name)


def test_tls_to_a_plain_port(place: Place) -> None:
    login = log_in(place.url.replace("amqp://", "amqps://"))
    assert login.problem is Problem.TLS, login
    missing = log_in(place.url.replace("amqp://", "amqps://") + "?cafile=/nonexistent.pem")
    assert missing.problem is Problem.TLS
    assert "/nonexistent.pem cannot be read" in missing.message


def test_a_silent_server_costs_the_limit_and_no_more() -> None:
    with Listener() as silent:
        started = time.monotonic()
        login = log_in(f"amqp://app:{'canary'}@127.0.0.1:{silent.port}/", 1.0)
        assert time.monotonic() - started < 2.0
    assert login.problem is Problem.TIMED_OUT


def test_the_management_api_needs_a_tag_and_says_which(place: Place) -> None:
    management = place.server.management_url
    with pytest.raises(Absent) as blind:
        facts(place.url, management)
    assert blind.value.absence.kind is AbsenceKind.BLIND
    assert blind.value.absence.remedy == allow(place.user)
    assert f"'{place.user}' monitoring" in allow(place.user)
    place.set_user("monitoring")
    overview, alarms = facts(place.url, management)
    assert (overview.ready, alarms.alarms) == (0, ())
    with pytest.raises(Absent) as unconfigured:
        facts(place.url, "")
    assert unconfigured.value.absence.kind is AbsenceKind.NOT_APPLICABLE
    for elsewhere in (f"http://127.0.0.1:{free_port()}", "http://no-such-host.invalid:1"):
        with pytest.raises(Absent) as failed:
            facts(place.url, elsewhere)
        assert failed.value.absence.kind is AbsenceKind.FAILED


def test_only_known_paths_are_read(place: Place) -> None:
    async def send() -> None:
        _, connection = await opened(place.url)
        for path in ("/api/aliveness-test/%2F", "/api/definitions", "/api/queues"):
            with pytest.raises(ValueError, match="not among"):
                await connection.management("http://127.0.0.1:1", path)
        assert connection.statements == 0
        await connection.close()

    asyncio.run(send())
    assert {"/api/overview", "/api/health/checks/alarms"} == PATHS


def test_an_alarm_is_named_and_its_end_is_seen(place: Place) -> None:
    server = place.server
    place.set_user("monitoring")
    server.control("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        assert wait_until(lambda: facts(place.url, server.management_url)[1].alarms, 10)
        (alarm,) = facts(place.url, server.management_url)[1].alarms
        assert isinstance(alarm, Alarm)
        assert (alarm.resource, alarm.node.endswith("@localhost")) == ("memory", True)
        assert log_in(place.url).ok, "an alarm lets everybody in"
    finally:
        server.control("set_vm_memory_high_watermark", "absolute", "1GB")
    assert wait_until(lambda: not facts(place.url, server.management_url)[1].alarms, 10)


def test_a_secret_is_never_printed(place: Place) -> None:
    wrong = place.server.url(place.user, "wr/ong@%41", place.vhost)
    for url, code in ((place.url, 0), (wrong, 2)):
        ran = check("--window", "0", AMQP=url)
        assert ran.code == code
        for form in ("c/an", "ry%41", "c%2Fan", "wr/ong", "wr%2F", "@%41"):
            assert form not in ran.out + ran.err


def test_the_printed_grants_are_enough_and_no_more(place: Place, tmp_path: Path) -> None:
    printed = run("grants", "rabbitmq", "--role", place.user).out
    place.api("DELETE", f"users/{quote(place.user)}")
    for line in filter(None, printed.splitlines()):
        words = shlex.split(line, comments=True)
        if words:
            words = [place.vhost if word == "/" else word for word in words[1:]]
            place.server.control(*words, *([CANARY] if words[0] == "add_user" else ()))
    config = tmp_path / "backend-doctor.yaml"
    management = place.server.management_url
    config.write_text(
        f"services: {{shop: {{rabbitmq: {{url: '${{AMQP}}', management: '{management}'}}}}}}"
    )
    ran = run("check", "--config", str(config), "--format", "json", "--window", "0", AMQP=place.url)
    assert ran.code == 0, ran.out
    assert {f["status"] for f in ran.findings()} == {"ok"}
    assert {f["check"] for f in ran.findings()} == {"rabbitmq.reachability", "rabbitmq.alarms"}
    asyncio.run(_can_do_nothing(place.url))


async def _can_do_nothing(url: str) -> None:
    connection = await aio_pika.connect(url)

    async def declare(channel: Any) -> None:
        await channel.declare_queue("mine")

    async def publish(channel: Any) -> None:
        await channel.default_exchange.publish(aio_pika.Message(b""), "mine")

    async def consume(channel: Any) -> None:
        await (await channel.get_queue("mine", ensure=False)).get(fail=True)

    for act in (declare, publish, consume):
        with pytest.raises((ChannelAccessRefused, DeliveryError)):
            await act(await connection.channel())
    await connection.close()


def test_the_server_leaves_nothing_behind() -> None:
    import psutil

    with RabbitServer() as server:
        family = psutil.Process(server.pid).children(recursive=True)
        assert any("epmd" in process.name() for process in family)
        assert log_in(server.url()).ok
        with pytest.raises(ServerError, match="no_such_command"):
            server.control("no_such_command")
        folder = server.folder
    assert wait_until(lambda: not any(process.is_running() for process in family), 5)
    assert not folder.exists()
    assert log_in(server.url()).problem is Problem.REFUSED
