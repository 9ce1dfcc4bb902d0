"""Configurations that cannot be used, each with what must be said of it."""

from dataclasses import dataclass

CANARY = "c4n4ry/p@ss%word"
URL = "postgresql://app:c4n4ry%2Fp%40ss%25word@db:5432/shop"


@dataclass(frozen=True)
class Malformed:
    """A file's content, the line and key path to be named (0, "": none), and words to be said."""

    content: str | bytes
    line: int
    path: str
    said: str


def in_service(text: str) -> str:
    """``text`` as one more line (line 4) of a service that is else fine."""
    return f"services:\n  shop:\n    postgres: {URL}\n    {text}\n"


def in_postgres(text: str) -> str:
    """``text`` as one more setting (line 5) of a backend that is else fine."""
    return f"services:\n  shop:\n    postgres:\n      url: {URL}\n      {text}\n"


def at_top(text: str) -> str:
    """``text`` as one more top-level entry (line 4) of a file that is else fine."""
    return f"services:\n  shop:\n    postgres: {URL}\n{text}\n"


def url(text: str) -> str:
    """A file whose only URL (line 3) is ``text``."""
    return f"services:\n  shop:\n    postgres: {text}\n"


_NOT_YAML = "is not valid YAML"
_PG = "services.shop.postgres"
_BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{this}: &{this} [{', '.join(f'*{last}' for _ in range(10))}]"
    for last, this in zip("abcdefg", "bcdefgh", strict=True)
)

MALFORMED: dict[str, Malformed] = {
    "empty": Malformed("", 0, "", "is empty"),
    "only a comment": Malformed(f"# {URL}\n", 0, "", "is empty"),
    "null": Malformed("~\n", 1, "", "is empty"),
    "a list": Malformed(f"- {URL}\n", 1, "", "is a list; expected a mapping"),
    "a text": Malformed(f"{URL}\n", 1, "", "is text; expected a mapping"),
    "a number": Malformed("7\n", 1, "", "is a whole number; expected a mapping"),
    "not UTF-8": Malformed(b"services:\n  caf\xe9: x\n", 2, "", "is not UTF-8"),
    "UTF-16": Malformed(f"a: {URL}".encode("utf-16"), 1, "", "is not UTF-8"),
    "binary": Malformed(b"\x7fELF\x02\x01\x00\x00", 1, "", "control character"),
    "NUL": Malformed(f"a: 1\nb: {CANARY}\0\n", 2, "", "control character"),
    "too large": Malformed("#" * 1_100_000, 0, "", "larger than 1024 KiB"),
    "tab": Malformed(f"services:\n\tshop: {URL}\n", 2, "", "tabs cannot indent"),
    "open quote": Malformed(f"services:\n  shop: '{URL}\n", 3, "", "a quote is never closed"),
    "open bracket": Malformed("services: [c4n4ry, b\n", 2, "", _NOT_YAML),
    "bad indentation": Malformed(f"services:\n  a: 1\n b: {URL}\n", 3, "", _NOT_YAML),
    "colon in text": Malformed(f"services: a: {URL}\n", 1, "", "must be in quotes"),
    "at sign": Malformed("services: @c4n4ry\n", 1, "", "must be in quotes"),
    "percent sign": Malformed("services: %c4n4ry\n", 1, "", "must be in quotes"),
    "undefined alias": Malformed("services: *c4n4ry\n", 1, "", "begins with *"),
    "escape": Malformed('services: "c4n4ry\\q"\n', 1, "", "a backslash"),
    "two documents": Malformed("a: 1\n---\nb: c4n4ry\n", 2, "", "one document only"),
    "duplicate key": Malformed(at_top(f"services: {URL}"), 4, "", '"services" is given twice'),
    "duplicate deep": Malformed(in_postgres(f"url: {URL}"), 5, _PG, '"url" is given twice'),
    "list as key": Malformed(at_top("? [c4n4ry]\n: x"), 4, "", "not a plain word"),
    "merge key": Malformed("a: &a {b: 1}\nservices:\n  <<: *a\n", 3, "services", "merge keys"),
    "tag": Malformed("services: !c4n4ry x\n", 1, "services", "has a YAML tag"),
    "python tag": Malformed(
        "services: !!python/object/apply:os.system ['id']\n", 1, "services", "is a list"
    ),
    "python name": Malformed("services: !!python/name:os.system x\n", 1, "services", "YAML tag"),
    "itself": Malformed("services: &a {b: *a}\n", 1, "", "contains itself"),
    "nested": Malformed("a: " + "[" * 60 + "]" * 60, 1, "", "nested more than"),
    "nested deeper": Malformed("a: " + "[" * 9000 + "]" * 9000, 0, "", "nested more than"),
    "bomb": Malformed(f"{_BOMB}\n", 1, "", "aliases"),
    "impossible date": Malformed(at_top("limits: 2027-13-45"), 4, "limits", "not a valid value"),
    "unknown top key": Malformed(
        at_top(f"limit: {CANARY}"), 4, "limit", 'unknown key "limit"; expected services,'
    ),
    "no services": Malformed("limits: {}\n", 1, "", '"services" is missing'),
    "services empty": Malformed("services:\n", 1, "services", "is empty"),
    "services none": Malformed("services: {}\n", 1, "services", "no service has a backend"),
    "services a URL": Malformed(f"services: {URL}\n", 1, "services", "is text"),
    "services a list": Malformed(f"services: [{URL}]\n", 1, "services", "is a list"),
    "service a URL": Malformed(f"services:\n  shop: {URL}\n", 2, "services.shop", "is text"),
    "service empty": Malformed("services:\n  shop:\n", 2, "services.shop", "is empty"),
    "service bare": Malformed(
        "services:\n  shop: {replicas: 2}\n", 2, "services.shop", "has no backend"
    ),
    "console of another kind": Malformed(
        in_service("pgbouncer: redis://h"), 4, "services.shop.pgbouncer", "not of pgbouncer"
    ),
    "service name": Malformed(
        f"services:\n  my shop: {URL}\n", 2, "services.(key not shown)", "no name for a service"
    ),
    "service named by URL": Malformed(
        f"services:\n  '{URL}': {{}}\n", 2, "services.(key not shown)", "no name for a service"
    ),
    "service reserved": Malformed(
        f"services:\n  adhoc: {{postgres: '{URL}'}}\n", 2, "services.adhoc", "reserved"
    ),
    "unknown kind": Malformed(
        in_service(f"postgress: {URL}"), 4, "services.shop.postgress", 'did you mean "postgres"?'
    ),
    "URL in a key's place": Malformed(
        f"services:\n  shop: {{'{URL}'}}\n", 2, "services.shop.(key not shown)", "unknown key what"
    ),
    "replicas text": Malformed(
        in_service("replicas: c4n4ry"), 4, "services.shop.replicas", "is text, not a whole number"
    ),
    "replicas zero": Malformed(
        in_service("replicas: 0"), 4, "services.shop.replicas", "is too small (0); expected a whole"
    ),
    "replicas true": Malformed(
        in_service("replicas: true"), 4, "services.shop.replicas", "is true or false, not a whole"
    ),
    "workers float": Malformed(
        in_service("workers: 1.5"), 4, "services.shop.workers", "is a number, not a whole number"
    ),
    "workers huge": Malformed(
        in_service("workers: 99999999999"), 4, "services.shop.workers", "is too large"
    ),
    "workers from text": Malformed(
        in_service("workers: ${PASSWORD_FOR_TEST}"), 4, "services.shop.workers", "is text"
    ),
    "backend empty": Malformed(url(""), 3, _PG, "is empty; expected a URL"),
    "backend empty text": Malformed(url("''"), 3, _PG, "is empty; expected a URL"),
    "backend number": Malformed(url("5432"), 3, _PG, "is a whole number; expected a URL"),
    "backend empty list": Malformed(url("[]"), 3, _PG, "is an empty list"),
    "backend no url": Malformed(url("{pool_size: 3}"), 3, _PG, '"url" is missing'),
    "backend in list": Malformed(url("[[1]]"), 3, f"{_PG}[0]", "is a list; expected a URL"),
    "unknown setting": Malformed(
        in_postgres("poolsize: 7"), 5, f"{_PG}.poolsize", 'did you mean "pool_size"?'
    ),
    "password as setting": Malformed(
        in_postgres(f"password: {CANARY}"), 5, f"{_PG}.password", 'unknown key "password"'
    ),
    "pool_size negative": Malformed(
        in_postgres("pool_size: -3"), 5, f"{_PG}.pool_size", "is too small (-3)"
    ),
    "pool_size a list": Malformed(
        in_postgres("pool_size: [c4n4ry]"), 5, f"{_PG}.pool_size", "is a list"
    ),
    "max_overflow -2": Malformed(
        in_postgres("max_overflow: -2"), 5, f"{_PG}.max_overflow", "a whole number, -1 or more"
    ),
    "role": Malformed(
        in_postgres("role: primry"), 5, f"{_PG}.role", 'or replica; did you mean "primary"?'
    ),
    "analyze": Malformed(in_postgres("analyze: c4n4ry"), 5, f"{_PG}.analyze", "true or false"),
    "name": Malformed(in_postgres("name: 'a b c4n4ry'"), 5, f"{_PG}.name", "is no name"),
    "name twice": Malformed(
        url(f"\n    - {{name: a, url: '{URL}'}}\n    - {{name: a, url: '{URL}'}}"),
        5,
        f"{_PG}[1].name",
        'the name "a" is taken',
    ),
    "redis setting": Malformed(
        in_service("redis: {url: 'redis://:c4n4ry@h', max_connection: 1}"),
        4,
        "services.shop.redis.max_connection",
        'did you mean "max_connections"?',
    ),
    "not a URL": Malformed(url(CANARY), 3, _PG, "this is not a URL"),
    "other kind": Malformed(url("redis://:c4n4ry@h"), 3, _PG, "is a URL of redis, not of postgres"),
    "other new kind": Malformed(url("mongodb://u:c4n4ry@h"), 3, _PG, "is a URL of mongodb"),
    "http of amqp": Malformed(
        in_service("http: 'amqp://u:c4n4ry@h'"), 4, "services.shop.http", "is a URL of rabbitmq"
    ),
    "health without slash": Malformed(
        in_service("http: {url: 'https://u:c4n4ry@h', health: c4n4ry}"),
        4,
        "services.shop.http.health",
        "is no path",
    ),
    "cors origins a mapping": Malformed(
        in_service("cors: {url: 'https://h', origins: {c4n4ry: 1}}"),
        4,
        "services.shop.cors.origins",
        "is a mapping",
    ),
    "cors path": Malformed(
        in_service("cors: {url: 'https://h', paths: [c4n4ry]}"),
        4,
        "services.shop.cors.paths",
        "what is no path",
    ),
    "management of amqp": Malformed(
        in_service("rabbitmq: {url: 'amqp://h', management: 'amqp://u:c4n4ry@h'}"),
        4,
        "services.shop.rabbitmq.management",
        "is a URL of rabbitmq",
    ),
    "management with password": Malformed(
        in_service("rabbitmq: {url: 'amqp://h', management: 'http://u:c4n4ry@h'}"),
        4,
        "services.shop.rabbitmq.management",
        "holds user or password",
    ),
    "srv with port": Malformed(
        in_service("mongodb: 'mongodb+srv://u:c4n4ry@h:1/db'"),
        4,
        "services.shop.mongodb",
        "without a port",
    ),
    "token a text": Malformed(
        in_service("token: c4n4ry"), 4, "services.shop.token", "is text; expected a mapping"
    ),
    "token empty": Malformed(
        in_service("token: {leeway: 3}"), 4, "services.shop.token", "nothing to examine"
    ),
    "token sample missing": Malformed(
        in_service("token: {sample: {file: missing}}"),
        4,
        "services.shop.token.sample.file",
        "missing cannot be read",
    ),
    "token hosts": Malformed(
        in_service("token: {hosts: ['redis://:c4n4ry@h']}"),
        4,
        "services.shop.token.hosts",
        "is a URL of redis",
    ),
    "token algorithm": Malformed(
        in_service("token: {sample: 'env:HOME', algorithms: [RSA256]}"),
        4,
        "services.shop.token.algorithms",
        "holds what is no algorithm of a JWT",
    ),
    "token audience": Malformed(
        in_service("token: {sample: 'env:HOME', audience: []}"),
        4,
        "services.shop.token.audience",
        "is empty; expected names such as shop-api",
    ),
    "token refresh interval": Malformed(
        in_service("token: {sample: 'env:HOME', refresh_interval: 0}"),
        4,
        "services.shop.token.refresh_interval",
        "is too small (0)",
    ),
    "token protected path without a host": Malformed(
        in_service("token: {protected: /me}"),
        4,
        "services.shop.token",
        "protected is a path, and the service has no http or cors backend",
    ),
    "token session keys without a redis": Malformed(
        in_service("token: {sample: 'env:HOME', session_keys: 'session:*'}"),
        4,
        "services.shop.token",
        "session_keys is declared, and the service has no redis backend",
    ),
    "token session keys that are all keys": Malformed(
        in_service("token: {sample: 'env:HOME', session_keys: '*'}"),
        4,
        "services.shop.token.session_keys",
        "matches every key",
    ),
    "token session keys with a blank": Malformed(
        in_service("token: {sample: 'env:HOME', session_keys: 'a b:*'}"),
        4,
        "services.shop.token.session_keys",
        "is no pattern of keys",
    ),
    "token protected": Malformed(
        in_service("token: {protected: 'redis://:c4n4ry@h'}"),
        4,
        "services.shop.token.protected",
        "is a URL of redis",
    ),
    "token body": Malformed(
        in_service("token: {login: 'https://h/l', body: xml}"),
        4,
        "services.shop.token.body",
        "is none of the known words",
    ),
    "token grace": Malformed(
        in_service("token: {login: 'https://h/l', grace: 500}"),
        4,
        "services.shop.token.grace",
        "is too large",
    ),
    "token key set missing": Malformed(
        in_service("token: {jwks: {file: missing}}"),
        4,
        "services.shop.token.jwks.file",
        "missing cannot be read",
    ),
    "process nothing": Malformed(
        in_service("process: {name: a}"), 4, "services.shop.process", "names no process"
    ),
    "process twice": Malformed(
        in_service("process: {pid: 1, port: 2}"),
        4,
        "services.shop.process",
        "pid and port are given; expected one of pid",
    ),
    "process port": Malformed(
        in_service("process: {port: 70000}"), 4, "services.shop.process.port", "is too large"
    ),
    "settings without file": Malformed(
        in_service("settings: {env: c4n4ry}"), 4, "services.shop.settings", '"file" is missing'
    ),
    "scheme": Malformed(url("postgresq://u:c4n4ry@h"), 3, _PG, 'did you mean "postgresql"?'),
    "port": Malformed(url("postgresql://u:c4n4ry@h:x/d"), 3, _PG, "the port is not a number"),
    "ambiguous": Malformed(url("postgresql://u:1/c4n4ry@h/d"), 3, _PG, "several ways"),
    "sslmode": Malformed(url("postgresql://u:c4n4ry@h/d?sslmode=on"), 3, _PG, "sslmode="),
    "unset variable": Malformed(url("${DATABSE_URL}"), 3, _PG, "DATABSE_URL is not set"),
    "open reference": Malformed(url("postgresql://u:${c4n4ry@h"), 3, _PG, "never closed"),
    "reference without name": Malformed(
        url("'postgresql://u:${c4n4ry p}@h'"), 3, _PG, "holds no variable name"
    ),
    "bad URL in variable": Malformed(
        url("${PASSWORD_FOR_TEST}"), 3, f"{_PG} (from PASSWORD_FOR_TEST)", "not a URL"
    ),
    "env: unset": Malformed(url("env:NOT_THERE"), 3, _PG, "NOT_THERE is not set"),
    "env: no name": Malformed(url("'env:c4n4ry p'"), 3, _PG, "a variable name; expected env:NAME"),
    "file: missing": Malformed(url("file:missing"), 3, _PG, "missing cannot be read: No such file"),
    "file: folder": Malformed(url("file:/"), 3, _PG, "/ cannot be read: Is a directory"),
    "file: URL": Malformed(url(f"file:{URL}"), 3, _PG, "file: is followed by a URL"),
    "file: endless": Malformed(url("file:/dev/zero"), 3, _PG, "larger than 65536 bytes"),
    "file: empty": Malformed(url("file:/dev/null"), 3, _PG, "is empty; expected one secret"),
    "limits a list": Malformed(at_top("limits: [c4n4ry]"), 4, "limits", "is a list"),
    "limits id": Malformed(
        at_top("limits: {pool: {warning: 1}}"), 4, "limits.pool", '"pool" is no check\'s id'
    ),
    "limits value": Malformed(
        at_top("limits: {a.b: {warning: [c4n4ry]}}"), 4, "limits.a.b.warning", "is a list"
    ),
    "limits infinite": Malformed(
        at_top("limits: {a.b: {warning: .inf}}"), 4, "limits.a.b.warning", "not a finite number"
    ),
    "limits flat": Malformed(at_top("limits: {a.b: 0.7}"), 4, "limits.a.b", "a mapping of limits"),
    "ignore a mapping": Malformed(at_top("ignore: {check: a.b}"), 4, "ignore", "is a mapping"),
    "ignore no reason": Malformed(
        at_top("ignore: [{check: a.b, until: 2030-01-01}]"), 4, "ignore[0]", '"reason" is missing'
    ),
    "ignore no end": Malformed(
        at_top("ignore: [{check: a.b, reason: c4n4ry}]"), 4, "ignore[0]", '"until" is missing'
    ),
    "ignore no day": Malformed(
        at_top("ignore: [{check: a.b, reason: r, until: c4n4ry}]"), 4, "ignore[0].until", "a day"
    ),
    "ignore unknown key": Malformed(
        at_top("ignore: [{check: a.b, reasons: r}]"), 4, "ignore[0].reasons", '"reason"?'
    ),
    "ignore service": Malformed(
        at_top("ignore: [{check: a.b, reason: r, until: 2030-01-01, service: shp}]"),
        4,
        "ignore[0].service",
        'did you mean "shop"?',
    ),
    "checks text": Malformed(at_top("checks: c4n4ry"), 4, "checks", "is text; expected a list"),
    "checks missing": Malformed(at_top("checks: [nowhere]"), 4, "checks[0]", "no folder"),
    "escapes in a key": Malformed(
        at_top('"a\\e[31mc4n4ry": 1'), 4, "(key not shown)", "unknown key what"
    ),
}
