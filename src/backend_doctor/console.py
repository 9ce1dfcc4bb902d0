"""What a browser's console line says of a request that it denied to a page."""

import re
from urllib.parse import urlsplit

import msgspec

from backend_doctor.config import clients
from backend_doctor.config.clients import Client
from backend_doctor.endpoint import public_url

# Chromium and Firefox; then Safari, which splits it over two lines
_ASKED = (
    re.compile(
        r"Access to [\w ]+ at '(?P<last>[^']+)' "
        r"(?:\(redirected from '(?P<url>[^']+)'\) )?from origin '(?P<origin>[^']+)'"
    ),
    re.compile(r"Same Origin Policy disallows reading the remote resource at (?P<url>\S+?)\.? \("),
    re.compile(r"(?:XMLHttpRequest|Fetch API) cannot load (?P<url>\S+) due to access control"),
)
_ORIGIN = re.compile(r"Origin (?P<origin>\S+) is not allowed by Access-Control-Allow-Origin")
_METHOD = re.compile(r"Method ([A-Za-z]{1,20}) is not allowed by")
_HEADER = re.compile(r"(?i)Request header field ([\w.-]{1,60}) is not allowed by")
_FIREFOX_HEADER = re.compile(r"[Hh]eader '([\w.-]{1,60})' is not allowed according to header")
_CREDENTIALS = ("credentials mode is 'include'", "Access-Control-Allow-Credentials", "Credential")


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """A denied request. ``url`` lacks query and login, which may be private; "" where not told.

    ``client`` has the origin if it is told, and the method or header that the browser objects to;
    ``preflight`` when it objects to the preflight's answer.
    """

    url: str = ""
    client: Client
    preflight: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments of ``check`` that ask just so again; none where too little is known."""
        return (self.url, *self.client.words) if self.url and self.client.origins else ()


def _public(url: str) -> str:
    try:
        parts = urlsplit(url)
        fit = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return ""
    return public_url(url) if fit else ""


def _group(pattern: re.Pattern[str], text: str, name: str | int = 1) -> str:
    match = pattern.search(text)
    return (match[name] or "") if match else ""


def parse(text: str) -> Blocked | None:
    """The request that a line tells of; None where it tells of none."""
    found = next((match for pattern in _ASKED if (match := pattern.search(text))), None)
    named = found.groupdict() if found else {}
    page = clients.origin(named.get("origin") or _group(_ORIGIN, text, "origin"))
    url = _public(named.get("url") or named.get("last") or "")
    if not (url or page):
        return None
    method, header = _group(_METHOD, text), _group(_HEADER, text) or _group(_FIREFOX_HEADER, text)
    return Blocked(
        url=url,
        client=Client(
            origins=(page,) if page else (),
            methods=(method,) if method else (),
            headers=(header.lower(),) if header else (),
            credentials=any(words in text for words in _CREDENTIALS),
        ),
        preflight="preflight" in text,
    )
