"""What a token's settings take from the backends beside it, its host and who calls it, and what
they say of these: the pattern of its session keys."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from msgspec.structs import replace

from backend_doctor.config.model import InstanceConfig
from backend_doctor.endpoint import public_url
from backend_doctor.facts import Setting
from backend_doctor.place import Place

_KEYS = "session_keys"


def settled(instances: Sequence[InstanceConfig], place: Place) -> tuple[InstanceConfig, ...]:
    """The instances of a service, with the protected path of its tokens made a URL.

    Pages that are declared for the same host call it too: the first one's origin is taken, unless
    another is declared. Their session keys are sought in each redis. Raises ConfigurationError
    for a path without a host, and for session keys without a redis.
    """
    stores = _stores(instances, place)

    def found(one: InstanceConfig) -> InstanceConfig:
        if "protected" in one.settings:
            return _settled(one, instances, place)
        return _with(one, {**one.settings, **stores}) if stores and one.kind == "redis" else one

    return tuple(map(found, instances))


def _stores(instances: Sequence[InstanceConfig], place: Place) -> dict[str, Setting]:
    """What each redis is told of sessions: nothing, or the one pattern of their keys."""
    patterns = {one.settings[_KEYS] for one in instances if _KEYS in one.settings}
    if len(patterns) > 1:
        raise place.error(f"{_KEYS} differs between tokens", "one pattern for the whole service")
    if patterns and not any(one.kind == "redis" for one in instances):
        raise place.error(
            f"{_KEYS} is declared, and the service has no redis backend",
            "redis: redis://cache:6379/0",
        )
    return {_KEYS: patterns.pop()} if patterns else {}


def _with(one: InstanceConfig, settings: dict[str, Setting]) -> InstanceConfig:
    endpoint = replace(one.endpoint, scope=repr(sorted(settings.items())))
    return replace(one, settings=settings, endpoint=endpoint)


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
        url = public_url(web[0]).rstrip("/") + url
    return _with(token, {**_caller(url, instances), **token.settings, "protected": url})


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
