"""Each fault of the proxy, seen by a plain socket; the server behind it is a real Redis."""

import socket
import time
from collections.abc import Iterator

import pytest
from tests.servers.listener import BANNERS, BannerServer, Listener
from tests.servers.proxy import FaultProxy, Mode

from backend_doctor.demo.servers import RedisServer

PING = b"PING\r\n"
PONG = b"+PONG\r\n"
SILENCE = 0.3


@pytest.fixture
def proxy(valkey: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(valkey.port) as proxy:
        yield proxy


def connect(listener: Listener) -> socket.socket:
    return socket.create_connection((listener.host, listener.port), timeout=5)


def read_all(client: socket.socket) -> bytes:
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return received


def assert_silent(client: socket.socket) -> None:
    client.settimeout(SILENCE)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(5)


def test_pass(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        for _ in range(3):
            client.sendall(PING)
            assert client.recv(100) == PONG
    assert proxy.accepted == 1


def test_black_hole_from_the_start_and_midway(proxy: FaultProxy) -> None:
    with connect(proxy) as midway:
        midway.sendall(PING)
        assert midway.recv(100) == PONG
        proxy.switch(Mode.BLACK_HOLE)
        with connect(proxy) as client:
            for swallowed in (midway, client):
                swallowed.sendall(PING)
                assert_silent(swallowed)
        proxy.switch(Mode.PASS)
        midway.sendall(PING)
        assert midway.recv(100) == PONG


def test_refuse_and_listen_again_on_the_same_port(proxy: FaultProxy) -> None:
    port = proxy.port
    proxy.switch(Mode.REFUSE)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.switch(Mode.PASS)
    assert proxy.port == port
    test_pass(proxy)


@pytest.mark.parametrize("amount", [0, 3])
def test_reset(proxy: FaultProxy, amount: int) -> None:
    proxy.switch(Mode.RESET, amount)
    received = b""
    try:
        with connect(proxy) as client:
            client.sendall(PING)
            while chunk := client.recv(1):
                received += chunk
        closed_by = "FIN"
    except ConnectionResetError:
        closed_by = "RST"
    assert closed_by == "RST"
    assert PONG[:amount].startswith(received)


def test_reset_of_an_open_connection(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        client.sendall(PING)
        assert client.recv(100) == PONG
        proxy.switch(Mode.RESET)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


@pytest.mark.parametrize("amount", [1, 3, len(PONG) + 2])
def test_cut(proxy: FaultProxy, amount: int) -> None:
    proxy.switch(Mode.CUT, amount)
    with connect(proxy) as client:
        client.sendall(PING * 2)
        assert read_all(client) == (PONG * 2)[:amount]


def test_half_open(proxy: FaultProxy) -> None:
    proxy.switch(Mode.HALF_OPEN, 3)
    with connect(proxy) as client:
        client.sendall(PING)
        assert client.recv(100) == PONG[:3]
        client.sendall(PING)
        assert_silent(client)


def test_slow(proxy: FaultProxy) -> None:
    proxy.switch(Mode.SLOW, 20)
    with connect(proxy) as client:
        started = time.monotonic()
        client.sendall(PING)
        received = b""
        while len(received) < len(PONG):
            received += client.recv(100)
        assert received == PONG
        assert time.monotonic() - started > (len(PONG) - 1) / 20


def test_slow_needs_a_speed(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="bytes a second"):
        proxy.switch(Mode.SLOW)


def test_garbage_is_the_same_for_the_same_seed(valkey: RedisServer) -> None:
    answers = []
    for seed in (1, 1, 2):
        with FaultProxy(valkey.port, seed) as proxy:
            proxy.switch(Mode.GARBAGE)
            with connect(proxy) as client:
                client.sendall(PING)
                answers.append(client.recv(1000))
    assert answers[0] == answers[1] != answers[2]
    assert PONG not in answers


def test_a_dead_server_behind_the_proxy_closes_the_connection() -> None:
    with RedisServer() as server, FaultProxy(server.port) as proxy:
        server.stop()
        with connect(proxy) as client:
            assert read_all(client) == b""


def test_listener_is_silent() -> None:
    with Listener() as listener, connect(listener) as client:
        client.sendall(PING)
        assert_silent(client)


@pytest.mark.parametrize("protocol", sorted(BANNERS))
def test_other_protocols(protocol: str) -> None:
    greeting, answer = BANNERS[protocol]
    with BannerServer(protocol) as server, connect(server) as client:
        if greeting:
            assert client.recv(1000) == greeting
        client.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        assert read_all(client) == answer
