"""What each kind's settings come down to."""

from pathlib import Path

import pytest

from backend_doctor.config.facts import instance_fact
from backend_doctor.config.load import load
from backend_doctor.config.model import InstanceConfig
from backend_doctor.secret import Secret


def instances(folder: Path, text: str) -> tuple[InstanceConfig, ...]:
    """The backends of a service whose only entry is ``text``."""
    (folder / "shop.yaml").write_text(f"services: {{shop: {{{text}}}}}\n")
    return load(config=Path("shop.yaml")).services[0].instances


def test_http(bare: Path) -> None:
    (api,) = instances(bare, "http: {url: 'https://u:p@h/api', health: /healthz, metrics: /m}")
    assert (api.endpoint.kind, api.endpoint.url) == ("http", "https://h/api")
    assert api.settings == {"health": "/healthz", "metrics": "/m"}
    (bare_url,) = instances(bare, "http: 'http://h'")
    assert (bare_url.endpoint.url, bare_url.settings) == ("http://h", {})


def test_cors(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORIGINS", "https://a.example, https://b.example,")
    (api,) = instances(
        bare,
        "cors: {url: 'https://h', origins: '${ORIGINS}', methods: GET, headers: [a, b], "
        "paths: [/x], refused: [], credentials: yes}",
    )
    assert (api.kind, api.endpoint.kind) == ("cors", "cors")
    assert api.settings == {
        "origins": ("https://a.example", "https://b.example"),
        "methods": ("GET",),
        "headers": ("a", "b"),
        "paths": ("/x",),
        "refused": (),
        "credentials": True,
    }


def test_token(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "token.jwt").write_text("c4n4ry.a.b\n")
    monkeypatch.setenv("SECRET_KEY", "c4n4ry-key")
    monkeypatch.setenv("SAMPLE", "c4n4ry.c.d")
    by_mapping, by_file, by_variable, clocks = instances(
        bare,
        "token: [{sample: {file: token.jwt}, secret: '${SECRET_KEY}', leeway: 0}, "
        "{sample: file:token.jwt}, {name: v, sample: env:SAMPLE, jwks: 'https://h/jwks', "
        "long_lived: true}, {hosts: ['https://a', 'https://b']}]",
    )
    assert by_mapping.endpoint.secret("sample") == Secret("c4n4ry.a.b")
    assert by_mapping.endpoint.secret("secret") == Secret("c4n4ry-key")
    assert (by_mapping.endpoint.address, by_mapping.settings) == ("token.jwt", {"leeway": 0})
    assert (by_file.name, by_file.endpoint.address) == ("token-2", "token.jwt")
    assert by_file.endpoint.secret("sample") == Secret("c4n4ry.a.b")
    assert (by_variable.name, by_variable.endpoint.address) == ("v", "sample token")
    assert by_variable.endpoint.secret("sample") == Secret("c4n4ry.c.d")
    assert by_variable.settings == {"jwks": "https://h/jwks", "long_lived": True}
    assert clocks.settings == {"hosts": ("https://a", "https://b")}
    assert clocks.endpoint.secrets == ()
    for one in (by_mapping, by_file, by_variable):
        assert "c4n4ry" not in repr(instance_fact(one)) + repr(one.endpoint)


@pytest.mark.parametrize(
    ("text", "address", "settings"),
    [
        ("{pid: 4000000}", "pid 4000000", {"pid": 4000000}),
        ("{port: 8000}", "port 8000", {"port": 8000}),
        ("{pidfile: run/a.pid}", "pidfile run/a.pid", {"pidfile": "run/a.pid"}),
        ("{cmdline: 'uvicorn app'}", "cmdline uvicorn app", {"cmdline": "uvicorn app"}),
        ("{unit: a.service}", "unit a.service", {"unit": "a.service"}),
    ],
)
def test_process(bare: Path, text: str, address: str, settings: dict[str, object]) -> None:
    (one,) = instances(bare, f"process: {text}")
    assert (one.endpoint.address, one.endpoint.hosts, one.settings) == (address, (), settings)
    fact = instance_fact(one)
    assert (fact.host, fact.port) == (address, 0)


def test_settings(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("SECRET_KEY", "c4n4ry")
    plain, declared = instances(
        bare, "settings: [config/settings.yaml, {file: b.yaml, env: staging}]"
    )
    assert (plain.endpoint.socket, plain.settings) == (
        "config/settings.yaml",
        {"env": "production"},
    )
    assert plain.origins == {"env": "from APP_ENV"}
    assert plain.endpoint.secret("secret_key") == Secret("c4n4ry")
    assert (declared.settings, declared.origins) == ({"env": "staging"}, {"env": "shop.yaml:1"})


def test_rabbitmq_and_mongodb(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANAGEMENT", "http://broker:15672")
    broker, store = instances(
        bare,
        "rabbitmq: {url: 'amqp://u:p@broker/shop', management: env:MANAGEMENT}, "
        "mongodb: {url: 'mongodb://a,b/shop?replicaSet=rs0', max_pool_size: 0}",
    )[::-1]
    assert (broker.kind, store.kind) == ("rabbitmq", "mongodb")
    assert broker.settings == {"management": "http://broker:15672"}
    assert store.settings == {"max_pool_size": 0}
    assert store.endpoint.options == (("replicaSet", "rs0"),)


def test_what_steers_a_look_keeps_looks_apart(bare: Path) -> None:
    first, second = instances(
        bare, "cors: [{url: 'https://h', paths: [/a]}, {url: 'https://h', paths: [/b]}]"
    )
    assert first.endpoint.session != second.endpoint.session
    first, second = instances(
        bare,
        "postgres: [{url: 'postgresql://u@h/d', pool_size: 1}, "
        "{name: b, url: 'postgresql://u@h/d', pool_size: 2}]",
    )
    assert first.endpoint.session == second.endpoint.session
