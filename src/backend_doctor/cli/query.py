"""``query``: the plan of one statement, read as ``slow_queries`` reads those of the window."""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import fields, replace

from backend_doctor.backends.postgres.plans.asked import TEXT_SETTING, Asked
from backend_doctor.backends.postgres.plans.asked_findings import findings
from backend_doctor.backends.postgres.plans.placeholders import UnclearPlaceholderError, numbered
from backend_doctor.backends.postgres.plans.planned import PlannedStatement
from backend_doctor.backends.postgres.plans.slowness import Limits
from backend_doctor.backends.postgres.plans.words import LONGEST_TEXT
from backend_doctor.cli import Exit
from backend_doctor.cli.check import exit_code
from backend_doctor.cli.flags import COLOR, CONFIG, SETTINGS
from backend_doctor.cli.leaving import leave
from backend_doctor.cli.terminal import ColorChoice, columns, speaks_unicode, wants_color
from backend_doctor.config.load import load
from backend_doctor.config.model import Configuration
from backend_doctor.deadlines import Timing
from backend_doctor.errors import UserError
from backend_doctor.facts import Absence, target_name
from backend_doctor.judge import judge
from backend_doctor.model import Report
from backend_doctor.registry import Check, Need
from backend_doctor.reports import RenderOptions, render
from backend_doctor.reports.layout import Pen
from backend_doctor.reports.plan_text import draw
from backend_doctor.running import choose_checks, gather
from backend_doctor.snapshot import Snapshot, last_seen
from backend_doctor.text import safe_block, safe_text

_CHECK = "postgres.slow_queries"
_VALUES = {
    "generic": "for any values",
    "common": "for common values",
    "rare": "for rare values",
    "analyzed": "run once, rolled back",
}


def _text(given: str) -> str:
    """The statement, from standard input for ``-``, its placeholders numbered."""
    text = sys.stdin.read(LONGEST_TEXT + 1) if given == "-" else given
    if not text.strip("; \t\r\n"):
        raise UserError('no statement given\nExample: backend-doctor query "SELECT ..." -t SERVICE')
    try:
        return numbered(text)
    except UnclearPlaceholderError as error:
        raise UserError(str(error)) from error


def _narrowed(configuration: Configuration, settings: dict[str, Any]) -> Configuration:
    """The one PostgreSQL that is named, with the statement. Raises UserError."""
    found = [
        instance
        for service in configuration.services
        for instance in service.instances
        if instance.kind == "postgres"
    ]
    if len(found) != 1:
        names = ", ".join(target_name(one.service, one.kind, one.name) for one in found)
        said = f"more than one: {names}" if found else "none is configured or named"
        raise UserError(
            f"a statement is asked about on one PostgreSQL; here is {said}\n"
            "Name it: -t SERVICE, -t SERVICE.postgres.NAME, -t env:NAME or -t URL"
        )
    (one,) = found
    asked = replace(one, settings={**one.settings, **settings})
    return replace(
        configuration,
        services=tuple(
            replace(service, instances=(asked,))
            for service in configuration.services
            if service.name == one.service
        ),
    )


def _checks(configuration: Configuration) -> list[Check]:
    """What judges the login, and the statement as the check ``slow_queries`` would."""
    configured = configuration.limits.get(_CHECK, {})
    names = {field.name for field in fields(Limits)}
    limits = Limits(**{name: value for name, value in configured.items() if name in names})  # type: ignore[arg-type]
    statement = Check(
        id=_CHECK,
        backend="postgres",
        path=Path(__file__),
        function=partial(findings, limits=limits),
        needs=(Need("asked", Asked, "one", False),),
        limits=(),
    )
    return [*choose_checks({"postgres"}, only=("postgres.reachability",)), statement]


def _seen(snapshot: Snapshot) -> Asked | None:
    (backend,) = snapshot.backends
    found = last_seen(Asked, backend.facts.get(Asked.__name__))
    return None if isinstance(found, Absence) else found


def _drawn(planned: PlannedStatement, pen: Pen, unicode: bool) -> Iterator[str]:
    """The plan that was run, else the first; of the others those of another shape, and costs."""
    plans = sorted(planned.plans, key=lambda plan: plan.values != "analyzed")
    shown: set[str] = set()
    for plan in plans:
        took = "" if plan.milliseconds is None else f", {plan.milliseconds:,.1f} ms"
        values = _VALUES[plan.values]
        if plan.outline in shown:
            yield f"Plan {values}: the same, cost {plan.cost:,.0f}{took}"
            continue
        yield f"Plan {values}: cost {plan.cost:,.0f}{took}"
        if plan.tree is not None and plan.outline not in shown:
            yield from draw(plan.tree, pen, unicode=unicode)
        shown.add(plan.outline)
    if plans:
        yield ""


def _as_text(report: Report, asked: Asked | None, options: RenderOptions) -> str:
    lines: list[str] = []
    if asked is not None:
        pen = Pen(options.width, options.color)
        lines = [*pen.prose(safe_text(asked.text.strip()), 0), ""]
        lines += _drawn(asked.planned, pen, options.unicode)
    return "".join(f"{line}\n" for line in lines) + render("text", report, options)


def _as_json(report: Report, asked: Asked | None, options: RenderOptions) -> str:
    """The report of ``check``, and the statement's plans under ``query``."""
    document = json.loads(render("json", report, options))
    said = msgspec.to_builtins(asked) if asked is not None else None
    document["query"] = _safe(said)
    return json.dumps(document, indent=2, ensure_ascii=not options.unicode) + "\n"


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return safe_block(value)
    if isinstance(value, dict):
        return {key: _safe(item) for key, item in value.items()}
    return [_safe(item) for item in value] if isinstance(value, (list, tuple)) else value


@click.command("query")
@click.argument("statement", metavar="STATEMENT or -")
@click.option("-t", "--target", "targets", multiple=True, help="SERVICE, its NAME, URL, env:NAME.")
@CONFIG
@SETTINGS
@click.option("--analyze", is_flag=True, help="Run a SELECT too, rolled back, where that is safe.")
@click.option("--format", "format", type=click.Choice(["text", "json"]), default="text")
@COLOR
@click.option("--connect-timeout", type=click.FloatRange(0.1, 60), default=5.0, show_default=True)
@click.option("--deadline", type=click.FloatRange(1, 3600), default=25.0, show_default=True)
def command(
    statement: str,
    targets: tuple[str, ...],
    config: Path | None,
    settings: Path | None,
    analyze: bool,
    format: str,
    color: ColorChoice,
    connect_timeout: float,
    deadline: float,
) -> None:
    """Show one statement's plan, what costs most in it, and what to do.

    STATEMENT is one SELECT, UPDATE or DELETE; placeholders may stay: $1, or %s, %(name)s,
    :name and ? as drivers and ORM logs write them. `-` reads it from standard input, which
    keeps it out of the process list. It is not run, unless --analyze allows that: then a plain
    SELECT is run once and rolled back.

    \b
    Examples:
      backend-doctor query "SELECT * FROM orders WHERE customer_id = $1" -t shop
      backend-doctor query - -t env:DATABASE_URL --analyze < slow.sql

    Exit codes: 0 nothing to mend, 1 the plan shows a cause, 2 unreachable, 3 no plan.
    """
    asked_for = {TEXT_SETTING: _text(statement), "analyze": analyze}
    configuration = _narrowed(load(config=config, settings=settings, targets=targets), asked_for)
    checks = _checks(configuration)
    timing = Timing(0.0, connect_timeout, deadline)
    snapshot, interrupted = gather(
        configuration, checks, timing, progress=lambda _: None, leave=leave
    )
    report = judge(snapshot, checks, None, configuration.ignores)
    code = exit_code(report, "warning") if interrupted is None else interrupted
    options = RenderOptions(
        width=columns(),
        color=format == "text" and wants_color(color),
        unicode=speaks_unicode(),
        exit_code=code,
    )
    rendered = (_as_json if format == "json" else _as_text)(report, _seen(snapshot), options)
    click.echo(rendered, nl=False, color=True)
    raise Exit(code)
