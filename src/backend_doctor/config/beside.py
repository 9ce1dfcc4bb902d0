"""What a token's settings take from the backends beside it: its host, and who calls it."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from msgspec.structs import replace

from backend_doctor.config.model import InstanceConfig
from backend_doctor.facts import Setting
from backend_doctor.place import Place


def settled(instances: Sequence[InstanceConfig], place: Place) -> tuple[InstanceConfig, ...]:
    """The instances of a service, with the protected path of its tokens made a URL.

    Pages that are declared for the same host call it too: the first one's origin is taken, unless
    another is declared. Raises ConfigurationError for a path without a host.
    """
    return tuple(
        _settled(one, instances, place) if "protected" in one.settings else one for one in instances
    )


def _settled(
    token: InstanceConfig, instances: Sequence[InstanceConfig], place: Place
) -> InstanceConfig:
    url = str(token.settings["protected"])
    if url.startswith("/"):
        web = [
            one.endpoint.url for kind in ("http", "cors") for one in instances if one.kind == kind
        ]
        if not web:
            raise place.error(
                "protected is a path, and the service has no http or cors backend",
                "protected: https://api.example.com/api/me",
            )
        url = urlsplit(web[0])._replace(query="", fragment="").geturl().rstrip("/") + url
    settings = {**_caller(url, instances), **token.settings, "protected": url}
    endpoint = replace(token.endpoint, scope=repr(sorted(settings.items())))
    return replace(token, settings=settings, endpoint=endpoint)


def _caller(url: str, instances: Sequence[InstanceConfig]) -> Mapping[str, Setting]:
    """The declared client of the same host: its origin, and whether it sends credentials."""
    for one in instances:
        origins = one.settings.get("origins") if one.kind == "cors" else None
        if isinstance(origins, tuple) and origins and _host(one.endpoint.url) == _host(url):
            return {
                "origin": origins[0],
                "credentials": bool(one.settings.get("credentials", False)),
            }
    return {}


def _host(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
