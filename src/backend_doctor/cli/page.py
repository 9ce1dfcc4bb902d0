"""The options of ``check`` that ask a URL as a page in a browser does."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from backend_doctor.cli.flags import given
from backend_doctor.config import clients
from backend_doctor.config.clients import Client
from backend_doctor.errors import UserError


def _texts(
    name: str, read: Callable[[str], str | None], expected: str, help_text: str
) -> Callable[[Any], Any]:
    """A repeatable option, whose every text ``read`` turns into what is meant, None refusing."""

    def all_read(
        context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
    ) -> tuple[str, ...]:
        found = tuple(map(read, texts))
        if None in found:
            # what stands there may be a token, and is not repeated
            raise click.BadParameter(f"expected {expected}")
        return tuple(filter(None, found))

    return click.option(f"--{name}", f"{name}s", multiple=True, callback=all_read, help=help_text)


_PAGE = (
    _texts(
        "origin",
        clients.origin,
        clients.ORIGIN,
        "Ask an http(s) URL as a page of this origin does (CORS); repeatable.",
    ),
    _texts(
        "method",
        clients.method,
        clients.METHOD,
        "What the page uses; only GET, HEAD and OPTIONS are sent.  [default: GET]",
    ),
    _texts(
        "header",
        clients.header,
        clients.HEADER,
        "The name of a header that the page sends; repeatable.",
    ),
    click.option("--credentials", is_flag=True, help="The page sends cookies along."),
)


def as_page(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them; the command is given them as ``client``, None without any."""

    @wraps(command)
    def collected(
        *,
        origins: tuple[str, ...],
        methods: tuple[str, ...],
        headers: tuple[str, ...],
        credentials: bool,
        **others: Any,
    ) -> Any:
        if not origins and (methods or headers or credentials):
            raise UserError(
                "command line: --method, --header and --credentials say how a page asks; expected "
                "--origin, which says whose page it is"
            )
        client = Client(origins=origins, methods=methods, headers=headers, credentials=credentials)
        return command(client=client if origins else None, **others)

    return given(collected, *_PAGE)
