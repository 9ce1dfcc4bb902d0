"""The options of ``check`` that ask a URL as a page in a browser does."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from backend_doctor.config import clients
from backend_doctor.config.clients import Client
from backend_doctor.errors import UserError


def _written(
    written: Callable[[str], str | None], expected: str
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], tuple[str, ...]]:
    def read(
        context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
    ) -> tuple[str, ...]:
        found = tuple(map(written, texts))
        if None in found:
            # what stands there may be a token, and is not repeated
            raise click.BadParameter(f"expected {expected}")
        return tuple(filter(None, found))

    return read


_PAGE = (
    click.option(
        "--origin",
        "origins",
        multiple=True,
        callback=_written(clients.origin, clients.ORIGIN),
        help="Ask an http(s) URL as a page of this origin does (CORS); repeatable.",
    ),
    click.option(
        "--method",
        "methods",
        multiple=True,
        callback=_written(clients.method, clients.METHOD),
        help="What the page uses; only GET, HEAD and OPTIONS are sent.  [default: GET]",
    ),
    click.option(
        "--header",
        "headers",
        multiple=True,
        callback=_written(clients.header, clients.HEADER),
        help="The name of a header that the page sends; repeatable.",
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

    for option in reversed(_PAGE):
        collected = option(collected)
    return collected
