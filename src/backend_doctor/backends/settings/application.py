"""What the application is told: known settings by name, and of secrets only how good they are."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Self

import msgspec

from backend_doctor.backends.settings.connection import Entry, Raw, SettingsFile
from backend_doctor.backends.settings.names import LIFETIMES, is_secret, known, store, unit
from backend_doctor.backends.token.weak import weakness
from backend_doctor.facts import Fact, Instance
from backend_doctor.text import shorten, storable

Value = str | int | float | bool | tuple[str, ...]
_PRODUCTION = {"production", "prod", "live"}
_DEVELOPMENT = {"development", "dev", "local", "test", "testing", "ci", "example"}
_FLAGS = {"true": True, "yes": True, "on": True, "1": True}
_FLAGS |= {"false": False, "no": False, "off": False, "0": False}
_TEXTS = {"env", "name", "log_level", "algorithm", "cors_origin_regex"}
_BOOLEANS = {"debug", "reload", "echo", "pool_pre_ping", "cors_credentials"}
# scheme, host and port; a URL with an @ elsewhere than before its host is left alone
_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.\-]*)://(?:[^@/?#]*@)?(\[[^\]/@]*\]|[^/?#:@,]*)(?::(\d+))?"
    r"(?:[,/?#][^@]*)?"
)


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """One known setting: its key as written, its value (durations in s), where it stands."""

    key: str
    value: Value
    place: str


class StatedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A signing secret without its value: ``size`` in bytes, ``distinct`` characters.

    ``weakness`` says why it can be guessed (placeholder, repeated, service name) or is "".
    ``unresolved`` are variables that are not set, ``fallback`` whether it is the default of a
    reference, ``written`` whether the file itself holds it.
    """

    key: str
    place: str
    size: int = 0
    distinct: int = 0
    weakness: str = ""
    unresolved: tuple[str, ...] = ()
    fallback: bool = False
    written: bool = False


class StatedStore(msgspec.Struct, frozen=True, kw_only=True):
    """A store's URL, reduced to what is no secret. ``port`` 0: the usual one."""

    kind: str
    place: str
    scheme: str = ""
    host: str = ""
    port: int = 0


class ApplicationSettings(Fact, frozen=True):
    """The settings in force, the environment above the file.

    ``values`` by known name; ``unresolved`` are keys and places of values that hold ``${NAME}``
    of a variable that is not set.
    """

    source: str
    values: dict[str, Stated] = msgspec.field(default_factory=dict)
    secrets: tuple[StatedSecret, ...] = ()
    stores: tuple[StatedStore, ...] = ()
    unresolved: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()

    @property
    def environment(self) -> str:
        """Where the application runs, in its own word, or ""."""
        return str(self.values["env"].value) if "env" in self.values else ""

    @property
    def production(self) -> bool:
        """Whether the settings say that they are production's."""
        return self.environment.lower() in _PRODUCTION

    @property
    def development(self) -> bool:
        """Whether the settings say that nobody's data is at stake."""
        return self.environment.lower() in _DEVELOPMENT

    @property
    def where(self) -> str:
        """The environment for a sentence, with where it is stated."""
        if "env" not in self.values:
            return "the environment is not stated"
        return f"the environment is {self.environment} ({self.values['env'].place})"

    def flag(self, name: str) -> Stated | None:
        """A known setting that is switched on."""
        found = self.values.get(name)
        return found if found is not None and found.value is True else None

    def number(self, name: str) -> int | None:
        """A known whole number, or None."""
        found = self.values.get(name)
        if found is None or isinstance(found.value, bool) or not isinstance(found.value, int):
            return None
        return found.value

    def seconds(self, name: str) -> float | None:
        """A known duration, or None."""
        found = self.values.get(name)
        return float(found.value) if found and isinstance(found.value, (int, float)) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """A known list."""
        found = self.values.get(name)
        return found.value if found is not None and isinstance(found.value, tuple) else ()

    @classmethod
    async def collect(cls, file: SettingsFile, instance: Instance) -> Self:
        """Keeps what is known of the file; nothing else of it is ever shown or saved."""
        values = {found[0]: found[1] for entry in file.entries if (found := _stated(entry))}
        overridden: list[str] = []
        for name, variable in (
            ("env", "APP_ENV"), ("log_level", "LOG_LEVEL"), ("cors_origins", "CORS_ORIGINS"),
        ):  # fmt: skip
            given = instance.settings.get(name)
            if isinstance(given, str):
                place = variable
                if name in values:
                    overridden.append(f"{variable} stands above {values[name].place}")
                value: Value = _origins(given) if name == "cors_origins" else given
                values[name] = Stated(key=variable, value=value, place=place)
        application = str(values["name"].value) if "name" in values else instance.service
        return cls(
            source=storable(file.source),
            values=values,
            secrets=tuple(_secrets(file, application, overridden)),
            stores=tuple(_stores(file.entries)),
            unresolved=tuple(
                f"{entry.key} ({entry.place})"
                for entry in file.entries
                if entry.unresolved and not is_secret(entry.key)
            ),
            overridden=tuple(overridden),
        )


def _place(entry: Entry) -> str:
    return f"{entry.place}, {entry.origin}" if entry.origin else entry.place


def _stated(entry: Entry) -> tuple[str, Stated] | None:
    name = known(entry.key)
    value = None if entry.unresolved or not name else _value(name, entry)
    if value is None:
        return None
    return name, Stated(key=entry.key, value=value, place=_place(entry))


def _value(name: str, entry: Entry) -> Value | None:
    raw = entry.value
    if name == "cors_origins":
        return _listed(raw) if isinstance(raw, tuple) else _origins(str(raw or ""))
    if isinstance(raw, tuple) or raw is None:
        return None
    if name in _TEXTS:
        return shorten(storable(str(raw)), 200)
    if name in _BOOLEANS:
        return raw if isinstance(raw, bool) else _FLAGS.get(str(raw).strip().lower())
    number = _number(raw)
    if number is None:
        return None
    return number * unit(entry.key) if name in LIFETIMES else number


def _number(raw: Raw) -> int | float | None:
    if isinstance(raw, bool):
        return None
    text = str(raw).strip()
    if re.fullmatch(r"[+-]?\d{1,12}", text, re.ASCII):
        return int(text)
    return float(text) if re.fullmatch(r"[+-]?\d{1,12}\.\d{1,9}", text, re.ASCII) else None


def _origins(text: str) -> tuple[str, ...]:
    """Origins as a variable holds them: with commas between, or as a JSON list."""
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, list):
            return _listed(found)
    return _listed(text.split(","))


def _listed(parts: Iterable[object]) -> tuple[str, ...]:
    texts = (str(part).strip() for part in parts if part is not None)
    return tuple(shorten(storable(re.sub("//.*@", "//", text)), 200) for text in texts if text)


def _secrets(file: SettingsFile, service: str, overridden: list[str]) -> Iterator[StatedSecret]:
    own = file.secret_key.reveal() if file.secret_key else ""
    for entry in file.entries:
        if not is_secret(entry.key) or isinstance(entry.value, tuple):
            continue
        if own and entry.key.endswith("secret_key") and "jwt" not in entry.key:
            if "SECRET_KEY" not in entry.origin and not entry.unresolved:
                overridden.append(f"SECRET_KEY stands above {entry.place}")
            continue
        yield _secret(entry, service)
    if own:
        yield _measured("SECRET_KEY", "SECRET_KEY in the environment", own, service)


def _secret(entry: Entry, service: str) -> StatedSecret:
    if entry.unresolved:
        return StatedSecret(key=entry.key, place=entry.place, unresolved=entry.unresolved)
    return msgspec.structs.replace(
        _measured(entry.key, _place(entry), str(entry.value or ""), service),
        fallback=entry.origin.endswith("(its default)"),
        written=not entry.origin,
    )


def _measured(key: str, place: str, secret: str, service: str) -> StatedSecret:
    return StatedSecret(
        key=key,
        place=place,
        size=len(secret.encode("utf-8", "surrogatepass")),
        distinct=len(set(secret)),
        weakness=weakness(secret, service) if secret else "",
    )


def _stores(entries: Iterable[Entry]) -> Iterator[StatedStore]:
    for entry in entries:
        kind = store(entry.key)
        if not kind:
            continue
        match = None if entry.unresolved else _URL.fullmatch(str(entry.value or ""))
        if match is None:
            yield StatedStore(kind=kind, place=_place(entry))
            continue
        host = storable(match[2].strip("[]").lower())
        port = int(match[3]) if match[3] and len(match[3]) <= 5 else 0
        yield StatedStore(
            kind=kind, place=_place(entry), scheme=match[1].lower(), host=host, port=port
        )
