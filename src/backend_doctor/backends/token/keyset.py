"""A key set (JWKS, RFC 7517): whether verifiers can use it, and what it gives away."""

import re
from collections.abc import Iterable
from typing import Any, Literal, Self

from backend_doctor.backends.token.compact import MalformedError, json_object, unpack
from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.backends.token.decoding import key_id
from backend_doctor.backends.token.discovery import Discovery
from backend_doctor.endpoint import public_url
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance
from backend_doctor.secret import Secret

Key = dict[str, Any]

_PUBLIC = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",), "oct": ("k",)}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


class FetchedKeySet(Fact, frozen=True):
    """A key set that is published; its text stays with the connection.

    ``url`` is where, without what may be private in it. ``problem`` says why there is none;
    ``cache_seconds`` is how long it may be kept, as the answer says, None where it does not.
    """

    url: str
    problem: str = ""
    cache_seconds: int | None = None

    @classmethod
    async def collect(
        cls, tokens: TokenConnection, instance: Instance, discovery: Discovery | None
    ) -> Self:
        """One GET of the declared URL, or of the discovery document's on the same host.

        Raises Absent where neither is there, or a local file is declared.
        """
        url = instance.settings.get("jwks") or (discovery.jwks if discovery else "")
        if not isinstance(url, str) or not url or tokens.has_key_set:
            raise Absent("no URL of a key set is declared", kind=AbsenceKind.NOT_APPLICABLE)
        reply = await tokens.get(url)
        if reply.status == 429:
            raise Absent("the key set's host says that it was asked too often")
        if reply.status != 200:
            problem = reply.problem or f"the answer has status {reply.status}"
            return cls(url=public_url(url), problem=problem)
        tokens.keep_key_set(Secret(reply.body))
        kept = _kept(reply.headers.get("cache-control", ""))
        return cls(url=public_url(url), cache_seconds=kept)


def _kept(cache_control: str) -> int | None:
    if re.search(r"\bno-(store|cache)\b", cache_control, re.IGNORECASE):
        return 0
    found = re.search(r"\bmax-age\s*=\s*\"?(\d{1,9})\b", cache_control, re.IGNORECASE)
    return int(found[1]) if found else None


class KeySet(Fact, frozen=True):
    """The key set in numbers; ``problem`` says why a verifier cannot read it.

    ``url`` is where it was fetched, without what may be private in it, and "" for a file;
    ``unreachable`` says why that failed; ``cache_seconds`` is how long it may be kept, where that
    is said.

    ``unnamed`` keys have no kid, ``repeated`` ones share theirs; ``private`` ones hold more than
    their public part, ``shared`` ones are secrets. ``rsa_bits`` is the smallest RSA key's size, 0
    without any. ``knows_sample`` says whether the sample's kid is among them.
    """

    keys: int = 0
    unnamed: int = 0
    repeated: int = 0
    private: int = 0
    shared: int = 0
    rsa_bits: int = 0
    knows_sample: Literal["yes", "no", "unasked"] = "unasked"
    problem: str = ""
    url: str = ""
    unreachable: str = ""
    cache_seconds: int | None = None

    @property
    def fetched(self) -> bool:
        """Whether it is published, rather than a file."""
        return bool(self.url)

    @classmethod
    async def collect(cls, tokens: TokenConnection, published: FetchedKeySet | None = None) -> Self:
        """Reads what is at hand; nothing is sent. Raises Absent where no set is declared."""
        if published and published.problem:
            return cls(url=published.url, unreachable=published.problem)
        url = published.url if published else ""
        text = tokens.key_set().reveal()
        try:
            keys = keys_in(text)
            sizes = [_bits(key) for key in keys if key["kty"] == "RSA"]
        except MalformedError as error:
            return cls(problem=str(error), url=url)
        names = [key["kid"] for key in keys if "kid" in key]
        try:
            wanted = key_id(tokens.sample().reveal())
        except Absent:
            wanted = ""
        return cls(
            keys=len(keys),
            unnamed=len(keys) - len(names),
            repeated=len(names) - len(set(names)),
            private=sum(bool(key.keys() & _PRIVATE) for key in keys),
            shared=sum(key["kty"] == "oct" for key in keys),
            rsa_bits=min(sizes, default=0),
            url=url,
            cache_seconds=published.cache_seconds if published else None,
            knows_sample=("yes" if wanted in names else "no") if wanted and names else "unasked",
        )


def _bits(key: Key) -> int:
    return int.from_bytes(unpack(key["n"], "n of an RSA key"), "big").bit_length()


def keys_in(text: str) -> list[Key]:
    """The keys of a set, each with a known kty and its public part. Raises MalformedError."""
    keys = json_object(text.encode("utf-8", "surrogatepass"), "key set").get("keys")
    if not isinstance(keys, list) or not keys:
        raise MalformedError("the key set has no list of keys, or an empty one")
    for number, key in enumerate(keys, 1):
        if not isinstance(key, dict) or not isinstance(key.get("kid", ""), str):
            raise MalformedError(f"key {number} of the set is no object, or its kid is no text")
        kty = key.get("kty")
        needed = _PUBLIC.get(kty) if isinstance(kty, str) else None
        if needed is None:
            raise MalformedError(f"key {number} of the set has no known kind (kty)")
        if not all(isinstance(key.get(name), str) for name in needed):
            raise MalformedError(f"key {number} of the set lacks {' or '.join(needed)}")
    return keys


def named(kid: str, keys: Iterable[Key]) -> list[Key]:
    """The keys that a token with this kid ("" for none) may be signed with."""
    return [
        key
        for key in keys
        if key.get("use", "sig") == "sig" and (not kid or key.get("kid", kid) == kid)
    ]
