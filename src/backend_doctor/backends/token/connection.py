"""Holds the sample and the secret, checks its signature, and asks hosts what time it is."""

import time
import urllib.parse
import warnings
from dataclasses import dataclass

from backend_doctor.backends.token.decoding import bare
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import AbsenceKind, Absent, Login, Problem
from backend_doctor.secret import Secret

HEAD_SECONDS = 3.0
"""How long one host may take to say what time it is."""


@dataclass(frozen=True)
class Reply:
    """A host's Date and Age headers ("" where absent), and when we asked and heard.

    ``asked`` and ``heard`` are seconds since 1970 by our clock.
    """

    date: str
    age: str
    asked: float
    heard: float


class TokenConnection:
    """No connection is open between uses. ``statements`` counts the requests sent."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._closed = False
        self.statements = 0

    def sample(self) -> Secret:
        """The sample token. Raises Absent where none is declared."""
        return self._declared("sample", "no sample token is declared")

    def secret(self) -> Secret:
        """The secret or public key that verifies tokens. Raises Absent where none is declared."""
        return self._declared("secret", "no signing secret is declared")

    def _declared(self, name: str, otherwise: str) -> Secret:
        secret = self._endpoint.secret(name)
        if secret is None:
            raise Absent(otherwise, kind=AbsenceKind.NOT_APPLICABLE)
        return secret

    def verifies(self, alg: str, key: str) -> bool | None:
        """Whether the sample's signature is of this key; None where it cannot be told."""
        import jwt

        token, _ = bare(self.sample().reveal())
        signed, _, signature = token.rpartition(".")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                algorithm = jwt.get_algorithm_by_name(alg)
                prepared = algorithm.prepare_key(key)
                given = jwt.utils.base64url_decode(signature)
                return bool(algorithm.verify(signed.encode("ascii"), prepared, given))
        except Exception:  # noqa: BLE001 - a key of another kind raises whatever it likes
            return None

    async def head(self, url: str) -> Reply:
        """One HEAD request, no redirect followed. Raises OSError that says what went wrong."""
        import httpx

        self.statements += 1
        headers = {"User-Agent": "backend-doctor", "Accept": "*/*"}
        try:
            async with httpx.AsyncClient(
                timeout=HEAD_SECONDS, follow_redirects=False, trust_env=False, headers=headers
            ) as client:
                asked = time.time()
                answer = await client.head(url)
                heard = time.time()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(type(error).__name__) from error
        found = answer.headers
        return Reply(found.get("date", ""), found.get("age", ""), asked, heard)

    def is_closed(self) -> bool:
        """Whether it was ended."""
        return self._closed

    async def close(self) -> None:
        """Ends it."""
        self._closed = True

    def abort(self) -> None:
        """Ends it."""
        self._closed = True


def origin_of(url: str) -> str:
    """``https://host:port`` of a URL, without what else it says; "" for any other kind."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not host:
        return ""
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port else "")


async def connect(endpoint: Endpoint, *, limit: float) -> tuple[Login, TokenConnection | None]:
    """Nothing is contacted: what is declared is at hand."""
    login = Login(
        problem=Problem.NONE, address=endpoint.address, server="sample token", limit=limit
    )
    return login, TokenConnection(endpoint)
