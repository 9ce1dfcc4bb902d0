"""An authorization server and the API that trusts it, in one FastAPI application, well or badly
made as its task says.

It prints its port when it is ready and runs until its input ends. It knows the account ``doctor``
with the password of the task. Keys of the task, all but ``password`` optional:
``ttl`` and ``refresh_ttl`` (seconds), ``expires_in`` (what the answer says instead),
``refreshes`` (whether there are refresh tokens), ``rotates``, ``reuse`` of a refresh token
("ends_family", "refused" or "accepted") after ``grace`` seconds, ``slides`` (each refresh token
lives anew), ``algorithm`` (RS256 or HS256), ``verifier`` ("right", "stale": without the newest key,
"none": accepts unsigned ones, "confused": takes the public key for a secret, "unverified"),
``missing`` (status without a token), ``garbage`` (status for what is no token), ``wording`` ("same"
for all refusals), ``drops`` (a proxy that removes the Authorization header), ``cors`` (arguments of
CORSMiddleware), ``guard`` ("outside" of CORS refuses first), ``issuer`` (what the discovery
document says), ``cache_control`` (of the key set), ``published`` (kids in the key set).
"""

import asyncio
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

USER, SECRET = "doctor", "a-secret-of-the-authority-that-nobody-guesses-7Zk2"
_DEFAULTS: dict[str, Any] = {
    "ttl": 900,
    "refresh_ttl": 86_400,
    "refreshes": True,
    "rotates": True,
    "reuse": "ends_family",
    "grace": 0.0,
    "slides": True,
    "algorithm": "RS256",
    "verifier": "right",
    "missing": 401,
    "garbage": 401,
    "published": ["old", "new"],
}
Next = Callable[[Request], Awaitable[Response]]


@cache
def _key(kid: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def public_pem(kid: str) -> bytes:
    """The public part of a key, as it would be published."""
    return _key(kid).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class _Refresh:
    family: str
    ends: float
    used: float | None = None


class Authority:
    """Who issues, renews and verifies."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = {**_DEFAULTS, **task}
        self.granted: dict[str, _Refresh] = {}
        self.families: set[str] = set()

    def signed(self, **claims: Any) -> str:
        """A token of this issuer, signed by the newest key."""
        rs = self.task["algorithm"] == "RS256"
        now = int(time.time())
        payload = {"sub": USER, "iat": now, "exp": now + self.task["ttl"], **claims}
        key = _key("new") if rs else SECRET
        headers = {"kid": "new"} if rs else None
        return jwt.encode(payload, key, self.task["algorithm"], headers=headers)

    def pair(self, family: str, ends: float | None = None) -> dict[str, Any]:
        """What a login or a refresh gives."""
        ttl = self.task["ttl"]
        answer: dict[str, Any] = {
            "access_token": self.signed(jti=uuid4().hex),
            "token_type": "bearer",
            "expires_in": self.task.get("expires_in", ttl),
        }
        if self.task["refreshes"]:
            if ends is None or self.task["slides"]:
                ends = time.time() + self.task["refresh_ttl"]
            token = jwt.encode({"jti": uuid4().hex, "exp": int(ends), "typ": "refresh"}, SECRET)
            self.granted[token] = _Refresh(family, ends)
            answer["refresh_token"] = token
        return answer

    def log_in(self) -> dict[str, Any]:
        """The first pair of a family."""
        family = uuid4().hex
        self.families.add(family)
        return self.pair(family)

    def renew(self, token: str) -> dict[str, Any]:
        """The next pair. Raises HTTPException for a refresh token that is not good any more."""
        refused = HTTPException(401, "invalid_grant")
        known, now = self.granted.get(token), time.time()
        if known is None or known.family not in self.families or known.ends < now:
            raise refused
        if not self.task["rotates"]:
            return {**self.pair(known.family, known.ends), "refresh_token": token}
        late = known.used is not None and now - known.used > self.task["grace"]
        if late and self.task["reuse"] != "accepted":
            if self.task["reuse"] == "ends_family":
                self.families.discard(known.family)
            raise refused
        known.used = known.used or now
        return self.pair(known.family, known.ends)

    def verify(self, token: str) -> None:
        """Raises jwt.InvalidTokenError."""
        kind = self.task["verifier"]
        if kind == "unverified":
            jwt.decode(token, options={"verify_signature": False})
            return
        alg = jwt.get_unverified_header(token).get("alg")
        if kind == "none" and alg == "none":
            return
        if kind == "confused" and alg == "HS256":
            signed, _, signature = token.rpartition(".")
            hmac = jwt.get_algorithm_by_name("HS256")
            given = jwt.utils.base64url_decode(signature)
            if not hmac.verify(signed.encode(), public_pem("new"), given):
                raise jwt.InvalidSignatureError
            return
        kid = "old" if kind == "stale" else "new"
        rs = self.task["algorithm"] == "RS256"
        key = _key(kid).public_key() if rs else SECRET
        jwt.decode(token, key, algorithms=[self.task["algorithm"]])

    def key_set(self) -> dict[str, Any]:
        """The public keys."""
        keys = []
        for kid in self.task["published"]:
            made = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_key(kid).public_key()))
            keys.append({**made, "kid": kid, "use": "sig", "alg": "RS256"})
        return {"keys": keys}


async def _fields(request: Request) -> dict[str, str]:
    body = (await request.body()).decode()
    if request.headers.get("content-type") == "application/json":
        given: dict[str, str] = json.loads(body)
        return given
    return dict(parse_qsl(body))


def create_app(authority: Authority) -> FastAPI:
    """The application."""
    app, task = FastAPI(), authority.task

    @app.get("/.well-known/openid-configuration")
    async def discovery(request: Request) -> dict[str, str]:
        base = str(request.base_url).rstrip("/")
        return {"issuer": task.get("issuer", base), "jwks_uri": f"{base}/jwks"}

    @app.get("/jwks")
    async def jwks() -> Response:
        said = task.get("cache_control")
        headers = {"Cache-Control": said} if said else {}
        return JSONResponse(authority.key_set(), headers=headers)

    @app.post("/token")
    async def token(request: Request) -> dict[str, Any]:
        given = await _fields(request)
        if (given.get("username"), given.get("password")) != (USER, task["password"]):
            raise HTTPException(401, "invalid_grant")
        return authority.log_in()

    @app.post("/refresh")
    async def refresh(request: Request) -> dict[str, Any]:
        return authority.renew((await _fields(request)).get("refresh_token", ""))

    @app.get("/healthz")
    async def healthz() -> str:
        return "ok"

    @app.get("/me")
    async def me(request: Request) -> dict[str, str]:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        bearer = {"WWW-Authenticate": "Bearer"}
        same = "Unauthorized" if task.get("wording") == "same" else ""
        if scheme.lower() != "bearer" or not given:
            if task["missing"] == 200:
                return {"name": "anyone"}
            raise HTTPException(task["missing"], same or "Not authenticated", bearer)
        if given.count(".") == 2 and given.startswith("ey"):
            try:
                authority.verify(given)
            except jwt.InvalidTokenError as error:
                detail = same or "Could not validate credentials"
                raise HTTPException(401, detail, bearer) from error
        elif task["garbage"] != 200:
            raise HTTPException(task["garbage"], same or "Could not validate credentials", bearer)
        return {"name": USER}

    _layers(app, task)
    return app


def _layers(app: FastAPI, task: dict[str, Any]) -> None:
    async def guard(request: Request, call_next: Next) -> Response:
        if request.url.path == "/me" and "authorization" not in request.headers:
            return JSONResponse({"detail": "Not authenticated"}, 401)
        return await call_next(request)

    async def drop(request: Request, call_next: Next) -> Response:
        kept = [pair for pair in request.scope["headers"] if pair[0] != b"authorization"]
        request.scope["headers"] = kept
        return await call_next(request)

    if "cors" in task:
        app.add_middleware(CORSMiddleware, **task["cors"])
    # the layer added last is the outermost
    if task.get("guard") == "outside":
        app.middleware("http")(guard)
    if task.get("drops"):
        app.middleware("http")(drop)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            print(listener.getsockname()[1], flush=True)


async def _serve(task: dict[str, Any]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(Authority(task))
    server = _Server(uvicorn.Config(app, log_level="critical", access_log=False))
    serving = asyncio.create_task(server.serve([listener]))
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
