"""Where configuration is looked for, and what it comes down to."""

import datetime
import os
from pathlib import Path

import pytest

from backend_doctor.config.load import load
from backend_doctor.config.model import Configuration, ConfigurationError, Ignore
from backend_doctor.secret import Secret

SHOP = """\
services:
  shop:
    replicas: 3
    workers: ${WORKERS:-4}
    postgres:
      - {name: primary, url: "${DATABASE_URL}", pool_size: 20, max_overflow: -1, analyze: yes}
      - {url: postgresql://u@replica/shop, role: replica}
      - postgresql://u@reports/shop
    redis: {url: file:secret, max_connections: 50}
    pgbouncer: {name: pool, url: "postgresql://doctor@pool/shop"}
  billing:
    postgres: postgresql://billing@db/billing
limits:
  postgres.pool_exhaustion: {warning: 0.7, strict: true, critical: "${CRITICAL:-0.9}"}
ignore:
  - {check: redis.memory, cause: redis.growth, service: shop, until: 2030-01-31, reason: known}
  - {check: redis.clients, until: "2030-02-01", reason: known too}
"""


@pytest.fixture
def shop(bare: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder with a file that uses all there is."""
    (bare / "backend-doctor.yaml").write_text(SHOP)
    (bare / "secret").write_text("redis://:pw@cache:6380/2\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://app:pw@db/shop")
    return bare


def instances(configuration: Configuration) -> list[str]:
    return [
        f"{one.service}.{one.kind}.{one.name}"
        for service in configuration.services
        for one in service.instances
    ]


def test_a_file_with_all_there_is(shop: Path) -> None:
    found = load()
    service = found.services[0]
    assert found.source == "backend-doctor.yaml"
    assert (service.name, service.replicas, service.workers) == ("shop", 3, 4)
    assert service.origins["replicas"] == "backend-doctor.yaml:3"
    assert instances(found) == [
        "shop.postgres.primary",
        "shop.postgres.postgres",
        "shop.postgres.postgres-2",
        "shop.pgbouncer.pool",
        "shop.redis.redis",
        "billing.postgres.postgres",
    ]
    primary, replica, reports, pool, cache = service.instances
    assert pool.endpoint.address == "pool:6432/pgbouncer"
    assert primary.settings == {"pool_size": 20, "max_overflow": -1, "analyze": True}
    assert primary.origin == "from DATABASE_URL"
    assert primary.origins["pool_size"] == "backend-doctor.yaml:6"
    assert primary.endpoint.address == "db:5432/shop"
    assert replica.settings == {"role": "replica"}
    assert reports.origin == "backend-doctor.yaml:8"
    assert cache.endpoint.address == "cache:6380/2"
    assert cache.origin == "from file secret"
    assert found.limits == {
        "postgres.pool_exhaustion": {"warning": 0.7, "strict": True, "critical": 0.9}
    }
    assert found.ignores == (
        Ignore(
            check="redis.memory",
            cause="redis.growth",
            service="shop",
            until=datetime.date(2030, 1, 31),
            reason="known",
        ),
        Ignore(check="redis.clients", until=datetime.date(2030, 2, 1), reason="known too"),
    )
    assert found.warnings == ()


def test_the_order_of_places(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path(os.environ["XDG_CONFIG_HOME"]) / "backend-doctor" / "backend-doctor.yaml"
    with pytest.raises(ConfigurationError) as caught:
        load()
    for word in ("BACKEND_DOCTOR_CONFIG", str(own), "DATABASE_URL", "init", "check postgresql://"):
        assert word in str(caught.value)
    monkeypatch.setenv("REDIS_URL", "redis://by.environment")
    assert load().source == "environment"
    own.parent.mkdir(parents=True)
    own.write_text("services: {own: {redis: 'redis://h'}}")
    assert load().source == str(own)
    (bare / "backend-doctor.yaml").write_text("services: {here: {redis: 'redis://h'}}")
    assert load().source == "backend-doctor.yaml"
    (bare / "named.yaml").write_text("services: {named: {redis: 'redis://h'}}")
    monkeypatch.setenv("BACKEND_DOCTOR_CONFIG", "named.yaml")
    assert load().source == "named.yaml"
    assert load(config=Path("backend-doctor.yaml")).services[0].name == "here"


def test_a_broken_file_is_not_passed_over(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://h")
    (bare / "backend-doctor.yaml").symlink_to("gone")
    with pytest.raises(ConfigurationError, match=r"backend-doctor\.yaml: cannot be read"):
        load()


def test_folders_of_checks_only_from_a_file_that_was_named(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "mine").mkdir()
    text = "services: {shop: {redis: 'redis://h'}}\nchecks: [mine]\n"
    (bare / "backend-doctor.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert str(caught.value).startswith("backend-doctor.yaml:2: checks: checks are code")
    assert "--config backend-doctor.yaml" in str(caught.value)
    assert load(config=Path("backend-doctor.yaml")).check_folders == (Path("mine"),)
    monkeypatch.setenv("BACKEND_DOCTOR_CONFIG", str(bare / "backend-doctor.yaml"))
    assert load().check_folders == (bare / "mine",)


def test_the_bare_environment(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "redis").write_text("redis://:${X}@h\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:${NOT_A_REFERENCE}@db/shop")
    monkeypatch.setenv("REDIS_URL_FILE", "redis")
    monkeypatch.setenv("SECRET_KEY", "c4n4ry")
    monkeypatch.setenv("WEB_CONCURRENCY", "9")
    found = load()
    (service,) = found.services
    assert (service.name, service.workers) == ("default", 1)
    assert [one.origin for one in service.instances] == [
        "from DATABASE_URL",
        "from REDIS_URL_FILE",
        "environment",
    ]
    password = service.instances[0].endpoint.password
    assert password is not None
    assert password.reveal() == "${NOT_A_REFERENCE}"
    settings = service.instances[2]
    assert (settings.kind, settings.endpoint.address) == ("settings", "environment")
    assert settings.endpoint.secret("secret_key") == Secret("c4n4ry")
    monkeypatch.setenv("REDIS_URL", "redis://h")
    with pytest.raises(ConfigurationError, match="REDIS_URL and REDIS_URL_FILE are both set"):
        load()


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("MONGODB_URL", "mongodb://u:c4n4ry@h", "mongodb"),
        ("AMQP_URL", "amqp://u:c4n4ry@h", "rabbitmq"),
        ("SECRET_KEY", "c4n4ry", "settings"),
        ("CORS_ORIGINS", "https://a.example", "settings"),
        ("APP_ENV", "production", "settings"),
    ],
)
def test_each_variable_alone(
    name: str, value: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    with pytest.raises(ConfigurationError, match=name):
        load()
    monkeypatch.setenv(name, value)
    found = load()
    assert instances(found) == [f"default.{kind}.{kind}"]
    if kind == "settings":
        assert found.services[0].instances[0].settings["log_level"] == "DEBUG"


SETTINGS = """\
app: {name: shop, env: "${APP_ENV}"}
server: {host: 0.0.0.0, workers: "${WORKERS:-3}"}
database:
  postgresql: {url: "${DATABASE_URL}", pool_size: 20, max_overflow: 30, echo: false}
  mongodb: {url: "${MONGODB_URL}", max_pool_size: 40}
  redis: {url: "redis://cache/1", max_connections: 50, ttl: 3600}
security: {secret_key: "${NOT_SET}"}
rabbitmq: {url: "amqp://guest:guest@broker/"}
"""


def test_an_applications_own_settings(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "settings.yaml").write_text(SETTINGS)
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://u:p@db/shop")
    with pytest.raises(ConfigurationError, match="MONGODB_URL is not set"):
        load(settings=Path("settings.yaml"))
    monkeypatch.setenv("MONGODB_URL", "mongodb://u:p@mongo/shop")
    monkeypatch.setenv("APP_ENV", "production")
    found = load(settings=Path("settings.yaml"))
    (service,) = found.services
    assert (service.name, service.replicas, service.workers) == ("default", 1, 3)
    assert [one.settings for one in service.instances] == [
        {"pool_size": 20, "max_overflow": 30},
        {"max_pool_size": 40},
        {"max_connections": 50},
        {},
        {"env": "production"},
    ]
    assert [one.kind for one in service.instances][3:] == ["rabbitmq", "settings"]
    assert service.instances[4].endpoint.address == "settings.yaml"
    assert found.warnings == ()
    with pytest.raises(ConfigurationError, match="--config and --settings"):
        load(settings=Path("settings.yaml"), config=Path("x"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("databases: {}", 'the layout is unknown; .*; did you mean "database"'),
        ("database: {postgres: {url: x}}", 'holds no backend .*; did you mean "postgresql"'),
        ("database: {postgresql: {host: x}}", r'database\.postgresql: "url" is missing'),
        ("database: {redis: {url: 'redis://${NO_PW}@h'}}", "redis.url: NO_PW is not set"),
        ("database: 'postgresql://u:c4n4ry@h'", "database: is text"),
        ("server: {workers: 0}\ndatabase: {redis: {url: 'redis://h'}}", "workers: is too small"),
    ],
)
def test_other_layouts(bare: Path, text: str, said: str) -> None:
    (bare / "settings.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        load(settings=Path("settings.yaml"))
    assert str(caught.value).startswith("settings.yaml:1: ")
    assert "c4n4ry" not in str(caught.value)


@pytest.mark.parametrize(
    ("targets", "chosen"),
    [
        (["billing"], ["billing.postgres.postgres"]),
        (["shop.redis"], ["shop.redis.redis"]),
        (["shop.redis.redis", "shop.postgres.primary"],
         ["shop.postgres.primary", "shop.redis.redis"]),
        (["billing", "env:DATABASE_URL"], ["billing.postgres.postgres", "adhoc.postgres.postgres"]),
    ],
)  # fmt: skip
def test_targets_select(shop: Path, targets: list[str], chosen: list[str]) -> None:
    found = load(targets=targets)
    assert instances(found) == chosen
    assert {"shop", "billing"} <= {service.name for service in found.everything}
    assert len(found.everything[0].instances) == 5


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("shp", '"shp" is no service in backend-doctor.yaml; expected shop or billing; did you'),
        ("shop.postgress", 'expected postgres, pgbouncer or redis; did you mean "postgres"?'),
        ("billing.redis", '"redis" is no backend in service billing'),
        ("shop.postgres.primry", 'did you mean "primary"?'),
        ("shop.pgbouncer.pgbouncer", "is no name in shop.pgbouncer"),
        ("mail", '"mail" is no service'),
        ("u:c4n4ry@h", "this target (not shown) is no service"),
        ("", "is no service"),
    ],
)
def test_unknown_targets(shop: Path, target: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(targets=[target])
    assert said in str(caught.value)
    assert "c4n4ry" not in str(caught.value)


def test_urls_need_no_configuration(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "backend-doctor.yaml").write_text("broken: [")
    (bare / "url").write_text("redis://:pw@h\n")
    monkeypatch.setenv("SOME_URL", "postgresql://u:pw@db/shop")
    found = load(targets=["env:SOME_URL", "file:url", "redis://h2", "redis://h3"])
    assert instances(found) == [
        "adhoc.postgres.postgres",
        "adhoc.redis.redis",
        "adhoc.redis.redis-2",
        "adhoc.redis.redis-3",
    ]
    assert [one.origin for one in found.services[0].instances] == [
        "from SOME_URL",
        "from file url",
        "command line, target 3",
        "command line, target 4",
    ]
    assert (found.source, found.warnings) == ("command line", ())


def test_a_password_on_the_command_line_is_warned_of() -> None:
    found = load(targets=["postgresql://u:c4n4ry@h/d", "redis://:c4n4ry@h"])
    (warning,) = found.warnings
    assert "process list" in warning
    assert "c4n4ry" not in warning
    targets = ["https://api.example/orders", "mongodb://u:c4n4ry@h", "amqp://u:c4n4ry@h/v"]
    found = load(targets=targets)
    kinds = ("http", "mongodb", "rabbitmq")
    assert instances(found) == [f"adhoc.{kind}.{kind}" for kind in kinds]
    with pytest.raises(ConfigurationError, match="target 1: the URL's scheme") as caught:
        load(targets=["ftp://u:c4n4ry@h"])
    assert "c4n4ry" not in str(caught.value)
