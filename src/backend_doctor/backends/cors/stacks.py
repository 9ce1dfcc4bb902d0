"""Which layer wrote an answer: by the words of its body, its habits in headers, and ``Server``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

APPLICATIONS = {"starlette": "Starlette", "flask": "Flask", "django": "Django"}
"""Frameworks whose CORS settings we know, with their names for people."""
PROXIES = {"nginx": "nginx", "apache": "Apache", "cloudflare": "Cloudflare"}
"""What stands in front and answers itself where it cannot, or will not, ask the application."""
NAMES = {**APPLICATIONS, **PROXIES}

# how the pages begin, or what they hold, that each writes by itself
_PAGES = {
    "<center>nginx": "nginx",
    "<center>openresty": "nginx",
    '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">': "apache",
    "<center>cloudflare": "cloudflare",
    "<!doctype html>\n<html lang=en>\n<title>": "flask",
    '<!doctype html>\n<html lang="en">\n<head>\n  <title>': "django",
}
_OF_FASTAPI = {
    f'{{"detail":"{words}"}}' for words in ("Not Found", "Method Not Allowed", "Not authenticated")
}
# others write these too
_OF_STARLETTE = {"Internal Server Error", "Method Not Allowed", "Not Found"}
_OBJECTION = "Disallowed CORS "
_SERVERS = {"uvicorn": "starlette", "hypercorn": "starlette", "werkzeug": "flask"}
_SERVERS |= {"wsgiserver": "django"} | {name: name for name in PROXIES}
# what Django's SecurityMiddleware sets together
_OF_DJANGO = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}


def objection(body: str) -> str:
    """What Starlette's middleware says that it refuses: origin, method, headers."""
    return body[len(_OBJECTION) : 80] if body.startswith(_OBJECTION) else ""


def served_by(headers: Mapping[str, str]) -> str:
    """The outermost layer that signs its answers, by ``Server``; "" for one that is unknown."""
    product = headers.get("server", "").lower()
    return next((stack for name, stack in _SERVERS.items() if product.startswith(name)), "")


def author_of(headers: Mapping[str, str], body: str) -> str:
    """The stack that wrote an answer, by its own words and habits; "" where they do not tell."""
    by_page = next((stack for page, stack in _PAGES.items() if page in body[:600]), "")
    if by_page:
        return by_page
    plain = body in _OF_STARLETTE and served_by(headers) == "starlette"
    if plain or body in _OF_FASTAPI or objection(body) or _is_starlettes_preflight(headers, body):
        return "starlette"
    habits = all(headers.get(name) == value for name, value in _OF_DJANGO.items())
    return "django" if habits else ""


def _is_starlettes_preflight(headers: Mapping[str, str], body: str) -> bool:
    return body == "OK" and "access-control-allow-methods" in headers


@dataclass(frozen=True)
class Layers:
    """What is known of who answers: ``application`` and the ``proxy`` in front, or "" for each."""

    application: str
    proxy: str


UNKNOWN = Layers("", "")


def layers_of(answers: Iterable[tuple[str, Mapping[str, str]]]) -> Layers:
    """From (author, headers) of all answers: any of them may be the telling one."""
    seen = list(answers)
    names = [author for author, _ in seen] + [served_by(headers) for _, headers in seen]
    return Layers(
        application=next((one for one in names if one in APPLICATIONS), ""),
        proxy=next((one for one in names if one in PROXIES), ""),
    )
