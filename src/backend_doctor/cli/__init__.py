"""The command line: click commands, each loaded when it is asked for."""

import gc
import os
import signal
from importlib import import_module

import click

from backend_doctor import __version__
from backend_doctor.cli.leaving import leave
from backend_doctor.errors import UserError

# name: (module, first line of its help); so that --help loads none of them
_COMMANDS = {
    "check": ("check", "Examine services and name the root cause first."),
    "collect": ("collect", "Save what can be seen now, to be judged later or elsewhere."),
    "config": ("config", "Show the configuration in use, and where each value came from."),
    "demo": ("demo", "Make a real backend sick, watch it diagnosed, see it healed."),
    "export": ("export", "Write Prometheus metrics for a textfile collector."),
    "grants": ("grants", "Print the least rights that the checks need, ready to paste."),
    "init": ("init", "Write a first configuration file."),
    "list": ("list", "List the checks, their causes and their limits."),
    "query": ("query", "Show a statement's plan, what costs most in it, and what to do."),
    "runbook": ("runbook", "Print the runbook of a check."),
    "triage": ("triage", "Say what an error message means, and what to do next."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"backend_doctor.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS:
            from difflib import get_close_matches

            for near in get_close_matches(args[0], _COMMANDS, n=1):
                ctx.fail(f"no command {args[0]!r}; did you mean {near!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="backend-doctor")
def main() -> None:
    """Examine what a service stands on; name one root cause first; only ever read.

    \b
    Examples:
      backend-doctor check                         all that is configured
      backend-doctor check env:DATABASE_URL        one backend, no configuration
      backend-doctor runbook postgres.pool_exhaustion
      backend-doctor demo                          see it work on real servers

    Exit codes: 0 ok, 1 warning, 2 critical, 3 unknown or could not run, 130 interrupted.
    """


class Exit(Exception):  # noqa: N818 - carries an exit code, is not an error
    """Ends the command with an exit code of the tool's own."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _say(message: str) -> None:
    click.echo(f"backend-doctor: {message}", err=True)


def run() -> None:
    """The entry point: runs a command and maps every ending to the documented exit codes."""
    # imports leave next to no garbage, and looking for it took a tenth of a short run, which makes
    # some 50,000 objects; a long one is still rid of it
    gc.set_threshold(200_000)
    try:
        code = _ran()
    except KeyboardInterrupt:
        _say("interrupted")
        code = 130
    # nothing is left to be done: a late Ctrl-C must not show a traceback
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave(code)


def _ran() -> int:
    try:
        result = main.main(prog_name="backend-doctor", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except Exit as ending:
        return ending.code
    except click.UsageError as error:
        where = f"\nTry: {error.ctx.command_path} --help" if error.ctx else ""
        _say(error.format_message() + where)
        return 3
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        return 3
    except Exception as error:  # noqa: BLE001 - a user never sees a traceback
        return _explain(error)


def _explain(error: Exception) -> int:
    if isinstance(error, (UserError, click.ClickException)):
        _say(error.format_message() if isinstance(error, click.ClickException) else str(error))
        return 3
    if os.environ.get("BACKEND_DOCTOR_DEBUG"):
        raise error
    _say(
        f"stopped by a fault of its own: {type(error).__name__}. "
        "Nothing was changed anywhere. BACKEND_DOCTOR_DEBUG=1 shows where; please report it."
    )
    return 3
