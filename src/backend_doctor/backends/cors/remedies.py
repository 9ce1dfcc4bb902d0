"""How to see a fault by hand, and what to change for it in the stack that is there."""

from collections.abc import Iterable, Iterator, Sequence
from shlex import quote

from backend_doctor.backends.cors.exchanges import Exchange
from backend_doctor.backends.cors.recipes import RECIPES, Recipe
from backend_doctor.backends.cors.safelist import unsafe_headers
from backend_doctor.backends.cors.stacks import NAMES, UNKNOWN, Layers
from backend_doctor.backends.http.remedies import ask_again as ask_again
from backend_doctor.model import Remedy, Step

# who is let in now may be there now
_URGENT = {"echo", "null", "pattern", "string"}


def ask_as_a_browser(exchange: Exchange, url: str) -> Remedy:
    """The preflight again, by hand."""
    names = ",".join(unsafe_headers(exchange.headers))
    asked = f" -H {quote('Access-Control-Request-Headers: ' + names)}" if names else ""
    return Remedy(
        step=Step.CONFIRM,
        command=f"curl -si -X OPTIONS -H {quote('Origin: ' + exchange.origin)} "
        f"-H {quote('Access-Control-Request-Method: ' + exchange.method)}{asked} "
        f"{quote(_at(url, exchange.path))}",
        effect="shows what a browser is told before it sends the request",
        language="sh",
    )


def ask_for_the_answer(exchange: Exchange, url: str) -> Remedy:
    """The actual request again, by hand."""
    return Remedy(
        step=Step.CONFIRM,
        command=f"curl -si -H {quote('Origin: ' + exchange.origin)} "
        f"{quote(_at(url, exchange.path))}",
        effect="shows the answer that the browser hides from the script",
        language="sh",
    )


def _at(url: str, path: str) -> str:
    return f"{url.rstrip('/')}/{path.lstrip('/')}"


def cure(
    cause: str,
    layers: Layers,
    *,
    origins: Iterable[str] = (),
    methods: Iterable[str] = (),
    headers: Iterable[str] = (),
) -> Remedy:
    """The lines of the table for the stack that was recognised; for all where none was."""
    recipe = RECIPES[cause]
    words = _words("origins", origins) | _words("methods", methods) | _words("headers", headers)
    mapped = (f'"{origin}" $http_origin;' for origin in dict.fromkeys(origins))
    words["{mapped_origins}"] = " ".join(mapped)
    command = "\n".join(_chosen(recipe, layers))
    for name, value in words.items():
        command = command.replace(name, value)
    return Remedy(
        step=Step.STOP if cause in _URGENT else Step.CURE,
        command=command,
        effect=recipe.effect,
        changes_state=True,
        language="text",
    )


def _words(name: str, values: Iterable[str]) -> dict[str, str]:
    unique = dict.fromkeys(values)
    quoted = ", ".join(f'"{value}"' for value in unique)
    return {f"{{{name}}}": quoted, f"{{bare_{name}}}": ", ".join(unique)}


def _chosen(recipe: Recipe, layers: Layers) -> Iterator[str]:
    """The lines of the stacks that are there, each with its name where there are several."""
    stacks = list(recipe.lines)
    if layers.application in stacks:
        known = (layers.application, layers.proxy if recipe.at_proxy else "")
        stacks = [one for one in known if one in stacks]
    for stack in stacks:
        if len(stacks) > 1:
            yield f"# {NAMES[stack]}"
        yield recipe.lines[stack]


def allow_origins(exchanges: Sequence[Exchange], layers: Layers) -> Remedy:
    """The declared origins, spelt as a browser compares them."""
    return cure("origin", layers, origins=[one.origin for one in exchanges])


def allow_credentials(exchanges: Sequence[Exchange], layers: Layers) -> Remedy:
    """Exact origins with credentials."""
    return cure("credentials", layers, origins=[one.origin for one in exchanges])


def allow_methods(exchanges: Sequence[Exchange], layers: Layers) -> Remedy:
    """The declared methods."""
    return cure("method", layers, methods=[one.request.normal_method for one in exchanges])


def allow_headers(exchanges: Sequence[Exchange], missing: str, layers: Layers) -> Remedy:
    """The headers that the clients send."""
    sent = [name for one in exchanges for name in unsafe_headers(one.headers)]
    return cure("header", layers, headers=missing.split(", ") if missing else sent)


def expose_headers(names: Iterable[str], layers: Layers = UNKNOWN) -> Remedy:
    """What a script may read."""
    return cure("expose", layers, headers=list(names))
