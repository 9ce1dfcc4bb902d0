"""``config``: the configuration in use, and the schema of its file."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import click

from backend_doctor.cli.flags import CONFIG, SETTINGS
from backend_doctor.config.load import load
from backend_doctor.config.model import Configuration, Ignore, InstanceConfig, ServiceConfig
from backend_doctor.facts import Setting
from backend_doctor.text import safe_text

Row = tuple[str, str, str]


@click.group("config")
def command() -> None:
    """Show the configuration in use, and where each value came from."""


@command.command("show")
@CONFIG
@SETTINGS
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
def show(config: Path | None, settings: Path | None, targets: tuple[str, ...]) -> None:
    """Print what is configured and the origin of each value; never a password.

    TARGET is SERVICE, SERVICE.KIND, SERVICE.KIND.NAME, a URL, env:NAME or file:PATH.
    """
    configuration = load(config=config, settings=settings, targets=targets)
    for line in _lines(configuration):
        click.echo(line)
    for warning in configuration.warnings:
        click.echo(f"warning: {safe_text(warning)}", err=True)


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    text = files("backend_doctor.config").joinpath("config.schema.json").read_text("utf-8")
    click.echo(text, nl=False)


def _lines(configuration: Configuration) -> Iterator[str]:
    yield f"configuration: {safe_text(configuration.source)}"
    for service in configuration.services:
        yield ""
        yield service.name
        yield from _aligned(list(_service_rows(service)))
    for title, rows in _general(configuration):
        if rows:
            yield ""
            yield title
            yield from _aligned(rows)


def _aligned(rows: list[Row]) -> Iterator[str]:
    safe = [tuple(safe_text(cell) if cell.strip() else "" for cell in row[1:]) for row in rows]
    first = max(len(row[0]) for row in rows)
    second = max((len(cells[0]) for cells in safe), default=0)
    for row, (value, origin) in zip(rows, safe, strict=True):
        yield f"  {row[0]:{first}}  {value:{second}}  {origin}".rstrip()


def _service_rows(service: ServiceConfig) -> Iterator[Row]:
    for key, count in (("replicas", service.replicas), ("workers", service.workers)):
        yield key, str(count), service.origins.get(key, "default")
    for instance in service.instances:
        named = "" if instance.name == instance.kind else f" {instance.name}"
        yield f"{instance.kind}{named}", "", ""
        for key, value, origin in _instance_rows(instance):
            yield f"  {key}", value, origin


def _instance_rows(instance: InstanceConfig) -> Iterator[tuple[str, str, str]]:
    endpoint, origin = instance.endpoint, instance.origin
    yield "address", endpoint.address, origin
    if endpoint.hosts:
        yield "password", "set (not shown)" if endpoint.password else "none", origin
        yield "tls", endpoint.tls.mode, origin
    for name, _ in endpoint.secrets:
        yield name, "set (not shown)", origin
    for key, value in instance.settings.items():
        yield key, _spoken(value), instance.origins.get(key, "")


def _spoken(value: Setting) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _general(configuration: Configuration) -> Iterator[tuple[str, list[Row]]]:
    yield (
        "limits",
        [
            (check, f"{name}: {value}", "")
            for check, limits in configuration.limits.items()
            for name, value in limits.items()
        ],
    )
    yield (
        "ignored",
        [
            (one.check, " ".join(filter(None, (one.service, one.cause))), _until(one))
            for one in configuration.ignores
        ],
    )
    yield "folders of checks", [(str(path), "", "") for path in configuration.check_folders]


def _until(one: Ignore) -> str:
    return f"until {one.until}: {one.reason}"
