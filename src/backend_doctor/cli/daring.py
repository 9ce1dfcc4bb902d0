"""What changes something at the target or may alarm its owners: each by an option of its own."""

import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click
from msgspec.structs import replace

from backend_doctor.backends.token.times import DEFAULT_GRACE
from backend_doctor.cli.flags import given
from backend_doctor.cli.options import Examination
from backend_doctor.config.model import InstanceConfig
from backend_doctor.errors import UserError

TRIES = {
    "login": (
        "logs in once with the declared test account, and renews that session once. It counts "
        "in audit logs, and toward a lockout if the password is wrong."
    ),
    "replay": (
        "logs in twice more and uses refresh tokens twice, at once and late. An issuer that "
        "detects theft may end all sessions of that account, and warn its owners: use one that "
        "nobody else uses."
    ),
    "forge": (
        "sends up to six forged tokens to the protected endpoint, by GET, last of all. Firewalls "
        "and security monitoring may raise an alarm."
    ),
}
"""Option, and what is said before it runs."""
_NEEDED = {
    "login": "login, username and password",
    "replay": "login, refresh, username and password",
    "forge": "protected, and a sample or --login",
}
_OPTIONS = (
    click.option("--login", is_flag=True, help="Log in with the token backend's test account."),
    click.option(
        "--replay", is_flag=True, help="Use its refresh tokens twice; asks before, implies --login."
    ),
    click.option("--yes-replay", is_flag=True, help="Confirms --replay without a question."),
    click.option("--forge", is_flag=True, help="Send forged tokens to the protected endpoint."),
)
_SLACK = 45.0


def daring(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; the command is given ``tries``, a tuple of their names.

    Raises UserError where a replay is not confirmed.
    """

    @functools.wraps(command)
    def with_tries(*, yes_replay: bool, **asked: Any) -> Any:
        tries = tuple(name for name in TRIES if asked.pop(name))
        for name in tries:
            click.echo(f"--{name}: {TRIES[name]}", err=True)
        if "replay" in tries and not yes_replay:
            _confirm()
        return command(tries=tries, **asked)

    return given(with_tries, *_OPTIONS)


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise UserError("--replay: not confirmed; add --yes-replay")
    if click.prompt("Type replay to go on", default="", show_default=False, err=True) != "replay":
        raise UserError("--replay: not confirmed, so nothing was asked")


def permitted(
    examination: Examination, tries: Iterable[str], *, may_last: bool = True
) -> Examination:
    """The examination with these tries allowed to its token backends.

    ``may_last`` when no deadline was asked for, so that the run may take as long as they do.
    Raises UserError where none of them declares what they take.
    """
    allowed = frozenset((*tries, "login") if "replay" in tries else tries)
    if not allowed:
        return examination
    services = tuple(
        replace(service, instances=tuple(_opened(one, allowed) for one in service.instances))
        for service in examination.configuration.services
    )
    instances = [one for service in services for one in service.instances]
    missing = allowed - {name for one in instances for name in _tried(one)}
    for name in sorted(missing):
        raise UserError(f"--{name}: no token backend declares what it takes: {_NEEDED[name]}")
    timing, more = examination.timing, max(map(_longer, instances)) if may_last else 0.0
    return replace(
        examination,
        configuration=replace(examination.configuration, services=services),
        timing=replace(timing, deadline=timing.deadline + more),
    )


def _tried(instance: InstanceConfig) -> tuple[str, ...]:
    tried = instance.settings.get("try")
    return tried if isinstance(tried, tuple) else ()


def _opened(instance: InstanceConfig, allowed: frozenset[str]) -> InstanceConfig:
    if instance.kind != "token":
        return instance
    endpoint, settings = instance.endpoint, instance.settings
    account = endpoint.secret("username") is not None and endpoint.secret("password") is not None
    login = "login" in allowed and "login" in settings and account
    able = {
        "login": login,
        "replay": login and "refresh" in settings,
        "forge": "protected" in settings and (login or endpoint.secret("sample") is not None),
    }
    tries = tuple(name for name in TRIES if name in allowed and able[name])
    posts = tuple(("post", str(settings[key])) for key in ("login", "refresh") if key in settings)
    return replace(
        instance,
        settings={**settings, "try": tries},
        endpoint=replace(endpoint, options=posts if login else ()),
    )


def _longer(instance: InstanceConfig) -> float:
    """Seconds that the tries may add to a run."""
    tried, grace = _tried(instance), instance.settings.get("grace", DEFAULT_GRACE)
    waits = grace if "replay" in tried and isinstance(grace, int) else 0
    return _SLACK + waits if tried else 0.0
