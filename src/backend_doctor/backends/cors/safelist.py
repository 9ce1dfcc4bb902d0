"""What a script's request is made of: which of it a server need not be asked about.

Sections 2.2.1 and 2.2.2 of https://fetch.spec.whatwg.org.
"""

import re
from collections.abc import Mapping

_NORMALISED = {"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"}
_FORBIDDEN_METHODS = {"CONNECT", "TRACE", "TRACK"}
_FORBIDDEN = {
    *("accept-charset", "accept-encoding", "access-control-request-headers"),
    *("access-control-request-method", "connection", "content-length", "cookie", "cookie2"),
    *("date", "dnt", "expect", "host", "keep-alive", "origin", "referer", "set-cookie", "te"),
    *("trailer", "transfer-encoding", "upgrade", "via"),
}
_SIMPLE_TYPES = {"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}
_UNSAFE_BYTES = re.compile(r"[\x00-\x08\x0a-\x1f\"():<>?@\[\\\]{}\x7f]")
_LANGUAGE = re.compile(r"[0-9A-Za-z *,\-.;=]*")
_SIMPLE_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")
_MOST_VALUE = 128
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+")
_HINTS = {
    "user-agent": re.compile(r".*"),
    "save-data": re.compile(r"on"),
    "ect": re.compile(r"(slow-)?2g|3g|4g"),
    **dict.fromkeys(("device-memory", "downlink", "dpr", "rtt"), _NUMBER),
    **dict.fromkeys(("viewport-width", "width"), _NUMBER),
}


def normal_method(method: str) -> str:
    """As it goes out: six methods are upper-cased, others (``patch``) are not."""
    upper = method.upper()
    return upper if upper in _NORMALISED else method


def is_forbidden_method(method: str) -> bool:
    """Whether no script may use it at all."""
    return method.upper() in _FORBIDDEN_METHODS


def is_forbidden(name: str) -> bool:
    """Whether a header is the browser's own, so that what a script sets is dropped."""
    name = name.lower()
    return name in _FORBIDDEN or name.startswith(("proxy-", "sec-"))


def _is_simple_range(value: str) -> bool:
    match = _SIMPLE_RANGE.fullmatch(value)
    return match is not None and (not match[2] or int(match[1]) <= int(match[2]))


def _is_safelisted(name: str, value: str) -> bool:
    if len(value.encode()) > _MOST_VALUE:
        return False
    if name == "accept":
        return not _UNSAFE_BYTES.search(value)
    if name in ("accept-language", "content-language"):
        return bool(_LANGUAGE.fullmatch(value))
    if name == "content-type":
        essence = value.partition(";")[0].strip().lower()
        return essence in _SIMPLE_TYPES and not _UNSAFE_BYTES.search(value)
    return name == "range" and _is_simple_range(value)


def _own(headers: Mapping[str, str]) -> dict[str, str]:
    """What the script's headers come down to, without those that only the browser sets."""
    named = {name.lower(): value.strip(" \t\r\n") for name, value in headers.items()}
    return {name: value for name, value in named.items() if not is_forbidden(name)}


def unasked_headers(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The names that Chromium sends without asking, and that the standard wants allowed."""
    hints = ((name, value) for name, value in _own(headers).items() if name in _HINTS)
    return tuple(sorted(name for name, value in hints if _HINTS[name].fullmatch(value)))


def unsafe_headers(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The names, in lower case and sorted, that a server must allow by a preflight."""
    # the limit on all values together cannot be reached by the five names that are safe
    found = {name for name, value in _own(headers).items() if not _is_safelisted(name, value)}
    return tuple(sorted(found - set(unasked_headers(headers))))
