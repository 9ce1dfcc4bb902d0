"""What a browser decides about a cross-origin request: the Fetch standard, as pure functions.

Sections 3.3 (CORS protocol) and 4.4 to 4.9 of https://fetch.spec.whatwg.org; verified against
Chromium. It deviates where Chromium does: ``*`` in Access-Control-Allow-Headers covers
Authorization there, which is said by :attr:`Verdict.warning`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urljoin, urlsplit

Credentials = Literal["omit", "same-origin", "include"]
_NORMALISED = {"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"}
_SAFE_METHODS = {"GET", "HEAD", "POST"}
_SIMPLE_TYPES = {"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE_BYTES = re.compile(r"[\x00-\x08\x0a-\x1f\"():<>?@\[\\\]{}\x7f]")
_LANGUAGE = re.compile(r"[0-9A-Za-z *,\-.;=]*")
_SIMPLE_RANGE = re.compile(r"bytes=\d+-\d*")
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_VALUE = 128


@dataclass(frozen=True)
class Request:
    """A script's request: its page's origin, method, own headers and credentials mode."""

    origin: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    credentials: Credentials = "same-origin"

    @property
    def normal_method(self) -> str:
        """As it goes out: six methods are upper-cased, others (``patch``) are not."""
        upper = self.method.upper()
        return upper if upper in _NORMALISED else self.method


@dataclass(frozen=True)
class Seen:
    """An answer as the decision needs it: header names in lower case, repeated ones joined."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hop:
    """One request on the way: the URL asked, the preflight's answer if one was made, the answer."""

    url: str
    preflight: Seen | None
    actual: Seen


@dataclass(frozen=True)
class Verdict:
    """``code`` is "ok" or the rule that fails; ``detail`` the header value or name at fault.

    ``warning`` for what passes here and fails by the standard.
    """

    code: str = "ok"
    detail: str = ""
    warning: str = ""

    @property
    def blocked(self) -> bool:
        """Whether the script is denied the answer."""
        return self.code != "ok"


def _is_safelisted(name: str, value: str) -> bool:
    if len(value.encode()) > _MOST_VALUE:
        return False
    name = name.lower()
    if name == "accept":
        return not _UNSAFE_BYTES.search(value)
    if name in ("accept-language", "content-language"):
        return bool(_LANGUAGE.fullmatch(value))
    if name == "content-type":
        essence = value.partition(";")[0].strip().lower()
        return essence in _SIMPLE_TYPES and not _UNSAFE_BYTES.search(value)
    return name == "range" and bool(_SIMPLE_RANGE.fullmatch(value))


def unsafe_headers(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The names, in lower case and sorted, that a server must allow by a preflight."""
    # the limit on all values together cannot be reached by the five names that are safe
    return tuple(
        sorted(name.lower() for name, value in headers.items() if not _is_safelisted(name, value))
    )


def needs_preflight(request: Request) -> bool:
    """Whether a browser asks first, by OPTIONS."""
    return request.normal_method not in _SAFE_METHODS or bool(unsafe_headers(request.headers))


def cors_check(request: Request, seen: Seen, origin: str | None = None) -> Verdict:
    """The CORS check of the standard, alike for a preflight's answer and the actual one."""
    origin = request.origin if origin is None else origin
    allowed = seen.headers.get("access-control-allow-origin")
    include = request.credentials == "include"
    if allowed is None:
        return Verdict("acao-missing")
    allowed = allowed.strip(" \t")
    if "," in allowed:
        return Verdict("acao-multiple", allowed)
    if allowed == "*":
        return Verdict("wildcard-credentials", allowed) if include else Verdict()
    if allowed != origin:
        return Verdict("acao-mismatch", allowed)
    granted = seen.headers.get("access-control-allow-credentials", "").strip(" \t")
    if include and granted != "true":
        return Verdict("acac-not-true", granted)
    return Verdict()


def _listed(seen: Seen, header: str) -> tuple[str, ...] | None:
    """The names in a list header; None when it cannot be parsed."""
    parts = [part.strip(" \t") for part in seen.headers.get(header, "").split(",")]
    names = tuple(part for part in parts if part)
    return names if all(map(_TOKEN.fullmatch, names)) else None


def _method_check(request: Request, methods: tuple[str, ...]) -> Verdict:
    method, include = request.normal_method, request.credentials == "include"
    if method in methods or method in _SAFE_METHODS or ("*" in methods and not include):
        return Verdict()
    return Verdict(
        "method-wildcard-credentials" if "*" in methods else "method-not-allowed", method
    )


def _header_check(request: Request, headers: tuple[str, ...]) -> Verdict:
    allowed, include = {name.lower() for name in headers}, request.credentials == "include"
    missing = [name for name in unsafe_headers(request.headers) if name not in allowed]
    if not missing:
        return Verdict()
    if "*" not in allowed:
        return Verdict("header-not-allowed", ", ".join(missing))
    if include:
        return Verdict("header-wildcard-credentials", ", ".join(missing))
    if "authorization" in missing:
        return Verdict(
            warning="`*` in Access-Control-Allow-Headers covers Authorization in Chromium, and "
            "does not by the standard: name it"
        )
    return Verdict()


def preflight_check(request: Request, seen: Seen, origin: str | None = None) -> Verdict:
    """Whether the answer to a preflight lets the actual request go out."""
    if seen.status in _REDIRECTS:
        return Verdict("preflight-redirect", str(seen.status))
    if not 200 <= seen.status <= 299:
        return Verdict("preflight-status", str(seen.status))
    basic = cors_check(request, seen, origin)
    if basic.blocked:
        credentials = basic.code in ("acac-not-true", "wildcard-credentials")
        code = "preflight-credentials" if credentials else "preflight-acao"
        return Verdict(code, basic.detail)
    methods = _listed(seen, "access-control-allow-methods")
    headers = _listed(seen, "access-control-allow-headers")
    if methods is None or headers is None:
        name = "access-control-allow-methods" if methods is None else "access-control-allow-headers"
        return Verdict("malformed-list", f"{name}: {seen.headers[name]}")
    by_method = _method_check(request, methods)
    return by_method if by_method.blocked else _header_check(request, headers)


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _answer_check(request: Request, hop: Hop, origin: str) -> Verdict:
    found = cors_check(request, hop.actual, origin)
    if not found.blocked:
        return found
    if hop.actual.status in _REDIRECTS:
        tainted = origin == "null" and request.origin != "null"
        return Verdict("redirect-null-origin" if tainted else "redirect-without-cors", found.detail)
    if found.code == "acao-missing" and hop.actual.status >= 400:
        return Verdict("error-without-cors", str(hop.actual.status))
    if origin == "null" and request.origin != "null":
        return Verdict("redirect-null-origin", found.detail)
    return found


def decide(request: Request, hops: Sequence[Hop]) -> Verdict:
    """The verdict on a request and, after redirects, on each further one that was seen."""
    origin, warning = request.origin, ""
    for number, hop in enumerate(hops):
        if needs_preflight(request):
            if hop.preflight is None:
                return Verdict("preflight-missing")
            before = preflight_check(request, hop.preflight, origin)
            if before.blocked:
                return Verdict("redirect-preflight", before.detail) if number else before
            warning = warning or before.warning
        found = _answer_check(request, hop, origin)
        if found.blocked:
            return found
        if hop.actual.status in _REDIRECTS:
            here = _origin_of(hop.url)
            there = _origin_of(urljoin(hop.url, hop.actual.headers.get("location", "")))
            if there != here and here != request.origin:
                origin = "null"
    return Verdict(warning=warning)
