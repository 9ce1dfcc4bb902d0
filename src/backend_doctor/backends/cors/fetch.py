"""What a browser decides about a cross-origin request: the Fetch standard, as pure functions.

Sections 3.3 (CORS protocol) and 4.4 to 4.9 of https://fetch.spec.whatwg.org; verified against
Chromium. It deviates where Chromium does, and :attr:`Verdict.warning` then says so by one of
:data:`DIFFERENCES`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Literal
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec.structs import replace

from backend_doctor.backends.cors.safelist import (
    is_forbidden_method,
    normal_method,
    unasked_headers,
    unsafe_headers,
)

Credentials = Literal["omit", "same-origin", "include"]
DIFFERENCES = {
    "authorization-by-wildcard": "`*` in Access-Control-Allow-Headers covers Authorization in "
    "Chromium, and does not by the standard: name it",
    "hints-unasked": "Chromium sends User-Agent and client hints such as Save-Data unasked, and by "
    "the standard they need a preflight: allow them by name",
}
"""Where Chromium lets pass what the standard denies: name, and what to do about it."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE_METHODS = {"GET", "HEAD", "POST"}
_EXPOSED = {
    *("cache-control", "content-language", "content-length", "content-type", "expires"),
    *("last-modified", "pragma"),
}
_OF_BODIES = {"content-encoding", "content-language", "content-location", "content-type"}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SECONDS = re.compile(r"-?[0-9]{1,12}")
_UNSAID_SECONDS = 5
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Request(msgspec.Struct, frozen=True):
    """A script's request: its page's origin, method, own headers and credentials mode."""

    origin: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    credentials: Credentials = "same-origin"

    @property
    def normal_method(self) -> str:
        """As it goes out."""
        return normal_method(self.method)


class Seen(msgspec.Struct, frozen=True):
    """An answer as the decision needs it: header names in lower case, repeated ones joined."""

    status: int
    headers: Mapping[str, str] = {}


class Hop(msgspec.Struct, frozen=True):
    """One request on the way: the URL asked, the preflight's answer if one was made, the answer."""

    url: str
    preflight: Seen | None
    actual: Seen


class Verdict(msgspec.Struct, frozen=True):
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
    differs = "authorization" in missing
    return Verdict(warning=DIFFERENCES["authorization-by-wildcard"] if differs else "")


def preflight_check(request: Request, seen: Seen, origin: str | None = None) -> Verdict:
    """Whether the answer to a preflight lets the actual request go out."""
    if seen.status in REDIRECTS:
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


def hidden_headers(request: Request, seen: Seen, wanted: Iterable[str]) -> tuple[str, ...]:
    """Those of the wanted headers that a script cannot read even where the answer has them."""
    exposed = set(map(str.lower, _listed(seen, "access-control-expose-headers") or ()))
    if "*" in exposed and request.credentials != "include":
        return ()
    return tuple(name for name in wanted if name.lower() not in exposed | _EXPOSED)


def absolute(url: str, location: str) -> str:
    """Where a redirect leads, or "" where that is no URL."""
    with suppress(ValueError):
        there = urljoin(url, location)
        _ = urlsplit(there).port  # raises for what is none
        return there
    return ""


def preflight_seconds(seen: Seen) -> int:
    """How long the answer to a preflight may be kept, before a browser's own cap."""
    said = seen.headers.get("access-control-max-age", "").strip()
    return max(int(said), 0) if _SECONDS.fullmatch(said) else _UNSAID_SECONDS


def origin_of(url: str) -> str:
    """Scheme, host and port as a browser writes them: in lower case, without a default port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = parts.port if parts.port != _DEFAULT_PORTS.get(parts.scheme) else None
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def _redirects(seen: Seen) -> bool:
    return seen.status in REDIRECTS and bool(seen.headers.get("location"))


class Leg(msgspec.Struct, frozen=True):
    """A request on its way: where it stands, and what redirects have made of it.

    ``tainted`` once it was sent on by another site, which hides its origin; ``crossed`` once it
    has left its page's own.
    """

    request: Request
    url: str
    tainted: bool = False
    crossed: bool = False

    @property
    def origin(self) -> str:
        """What its Origin header says."""
        return "null" if self.tainted else self.request.origin

    @property
    def crosses(self) -> bool:
        """Whether the CORS rules hold for it."""
        return self.crossed or origin_of(self.url) != self.request.origin

    @property
    def preflights(self) -> bool:
        """Whether a browser asks first."""
        return self.crosses and needs_preflight(self.request)

    def verdict(self, hop: Hop) -> Verdict:
        """On the answers to it."""
        if not self.crosses:
            return Verdict()
        hints = unasked_headers(self.request.headers)
        warning = DIFFERENCES["hints-unasked"] if hints else ""
        if self.preflights:
            if hop.preflight is None:
                return Verdict("preflight-missing")
            before = preflight_check(self.request, hop.preflight, self.origin)
            if before.blocked:
                return before
            warning = before.warning or warning
        return replace(self._answered(hop.actual), warning=warning)

    def _answered(self, actual: Seen) -> Verdict:
        found = cors_check(self.request, actual, self.origin)
        if not found.blocked:
            led_astray = _redirects(actual) and not self._target(actual)
            return Verdict("redirect-target") if led_astray else found
        hidden = self.tainted and self.request.origin != "null"
        if actual.status in REDIRECTS:
            return Verdict("redirect-null-origin" if hidden else "redirect-without-cors",
                           found.detail)  # fmt: skip
        if found.code == "acao-missing" and actual.status >= 400:
            return Verdict("error-without-cors", str(actual.status))
        return Verdict("redirect-null-origin", found.detail) if hidden else found

    def _target(self, actual: Seen) -> str:
        """Where a redirect leads, "" where it does not, or where no script may follow."""
        there = absolute(self.url, actual.headers["location"]) if _redirects(actual) else ""
        parts = urlsplit(there)
        return there if parts.scheme in _DEFAULT_PORTS and parts.username is None else ""

    def onward(self, actual: Seen) -> "Leg | None":
        """The request that a redirect makes of it; None where it ends here."""
        there = self._target(actual)
        if not there:
            return None
        here = origin_of(self.url)
        leaves = origin_of(there) != here
        method, headers = self.request.normal_method, dict(self.request.headers)
        posted = actual.status in (301, 302) and method == "POST"
        if posted or (actual.status == 303 and method not in ("GET", "HEAD")):
            method = "GET"
            headers = {n: value for n, value in headers.items() if n.lower() not in _OF_BODIES}
        if leaves:
            headers = {n: v for n, v in headers.items() if n.lower() != "authorization"}
        return Leg(
            replace(self.request, method=method, headers=headers),
            there,
            self.tainted or (leaves and here != self.request.origin),
            self.crosses,
        )


def decide(request: Request, hops: Sequence[Hop]) -> Verdict:
    """The verdict on a request and, after redirects, on each further one that was seen."""
    if is_forbidden_method(request.method):
        return Verdict("method-forbidden", request.method)
    leg, warning = Leg(request, hops[0].url), ""
    for number, hop in enumerate(hops):
        found = leg.verdict(hop)
        if found.blocked:
            before = found.code.startswith(("preflight", "method", "header", "malformed"))
            return Verdict("redirect-preflight", found.detail) if number and before else found
        warning = warning or found.warning
        onward = leg.onward(hop.actual)
        if onward is None:
            break
        leg = onward
    return Verdict(warning=warning)
