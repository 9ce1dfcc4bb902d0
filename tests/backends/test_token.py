"""Sample tokens decoded strictly, secrets weighed, clocks read from real HTTP answers."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend_doctor import Absent, Instance
from backend_doctor.backends import token as package
from backend_doctor.backends.token.clocks import Clocks, HostClock, host_clock
from backend_doctor.backends.token.connection import Reply, TokenConnection, connect, origin_of
from backend_doctor.backends.token.decoding import decode
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.backends.token.signing import SigningSecret
from backend_doctor.backends.token.times import span, unit_of
from backend_doctor.backends.token.weak import weakness
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import AbsenceKind, Fact
from backend_doctor.secret import Secret

NOW = 1_790_000_000
STRONG = "q7Zk-2mXv9_TfLr4WbN8sYc1HdPu6EgJ-aQzRt5oKx3i"
CANARY = "canary7Zk2mXv9TfLr4"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(payload: str, header: str = '{"alg":"HS256","typ":"JWT"}', signature: str = "c2ln") -> str:
    return f"{b64(header.encode())}.{b64(payload.encode())}.{signature}"


def instance(**given: Any) -> Instance:
    return Instance(
        service="shop",
        backend="token",
        name="token",
        address="sample token",
        host="sample token",
        port=0,
        settings=given,
    )


def connection(**secrets: str) -> TokenConnection:
    named = tuple((name, Secret(value)) for name, value in secrets.items())
    endpoint = Endpoint(kind="token", hosts=(), socket="sample token", secrets=named)
    login, opened = asyncio.run(connect(endpoint, limit=1.0))
    assert login.ok
    assert opened is not None
    return opened


def sample(text: str, **secrets: str) -> SampleToken:
    return asyncio.run(SampleToken.collect(connection(sample=text, **secrets), instance()))


def test_a_token_of_the_library_is_read() -> None:
    token = jwt.encode(
        {"sub": CANARY, "exp": NOW + 900, "iat": NOW, "nbf": NOW, "type": "refresh"},
        STRONG,
        algorithm="HS256",
        headers={"kid": CANARY},
    )
    found = sample(token, secret=STRONG)
    assert (found.alg, found.typ, found.kid, found.refresh) == ("HS256", "JWT", True, True)
    assert (found.exp.seconds, found.iat.seconds, found.nbf.seconds) == (NOW + 900, NOW, NOW)
    assert (found.signature, found.guessed, found.problem) == ("verified", False, "")
    assert CANARY not in repr(found)
    assert sample(token, secret=STRONG + "x").signature == "wrong"
    assert sample(token).signature == "unchecked"


def test_a_public_key_verifies() -> None:
    key = rsa.generate_private_key(65537, 2048)
    other = rsa.generate_private_key(65537, 2048).public_key()
    token = jwt.encode({"exp": NOW}, key, algorithm="RS256")

    def pem(public: rsa.RSAPublicKey) -> str:
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    assert sample(token, secret=pem(key.public_key())).signature == "verified"
    assert sample(token, secret=pem(other)).signature == "wrong"
    assert sample(token, secret="not a key").signature == "unchecked"


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
@pytest.mark.parametrize("secret", ["your-secret-key", "secret", "shop", "shop-secret"])
def test_a_placeholder_is_found_without_the_secret(secret: str) -> None:
    assert sample(jwt.encode({"exp": NOW}, secret, algorithm="HS256")).guessed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("abc", "1 part"),
        ("a.b", "2 parts"),
        ("a.b.c.d", "4 parts"),
        ("a" * 20_000, "longer than 16 KiB"),
        (f"{b64(b'{}')}=.{b64(b'{}')}.c2ln", "padded"),
        (raw('{"exp":1}').replace(".", "!.", 1), "header is not base64url"),
        (raw("{"), "payload is not JSON"),
        (raw("[]"), "payload is JSON, but a list"),
        (raw('{"exp":1,"exp":2}'), "'exp' stands twice"),
        (raw(f'{{"{CANARY}":1,"{CANARY}":2}}'), "a key stands twice"),
        (raw('{"a":NaN}'), "a number that most"),
        (raw("[" * 9_000), "nested too deeply"),
        (raw('{"exp":1}', header="{}"), "names no algorithm"),
        (raw('{"exp":1}', header='{"alg":5}'), "names no algorithm"),
        (raw('{"exp":1}', signature=""), "signature is missing"),
        (f"{b64(b'{')}.{b64(bytes([255]))}.c2ln", "header is not JSON"),
        (raw("", header='{"alg":"HS256"}').replace("..", "._w."), "payload is not UTF-8"),
        ("\N{BYTE ORDER MARK}" + raw('{"exp":1}'), "header is not base64url"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, words: str) -> None:
    found = decode(text)
    assert words in found.problem
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("value", "form", "seconds"),
    [
        ("1790000000", "number", 1_790_000_000),
        ("1790000000.5", "number", 1_790_000_000.5),
        ("-5", "number", -5),
        ("1.79e9", "number", 1_790_000_000),
        ("1790000000000", "number", 1_790_000_000_000),
        ('"1790000000"', "numeric_text", None),
        ('"2026-01-01"', "text", None),
        ("true", "boolean", None),
        ("null", "null", None),
        ("[1]", "list", None),
        ("{}", "object", None),
        ("NaN", "not_finite", None),
        ("-Infinity", "not_finite", None),
        ("1e400", "too_large", None),
        ("9" * 400, "too_large", None),
        ("9" * 5000, "too_large", None),
    ],
)
def test_every_form_of_exp_is_told(value: str, form: str, seconds: float | None) -> None:
    found = decode(raw(f'{{"exp":{value}}}'))
    assert (found.problem, found.exp.form, found.exp.seconds) == ("", form, seconds)


@pytest.mark.parametrize("wrapped", ["Bearer {}", '"{}"', "  {}\n", "'bearer {}'"])
def test_what_is_copied_along_is_left_out(wrapped: str) -> None:
    found = decode(wrapped.format(raw('{"exp":1}')))
    assert found.exp.seconds == 1
    assert found.notes


@pytest.mark.parametrize("alg", ["none", "None", "nOnE"])
def test_none_is_seen_in_any_spelling(alg: str) -> None:
    header = json.dumps({"alg": alg})
    assert decode(raw('{"exp":1}', header=header, signature="")).alg == "none"


def test_an_encrypted_token_is_told() -> None:
    header = b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}')
    assert decode(f"{header}.YQ.YQ.YQ.YQ").encrypted
    assert "names no enc" in decode(raw("{}") + ".YQ.YQ").problem


PARTS = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=60).map(b64),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["exp", "alg"]), inner),
        max_leaves=6,
    ).map(lambda value: b64(json.dumps(value).encode("utf-8", "surrogatepass"))),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PARTS, max_size=6).map(".".join), st.text(max_size=20))
@example(raw(json.dumps({"exp": CANARY, "sub": CANARY})), "\ud800")
def test_nothing_raises_and_nothing_leaks(text: str, secret: str) -> None:
    marked = f"{text}{CANARY}"
    found = [sample(marked, secret=secret), sample(text, secret=CANARY)]
    weighed = asyncio.run(SigningSecret.collect(connection(secret=CANARY + secret), instance()))
    for fact in (*found, weighed):
        assert CANARY not in msgspec.json.encode(fact).decode()


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("your-secret-key", "placeholder"),
        ("Your_Secret_Key_Here_2024", "placeholder"),
        ("django-insecure-9x$kq0", "placeholder"),
        ("please-change-me-in-production!", "placeholder"),
        ("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "placeholder"),
        ("secret123", "placeholder"),
        ("a" * 64, "repeated"),
        ("abcabcabcabc", "repeated"),
        ("12345678901234567890123456789012", "repeated"),
        ("", "repeated"),
        ("Shop-Secret", "service name"),
        (STRONG, ""),
        ("8f14e45fceea167a5a36dedd4bea2543b1e9d1c4a2f0e6d78790cabf12345678", ""),
    ],
)
def test_guessable_secrets_are_told(secret: str, why: str) -> None:
    assert weakness(secret, "shop") == why


@settings(deadline=None)
@given(st.binary(min_size=24, max_size=64))
def test_random_secrets_are_not_called_weak(data: bytes) -> None:
    if len(set(data)) > 16:
        assert weakness(data.hex(), "shop") == ""
        assert weakness(b64(data), "shop") == ""


def test_a_secret_is_long_enough_or_a_key() -> None:
    def weighed(secret: str) -> SigningSecret:
        return asyncio.run(SigningSecret.collect(connection(secret=secret), instance()))

    assert weighed(STRONG[:31]).long_enough == ()
    assert weighed(STRONG[:32]).long_enough == ("HS256",)
    assert weighed("-----BEGIN PUBLIC KEY-----\nx").kind == "public key"


@pytest.mark.parametrize("fact", [SampleToken, SigningSecret, Clocks])
def test_what_is_not_declared_is_skipped(fact: type[Fact]) -> None:
    with pytest.raises(Absent) as raised:
        asyncio.run(fact.collect(connection(), instance()))  # type: ignore[attr-defined]
    assert raised.value.absence.kind is AbsenceKind.NOT_APPLICABLE


@contextmanager
def host(ahead: float = 0.0, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """A real HTTP server whose clock is ``ahead``; its URL, and the methods that it saw."""
    methods: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            methods.append(self.command)
            self.send_response_only(307)
            self.send_header("Location", f"{url}/elsewhere")
            self.send_header("Date", formatdate(time.time() + ahead, usegmt=True))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield url, methods
        finally:
            server.shutdown()
            thread.join(5)


def test_clocks_are_read_by_one_head_each_without_following() -> None:
    with host() as (api, api_saw), host(300) as (login, login_saw):
        tokens = connection()
        declared = instance(
            hosts=(api, "http://127.0.0.1:1/gone", "ftp://nowhere"), login=f"{login}/login?x=1"
        )
        clocks = asyncio.run(Clocks.collect(tokens, declared))
    assert (api_saw, login_saw) == (["HEAD"], ["HEAD"])
    assert tokens.statements == 3
    assert len(clocks.silent) == 1
    assert "ConnectError" in clocks.silent[0]
    gap = clocks.widest
    assert gap is not None
    assert (gap.ahead, gap.behind) == (login, api)
    assert 290 < gap.certain <= 300 < gap.seconds + gap.uncertainty
    assert not clocks.agreed
    assert clocks.correction == 0.0


def test_agreeing_hosts_correct_our_clock() -> None:
    with host(-200) as (one, _), host(-200) as (two, _):
        clocks = asyncio.run(Clocks.collect(connection(), instance(hosts=(one, two))))
    assert clocks.agreed
    assert clocks.correction == pytest.approx(-200, abs=2.5)


def test_a_cached_answer_tells_no_time() -> None:
    with host(-5_000, Age="5000") as (cache, _):
        clocks = asyncio.run(Clocks.collect(connection(), instance(jwks=cache)))
    assert clocks.hosts == ()
    assert "cache" in clocks.silent[0]


@given(st.text(max_size=40), st.text(max_size=5))
def test_any_date_header_is_read_or_refused(date: str, age: str) -> None:
    try:
        clock = host_clock("h", Reply(date, age, 10.0, 10.2))
    except ValueError:
        return
    assert isinstance(clock, HostClock)


@given(st.text(max_size=60))
def test_any_url_has_an_origin_or_none(url: str) -> None:
    assert "@" not in origin_of(url)


def test_origin_leaves_out_path_and_user() -> None:
    assert origin_of("https://u:p@api.example:8443/a?b") == "https://api.example:8443"
    assert origin_of("http://[::1]:80/") == "http://[::1]:80"


def test_spans_and_units() -> None:
    words = [span(s) for s in (20, 90, 300, 5400, 86_400 * 8, 86_400 * 3652.5)]
    assert words == ["20 s", "90 s", "5 min", "90 min", "8 days", "10 years"]
    assert [unit_of(NOW * f, NOW) for f in (1, 1e3, 1e6, 1e9, 1e5)] == [
        "",
        "milliseconds",
        "microseconds",
        "nanoseconds",
        "",
    ]
    assert package.__doc__
