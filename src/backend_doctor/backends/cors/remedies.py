"""What to change for each cause, exact for Starlette and nginx, with the trap beside it."""

from collections.abc import Iterable, Sequence
from shlex import quote

from backend_doctor.backends.cors.fetch import unsafe_headers
from backend_doctor.backends.cors.preflights import Exchange
from backend_doctor.backends.http.remedies import ask_again as ask_again
from backend_doctor.model import Remedy, Step

NEVER = "never `*` with credentials, and never echo whatever origin asks"


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


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in dict.fromkeys(words))


def _cure(command: str, effect: str) -> Remedy:
    return Remedy(
        step=Step.CURE, command=command, effect=effect, changes_state=True, language="text"
    )


def allow_origins(exchanges: Sequence[Exchange]) -> Remedy:
    """The declared origins, spelt as a browser compares them."""
    origins = _listed(exchange.origin for exchange in exchanges)
    return _cure(
        f"app.add_middleware(CORSMiddleware, allow_origins=[..., {origins}])",
        "an exact list: scheme, host and port, no path and no slash at the end; for many "
        rf"sub-domains allow_origin_regex=r'https://[a-z0-9-]+\.example\.com'; {NEVER}",
    )


def allow_credentials(exchanges: Sequence[Exchange]) -> Remedy:
    """Exact origins with credentials."""
    origins = _listed(exchange.origin for exchange in exchanges)
    return _cure(
        f"app.add_middleware(CORSMiddleware, allow_origins=[{origins}], allow_credentials=True)",
        "a browser takes `*` for nobody who sends cookies: each origin is named; "
        "the trap: `*` together with allow_credentials makes Starlette echo every origin",
    )


def allow_methods(exchanges: Sequence[Exchange]) -> Remedy:
    """The declared methods."""
    methods = _listed(exchange.request.normal_method for exchange in exchanges)
    return _cure(
        f"app.add_middleware(CORSMiddleware, ..., allow_methods=[..., {methods}])",
        "upper case counts, and commas separate; `*` does not work with credentials",
    )


def allow_headers(exchanges: Sequence[Exchange], missing: str) -> Remedy:
    """The headers that the clients send."""
    headers = _listed(
        missing.split(", ")
        if missing
        else (name for one in exchanges for name in unsafe_headers(one.headers))
    )
    return _cure(
        f"app.add_middleware(CORSMiddleware, ..., allow_headers=[..., {headers}])",
        "name each: `*` works neither with credentials nor, by the standard, for authorization",
    )


def cors_outermost() -> Remedy:
    """CORS before whatever may answer in its place."""
    return _cure(
        "app.add_middleware(AuthMiddleware, ...)\n"
        "app.add_middleware(CORSMiddleware, ...)   # added last = outermost = asked first",
        "preflights carry neither cookie nor Authorization, ever: CORS answers them before "
        "authentication sees them; in nginx: if ($request_method = OPTIONS) { return 204; } with "
        "the headers, before auth_request",
    )


def no_redirect() -> Remedy:
    """The URL that needs no redirect."""
    return _cure(
        "call the URL that the redirect leads to, or FastAPI(redirect_slashes=False); "
        "uvicorn --proxy-headers --forwarded-allow-ips=<the proxy>",
        "a browser never follows a redirect of a preflight; mind the slash at the end, and https "
        "instead of http, in the client's base URL",
    )


def headers_on_errors() -> Remedy:
    """CORS headers on errors too, so that the client can read them."""
    return _cure(
        "app = CORSMiddleware(app, allow_origins=[...])   # around the whole application\n"
        "add_header Access-Control-Allow-Origin $allowed_origin always;   # nginx",
        "first mend the error itself; then let clients read the next one: the handler of "
        "unhandled exceptions lies outside of add_middleware, and nginx leaves headers off errors "
        "without `always`",
    )


def one_header() -> Remedy:
    """One place that sets the header."""
    return _cure(
        "proxy_hide_header Access-Control-Allow-Origin;   # nginx, if nginx is to set it",
        "either the proxy or the application sets CORS headers, never both",
    )


def vary() -> Remedy:
    """A cache that keeps origins apart."""
    return _cure(
        "add_header Vary Origin always;",
        "without it a shared cache hands one origin's answer to another; CORSMiddleware does it",
    )


def exact_list() -> Remedy:
    """A list in place of an echo."""
    return Remedy(
        step=Step.STOP,
        command="app.add_middleware(CORSMiddleware, allow_origins=[<your exact origins>], "
        "allow_credentials=True)",
        effect="any site on the web can now act as your signed-in users; remove `*` and "
        "patterns such as '.*', and give a list, not a string, since a string is searched; "
        f"{NEVER}; clients that are not on the list stop working",
        changes_state=True,
        language="text",
    )


def answer_preflights() -> Remedy:
    """Something that answers OPTIONS at all."""
    return _cure(
        "app.add_middleware(CORSMiddleware, allow_origins=[...], allow_methods=[...], "
        "allow_headers=[...])",
        "nothing answers preflights there: no CORS middleware, or a proxy that drops OPTIONS or "
        f"the Origin header on the way; {NEVER}",
    )
