"""Kinds that no URL names: tokens, processes, and the application's own settings."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from backend_doctor.backends.token.header import ALGORITHMS
from backend_doctor.backends.token.times import LONGEST_GRACE
from backend_doctor.backends.token.words import NO_FILE
from backend_doctor.config.appinstance import settings_instance
from backend_doctor.config.kinds import instance_name, items
from backend_doctor.config.model import InstanceConfig
from backend_doctor.config.reading import Reader
from backend_doctor.config.urls import parse_url
from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import Setting
from backend_doctor.place import did_you_mean, listed
from backend_doctor.references import is_reference, read_secret
from backend_doctor.secret import Secret
from backend_doctor.text import safe_text, storable
from backend_doctor.yamlfile import Node

_TOKEN_URLS = ("login", "refresh", "jwks", "discovery")
_TOKEN_WORDS = {
    "origin": "an origin such as https://myapp.com",
    "user_field": "a name such as email",
}
_ACCOUNT = {
    "username": "a test account's name",
    "password": "a test account's password, such as ${TEST_PASSWORD}",
}
_BODIES = {body: body for body in ("form", "json")}
_TOKEN_TEXTS = {
    "audience": "names such as shop-api",
    "issuer": "names such as https://auth.example.com/",
    "algorithms": "names such as RS256",
}
_TOKEN = (
    *("sample", "secret", "leeway", "grace", "long_lived", "refresh_interval"),
    *(*_TOKEN_TEXTS, *_TOKEN_URLS, *_TOKEN_WORDS, *_ACCOUNT, "hosts", "protected", "body"),
    "session_keys",
)
_PROCESS = ("pid", "port", "pidfile", "cmdline", "unit")
_SETTINGS = ("file", "env", "lock_file")
_LARGEST = {"pid": 4_194_304, "port": 65_535}  # the former is Linux's PID_MAX_LIMIT

Settings = dict[str, Setting]
Read = Callable[[Reader, str, str, Node, Mapping[str, Node]], InstanceConfig]


def read_placeless(reader: Reader, service: str, kind: str, node: Node) -> Iterator[InstanceConfig]:
    """The instances of a kind without a URL: one mapping, or a list. Raises ConfigurationError."""
    what, keys, read = PLACELESS[kind]
    taken: set[str] = set()
    for item in items(node, what):
        entries: dict[str, Node] = {}
        if not (isinstance(item.value, str) and kind == "settings"):
            entries = reader.mapping(item, what, ("name", *keys))
        name = instance_name(reader, entries, kind, taken)
        taken.add(name)
        yield read(reader, service, name, item, entries)


def _origins(settings: Settings, entries: Mapping[str, Node]) -> dict[str, str]:
    return {key: entries[key].place.origin for key in settings}


def _token(
    reader: Reader, service: str, name: str, node: Node, entries: Mapping[str, Node]
) -> InstanceConfig:
    if not entries.keys() & {"sample", "secret", "hosts", "protected", *_TOKEN_URLS}:
        raise node.place.error("names nothing to examine", "sample: {file: token.jwt}")
    place, secrets = NO_FILE, []
    if "sample" in entries:
        sample, place = _document(
            reader, entries["sample"], "a token as {file: PATH}, file:PATH or env:NAME"
        )
        secrets.append(("sample", sample))
    if "secret" in entries:
        secret = reader.secret(entries["secret"], "the signing key, such as ${SECRET_KEY}")
        secrets.append(("secret", Secret(secret.text)))
    for key, what in _ACCOUNT.items():
        if key in entries:
            secrets.append((key, Secret(reader.secret(entries[key], what).text)))
    if "jwks" in entries and _local(entries["jwks"]):
        keys, _ = _document(
            reader, entries["jwks"], "a key set as a URL, {file: PATH} or file:PATH"
        )
        secrets.append(("jwks", keys))
    settings = dict(_token_settings(reader, entries))
    return InstanceConfig(
        service=service,
        kind="token",
        name=name,
        endpoint=Endpoint(
            kind="token",
            hosts=(),
            socket=place,
            secrets=tuple(secrets),
            scope=repr(sorted(settings.items())),
        ),
        origin=node.place.origin,
        settings=settings,
        origins=_origins(settings, entries),
    )


def _local(node: Node) -> bool:
    return not isinstance(node.value, str) or is_reference(node.value)


def _token_settings(reader: Reader, entries: Mapping[str, Node]) -> Iterator[tuple[str, Setting]]:
    for key, least in (("leeway", 0), ("refresh_interval", 1)):
        if key in entries:
            yield key, reader.number(entries[key], least)
    if "grace" in entries:
        yield "grace", reader.number(entries["grace"], 0, LONGEST_GRACE)
    if "long_lived" in entries:
        yield "long_lived", reader.flag(entries["long_lived"])
    for key, what in _TOKEN_WORDS.items():
        if key in entries:
            yield key, storable(reader.text(entries[key], what))
    if "body" in entries:
        yield "body", reader.choice(entries["body"], _BODIES)
    if "protected" in entries:
        node = entries["protected"]
        target = reader.text(node, "a path such as /api/me, or a URL")
        yield "protected", target if target.startswith("/") else _web(node, target)
    if "session_keys" in entries:
        yield "session_keys", _key_pattern(reader, entries["session_keys"])
    for key, what in _TOKEN_TEXTS.items():
        if key in entries:
            yield key, _names(reader, entries[key], key, what)
    for key in _TOKEN_URLS:
        if key in entries and not (key == "jwks" and _local(entries[key])):
            yield key, _web(entries[key], reader.text(entries[key], "a URL"))
    if "hosts" in entries:
        urls = reader.texts(entries["hosts"], "a list of URLs")
        yield "hosts", tuple(_web(entries["hosts"], url) for url in urls)


def _key_pattern(reader: Reader, node: Node) -> str:
    what = "a pattern of keys such as session:*"
    pattern = reader.text(node, what)
    # an ACL takes no blank in a pattern
    if not re.fullmatch(r"[^\s\x00-\x1f\x7f]{1,200}", pattern):
        raise node.place.error("is no pattern of keys", what)
    if not pattern.strip("*?"):
        raise node.place.error("matches every key, sessions or not", what)
    return storable(pattern)


def _names(reader: Reader, node: Node, key: str, what: str) -> tuple[str, ...]:
    names = tuple(map(storable, reader.texts(node, what)))
    if not names:
        raise node.place.error("is empty", what)
    unknown = set(names) - ALGORITHMS - {"none"} if key == "algorithms" else set()
    if unknown:
        hint = did_you_mean(min(unknown), ALGORITHMS)
        raise node.place.error("holds what is no algorithm of a JWT", what, hint)
    return names


def _document(reader: Reader, node: Node, what: str) -> tuple[Secret, str]:
    """The text of a sample or key set, and where it is."""
    if not isinstance(node.value, dict):
        found = reader.secret(node, what)
        named = is_reference(reader.text(node, what)) and found.origin.startswith("from file ")
        return Secret(found.text), found.origin.removeprefix("from file ") if named else NO_FILE
    entries = reader.mapping(node, what, ("file",))
    path = reader.text(reader.required(entries, "file", node), "a file's path")
    text = read_secret(reader.folder, path, place=str(entries["file"].place))
    return Secret(text), safe_text(path)


def _web(node: Node, text: str) -> str:
    endpoint = parse_url(text, place=str(node.place))
    if endpoint.kind != "http":
        raise node.place.error(f"is a URL of {endpoint.kind}", "an http:// or https:// URL")
    if endpoint.password:
        raise node.place.error("holds a password", "the URL without it")
    return endpoint.url


def _process(
    reader: Reader, service: str, name: str, node: Node, entries: Mapping[str, Node]
) -> InstanceConfig:
    given = [key for key in _PROCESS if key in entries]
    if len(given) != 1:
        problem = f"{' and '.join(given)} are given" if given else "names no process"
        raise node.place.error(problem, f"one of {listed(_PROCESS)}")
    (key,) = given
    value: Setting
    if key in _LARGEST:
        value = reader.number(entries[key], 1, _LARGEST[key])
    else:
        value = reader.text(entries[key], "a text")
        if key == "pidfile":
            value = str(reader.folder / Path(value).expanduser())
    return InstanceConfig(
        service=service,
        kind="process",
        name=name,
        endpoint=Endpoint(kind="process", hosts=(), socket=f"{key} {value}"),
        origin=node.place.origin,
        settings={key: value},
        origins=_origins({key: value}, entries),
    )


def _application(
    reader: Reader, service: str, name: str, node: Node, entries: Mapping[str, Node]
) -> InstanceConfig:
    file = node if isinstance(node.value, str) else reader.required(entries, "file", node)
    path = reader.folder / Path(reader.text(file, "the path of a settings file")).expanduser()
    declared: dict[str, tuple[Setting, str]] = {}
    if "env" in entries:
        env = entries["env"]
        declared["env"] = (reader.text(env, "a word such as production"), env.place.origin)
    if "lock_file" in entries:
        lock = entries["lock_file"]
        named = reader.text(lock, "the path of a lock file, such as uv.lock")
        declared["lock_file"] = (str(reader.folder / Path(named).expanduser()), lock.place.origin)
    return settings_instance(service, name, path, reader.environ, reader.folder, declared)


PLACELESS: dict[str, tuple[str, tuple[str, ...], Read]] = {
    "token": (f"a mapping with {listed(_TOKEN)}", _TOKEN, _token),
    "process": (f"a mapping with one of {listed(_PROCESS)}", _PROCESS, _process),
    "settings": ("the path of a settings file, a mapping with file", _SETTINGS, _application),
}
"""Kind, what may stand there, its keys, how it is read."""
