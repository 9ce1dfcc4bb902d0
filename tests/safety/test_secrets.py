"""A password never comes out: in no format, at no verbosity, in no failure, in no process list."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from tests.safety.tool import Ran, ended, run, spawn
from tests.servers.debian import debian_postgres_bin
from tests.servers.listener import BannerServer
from tests.servers.pgbouncer import PgBouncer

from backend_doctor.demo.servers import PostgresServer, RedisServer
from backend_doctor.demo.servers.process import free_port
from backend_doctor.reports import FORMATS

CANARY = "cnrOneAlfa/cnrTwoBrav@cnrTriChrl%cnrForDelt:cnrFivEcho?cnrSixFoxt#cnrSevGolf&cnrEit+H"
_LEAKS = {
    form[start : start + 8]
    for form in (CANARY, quote(CANARY, safe=""), quote(CANARY), quote_plus(CANARY))
    for start in range(len(form) - 7)
}
_TIMING = ("--window", "0", "--connect-timeout", "1.5")


def assert_kept(text: str) -> None:
    found = [leak for leak in _LEAKS if leak in text]
    assert not found, f"{found} in:\n{text}"


def kept(ran: Ran) -> Ran:
    assert_kept(ran.out + ran.err)
    return ran


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer(debian_postgres_bin(), password=CANARY) as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer(password=CANARY) as server:
        yield server


@pytest.fixture(scope="module")
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    with PgBouncer(postgres, auth_type="scram-sha-256") as server:
        yield server


@pytest.fixture(params=["env", "file", "config", "variables", "settings"])
def source(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    postgres: PostgresServer,
    redis: RedisServer,
    pooler: PgBouncer,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Arguments and variables that name the servers, each way that URLs can be given; an
    application's own settings know of no pooler."""
    urls = {
        "DB": postgres.admin_url(),
        "CACHE": redis.admin_url(),
        "POOL": pooler.console_url("postgres", CANARY),
    }
    for name, url in urls.items():
        (tmp_path / name).write_text(f"{url}\n")
    if request.param == "env":
        return tuple(f"env:{name}" for name in urls), urls
    if request.param == "file":
        return tuple(f"file:{tmp_path / name}" for name in urls), {}
    if request.param == "variables":
        names = {"DB": "DATABASE_URL", "CACHE": "REDIS_URL", "POOL": "PGBOUNCER_URL"}
        return (), {names[name]: url for name, url in urls.items()}
    path = tmp_path / "settings.yaml"
    if request.param == "config":
        path.write_text(
            f"services:\n  shop:\n    postgres: {{url: '{urls['DB']}'}}\n"
            "    redis: {url: '${CACHE}'}\n    pgbouncer: {url: '${POOL}'}\n"
        )
        return ("--config", str(path)), urls
    path.write_text(
        f"database:\n  postgresql:\n    url: '{urls['DB']}'\n  redis:\n    url: '${{CACHE}}'\n"
    )
    return ("--settings", str(path)), urls


Source = tuple[tuple[str, ...], dict[str, str]]


def everywhere(folder: Path, *arguments: str, **variables: str) -> Ran:
    """One run that also writes every format; none of it holds the password."""
    files = {format: folder / f"{format}.prom" for format in FORMATS}
    outputs = [word for format, path in files.items() for word in ("-o", f"{format}={path}")]
    ran = kept(run("check", *arguments, *outputs, *_TIMING, **variables))
    for path in files.values():
        written = path.read_text()
        assert written
        assert_kept(written)
    return ran


@pytest.mark.parametrize("verbosity", ["-vv", "-q"])
def test_not_in_any_report(verbosity: str, source: Source, tmp_path: Path) -> None:
    where, variables = source
    ran = everywhere(tmp_path, *where, verbosity, **variables)
    assert ran.code == 0, "all logins are right, and what needs two looks is skipped"


def test_not_in_the_snapshot_nor_the_configuration(source: Source, tmp_path: Path) -> None:
    where, variables = source
    snapshot = tmp_path / "snapshot.json"
    assert kept(run("collect", *where, *_TIMING, "-o", str(snapshot), **variables)).code == 0
    assert_kept(snapshot.read_text())
    kept(run("check", "--from", str(snapshot), "-vv", "--format", "json"))
    shown = kept(run("config", "show", *where, **variables))
    assert shown.code == 0
    assert shown.out.count("set (not shown)") == (2 if "--settings" in where else 3)


def test_not_in_the_process_list(source: Source) -> None:
    where, variables = source
    at = time.monotonic()
    process = spawn("check", *where, "--window", "0.5", **variables)
    seen = 0
    while process.poll() is None:
        try:
            words = Path(f"/proc/{process.pid}/cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            break
        assert_kept(words)
        seen += "backend_doctor" in words
        time.sleep(0.02)
    kept(ended(process, at))
    assert seen > 5


@pytest.mark.parametrize("verbosity", ["-vv", "-q"])
@pytest.mark.parametrize(
    ("scheme", "name"), [("postgresql", "/shop"), ("postgresql", "/pgbouncer"), ("redis", "/1")]
)
def test_not_in_a_failed_login(scheme: str, name: str, verbosity: str, tmp_path: Path) -> None:
    login = f"{scheme}://someone:{quote(CANARY, safe='')}@"
    with BannerServer("http") as http, BannerServer("ssh") as ssh:
        urls = {
            "REFUSED": f"{login}127.0.0.1:{free_port()}{name}",
            "HTTP": f"{login}127.0.0.1:{http.port}{name}",
            "SSH": f"{login}127.0.0.1:{ssh.port}{name}",
            "UNKNOWN": f"{login}no-such-host.invalid{name}",
            "TLS": f"{login}127.0.0.1:{http.port}{name}"
            + ("?sslmode=verify-full&sslrootcert=/nowhere" if scheme == "postgresql" else ""),
        }
        targets = [f"env:{name}" for name in urls]
        assert everywhere(tmp_path, *targets, verbosity, **urls).code == 2


def test_not_when_the_server_itself_refuses_it(
    postgres: PostgresServer, redis: RedisServer, pooler: PgBouncer, tmp_path: Path
) -> None:
    urls = {
        "DB": postgres.url(password=f"{CANARY}x"),
        "POOL": pooler.console_url("postgres", f"{CANARY}x"),
        "CACHE": redis.url(user="nobody", password=CANARY),
    }
    targets = [f"env:{name}" for name in urls]
    snapshot = tmp_path / "snapshot.json"
    assert everywhere(tmp_path, *targets, "-vv", **urls).code == 2
    kept(run("collect", *targets, *_TIMING, "-o", str(snapshot), **urls))
    assert_kept(snapshot.read_text())


_Q = quote(CANARY, safe="")
MALFORMED = [
    f"postgresql://someone:{CANARY}@127.0.0.1:5/shop",
    f"postgresql://someone:{_Q}@127.0.0.1:port/shop",
    f"postgresql://someone:{_Q}@[::1/shop",
    f"postgresql://someone:{_Q}@127.0.0.1:5/shop?sslmode={_Q}",
    f"postgresql:/someone:{_Q}@127.0.0.1/shop",
    f"mysql://someone:{_Q}@127.0.0.1/shop",
    f"{_Q}",
    f"redis://:{_Q}@127.0.0.1:6/{_Q}",
    f"redis://:{CANARY}@127.0.0.1:6/0",
    f"redis://:{_Q}@one,two/0",
    f"postgresql://someone:%zz{_Q}@127.0.0.1:5/shop",
    f"postgresql://someone:{CANARY}@127.0.0.1:5/pgbouncer",
    f"postgresql://someone:{_Q}@127.0.0.1:5/pgbouncer?sslmode={_Q}",
]


@pytest.mark.parametrize("url", MALFORMED, ids=range(len(MALFORMED)))
def test_not_when_the_url_is_malformed(url: str, tmp_path: Path) -> None:
    ran = kept(run("check", "env:DB", "-vv", *_TIMING, DB=url))
    assert ran.code in (2, 3)
    assert ran.err or ran.out
    config = tmp_path / "config.yaml"
    config.write_text(f"services:\n  shop:\n    postgres: {{url: '{url}'}}\n")
    ran = kept(run("config", "show", "--config", str(config)))
    assert ran.code in (0, 3)


def test_a_password_on_the_command_line_is_warned_of_but_not_repeated(
    postgres: PostgresServer,
) -> None:
    ran = kept(run("check", postgres.admin_url(), *_TIMING, "-v"))
    assert "others on this machine can read a password in the process list" in " ".join(
        (ran.out + ran.err).split()
    )
