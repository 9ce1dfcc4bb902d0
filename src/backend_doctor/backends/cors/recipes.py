"""What to write where: one table of causes by stacks.

``{origins}``, ``{methods}``, ``{headers}`` are filled in by the remedies as a list in quotes,
``{bare_...}`` without them, ``{mapped_origins}`` as lines of nginx's map.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The lines of each stack, and what they do, with the trap beside it.

    ``at_proxy``: what stands in front may be at fault too, so that its lines are shown beside
    those of an application that is known.
    """

    effect: str
    lines: dict[str, str]
    at_proxy: bool = False


NEVER = "never `*` with credentials, and never echo whatever origin asks"
_STARLETTE = "app.add_middleware(CORSMiddleware, "
_MAP = 'map $http_origin $cors_origin { default ""; {mapped_origins} }   # "" sends no header\n'
_NGINX_ORIGIN = "add_header Access-Control-Allow-Origin $cors_origin always;"
_DJANGO_FIRST = (
    'MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", '
    '"django.middleware.common.CommonMiddleware", ...]   # CORS first'
)

RECIPES: dict[str, Recipe] = {
    "origin": Recipe(
        "an exact list: scheme, host and port, no path and no slash at the end; for many "
        r"sub-domains a pattern such as 'https://[a-z0-9-]+\.example\.com', with an end; " + NEVER,
        {
            "starlette": _STARLETTE + "allow_origins=[..., {origins}])",
            "flask": "CORS(app, origins=[..., {origins}])",
            "django": "CORS_ALLOWED_ORIGINS = [..., {origins}]",
            "nginx": _MAP + _NGINX_ORIGIN,
        },
    ),
    "credentials": Recipe(
        "a browser takes `*` for nobody who sends cookies: each origin is named; "
        "the trap: `*` together with credentials makes Starlette echo every origin",
        {
            "starlette": _STARLETTE + "allow_origins=[{origins}], allow_credentials=True)",
            "flask": "CORS(app, origins=[{origins}], supports_credentials=True)",
            "django": "CORS_ALLOWED_ORIGINS = [{origins}]\nCORS_ALLOW_CREDENTIALS = True",
            "nginx": _MAP + _NGINX_ORIGIN + "\n"
            "add_header Access-Control-Allow-Credentials true always;",
        },
    ),
    "method": Recipe(
        "upper case counts, and commas separate; `*` does not work with credentials",
        {
            "starlette": _STARLETTE + "..., allow_methods=[..., {methods}])",
            "flask": "CORS(app, ..., methods=[..., {methods}])",
            "django": "CORS_ALLOW_METHODS = [*default_methods, {methods}]",
            "nginx": 'add_header Access-Control-Allow-Methods "GET, {bare_methods}" always;',
        },
    ),
    "header": Recipe(
        "name each: `*` works neither with credentials nor, by the standard, for authorization",
        {
            "starlette": _STARLETTE + "..., allow_headers=[..., {headers}])",
            "flask": "CORS(app, ..., allow_headers=[..., {headers}])",
            "django": "CORS_ALLOW_HEADERS = [*default_headers, {headers}]",
            "nginx": 'add_header Access-Control-Allow-Headers "{bare_headers}" always;',
        },
    ),
    "expose": Recipe(
        "name each: with credentials `*` exposes nothing",
        {
            "starlette": _STARLETTE + "..., expose_headers=[{headers}])",
            "flask": "CORS(app, ..., expose_headers=[{headers}])",
            "django": "CORS_EXPOSE_HEADERS = [{headers}]",
            "nginx": 'add_header Access-Control-Expose-Headers "{bare_headers}" always;',
        },
    ),
    "preflight": Recipe(
        "nothing answers preflights there: no CORS middleware, or a proxy that drops OPTIONS or "
        f"the Origin header on the way; {NEVER}",
        {
            "starlette": _STARLETTE + "allow_origins=[...], allow_methods=[...], "
            "allow_headers=[...])",
            "flask": "CORS(app, origins=[...])   # pip install flask-cors",
            "django": _DJANGO_FIRST + "\nCORS_ALLOWED_ORIGINS = [...]",
            "nginx": "proxy_set_header Origin $http_origin;   # and no limit_except that denies "
            "OPTIONS",
        },
        at_proxy=True,
    ),
    "auth": Recipe(
        "preflights carry neither cookie nor Authorization, ever: CORS answers them before "
        "authentication sees them, and its headers then lie on the 401 too",
        {
            "starlette": "app.add_middleware(AuthMiddleware, ...)\n"
            + _STARLETTE
            + "...)   # added last = outermost = asked first",
            "flask": 'if request.method == "OPTIONS":   # first in the before_request that wants a '
            "login\n    return None",
            "django": _DJANGO_FIRST,
            "nginx": "if ($request_method = OPTIONS) { return 204; }   # with the headers, before "
            "auth_request",
        },
        at_proxy=True,
    ),
    "redirect": Recipe(
        "a browser never follows a redirect of a preflight; mind the slash at the end, and https "
        "instead of http, in the client's base URL",
        {
            "starlette": "call the URL that the redirect leads to, or "
            "FastAPI(redirect_slashes=False); "
            "uvicorn --proxy-headers --forwarded-allow-ips=<the proxy>",
            "flask": "app.url_map.strict_slashes = False   # before the routes: no 308 any more",
            "django": "call the URL with the slash at its end\n" + _DJANGO_FIRST,
            "nginx": "proxy_set_header Host $host;   # else redirects lead to an inner name\n"
            "proxy_set_header X-Forwarded-Proto $scheme;",
        },
        at_proxy=True,
    ),
    "error": Recipe(
        "first mend the error itself; then let clients read the next one: errors are made outside "
        "of the layer that sets the headers, and nginx leaves them off errors without `always`",
        {
            "starlette": "app = CORSMiddleware(app, allow_origins=[...])   # around the whole "
            "application",
            "flask": "CORS(app, origins=[...], intercept_exceptions=True)",
            "django": _DJANGO_FIRST,
            "nginx": _NGINX_ORIGIN + "   # `always`: on errors too",
        },
        at_proxy=True,
    ),
    "proxy": Recipe(
        "mend the error itself: the application never saw the request; the proxy's own pages "
        "carry CORS headers only if it sets them, and then it has to hide the application's",
        {
            "nginx": "client_max_body_size 20m;   # for a 413; for a 502 start what proxy_pass "
            "names; for a 403 let OPTIONS pass\n"
            "proxy_hide_header Access-Control-Allow-Origin;\n" + _NGINX_ORIGIN,
        },
        at_proxy=True,
    ),
    "duplicate": Recipe(
        "either the proxy or the application sets CORS headers, never both",
        {
            "nginx": "proxy_hide_header Access-Control-Allow-Origin;   # if nginx is to set it, "
            "else remove its add_header",
            "starlette": "remove one of two CORSMiddleware, or the header that a route sets itself",
            "flask": "remove one of CORS(app), @cross_origin and the header set in after_request",
            "django": "remove the header that a view sets itself beside CorsMiddleware",
        },
        at_proxy=True,
    ),
    "vary": Recipe(
        "without it a shared cache hands one origin's answer to another",
        {
            "starlette": 'response.headers.add_vary_header("Origin")   # CORSMiddleware does it',
            "flask": "CORS(app, origins=[...], vary_header=True)",
            "django": 'patch_vary_headers(response, ["origin"])   # CorsMiddleware does it',
            "nginx": "add_header Vary Origin always;",
        },
        at_proxy=True,
    ),
    "echo": Recipe(
        "any site on the web can now act as your signed-in users; remove `*` and patterns such as "
        f"'.*'; {NEVER}; clients that are not on the list stop working",
        {
            "starlette": _STARLETTE + "allow_origins=[<your exact origins>], "
            "allow_credentials=True)",
            "flask": "CORS(app, origins=[<your exact origins>], supports_credentials=True)",
            "django": "CORS_ALLOW_ALL_ORIGINS = False\nCORS_ALLOWED_ORIGINS = [<your exact "
            "origins>]",
            "nginx": 'map $http_origin $cors_origin { default ""; <your exact origins, each> '
            "$http_origin; }\n" + _NGINX_ORIGIN,
        },
        at_proxy=True,
    ),
    "null": Recipe(
        "every sandboxed frame and local file sends `null`, whoever wrote it; pages that are "
        "opened from disk stop working",
        {
            "starlette": 'allow_origins=[...]   # without "null"',
            "flask": 'CORS(app, origins=[...])   # without "null"',
            "django": 'CORS_ALLOWED_ORIGINS = [...]   # without "null"',
            "nginx": 'map $http_origin $cors_origin { ... }   # without "null"',
        },
        at_proxy=True,
    ),
    "pattern": Recipe(
        "escape each dot, start with the scheme, and end the pattern; where names are few, list "
        "them; names that only the loose pattern fits stop working",
        {
            "starlette": r'allow_origin_regex=r"https://[a-z0-9-]+\.example\.com"   # the whole '
            "origin must fit",
            "flask": r'CORS(app, origins=[r"^https://[a-z0-9-]+\.example\.com$"])   # `$`: it '
            "matches beginnings",
            "django": r'CORS_ALLOWED_ORIGIN_REGEXES = [r"^https://[a-z0-9-]+\.example\.com$"]'
            "   # `$`: it matches beginnings",
            "nginx": r'"~^https://[a-z0-9-]+\.example\.com$" $http_origin;   # in the map',
        },
        at_proxy=True,
    ),
    "string": Recipe(
        "`in` finds any part of a string, so that parts of the origin are let in; with brackets "
        "it compares whole origins",
        {
            "starlette": "allow_origins=[{origins}]   # a list, with brackets",
            "flask": "origins=[{origins}]   # a list, with brackets",
            "django": "CORS_ALLOWED_ORIGINS = [{origins}]   # a list, with brackets",
            "nginx": _MAP + _NGINX_ORIGIN,
        },
    ),
    "plain": Recipe(
        "whoever sits in the same network can write pages that come by plain http; redirect to "
        "https, with Strict-Transport-Security",
        {
            "starlette": "allow_origins=[{origins}]   # https alone",
            "flask": "CORS(app, origins=[{origins}])   # https alone",
            "django": "CORS_ALLOWED_ORIGINS = [{origins}]   # https alone",
            "nginx": _MAP + _NGINX_ORIGIN,
        },
        at_proxy=True,
    ),
}
