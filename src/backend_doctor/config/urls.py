"""URLs of backends, as drivers and frameworks write them, to endpoints."""

import os
from collections.abc import Callable
from pathlib import Path

from backend_doctor.config.otherurls import amqp, http, mongodb
from backend_doctor.config.urlparts import Parts, hosts_of, port_of, split
from backend_doctor.config.urlquery import Query, first_secret
from backend_doctor.endpoint import DEFAULT_PORTS, Endpoint, Tls, TlsMode
from backend_doctor.place import did_you_mean, fault

_TLS_MODES: tuple[TlsMode, ...] = (
    "disable", "allow", "prefer", "require", "verify-ca", "verify-full",
)  # fmt: skip
_POSTGRES = ("postgresql", "postgres")
_REDIS = ("redis", "rediss", "valkey", "valkeys", "unix")
_OTHERS: dict[str, Callable[[Parts, str], Endpoint]] = {
    "mongodb": mongodb,
    "mongodb+srv": mongodb,
    "amqp": amqp,
    "amqps": amqp,
    "http": http,
    "https": http,
}
_EXPECTED = "postgresql://, redis://, rediss://, unix://, mongodb://, amqp://, http:// or https://"


def parse_url(text: str, *, place: str, kind: str = "") -> Endpoint:
    """The endpoint that a URL names; of ``kind`` where one scheme serves several kinds.

    A PostgreSQL URL names a PgBouncer's console when its database is ``pgbouncer``, or when
    ``kind`` says so, whatever its database.

    Without user, password or database those stay None, so that the driver's own sources
    (PGUSER, PGPASSWORD, PGPASSFILE) serve; a PostgreSQL database defaults to the user's name
    and the host to PGHOST or the local socket, as libpq has it.

    Raises ConfigurationError; its message begins with ``place`` and never holds any part of
    the URL but a known scheme or parameter name.
    """
    parts = split(text, place=place)
    family = parts.scheme.partition("+")[0]
    if family in _POSTGRES:
        return _postgres(parts, place, kind)
    if parts.scheme in _REDIS:
        return _redis(parts, place)
    if parts.scheme in _OTHERS:
        return _OTHERS[parts.scheme](parts, place)
    hint = did_you_mean(parts.scheme, (*_POSTGRES, *_REDIS, *_OTHERS))
    raise fault(place, "the URL's scheme is none that is known", _EXPECTED, hint)


def _postgres(parts: Parts, place: str, kind: str) -> Endpoint:
    query = Query(parts, place)
    user = query.take("user") or parts.user
    database = query.take("dbname", "database") or parts.path or user
    console = kind == "pgbouncer" or (not kind and database == "pgbouncer")
    kind = "pgbouncer" if console else "postgres"
    hosts, socket = _postgres_hosts(parts, query, place, DEFAULT_PORTS[kind])
    return Endpoint(
        kind=kind,
        hosts=hosts,
        socket=socket,
        user=user,
        password=first_secret(query.take("password"), parts.password),
        database="pgbouncer" if console else database,
        tls=_postgres_tls(query),
        options=query.rest,
    )


def _postgres_hosts(
    parts: Parts, query: Query, place: str, default: int
) -> tuple[tuple[tuple[str, int], ...], str | None]:
    named = ",".join(query.take_all("host")) or parts.hosts
    ports = [port_of(port, default, place) for port in (query.take("port") or "").split(",")]
    if len(ports) == 1:
        default = ports[0]
    hosts = hosts_of(named or _default_host(default), default, place=place)
    if len(ports) > 1:
        if len(ports) != len(hosts):
            raise fault(place, "port= and host= name different numbers", "one port for each host")
        hosts = tuple((host, port) for (host, _), port in zip(hosts, ports, strict=True))
    if hosts[0][0].startswith("/"):
        if len(hosts) > 1:
            raise fault(place, "a socket stands among several hosts", "hosts only, or one socket")
        return (("localhost", hosts[0][1]),), hosts[0][0].rstrip("/") or "/"
    return tuple((host or "localhost", port) for host, port in hosts), None


def _default_host(port: int) -> str:
    folders = (Path("/run/postgresql"), Path("/var/run/postgresql"))
    local = next((str(path) for path in folders if (path / f".s.PGSQL.{port}").exists()), "")
    return os.environ.get("PGHOST") or local


def _postgres_tls(query: Query) -> Tls:
    modes: dict[str, str] = {mode: mode for mode in _TLS_MODES}
    loose = modes | {"true": "require", "on": "require", "1": "require"}
    loose |= {"false": "disable", "off": "disable", "0": "disable"}
    mode = query.choose("ssl", loose, "prefer")
    mode = query.choose("sslmode", modes, mode)
    return Tls(
        mode=next(known for known in _TLS_MODES if known == mode),
        ca_file=query.take("sslrootcert"),
        cert_file=query.take("sslcert"),
        key_file=query.take("sslkey"),
    )


def _redis(parts: Parts, place: str) -> Endpoint:
    query = Query(parts, place)
    hosts = hosts_of(parts.hosts, DEFAULT_PORTS["redis"], place=place)
    if len(hosts) > 1:
        raise fault(place, "several hosts are given", "one host for each redis instance")
    on_socket = parts.scheme == "unix"
    if on_socket and (hosts[0][0] or not parts.path):
        raise fault(place, "a unix:// URL names no socket", "unix:///path/to/redis.sock")
    path = "" if on_socket else parts.path.strip("/")
    database = query.take("db") or path or "0"
    if not (database.isascii() and database.isdigit() and len(database) < 8):
        raise fault(place, "the Redis database is not a number", "redis://host:6379/0")
    return Endpoint(
        kind="redis",
        hosts=((hosts[0][0] or "localhost", hosts[0][1]),),
        socket=f"/{parts.path.lstrip('/')}" if on_socket else None,
        user=query.take("username") or parts.user,
        password=first_secret(query.take("password"), parts.password),
        database=str(int(database)),
        tls=_redis_tls(query, encrypted=parts.scheme in ("rediss", "valkeys")),
        options=query.rest,
    )


def _redis_tls(query: Query, *, encrypted: bool) -> Tls:
    named = {"none": "none", "optional": "required", "required": "required"}
    flags = {"true": "true", "1": "true", "yes": "true", "false": "false", "0": "false"}
    verify = query.choose("ssl_cert_reqs", named, "required")
    by_name = query.choose("ssl_check_hostname", flags | {"no": "false"}, "true")
    mode: TlsMode = "verify-full" if by_name == "true" else "verify-ca"
    if verify == "none":
        mode = "require"
    return Tls(
        mode=mode if encrypted else "disable",
        ca_file=query.take("ssl_ca_certs"),
        cert_file=query.take("ssl_certfile"),
        key_file=query.take("ssl_keyfile"),
    )
