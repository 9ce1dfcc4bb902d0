"""What an issuer or API may answer that means no good: bodies and headers."""

import json

BODIES = (
    b"",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"[" * 60_000,
    b'{"keys": null, "issuer": 5}',
    b'{"issuer": "\\ud800", "jwks_uri": "http://[::1"}',
    b'{"issuer": "x", "issuer": "y"}',
    b'{"issuer": "http://h", "jwks_uri": "\\u0000\\u001b[31m"}',
    b'{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}',
    b'{"keys": [{"kty": ["RSA"]}]}',
    b'{"keys": [1e999, NaN]}',
    json.dumps({"issuer": "a" * 60_000}).encode(),
)
HEADERS = (
    ("WWW-Authenticate", "Bearer," * 500),
    ("WWW-Authenticate", ',,=,"¤'),
    ("Cache-Control", "max-age=" + "9" * 400),
    ("Access-Control-Allow-Origin", "¤[31m, *"),
    ("Content-Encoding", "gzip"),
    ("Location", "javascript:alert(1)"),
)
