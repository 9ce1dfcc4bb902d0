"""What a sample's header and claims say, and keys in PEM form and in key sets, told by PyJWT's."""

import asyncio
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm
from tests.backends.hostile_tokens import CANARY, b64, raw
from tests.backends.test_token import STRONG, connection, instance

from backend_doctor import Absent
from backend_doctor.backends.token.claims import Claims, claims_of
from backend_doctor.backends.token.decoding import decode
from backend_doctor.backends.token.header import hazards_of
from backend_doctor.backends.token.keyset import KeySet
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.backends.token.signing import SigningSecret

OURS = ("shop-api",)
RSA = rsa.generate_private_key(65537, 2048)
SMALL = rsa.generate_private_key(65537, 1024)
CURVE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def sample(token: str, **secrets: str) -> SampleToken:
    return asyncio.run(SampleToken.collect(connection(sample=token, **secrets), instance()))


def signed(payload: str, secret: str) -> str:
    """Signed by HS256 without the library's own scruples about claims and secrets."""
    parts = raw(payload).rpartition(".")[0]
    signature = HMACAlgorithm(HMACAlgorithm.SHA256).sign(parts.encode(), secret.encode())
    return f"{parts}.{b64(signature)}"


def key_set(text: str, **secrets: str) -> KeySet:
    return asyncio.run(KeySet.collect(connection(jwks=text, **secrets)))


def jwks(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys})


def public(key: rsa.RSAPrivateKey = RSA, **more: str) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), **more}


@pytest.mark.parametrize(
    ("aud", "match"),
    [
        ("shop-api", "equal"),
        (["other", "shop-api"], "equal"),
        ("shop-api/", "slash"),
        ("Shop-API", "case"),
        ("shop", "other"),
        (["a", "b"], "other"),
        ([], "not_text"),
        (5, "not_text"),
        (None, "not_text"),
        (["shop-api", 5], "not_text"),
    ],
)
def test_an_audience_is_compared_as_verifiers_do(aud: object, match: str) -> None:
    assert claims_of({"aud": aud}, OURS).audience == match
    token = jwt.encode({"aud": aud}, STRONG, algorithm="HS256")
    if match == "equal":
        jwt.decode(token, STRONG, ["HS256"], audience="shop-api")
    elif aud != ["shop-api", 5]:
        with pytest.raises(jwt.InvalidTokenError):
            jwt.decode(token, STRONG, ["HS256"], audience="shop-api")


def test_what_is_not_there_or_not_declared_is_told_apart() -> None:
    assert claims_of({}, OURS, OURS) == Claims()
    found = claims_of({"aud": ["a", "b"], "iss": "c"})
    assert (found.audience, found.audiences, found.issuer) == ("undeclared", 2, "undeclared")
    assert claims_of({"iss": ["shop-api"]}, (), OURS).issuer == "not_text"


@pytest.mark.parametrize("claims", [{"sub": 5}, {"jti": 5}, {"sub": None}])
def test_types_that_the_library_refuses_are_told(claims: dict[str, Any]) -> None:
    (name,) = claims
    assert claims_of(claims).not_text == (name,)
    with pytest.raises(jwt.InvalidTokenError):
        jwt.decode(signed(json.dumps(claims), STRONG), STRONG, ["HS256"])


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"Pass_word": "x"}, ("a claim named password",)),
        ({"user": {"apiKey": "x", "api-key": "y"}}, ("a claim named apikey",)),
        ({"a": ["-----BEGIN RSA PRIVATE KEY-----"]}, ("a private key",)),
        ({"a": "$2b$12$abcdefghij"}, ("a password's hash",)),
        ({"db": "postgresql://app:pw@db/shop"}, ("a URL with a password",)),
        # names that only look so, flags, empty values, and ordinary URLs
        ({"password_changed_at": "2026", "pwd_exp": 5, "secret": True, "password": ""}, ()),
        ({"iss": "https://login.example:8443/a@b", "cnf": {"jkt": "x"}, "sid": "y"}, ()),
    ],
)
def test_what_should_be_in_no_token_is_told(payload: object, words: tuple[str, ...]) -> None:
    found = decode(raw(json.dumps(payload))).claims
    assert found.secrets == words


def test_personal_names_and_an_id_token_are_told() -> None:
    found = claims_of({"email": CANARY, "phone_number": "1", "nonce": "x"})
    assert (found.personal, found.identity) == (("email", "phonenumber"), True)


@pytest.mark.parametrize(
    ("header", "hazards"),
    [
        ({"kid": "2aB7zfIM8J0NcIJJZJ6EJXwJ+CLmv0ZNGmLeVPTF5ZQ=", "typ": "JWT"}, ()),
        ({"kid": "/aB7zfIM8J0NcI/JZJ6E="}, ()),
        ({"kid": "did:example:123#key-1"}, ()),
        ({"kid": "../../dev/null"}, ("kid_unsafe",)),
        ({"kid": "/etc/passwd"}, ("kid_unsafe",)),
        ({"kid": "x' UNION SELECT 'k"}, ("kid_unsafe",)),
        ({"kid": 7}, ("kid_not_text",)),
        ({"jku": "https://x", "jwk": {}, "x5u": "https://x"}, ("jku", "x5u", "jwk")),
        ({"typ": "dpop+jwt", "jwk": {}}, ()),
        ({"crit": ["exp-at"], "exp-at": 1}, ("crit_unknown",)),
        ({"crit": ["b64"], "b64": True}, ()),
        ({"crit": []}, ("crit_malformed",)),
        ({"crit": ["absent"]}, ("crit_malformed",)),
        ({"crit": ["alg"]}, ("crit_malformed",)),
        ({"crit": [{}]}, ("crit_malformed",)),
    ],
)
def test_hazards_of_the_header_are_told(header: dict[str, Any], hazards: tuple[str, ...]) -> None:
    assert hazards_of({"alg": "RS256", **header}) == hazards


def test_a_key_set_verifies_by_kid() -> None:
    claims = {"exp": time.time() + 900}
    token = jwt.encode(claims, RSA, algorithm="RS256", headers={"kid": CANARY})
    ours, other = public(kid=CANARY), public(SMALL, kid="other")
    assert sample(token, jwks=jwks(other, ours)).signature == "verified"
    assert sample(token, jwks=jwks(public(SMALL, kid=CANARY))).signature == "wrong"
    assert sample(token, jwks=jwks(other)).signature == "unchecked"
    assert sample(token, jwks=jwks({**ours, "use": "enc"})).signature == "unchecked"
    assert sample(token, jwks=CANARY).signature == "unchecked"
    curve = jwt.encode(claims, CURVE, algorithm="ES256")
    both = jwks(ours, ECAlgorithm.to_jwk(CURVE.public_key(), as_dict=True))
    assert sample(curve, jwks=both).signature == "verified"


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_public_key_taken_for_a_secret_is_told(end: str) -> None:
    forged = signed('{"exp":1}', PUBLIC.strip() + end)
    assert sample(forged, secret=PUBLIC).signature == "confused"
    assert sample(raw('{"exp":1}'), secret=PUBLIC).signature == "unchecked"


def test_the_size_of_an_rsa_key_is_told() -> None:
    def bits(pem: bytes) -> int:
        secret = connection(secret=pem.decode())
        return asyncio.run(SigningSecret.collect(secret, instance())).rsa_bits

    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert bits(SMALL.public_key().public_bytes(*form)) == 1024
    assert bits(CURVE.public_key().public_bytes(*form)) == 0
    assert bits(b"-----BEGIN PUBLIC KEY-----\nx") == 0


def test_a_key_set_is_read_in_numbers() -> None:
    token = jwt.encode({}, RSA, algorithm="RS256", headers={"kid": CANARY})
    private = RSAAlgorithm.to_jwk(SMALL, as_dict=True)
    shared = HMACAlgorithm.to_jwk(CANARY, as_dict=True)
    text = jwks(public(kid="a"), public(kid="a"), {**private, "kid": CANARY}, shared)
    found = key_set(text, sample=token)
    assert (found.keys, found.unnamed, found.repeated, found.knows_sample) == (4, 1, 1, "yes")
    assert (found.private, found.shared, found.rsa_bits) == (1, 1, 1024)
    assert CANARY not in repr(found)
    assert key_set(jwks(public(kid="a")), sample=token).knows_sample == "no"
    assert key_set(jwks(public()), sample=token).knows_sample == "unasked"
    assert key_set(jwks(public(kid="a"))).knows_sample == "unasked"
    with pytest.raises(Absent):
        asyncio.run(KeySet.collect(connection()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the key set is empty"),
        ("<html>", "the key set is not JSON"),
        ("[]", "but a list where an object belongs"),
        ("{}", "no list of keys"),
        ('{"keys":[]}', "no list of keys, or an empty one"),
        ('{"keys":[],"keys":[]}', "'keys' stands twice"),
        ('{"keys":[5]}', "key 1 of the set is no object"),
        (jwks(public(), {"kid": 5}), "key 2 of the set is no object, or its kid is no text"),
        (jwks({"kty": [CANARY]}), "key 1 of the set has no known kind"),
        (jwks({"kty": "RSA", "n": "AQ"}), "key 1 of the set lacks n or e"),
        (jwks({"kty": "RSA", "n": CANARY + "!", "e": "AQAB"}), "n of an RSA key is not base64url"),
    ],
)
def test_a_bad_key_set_says_why(text: str, words: str) -> None:
    found = key_set(text)
    assert words in found.problem
    assert CANARY not in repr(found)
