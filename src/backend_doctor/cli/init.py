"""``init``: a first configuration file, made of references to what the environment holds."""

import os
from collections.abc import Mapping
from pathlib import Path

import click

from backend_doctor.config.environment import VARIABLES
from backend_doctor.config.load import FILE_NAME
from backend_doctor.config.model import ConfigurationError
from backend_doctor.config.urls import parse_url
from backend_doctor.errors import UserError
from backend_doctor.references import read_secret
from backend_doctor.text import safe_text

_SETTINGS = {
    "postgres": "pool_size: 5, max_overflow: 10",
    "pgbouncer": "",
    "mongodb": "max_pool_size: 100",
    "redis": "max_connections: 10",
    "rabbitmq": "",
}
_EXAMPLES = {
    "postgres": "postgresql://localhost:5432/postgres",
    "pgbouncer": "postgresql://localhost:6432/pgbouncer",
    "mongodb": "mongodb://localhost:27017/app",
    "redis": "redis://localhost:6379/0",
    "rabbitmq": "amqp://localhost:5672/",
}
_TEXT = """\
# What backend-doctor examines: services, each with the backends it stands on.
# `backend-doctor config show` prints what is in use and where each value came from,
# `backend-doctor config schema` the JSON Schema of this file.
#
# ${{NAME}} and ${{NAME:-default}} come from the environment. Keep passwords out of this file:
# a url may also be env:NAME, or file:PATH of a file that holds nothing but the URL.
services:
  app:
    # Connections add up to replicas x workers x (pool_size + max_overflow).
    replicas: 1   # copies of the application
    workers: 1    # processes in each copy
{backends}
    # http: {{url: "https://api.example.com", health: /healthz}}
    # cors:             # what browsers will send: the clients, not the server's own list
    #   url: "https://api.example.com"
    #   origins: ["https://app.example.com"]
    #   methods: [GET, PUT]
    #   headers: [authorization]
    #   paths: [/api/orders]
    #   credentials: true
    # token: {{sample: {{file: token.jwt}}, secret: "${{SECRET_KEY}}"}}
    # process: {{port: 8000}}            # or pid, pidfile, cmdline, unit
    # settings: config/settings.yaml   # the application's own, examined offline
    # Several of a kind have names:
    # postgres:
    #   - {{name: primary, url: "${{DATABASE_URL}}", pool_size: 5, max_overflow: 10}}
    #   - {{name: replica, url: "${{REPLICA_URL}}", role: replica}}

# Limits of checks, by id (`backend-doctor list` names them):
# limits:
#   postgres.pool_exhaustion: {{warning: 0.7}}

# Findings that are known, shown but not counted until a day:
# ignore:
#   - {{check: postgres.pool_exhaustion, until: 2030-01-31, reason: "why it is accepted"}}
"""


@click.command("init")
@click.argument("path", default=FILE_NAME)
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def command(path: str, force: bool) -> None:
    """Write a first configuration file, readable by you alone; "-" prints it instead.

    What the environment holds (DATABASE_URL, PGBOUNCER_URL, MONGODB_URL, REDIS_URL, AMQP_URL)
    is referred to by name, never copied.
    """
    text, notes = first_configuration(os.environ)
    if path == "-":
        click.echo(text, nl=False)
    else:
        _write(Path(path), text, force=force)
        named = "" if path == FILE_NAME else f" --config {safe_text(path)}"
        click.echo(f"Wrote {safe_text(path)}. Next: backend-doctor check{named}")
    for note in notes:
        click.echo(f"note: {note}", err=True)


def first_configuration(environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """A configuration that loads as it stands, and notes on variables it could not use."""
    lines, notes = {}, []
    for kind, name in VARIABLES.items():
        reference = None
        try:
            reference = _reference(kind, name, environ)
        except ConfigurationError as error:
            notes.append(f"not used: {error}")
        url = reference or f"${{{name}:-{_EXAMPLES[kind]}}}"
        settings = f", {_SETTINGS[kind]}" if _SETTINGS[kind] else ""
        lines[kind] = (reference, f'{kind}: {{url: "{url}"{settings}}}')
    used = {kind for kind, (reference, _) in lines.items() if reference} or {"postgres"}
    backends = (f"    {'' if kind in used else '# '}{lines[kind][1]}" for kind in lines)
    return _TEXT.format(backends="\n".join(backends)), notes


def _reference(kind: str, name: str, environ: Mapping[str, str]) -> str | None:
    for variable, reference in ((name, f"${{{name}}}"), (f"{name}_FILE", f"file:${{{name}_FILE}}")):
        if not environ.get(variable):
            continue
        text = environ[variable]
        if variable != name:
            text = read_secret(Path.cwd(), text, place=variable)
        if parse_url(text, place=variable, kind=kind).kind != kind:
            raise ConfigurationError(f"{variable}: is no URL of {kind}")
        return reference
    return None


def _write(path: Path, text: str, *, force: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    shown = safe_text(str(path))
    try:
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
    except FileExistsError:
        raise UserError(
            f"{shown}: the file exists; expected a new name, - to print, or --force to overwrite"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise UserError(f"{shown}: cannot be written: {reason}") from None
