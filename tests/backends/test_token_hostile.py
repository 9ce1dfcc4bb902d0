"""Hundreds of hostile tokens: one clear sentence each, no traceback, nothing of them shown."""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import jwt
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.hostile_tokens import CANARY, PAYLOAD, b64, hostile_tokens, raw
from tests.checks.token.builders import place

from backend_doctor import Finding, Status
from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.backends.token.decoding import decode
from backend_doctor.backends.token.keyset import KeySet
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Absent
from backend_doctor.registry import bundled_folder, load_file
from backend_doctor.secret import Secret

TOKENS = hostile_tokens()
DECLARED = {
    "audience": ("shop-api",),
    "issuer": ("https://login.example",),
    "algorithms": ("HS256",),
}
PLACE = place(**DECLARED, refresh_interval=600)
FOLDER = bundled_folder() / "token"
OFFLINE = (
    *("form", "header", "claims", "algorithms", "lifetime", "clock_skew", "signature"),
    *("refresh_interval", "key_set"),
)
CHECKS = {name: load_file(FOLDER / f"{name}.py").function for name in OFFLINE}


def judged(token: str, key_set: str = '{"keys":[]}') -> tuple[SampleToken, list[Finding]]:
    """The fact of a token, and what every check says of it that sends nothing."""
    secrets = {"sample": token, "secret": CANARY, "jwks": key_set}
    named = tuple((name, Secret(value)) for name, value in secrets.items())
    tokens = TokenConnection(Endpoint(kind="token", hosts=(), socket="x", secrets=named))
    sample = asyncio.run(SampleToken.collect(tokens, PLACE))
    keys = asyncio.run(KeySet.collect(tokens))
    asked = {
        "form": (sample,),
        "header": (sample, PLACE),
        "claims": (sample, PLACE),
        "algorithms": (sample, PLACE),
        "lifetime": (sample, None, PLACE),
        "clock_skew": (sample, None, PLACE),
        "signature": (sample, None, PLACE),
        "refresh_interval": (sample, PLACE),
        "key_set": (keys, sample, PLACE),
    }
    found: list[Finding] = []
    for name, facts in asked.items():
        with suppress(Absent):
            found += CHECKS[name](*facts)
    return sample, found


def test_there_are_enough() -> None:
    assert len(TOKENS) >= 400


@pytest.mark.parametrize("part", range(8))
def test_each_gets_one_clear_sentence(part: int) -> None:
    for token in TOKENS[part::8]:
        sample, found = judged(token)
        said = [sample.problem, *(finding.summary for finding in found)]
        assert all(text.isprintable() and len(text) < 200 for text in said), token
        malformed = [f for f in found if f.cause and f.cause.label == "token.malformed"]
        assert len(malformed) == bool(sample.problem), token
        assert CANARY not in msgspec.json.encode((sample, found)).decode(), token


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (f'{{"access_token":"{CANARY}"}}', "declare the access_token in it alone"),
        ("<html>", "it is HTML"),
        ("-----BEGIN PUBLIC KEY-----", "it is a key or a certificate"),
        ("v4.public.abc", "PASETO"),
        (f"{raw(PAYLOAD)} {raw(PAYLOAD)}", "is it one token?"),
        (raw(PAYLOAD).replace("ey", "e%79", 1), "percent-encoded"),
        (f"{b64(b'{}')}.+/+/.c2ln", "base64, not base64url"),
        (raw("{}", "{}"), "header names no algorithm"),
        (raw(PAYLOAD, signature="YR"), "bits are left over"),
        (raw(PAYLOAD, signature="a"), "it is cut"),
        (raw(""), "payload is empty"),
        (raw("\N{BYTE ORDER MARK}{}"), "byte order mark"),
        (raw('{"a":' * 40 + "1" + "}" * 40), "nested too deeply"),
        (raw('{"a":"' + "[" * 500 + '"}'), ""),
        (raw('"text"'), "JSON, but a text"),
        (raw("7"), "JSON, but a number"),
        (raw(raw(PAYLOAD)), "another token"),
        (raw(PAYLOAD, '{"alg":"dir","enc":"A256GCM"}'), "which has five parts"),
        (raw(PAYLOAD, '{"alg":"HS256","b64":false,"crit":["b64"]}'), "RFC 7797"),
        (raw(PAYLOAD, '{"alg":"HS256","zip":"DEF"}'), "compressed"),
        (f"Authorization: Bearer {raw(PAYLOAD)}", ""),
    ],
)
def test_the_sentence_says_what_it_is(token: str, words: str) -> None:
    problem = decode(token).problem
    assert words in problem
    assert bool(words) == bool(problem)


COMMON = {"iss": "https://login.example", "sub": "7", "aud": "shop-api"}


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({}, {}),
        ({"typ": "at+jwt"}, {"client_id": "spa", "jti": "x", "scope": "openid email"}),
        (
            {"kid": "nOo3ZDrODXEK1jKWhXslHR_KXEg", "x5t": "nOo3"},
            {"tid": "x", "oid": "y", "ver": "2.0"},
        ),
        ({"kid": "dBc/+a="}, {"token_use": "access", "cognito:groups": ["admin"], "version": 2}),
        ({"cty": "JWT"}, {"typ": "Bearer", "azp": "spa", "realm_access": {"roles": ["user"]}}),
        ({}, {"email": "a@b.example", "email_verified": True, "firebase": {"identities": {}}}),
        ({}, {"aud": ["shop-api", "https://login.example/userinfo"], "nonce": "x", "at_hash": "y"}),
        ({}, {"cnf": {"jkt": "x"}, "act": {"sub": "8"}, "amr": ["pwd", "otp"], "secret": False}),
    ],
)
def test_what_common_issuers_make_is_fine(
    header: dict[str, str], claims: dict[str, object]
) -> None:
    now = int(time.time())
    payload = {**COMMON, "iat": now, "nbf": now, "exp": now + 1800, **claims}
    token = jwt.encode(payload, CANARY, algorithm="HS256", headers=header)
    _, found = judged(token, json.dumps({"keys": [{"kty": "EC", "x": "YQ", "y": "YQ"}]}))
    assert len(found) == len(CHECKS)
    assert {finding.status for finding in found} == {Status.OK}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["alg", "kid", "crit", "b64", "exp", "aud", "iss", "sub", "secret"]),
            inner,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(JSON, JSON, st.text(max_size=30) | JSON.map(json.dumps))
def test_any_header_payload_and_key_set_are_judged(
    header: object, payload: object, key_set: str
) -> None:
    named = {"alg": "HS256", **header} if isinstance(header, dict) else header
    sample, found = judged(raw(json.dumps(payload), json.dumps(named)), key_set)
    assert found
    assert msgspec.json.encode(sample)


def test_by_the_command_all_at_once(tmp_path: Path) -> None:
    chosen = [text for text in TOKENS if text.strip()][::10]
    for number, token in enumerate(chosen):
        (tmp_path / str(number)).write_bytes(token.encode("utf-8", "replace"))
    samples = [
        {"sample": {"file": str(n)}, "secret": CANARY, **DECLARED} for n in range(len(chosen))
    ]
    configuration = {"services": {"shop": {"token": samples}}}
    (tmp_path / "backend-doctor.yaml").write_text(json.dumps(configuration))
    done = subprocess.run(
        [sys.executable, "-m", "backend_doctor", "check", "--format", "json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert len(report["targets"]) == len(chosen)
    assert not any("failed" in finding["summary"] for finding in report["findings"])
