"""Holds the sample and the secret, checks its signature, and asks hosts what time it is."""

import time
import urllib.parse
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from backend_doctor.backends.http.connection import BODY_CAP, HttpConnection, joined, unopened
from backend_doctor.backends.http.connection import Reply as Answer
from backend_doctor.backends.token.compact import bare
from backend_doctor.backends.token.words import NO_FILE
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import AbsenceKind, Absent, Login, Problem
from backend_doctor.secret import Secret

HEAD_SECONDS = 3.0
"""How long one host may take to say what time it is."""
POST_SECONDS = 8.0
"""How long a login may take; hashes of passwords are slow by design."""


class Reply(msgspec.Struct, frozen=True):
    """A host's Date and Age headers ("" where absent), and when we asked and heard.

    ``asked`` and ``heard`` are seconds since 1970 by our clock.
    """

    date: str
    age: str
    asked: float
    heard: float


class TokenConnection:
    """Opens a connection to a host when it is first asked. ``statements`` counts the requests
    sent; ``newest`` is the access token of the test account, once it logged in."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._closed = False
        self._hosts: dict[str, HttpConnection] = {}
        self._published: Secret | None = None
        self.newest: Secret | None = None
        self.statements = 0

    def sample(self) -> Secret:
        """The sample token. Raises Absent where none is declared."""
        return self._declared("sample", "no sample token is declared")

    def secret(self) -> Secret:
        """The secret or public key that verifies tokens. Raises Absent where none is declared."""
        return self._declared("secret", "no signing secret is declared")

    @property
    def has_key_set(self) -> bool:
        """Whether a local file with a key set is declared."""
        return self._endpoint.secret("jwks") is not None

    def keep_key_set(self, text: Secret) -> None:
        """Has :meth:`key_set` be what was fetched."""
        self._published = text

    def key_set(self) -> Secret:
        """The text of the key set, local or fetched. Raises Absent where there is none."""
        return self._published or self._declared("jwks", "no key set is declared")

    def credential(self, name: str) -> Secret:
        """The test account's username or password. Raises Absent where it is not declared."""
        return self._declared(name, f"no {name} of a test account is declared")

    def _declared(self, name: str, otherwise: str) -> Secret:
        secret = self._endpoint.secret(name)
        if secret is None:
            raise Absent(otherwise, kind=AbsenceKind.NOT_APPLICABLE)
        return secret

    def verifies(self, alg: str, key: str | Mapping[str, Any]) -> bool | None:
        """Whether the sample's signature is of this key; None where it cannot be told.

        A key is a secret, a text in PEM form, or one of a key set.
        """
        import jwt

        if isinstance(key, Mapping):
            return self._verified(alg, lambda _: jwt.PyJWK(dict(key), alg).key)
        return self._verified(alg, lambda algorithm: algorithm.prepare_key(key))

    def confuses(self, alg: str, public_key: str) -> bool:
        """Whether the text of a public key, taken for a shared secret, signed the sample."""
        pem = public_key.strip()
        return bool(
            self._verified(alg, lambda _: pem.encode())
            or self._verified(alg, lambda _: f"{pem}\n".encode())
        )

    def _verified(self, alg: str, prepare: Callable[[Any], Any]) -> bool | None:
        import jwt

        token, _ = bare(self.sample().reveal())
        signed, _, signature = token.rpartition(".")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                algorithm = jwt.get_algorithm_by_name(alg)
                given = jwt.utils.base64url_decode(signature)
                return bool(algorithm.verify(signed.encode("ascii"), prepare(algorithm), given))
        except Exception:  # noqa: BLE001 - a key of another kind raises whatever it likes
            return None

    def public_pem(self, key: Mapping[str, Any]) -> str:
        """One key of a set in PEM form; "" where it has none."""
        import jwt
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        try:
            public = jwt.PyJWK(dict(key)).key
            form = PublicFormat.SubjectPublicKeyInfo
            return str(public.public_bytes(Encoding.PEM, form).decode())
        except Exception:  # noqa: BLE001 - a key of another kind raises whatever it likes
            return ""

    def rsa_bits(self, pem: str) -> int:
        """The size of an RSA key in PEM form; 0 for any other."""
        import jwt

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return int(jwt.get_algorithm_by_name("RS256").prepare_key(pem).key_size)
        except Exception:  # noqa: BLE001 - what is no RSA key raises whatever it likes
            return 0

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

    async def get(self, url: str, headers: Iterable[tuple[str, str]] = ()) -> Answer:
        """One GET over one kept-alive connection to each host, no redirect followed.

        A token leaves by a header alone, and to the host of ``url`` alone.
        """
        origin = origin_of(url)
        if origin not in self._hosts:
            self._hosts[origin] = unopened(origin)
        self.statements += 1
        return await self._hosts[origin].ask("GET", url, headers)

    async def post(
        self, url: str, fields: Mapping[str, str], *, as_json: bool, cookie: str = ""
    ) -> Answer:
        """One POST over a connection of its own, no redirect followed.

        Raises ValueError for any URL but those that the command line opened with --login or
        --replay; they stand as "post" among the endpoint's options.
        """
        import httpx

        if ("post", url) not in self._endpoint.options:
            raise ValueError("nothing may be posted there")
        self.statements += 1
        headers = {"User-Agent": "backend-doctor", **({"Cookie": cookie} if cookie else {})}
        try:
            async with httpx.AsyncClient(
                timeout=POST_SECONDS, follow_redirects=False, trust_env=False, headers=headers
            ) as client:
                if as_json:
                    found = await client.post(url, json=dict(fields))
                else:
                    found = await client.post(url, data=dict(fields))
        except httpx.HTTPError as error:
            return Answer(0, 0.0, {}, problem=type(error).__name__)
        seconds = found.elapsed.total_seconds()
        return Answer(found.status_code, seconds, joined(found), body=found.text[:BODY_CAP])

    def is_closed(self) -> bool:
        """Whether it was ended."""
        return self._closed

    async def close(self) -> None:
        """Ends it."""
        self._closed = True
        for host in self._hosts.values():
            await host.close()

    def abort(self) -> None:
        """Ends it at once."""
        self._closed = True
        for host in self._hosts.values():
            host.abort()


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
    login = Login(problem=Problem.NONE, address=endpoint.address, server=NO_FILE, limit=limit)
    return login, TokenConnection(endpoint)
