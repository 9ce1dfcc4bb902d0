"""Certificates, their chains and the versions of TLS, as real servers show them."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from tests.servers.certificates import Issued
from tests.servers.listener import Listener
from tests.servers.web import WebServer, alarms, causes, examine, examinee, serving

from backend_doctor import Finding, Instance, Login
from backend_doctor.backends.http.certificate import Certificate
from backend_doctor.backends.http.connection import HttpConnection, connect
from backend_doctor.backends.http.tls import TlsVersions
from backend_doctor.endpoint import Tls
from backend_doctor.engine import Examinee
from backend_doctor.facts import Absent, Problem
from backend_doctor.registry import bundled_folder, load_file
from backend_doctor.triage import load_messages, read

CHECK = load_file(bundled_folder() / "http" / "certificate.py")
HERE = ("127.0.0.1",)
ROOT = Issued("Root", authority=True)
OTHER = Issued("Other", authority=True)
MIDDLE = Issued("Middle", ROOT, authority=True)


def place(server: WebServer, trusted: Issued, folder: Path) -> Examinee:
    """The server, for a client that trusts one authority."""
    file = folder / "trusted.pem"
    file.write_bytes(trusted.pem)
    found = examinee("http", server.url)
    endpoint = msgspec.structs.replace(found.endpoint, tls=Tls(ca_file=str(file)))
    return Examinee(found.instance, endpoint)


def seen(
    at: Examinee, look: Callable[[HttpConnection | None, Login, Instance], Any]
) -> tuple[Login, Any]:
    """What one look tells, over one connection."""

    async def once() -> tuple[Login, Any]:
        login, http = await connect(at.endpoint, limit=3.0)
        try:
            return login, await look(http, login, at.instance)
        finally:
            if http is not None:
                await http.close()

    return asyncio.run(once())


def judged(at: Examinee) -> tuple[Login, list[Finding]]:
    """What the check says of a server's certificate."""
    login, found = seen(at, Certificate.collect)
    return login, list(CHECK.function(found, at.instance))


def told(url: str, trusted: str | None = None) -> str:
    """The title of what triage makes of the words of a client that fails."""
    with pytest.raises(httpx.ConnectError) as raised:
        httpx.get(url, verify=ssl.create_default_context(cafile=trusted), trust_env=False)
    sightings = read([str(raised.value)], load_messages()).sightings
    assert sightings, raised.value
    return sightings[0].message.title


def labels(findings: list[Finding]) -> list[str]:
    return [finding.cause.label for finding in findings if finding.cause]


@pytest.mark.parametrize(
    ("own", "sent", "expected"),
    [
        (Issued("shop", MIDDLE, hosts=HERE), (MIDDLE,), []),
        (Issued("shop", MIDDLE, hosts=HERE), (MIDDLE, ROOT), []),
        (Issued("shop", MIDDLE, hosts=HERE, fetchable=True), (), ["tls.chain_incomplete"]),
        (Issued("shop", MIDDLE, hosts=HERE), (OTHER,), ["tls.chain_incomplete"]),
        (Issued("shop", OTHER, hosts=HERE), (), ["tls.unknown_authority"]),
        (Issued("shop", OTHER, hosts=HERE), (OTHER,), ["tls.unknown_authority"]),
        (Issued("shop", hosts=HERE), (), ["tls.self_signed"]),
        (Issued("shop", ROOT, hosts=("shop.example",)), (), ["tls.wrong_name"]),
        (Issued("shop", ROOT, hosts=("10.0.0.1",)), (), ["tls.wrong_name"]),
        (Issued("shop", hosts=("b.example",)), (), ["tls.wrong_name", "tls.self_signed"]),
        (Issued("shop", ROOT, hosts=HERE, begins=2), (), ["tls.not_yet_valid"]),
        (
            Issued("shop", ROOT, hosts=("shop.example",), days=-1),
            (),
            ["tls.expired", "tls.wrong_name"],
        ),
    ],
)
def test_what_is_wrong_with_a_certificate(
    tmp_path: Path, own: Issued, sent: tuple[Issued, ...], expected: list[str]
) -> None:
    certificate, key = own.written(tmp_path, *sent)
    with serving(FastAPI(), ssl_certfile=certificate, ssl_keyfile=key) as server:
        at = place(server, ROOT, tmp_path)
        login, findings = judged(at)
        if expected:
            title = told(server.url, at.endpoint.tls.ca_file)
            assert title == "A certificate is not one that clients accept"
    assert login.ok == (not expected), login
    assert labels(findings) == expected
    for finding in findings:
        assert ("reach.tls" in finding.explains) == bool(finding.cause)


@pytest.mark.parametrize(
    ("days", "reached", "expected"),
    [
        (5, True, ["tls.intermediate_expires_soon"]),
        (-1, False, ["tls.intermediate_expired"]),
    ],
)
def test_an_intermediate_that_ends_before_the_servers_own(
    tmp_path: Path, days: float, reached: bool, expected: list[str]
) -> None:
    middle = Issued("Middle", ROOT, authority=True, days=days)
    certificate, key = Issued("shop", middle, hosts=HERE).written(tmp_path, middle)
    with serving(FastAPI(), ssl_certfile=certificate, ssl_keyfile=key) as server:
        login, findings = judged(place(server, ROOT, tmp_path))
    assert login.ok == reached
    assert labels(findings) == expected
    assert "CN=Middle" in findings[1].evidence[0].text


def test_why_nobody_connects_is_the_root_of_it(tmp_path: Path) -> None:
    certificate, key = Issued("shop", ROOT, hosts=("b.example",)).written(tmp_path)
    with serving(FastAPI(), ssl_certfile=certificate, ssl_keyfile=key) as server:
        report = examine([place(server, ROOT, tmp_path)])
    assert causes(alarms(report)) == ["tls.wrong_name", "reach.tls"]
    assert [r.explained_by is None for r in alarms(report)] == [True, False]


def only(version: ssl.TLSVersion, newest: ssl.TLSVersion) -> Callable[..., ssl.SSLContext]:
    """A server's context that speaks the versions from one to another."""

    def made(_: object, usual: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = usual()
        context.minimum_version, context.maximum_version = version, newest
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        return context

    return made


V = ssl.TLSVersion


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("oldest", "newest", "agreed", "old"),
    [
        (V.TLSv1_2, V.TLSv1_3, "TLSv1.3", ""),
        (V.TLSv1_2, V.TLSv1_2, "TLSv1.2", ""),
        (V.TLSv1, V.TLSv1_3, "TLSv1.3", "TLSv1.1"),
        (V.TLSv1, V.TLSv1, "", "TLSv1"),
    ],
)
def test_versions(
    tmp_path: Path, oldest: ssl.TLSVersion, newest: ssl.TLSVersion, agreed: str, old: str
) -> None:
    certificate, key = Issued("shop", ROOT, hosts=HERE).written(tmp_path)
    factory = only(oldest, newest)
    with serving(
        FastAPI(), ssl_certfile=certificate, ssl_keyfile=key, ssl_context_factory=factory
    ) as server:
        login, found = seen(place(server, ROOT, tmp_path), TlsVersions.collect)
        # one request, whatever is asked of TLS
        assert len(server.requests) == login.ok
    assert found == TlsVersions(agreed=agreed, old=old)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_what_a_client_of_today_is_told_by_an_old_server_leads_to_its_runbook(
    tmp_path: Path,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = V.TLSv1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(*Issued("shop", hosts=HERE).written(tmp_path))

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Thread(target=refuse, args=[listener])
        server.start()
        title = told(f"https://127.0.0.1:{listener.getsockname()[1]}")
        server.join(5)
    assert title == "One side speaks TLS that is too old for the other"


def test_what_is_no_tls_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend_doctor.backends.http.secured._SECONDS", 0.3)
    with serving(FastAPI()) as server, pytest.raises(Absent, match="plain HTTP"):
        seen(examinee("http", server.url), TlsVersions.collect)
    with pytest.raises(Absent, match="no login"):
        seen(examinee("http", "http://127.0.0.1:1"), TlsVersions.collect)
    with Listener() as silent:
        instance = examinee("http", f"https://127.0.0.1:{silent.port}").instance
        refused = Login(problem=Problem.TLS, address="a")
        found = asyncio.run(TlsVersions.collect(None, refused, instance))
    assert "in time" in found.doubt
