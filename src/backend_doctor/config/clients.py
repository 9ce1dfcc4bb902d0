"""What is declared of the clients in browsers: origins, methods, header names."""

import re
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from backend_doctor.config.model import (
    Configuration,
    ConfigurationError,
    InstanceConfig,
    ServiceConfig,
)
from backend_doctor.facts import ADHOC, Setting

ORIGIN = "an origin such as https://myapp.com: scheme, host and port, with no path, or null"
METHOD = "a method that a script may use, such as GET or PUT"
HEADER = "the name alone of a header that a script may set, such as authorization"
_METHOD_OR_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}"
_HOST = r"[a-z0-9_.\-]+|\[[0-9a-f:.]+\]"


def origin(text: str) -> str | None:
    """As a browser writes it, in lower case and without a default port; None for no origin."""
    from backend_doctor.backends.cors.fetch import origin_of

    if text == "null":
        return text
    with suppress(ValueError):
        parts = urlsplit(text.lower())
        written = origin_of(text.lower())
        host = written.partition("://")[2].removesuffix(f":{parts.port}")
        whole = text.isascii() and not (parts.path or parts.query or parts.fragment or "@" in text)
        if parts.scheme and whole and re.fullmatch(_HOST, host):
            return written
    return None


def method(text: str) -> str | None:
    """The method; None for what is none, or none that a script may use."""
    from backend_doctor.backends.cors.safelist import is_forbidden_method

    return text if re.fullmatch(_METHOD_OR_NAME, text) and not is_forbidden_method(text) else None


def header(text: str) -> str | None:
    """The name in lower case; None for what is none, or none that a script may set."""
    from backend_doctor.backends.cors.safelist import is_forbidden

    return text.lower() if re.fullmatch(_METHOD_OR_NAME, text) and not is_forbidden(text) else None


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A page's requests: where it comes from, and how it asks."""

    origins: tuple[str, ...]
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    credentials: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments of ``check`` that say so."""
        named = {"--origin": self.origins, "--method": self.methods, "--header": self.headers}
        words = [
            word for option, texts in named.items() for text in texts for word in (option, text)
        ]
        return (*words, "--credentials") if self.credentials else tuple(words)

    def asks(self, web: InstanceConfig, path: str) -> InstanceConfig:
        """A web server as this page's, asked for one path beneath its URL.

        What is not told here stays as it is declared there.
        """
        told: dict[str, Setting] = {
            "origins": self.origins,
            "methods": self.methods,
            "headers": self.headers,
            "credentials": self.credentials,
            "paths": (path,),
        }
        settings = web.settings | {key: value for key, value in told.items() if value}
        endpoint = replace(web.endpoint, kind="cors", scope=repr(sorted(settings.items())))
        name = web.name.replace("http", "cors", 1)
        return replace(web, kind="cors", name=name, endpoint=endpoint, settings=settings)


def ask_urls(configuration: Configuration, client: Client) -> Configuration:
    """The web servers that the command line names by URL, asked as the page does.

    Raises ConfigurationError where it names none.
    """

    def asked(one: InstanceConfig) -> InstanceConfig:
        parts = urlsplit(one.endpoint.url)
        base = parts._replace(path="", query="", fragment="").geturl()
        there = replace(one, endpoint=replace(one.endpoint, url=base))
        return client.asks(there, parts.path or "/")

    def changed(service: ServiceConfig) -> ServiceConfig:
        instances = (asked(one) if one.kind == "http" else one for one in service.instances)
        return replace(service, instances=tuple(instances)) if service.name == ADHOC else service

    services = tuple(map(changed, configuration.services))
    if services == configuration.services:
        raise ConfigurationError(
            "command line: --origin asks a server as a page in a browser would, and no target is "
            "an http(s) URL\nName it: backend-doctor check https://api.example.com/orders "
            "--origin https://app.example.com"
        )
    return replace(configuration, services=services)


def ask_at(configuration: Configuration, client: Client, url: str) -> Configuration:
    """In each service the web servers where a URL leads, asked for it as the page does.

    A service that has none there stays as it is.
    """
    from backend_doctor.backends.cors.fetch import origin_of

    def asked(one: InstanceConfig) -> InstanceConfig:
        base = urlsplit(one.endpoint.url).path.rstrip("/")
        return client.asks(one, urlsplit(url).path.removeprefix(base) or "/")

    def narrowed(service: ServiceConfig) -> ServiceConfig:
        webs = [one for one in service.instances if one.kind in ("cors", "http")]
        near = [one for one in webs if origin_of(one.endpoint.url) == origin_of(url)]
        chosen = [one for one in near if one.kind == "cors"] or near[:1]
        others = tuple(one for one in service.instances if one.kind != "cors" or not chosen)
        return replace(service, instances=(*others, *map(asked, chosen)))

    return replace(configuration, services=tuple(map(narrowed, configuration.services)))
