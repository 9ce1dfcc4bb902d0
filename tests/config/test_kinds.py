"""What each kind's settings come down to."""

from pathlib import Path

import pytest

from backend_doctor.config.facts import instance_fact
from backend_doctor.config.load import load
from backend_doctor.config.model import ConfigurationError, InstanceConfig
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
        "expose: [X-Total], paths: [/x], refused: [], credentials: yes}",
    )
    assert (api.kind, api.endpoint.kind) == ("cors", "cors")
    assert api.settings == {
        "origins": ("https://a.example", "https://b.example"),
        "methods": ("GET",),
        "headers": ("a", "b"),
        "expose": ("x-total",),
        "paths": ("/x",),
        "refused": (),
        "credentials": True,
    }


def test_origins_are_read_as_browsers_write_them(bare: Path) -> None:
    written = "['HTTPS://My.example:443', 'null']"
    (api,) = instances(bare, f"cors: {{url: 'https://h', origins: {written}}}")
    assert api.settings["origins"] == ("https://my.example", "null")


@pytest.mark.parametrize(
    "entry",
    [
        "origins: ['https://a.example/']",
        "origins: [a.example]",
        "origins: ['*']",
        "origins: ['https://u:c4n4ry@a.example']",
        "origins: ['http://[::1']",
        "origins: ['https://*.a.example']",
        "refused: ['https://a.example:99999']",
        "methods: [TRACE]",
        "methods: ['PUT,GET ']",
        "headers: ['authorization: c4n4ry']",
        "headers: [cookie]",
        "expose: ['x total']",
    ],
)
def test_what_no_browser_sends_is_refused(bare: Path, entry: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        instances(bare, f"cors: {{url: 'https://h', {entry}}}")
    assert "holds what is none; expected" in str(refusal.value)
    assert "c4n4ry" not in str(refusal.value)


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


def test_what_verifiers_of_a_token_accept(bare: Path) -> None:
    (bare / "jwks.json").write_text('{"keys": ["c4n4ry"]}\n')
    by_mapping, by_file = instances(
        bare,
        "token: [{jwks: {file: jwks.json}, audience: a, issuer: ['https://b/', c], "
        "algorithms: [RS256, none], refresh_interval: 600}, {jwks: 'file:jwks.json'}]",
    )
    assert by_mapping.settings == {
        "refresh_interval": 600,
        "audience": ("a",),
        "issuer": ("https://b/", "c"),
        "algorithms": ("RS256", "none"),
    }
    assert by_file.settings == {}
    for one in (by_mapping, by_file):
        assert one.endpoint.secret("jwks") == Secret('{"keys": ["c4n4ry"]}')
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
        bare, "settings: [config/settings.yaml, {file: b.yaml, env: staging, lock_file: a/uv.lock}]"
    )
    assert (plain.endpoint.socket, plain.settings) == (
        "config/settings.yaml",
        {"env": "production"},
    )
    assert plain.origins == {"env": "from APP_ENV"}
    assert plain.endpoint.secret("secret_key") == Secret("c4n4ry")
    assert declared.settings == {"env": "staging", "lock_file": "a/uv.lock"}
    assert declared.origins == dict.fromkeys(("env", "lock_file"), "shop.yaml:1")


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


def test_the_protected_endpoint_of_a_token_stands_on_the_host_beside_it(bare: Path) -> None:
    cors = "cors: {url: 'https://h/api', origins: ['https://a.example'], credentials: true}"
    http, _, token = instances(
        bare, f"http: 'https://h/api/?x=1', {cors}, token: {{protected: /me}}"
    )
    assert http.kind == "http"
    assert token.settings == {
        "protected": "https://h/api/me",
        "origin": "https://a.example",
        "credentials": True,
    }
    *_, own = instances(bare, f"{cors}, token: {{protected: 'https://h/me', origin: 'https://b'}}")
    assert own.settings["origin"] == "https://b"
    *_, other = instances(bare, f"{cors}, token: {{protected: 'https://other/me'}}")
    assert other.settings == {"protected": "https://other/me"}
    assert len({token.endpoint.scope, own.endpoint.scope, other.endpoint.scope}) == 3


def test_session_keys_of_a_token_are_sought_in_each_redis_beside_it(bare: Path) -> None:
    redis = "redis: ['redis://h', {url: 'redis://h/1', max_connections: 5}]"
    plain, _, _ = instances(bare, f"{redis}, token: {{sample: 'env:HOME'}}")
    one, two, token = instances(
        bare, f"{redis}, token: {{sample: 'env:HOME', session_keys: 's:*'}}"
    )
    assert token.settings == one.settings == {"session_keys": "s:*"}
    assert two.settings == {"session_keys": "s:*", "max_connections": 5}
    assert plain.settings == {}
    assert plain.endpoint.session != one.endpoint.session


def test_a_test_account_is_kept_secret(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_PASSWORD", "c4n4ry-password")
    (token,) = instances(
        bare,
        "token: {login: 'https://h/l', refresh: 'https://h/r', username: c4n4ry-name, "
        "password: '${TEST_PASSWORD}', user_field: email, body: json, grace: 30}",
    )
    assert token.endpoint.secret("username") == Secret("c4n4ry-name")
    assert token.endpoint.secret("password") == Secret("c4n4ry-password")
    assert token.endpoint.options == (), "nothing may be posted by what is declared alone"
    assert "c4n4ry" not in repr(instance_fact(token)) + repr(token.endpoint)
