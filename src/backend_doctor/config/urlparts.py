"""A URL taken apart, also where its password holds characters that should have been encoded."""

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import unquote

import msgspec

from backend_doctor.place import fault

LONGEST = 8192
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)", re.DOTALL)
_UNUSABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HOST = r"(?:\[[^\]@/?#]*\]|[^\[\]@/?#:,]*)(?::[0-9]*)?"
_REMAINDER = re.compile(
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?:/(?P<path>[^?#]*))?(?:\?(?P<query>[^#]*))?"
)
# an @ behind the ? is believed only where one is usual: else it may end a raw password
_WITH_AT = "application_name|client_name|options|user|username|password"
_QUERY = re.compile(rf"(?:(?:[A-Za-z0-9_.\-]+=[^&@]*|(?:{_WITH_AT})=[^&]*)(?:&|$))*")
_QUERY_INSIDE = re.compile(r"\?[A-Za-z0-9_.\-]+=")


class Parts(msgspec.Struct, frozen=True):
    """The pieces of a URL, percent-decoded, but for ``hosts`` (still one text).

    ``remainder`` is what follows scheme, user and password, as it was written.
    """

    scheme: str
    user: str | None
    password: str | None
    hosts: str
    path: str
    query: tuple[tuple[str, str], ...]
    remainder: str


def split(text: str, *, place: str) -> Parts:
    """Takes a URL apart; raises ConfigurationError, which never quotes any of it.

    Where ``@``, ``/``, ``?`` or ``#`` stand unencoded in the password, every ``@`` is tried
    as its end; a single reading that makes sense is taken, several are refused as ambiguous,
    and so is one whose database might be the rest of a password.
    """
    text = text.strip()
    if not text:
        raise fault(place, "the URL is empty", "scheme://user@host:port/database")
    if len(text) > LONGEST:
        raise fault(place, f"the URL is longer than {LONGEST} characters")
    if _UNUSABLE.search(text):
        raise fault(
            place, "the URL holds white space or control characters", "them percent-encoded (%20)"
        )
    match = _SCHEME.fullmatch(text)
    if match is None:
        raise fault(place, "this is not a URL", "scheme://user@host:port/database")
    scheme, rest = match[1].lower(), match[2]
    userinfo, remainder = _reading(rest, place)
    user, _, password = (userinfo or "").partition(":")
    return Parts(
        scheme=scheme,
        user=decoded(user, place) or None,
        password=decoded(password, place, any_character=True) or None,
        hosts=remainder["hosts"],
        path=decoded(remainder["path"] or "", place),
        query=tuple(_pairs(remainder["query"] or "", place)),
        remainder=remainder.group(),
    )


def _reading(rest: str, place: str) -> tuple[str | None, re.Match[str]]:
    readings = list(_readings(rest))
    plain = [reading for reading in readings if not re.search("[/?#]", reading[0] or "")]
    if len(plain) == 1 and "@" not in (plain[0][1]["path"] or ""):
        return plain[0]
    if len(readings) == 1 and not _suspect(*readings[0]):
        return readings[0]
    if readings:
        raise fault(
            place,
            "the URL can be read in several ways, as a / or ? stands unencoded before an @",
            "the password percent-encoded (/ as %2F, @ as %40, ? as %3F, # as %23)",
        )
    raise fault(place, *_diagnosis(rest))


def _readings(rest: str) -> Iterator[tuple[str | None, re.Match[str]]]:
    for end in [-1, *(match.start() for match in re.finditer("@", rest))]:
        userinfo = rest[:end] if end >= 0 else None
        user = (userinfo or "").partition(":")[0]
        if re.search("[/?#]", user) or _QUERY_INSIDE.search(userinfo or ""):
            continue
        match = _REMAINDER.fullmatch(rest, end + 1)
        if match and _QUERY.fullmatch(match["query"] or ""):
            yield userinfo, match


def _suspect(userinfo: str | None, remainder: re.Match[str]) -> bool:
    # what looks like host:port/path@... may be user:password@..., as in u:/secret@h:badport
    return "@" in (remainder["path"] or "") and (userinfo is not None or ":" in remainder["hosts"])


def _diagnosis(rest: str) -> tuple[str, str]:
    authority = re.split("[/?]", rest, maxsplit=1)[0].rpartition("@")[2]
    before_query, _, query = rest.rpartition("@")[2].partition("?")
    if "[" in authority or "]" in authority:
        return "the brackets of the host do not match", "[::1]:5432 for an IPv6 address"
    if "#" in before_query or "#" in query:
        return "the URL holds an unencoded #", "it as %23"
    if authority.count(":") > 1 and "," not in authority:
        return "the host holds several colons", "an IPv6 address in brackets, as in [::1]:5432"
    if re.search(":[^,]*[^0-9,]", authority):
        return "the port is not a number", "host:port, and a password's / as %2F and @ as %40"
    if query and not _QUERY.fullmatch(query):
        return "what follows the ? is not a list of settings", "?name=value&name=value"
    return "the URL cannot be read", "scheme://user:password@host:port/database, percent-encoded"


def _pairs(query: str, place: str) -> Iterator[tuple[str, str]]:
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        yield key, decoded(value, place, any_character=key == "password")


def decoded(text: str, place: str, *, any_character: bool = False) -> str:
    """``text`` percent-decoded; a stray ``%`` stays. Raises ConfigurationError."""
    try:
        result = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise fault(place, "the URL's percent-encoding is not UTF-8", "%XX of UTF-8") from None
    if "\0" in result or (not any_character and re.search(r"[\x00-\x1f\x7f-\x9f]", result)):
        raise fault(place, "the URL holds an encoded control character")
    return result


def hosts_of(text: str, default_port: int, *, place: str) -> tuple[tuple[str, int], ...]:
    """Hosts and ports of ``h1:1,h2,[::1]:3``; an empty host stays "". Raises ConfigurationError."""
    return tuple(_host(part, default_port, place) for part in text.split(","))


def _host(text: str, default_port: int, place: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[([^\]]*)\]|[^:\[\]]*)(?::(\d*))?", text, re.ASCII)
    if match is None:
        raise fault(place, *_diagnosis(text))
    host = decoded(match[1] if match[2] is None else match[2], place)
    if match[2] is not None:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise fault(
                place, "what stands in brackets is not an IPv6 address", "[::1]:5432"
            ) from None
    return host if host.startswith("/") else host.lower(), port_of(match[3], default_port, place)


def port_of(text: str | None, default: int, place: str) -> int:
    """A port number, or ``default`` for none. Raises ConfigurationError."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise fault(place, "the port is out of range", "a number from 1 to 65535")
    return int(text)
