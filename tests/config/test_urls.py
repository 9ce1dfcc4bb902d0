"""URLs as people, drivers and frameworks write them."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend_doctor.config.urls import parse_url
from backend_doctor.endpoint import Endpoint
from backend_doctor.errors import ConfigurationError

CANARY = "c4n4ry"


def parsed(url: str) -> Endpoint:
    return parse_url(url, place="here")


def parsed_or_refused(url: str) -> tuple[Endpoint | None, str]:
    try:
        return parsed(url), ""
    except ConfigurationError as error:
        return None, str(error)


def password(endpoint: Endpoint) -> str | None:
    return endpoint.password.reveal() if endpoint.password else None


@pytest.mark.parametrize(
    ("url", "user", "secret", "address"),
    [
        ("postgresql://u:p@h/db", "u", "p", "h:5432/db"),
        ("postgres://u@H.example:6000", "u", None, "h.example:6000/u"),
        ("postgresql+asyncpg://u:p@h/db", "u", "p", "h:5432/db"),
        ("postgresql+psycopg2://h/db", None, None, "h:5432/db"),
        ("postgresql://u@h/pgbouncer", "u", None, "h:6432/pgbouncer"),
        ("postgresql://u@h:7000/pgbouncer", "u", None, "h:7000/pgbouncer"),
        ("POSTGRESQL://h/db", None, None, "h:5432/db"),
        ("postgresql://h", None, None, "h:5432"),
        ("postgresql://u:a%2Fb%40c%25d@h/db", "u", "a/b@c%d", "h:5432/db"),
        ("postgresql://u:a@b@h/db", "u", "a@b", "h:5432/db"),
        ("postgresql://u:a/b@h/db", "u", "a/b", "h:5432/db"),
        ("postgresql://u:a?b@h/db", "u", "a?b", "h:5432/db"),
        ("postgresql://u:a#b@h/db", "u", "a#b", "h:5432/db"),
        ("postgresql://u:a%b@h/db", "u", "a%b", "h:5432/db"),
        ("postgresql://u:a:b[c@h/db", "u", "a:b[c", "h:5432/db"),
        ("postgresql://me@corp:p@h/db", "me@corp", "p", "h:5432/db"),
        ("postgresql://u:@h/db", "u", None, "h:5432/db"),
        ("postgresql://h/db@x", None, None, "h:5432/db@x"),
        ("postgresql://u:p@h1:1,h2,[::1]:3/db", "u", "p", "h1:1,h2:5432,[::1]:3/db"),
        ("postgresql://u:p@[fe80::1%25eth0]/db", "u", "p", "[fe80::1%eth0]:5432/db"),
        ("postgresql:///db?host=h1,h2&port=1,2", None, None, "h1:1,h2:2/db"),
        ("postgresql:///db?host=h1:1&host=h2:2", None, None, "h1:1,h2:2/db"),
        ("postgresql:///db?host=h&port=7&user=u&password=p", "u", "p", "h:7/db"),
        ("postgresql://u:p@h/db?application_name=me@corp", "u", "p", "h:5432/db"),
        ("postgresql://u@/db?host=/var/run/postgresql", "u", None, "/var/run/postgresql/db"),
        ("postgresql://u@%2Frun%2Fpg:6000/db", "u", None, "/run/pg/db"),
        ("redis://h", None, None, "h:6379/0"),
        ("redis://:p@h/3", None, "p", "h:6379/3"),
        ("redis://u:p@h:1/?db=2", "u", "p", "h:1/2"),
        ("redis://:a/b@c@h/1", None, "a/b@c", "h:6379/1"),
        ("redis://h?username=u&password=p", "u", "p", "h:6379/0"),
        ("valkey://[::1]:7/1", None, None, "[::1]:7/1"),
        ("unix:///run/redis.sock?db=4", None, None, "/run/redis.sock/4"),
        ("unix://u:a/b@/run/redis.sock", "u", "a/b", "/run/redis.sock/0"),
        ("  redis://h\n", None, None, "h:6379/0"),
        ("mongodb://h", None, None, "h:27017"),
        ("mongodb://u:a%2Fb%40c@h1,h2:1,[::1]:2/shop", "u", "a/b@c", "h1:27017,h2:1,[::1]:2/shop"),
        ("mongodb://u:p@h/?authSource=admin", "u", "p", "h:27017"),
        ("mongodb://u@%2Ftmp%2Fmongodb-27017.sock/shop", "u", None, "/tmp/mongodb-27017.sock/shop"),
        ("mongodb+srv://u:p@cluster.example/shop", "u", "p", "cluster.example:27017/shop"),
        ("amqp://", None, None, "localhost:5672"),
        ("amqp://u:p@h", "u", "p", "h:5672"),
        ("amqp://u:p@h/%2F", "u", "p", "h:5672"),
        ("amqp://u:p@h/a%2Fb", "u", "p", "h:5672/a/b"),
        ("amqps://u:p@h1,h2:1/shop", "u", "p", "h1:5671,h2:1/shop"),
        ("http://H.example", None, None, "h.example:80"),
        ("https://u:a/b@h/api", "u", "a/b", "h:443"),
        ("https://[::1]:8443/", None, None, "[::1]:8443"),
    ],
)
def test_readings(url: str, user: str | None, secret: str | None, address: str) -> None:
    endpoint = parsed(url)
    assert (endpoint.user, password(endpoint), endpoint.address) == (user, secret, address)


@pytest.mark.parametrize(
    ("url", "mode", "files"),
    [
        ("postgresql://h/d", "prefer", (None, None, None)),
        ("postgresql://h/d?sslmode=verify-full&sslrootcert=/a", "verify-full", ("/a", None, None)),
        ("postgresql://h/d?ssl=require&sslcert=/b&sslkey=/c", "require", (None, "/b", "/c")),
        ("postgresql://h/d?ssl=true", "require", (None, None, None)),
        ("postgresql://h/d?ssl=false", "disable", (None, None, None)),
        ("postgresql://h/d?ssl=true&sslmode=verify-ca", "verify-ca", (None, None, None)),
        ("redis://h", "disable", (None, None, None)),
        ("rediss://h", "verify-full", (None, None, None)),
        ("valkeys://h?ssl_ca_certs=/a", "verify-full", ("/a", None, None)),
        ("rediss://h?ssl_cert_reqs=none", "require", (None, None, None)),
        ("rediss://h?ssl_check_hostname=false&ssl_certfile=/b", "verify-ca", (None, "/b", None)),
        ("mongodb://h", "disable", (None, None, None)),
        ("mongodb+srv://h", "verify-full", (None, None, None)),
        ("mongodb+srv://h/?tls=false", "disable", (None, None, None)),
        ("mongodb://h/?ssl=true&tlsCAFile=/a", "verify-full", ("/a", None, None)),
        ("mongodb://h/?tls=true&tlsAllowInvalidHostnames=true", "verify-ca", (None, None, None)),
        (
            "mongodb://h/?TLS=true&tlsInsecure=true&tlsCertificateKeyFile=/b",
            "require",
            (None, "/b", "/b"),
        ),
        ("amqp://h", "disable", (None, None, None)),
        ("amqps://h?cafile=/a&certfile=/b&keyfile=/c", "verify-full", ("/a", "/b", "/c")),
        ("amqps://h?no_verify_ssl=1", "require", (None, None, None)),
        ("amqps://h?verify=verify_none&cacertfile=/a", "require", ("/a", None, None)),
        ("http://h", "disable", (None, None, None)),
        ("https://h", "verify-full", (None, None, None)),
    ],
)
def test_tls(url: str, mode: str, files: tuple[str | None, ...]) -> None:
    tls = parsed(url).tls
    assert (tls.mode, (tls.ca_file, tls.cert_file, tls.key_file)) == (mode, files)


def test_options_are_what_no_field_holds() -> None:
    endpoint = parsed("postgresql://h/d?sslmode=require&options=-csearch_path=a&target=any")
    assert endpoint.options == (("options", "-csearch_path=a"), ("target", "any"))


def test_mongodb_options_keep_their_names() -> None:
    endpoint = parsed("mongodb+srv://h/d?authSource=admin&tls=true&replicaSet=rs0")
    assert endpoint.options == (("authSource", "admin"), ("replicaSet", "rs0"), ("srv", "true"))


def test_the_virtual_host() -> None:
    hosts = {"amqp://h": "/", "amqp://h/": "/", "amqp://h/%2F": "/", "amqp://h/%2Fa": "/a"}
    for url, name in hosts.items():
        assert parsed(url).database == name


def test_a_web_url_is_kept_without_user_and_password() -> None:
    endpoint = parsed("HTTPS://u:a/b@H.example:8443/a%20b/?q=1")
    assert endpoint.url == "https://H.example:8443/a%20b/?q=1"
    assert (endpoint.kind, endpoint.hosts) == ("http", (("h.example", 8443),))


def test_no_host_means_the_local_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert parsed("redis://").address == "localhost:6379/0"
    monkeypatch.setenv("PGHOST", "elsewhere")
    assert parsed("postgresql:///d").address == "elsewhere:5432/d"
    monkeypatch.setenv("PGHOST", str(tmp_path))
    assert parsed("postgresql:///d").socket == str(tmp_path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "empty"),
        (f"host=h password={CANARY}", "white space"),
        (f"u:{CANARY}@h/db", "not a URL"),
        (f"postgresql:/u:{CANARY}@h/db", "not a URL"),
        (f"postgressql://u:{CANARY}@h/db", 'did you mean "postgresql"?'),
        (f"mysql://u:{CANARY}@h/db", "scheme"),
        (f"mongodb+srv://u:{CANARY}@a,b/db", "only one"),
        (f"mongodb+srv://u:{CANARY}@a:27017/db", "without a port"),
        (f"mongodb://u:{CANARY}@a,,b/db", "one of the hosts is empty"),
        (f"mongodb://u:{CANARY}@%2Ftmp%2Fm.sock,b/db", "socket"),
        (f"mongodb://u:{CANARY}@h/?tls={CANARY}", "tls= has an unknown value"),
        (f"mongodb://u:{CANARY}@h/?tlsCertificateKeyFilePassword=x", "without a passphrase"),
        (f"amqps://u:{CANARY}@h?verify=maybe", "verify_peer or verify_none"),
        (f"https://u:{CANARY}@/", "names no host"),
        (f"http://u:{CANARY}@a,b/", "several hosts"),
        (f"httpss://u:{CANARY}@h/", 'did you mean "https"?'),
        (f"postgresql://u:1234/{CANARY}@h/db", "several ways"),
        (f"postgresql://u:{CANARY}@a/b@h/db", "several ways"),
        (f"postgresql://u:/{CANARY}@h:x/db", "several ways"),
        (f"postgresql://u:{CANARY}@h/db?x={CANARY}@b", "percent-encoded"),
        (f"postgresql://u:{CANARY}", "port is not a number"),
        (f"postgresql://u:{CANARY}@h:{CANARY}/db", "port is not a number"),
        (f"postgresql://u:{CANARY}@h:0/db", "from 1 to 65535"),
        (f"postgresql://u:{CANARY}@h:65536/db", "from 1 to 65535"),
        (f"postgresql://u:{CANARY}@::1/db", "brackets"),
        (f"postgresql://u:{CANARY}@[::1/db", "brackets"),
        (f"postgresql://u:{CANARY}@[{CANARY}]/db", "not an IPv6 address"),
        (f"postgresql://u:{CANARY}@h/db?sslmode=requir", 'did you mean "require"?'),
        (f"postgresql://u:{CANARY}@h/db?{CANARY}", "list of settings"),
        (f"postgresql://u:{CANARY}@h/db#{CANARY}", "%23"),
        (f"postgresql://u:{CANARY}%ff@h/db", "not UTF-8"),
        (f"postgresql://u:{CANARY}%00@h/db", "control character"),
        (f"postgresql://u:{CANARY}@h/db?sslpassword={CANARY}", "without a passphrase"),
        (f"postgresql://u:{CANARY}@/db?host=a,b&port=1,2,3", "different numbers"),
        (f"postgresql://u:{CANARY}@/db?host=/a,/b", "socket"),
        (f"postgresql://u:{CANARY}@{'h' * 9000}/db", "longer than"),
        (f"redis://:{CANARY}@h/{CANARY}", "not a number"),
        (f"redis://:{CANARY}@a,b", "one host"),
        (f"unix://:{CANARY}@", "no socket"),
        (f"rediss://:{CANARY}@h?ssl_cert_reqs=maybe", "none, optional or required"),
        (f"redis://:{CANARY}\udcff@h", "control characters"),
    ],
)
def test_refusals_name_the_place_and_no_secret(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_url(url, place="shop.yaml:3: services.shop.postgres")
    message = str(caught.value)
    assert message.startswith("shop.yaml:3: services.shop.postgres: ")
    assert said in message
    assert CANARY not in message
    assert "\n" not in message


PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
RAW = st.text("abcXYZ019._-~!$&'()*+,;=:@/?#[]%", max_size=12)
NO_QUERY = RAW.filter(lambda text: "=" not in text)


@given(user=PLAIN, secret=st.text(st.characters(exclude_characters="\0"), max_size=20), name=PLAIN)
def test_encoded_parts_come_back(user: str, secret: str, name: str) -> None:
    secret = secret.encode("utf-8", "ignore").decode()
    encoded = [quote(part, safe="") for part in (user, secret, name)]
    endpoint = parsed("postgresql://{}:{}@h:1/{}".format(*encoded))
    assert (endpoint.user, password(endpoint) or "", endpoint.database) == (user, secret, name)
    endpoint = parsed("redis://{}:{}@h:1/7".format(*encoded))
    assert (endpoint.user, password(endpoint) or "", endpoint.address) == (user, secret, "h:1/7")
    for scheme in ("mongodb", "amqp"):
        endpoint = parsed(scheme + "://{}:{}@h:1/{}".format(*encoded))
        assert (endpoint.user, password(endpoint) or "", endpoint.database) == (user, secret, name)


@given(secret=RAW)
@example(secret="1/a")
@example(secret="a@b/c")
@example(secret="@?0=")
def test_a_raw_password_is_read_right_or_refused(secret: str) -> None:
    endpoint, message = parsed_or_refused(f"postgresql://user:x{secret}x@dbhost:15432/shop")
    assert f"x{secret}x" not in message
    if endpoint:
        assert endpoint.address == "dbhost:15432/shop"
        assert "%" in secret or password(endpoint) == f"x{secret}x"


@given(
    st.sampled_from(
        [
            "",
            "postgresql://",
            "redis://",
            "unix://",
            "rediss://u:",
            "postgres://u:p@",
            "mongodb://",
            "mongodb+srv://u:",
            "amqp://u:p@",
            "amqps://",
            "http://",
            "https://u:p@",
        ]
    ),
    st.text(max_size=60) | RAW,
)
def test_any_text_is_read_or_refused(start: str, text: str) -> None:
    endpoint, message = parsed_or_refused(start + text)
    if endpoint:
        assert endpoint.hosts
        assert all(1 <= port <= 65535 for _, port in endpoint.hosts)
    else:
        assert message.startswith("here: ")
        assert len(message) < 400


@given(
    st.sampled_from(["postgresql://u:", "redis://:", "mongodb://u:", "amqp://u:", "https://u:"]),
    NO_QUERY,
    NO_QUERY,
)
def test_no_message_holds_the_password(start: str, before: str, after: str) -> None:
    endpoint, message = parsed_or_refused(f"{start}{before}{CANARY}{after}@h:port/db")
    assert CANARY not in message
    assert CANARY not in repr(endpoint)
