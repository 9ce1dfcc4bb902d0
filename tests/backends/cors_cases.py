"""The cases that a browser and we are both asked: known ones, and combinations of them."""

from collections.abc import Iterator
from random import Random
from typing import Any

from tests.servers.chromium import Answer, Case

O = "{page}"  # noqa: E741 - the page's origin, as the standard's examples call it
JSON = (("Content-Type", "application/json"),)
AUTH = (("Authorization", "Bearer x"),)
INCLUDE: dict[str, Any] = {"credentials": "include"}
_NAMES = {
    "acao": "Access-Control-Allow-Origin",
    "acac": "Access-Control-Allow-Credentials",
    "acam": "Access-Control-Allow-Methods",
    "acah": "Access-Control-Allow-Headers",
    "aceh": "Access-Control-Expose-Headers",
    "to": "Location",
}


def says(acao: Any = O, *, status: int = 200, **more: Any) -> Answer:
    """An answer by short names; a list of values is as many headers."""
    lines = {"acao": acao, **more}
    return Answer(
        status,
        tuple(
            (_NAMES[key], value)
            for key, values in lines.items()
            if values is not None
            for value in (values if isinstance(values, list) else [values])
        ),
    )


def case(name: str, actual: Answer, preflight: Answer | None = None, **fields: Any) -> Case:
    """One hop."""
    return Case(name, ((preflight or says(None), actual),), **fields)


def _simple() -> Iterator[Case]:
    for name, acao in {
        "none": None,
        "any": "*",
        "own": O,
        "padded": f"  {O}  ",
        "slash": O + "/",
        "upper-case": "HTTP://127.0.0.1",
        "other": "https://other.example",
        "list": f"{O}, https://other.example",
        "twice": [O, O],
        "any-twice": ["*", "*"],
        "any-and-own": ["*", O],
        "null": "null",
        "no-port": "http://127.0.0.1",
        "pattern": "http://*:1",
        "empty": "",
        "path": O + "/x",
        "quoted": f'"{O}"',
    }.items():
        yield case(f"origin-{name}", says(acao))
        yield case(f"origin-{name}-include", says(acao, acac="true"), **INCLUDE)
    for status in (201, 204, 205, 304, 400, 401, 404, 413, 429, 500, 502, 599):
        yield case(f"status-{status}", says(status=status))
        yield case(f"status-{status}-bare", says(None, status=status))
    for value in (None, "True", "TRUE", "1", "true", " true ", ["true", "true"], "false", ""):
        yield case(f"credentials-{value}", says(acac=value), **INCLUDE)
    yield case("credentials-any-same-origin", says("*", acac="true"))
    yield case("credentials-omit", says(acac=None), credentials="omit")
    yield case("credentials-any-omit", says("*"), credentials="omit")
    for name, acao in {"null": "null", "any": "*", "page": O, "NULL": "NULL"}.items():
        yield case(f"framed-{name}", says(acao), framed=True)
    yield case("framed-null-include", says("null", acac="true"), framed=True, **INCLUDE)
    yield case("own-site", says(None), at="page")


def _headers() -> Iterator[Case]:
    fine = says(acah="x-a")
    for name, headers, method in (
        ("text", {"Content-Type": "text/plain;charset=utf-8"}, "POST"),
        ("form", {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, "POST"),
        ("type-padded", {"Content-Type": "  Text/Plain "}, "POST"),
        ("type-none", {"Content-Type": "text"}, "POST"),
        ("type-long", {"Content-Type": "text/plain;a=" + "b" * 120}, "POST"),
        ("json", dict(JSON), "POST"),
        ("json-get", dict(JSON), "GET"),
        ("accept-128", {"Accept": "a" * 128}, "GET"),
        ("accept-129", {"Accept": "a" * 129}, "GET"),
        ("accept-unsafe", {"Accept": "a(b)"}, "GET"),
        ("language", {"Accept-Language": "de, en;q=0.5"}, "GET"),
        ("language-unsafe", {"Accept-Language": "en_US"}, "GET"),
        ("content-language", {"Content-Language": "de"}, "POST"),
        ("range", {"Range": "bytes=0-1"}, "GET"),
        ("range-open", {"Range": "bytes=5-"}, "GET"),
        ("range-suffix", {"Range": "bytes=-5"}, "GET"),
        ("range-backwards", {"Range": "bytes=5-1"}, "GET"),
        ("range-two", {"Range": "bytes=0-1,3-4"}, "GET"),
        ("authorization", dict(AUTH), "GET"),
        ("traceparent", {"traceparent": "00-1"}, "GET"),
        ("cache-control", {"Cache-Control": "no-cache"}, "GET"),
        ("if-none-match", {"If-None-Match": "x"}, "GET"),
        ("user-agent", {"User-Agent": "x"}, "GET"),
        *((hint, {hint: "2"}, "GET") for hint in ("DPR", "Device-Memory", "RTT", "Width")),
        *((hint, {hint: "2"}, "GET") for hint in ("Downlink", "Viewport-Width")),
        *((hint, {hint: "x"}, "GET") for hint in ("dpr", "rtt", "ECT", "Save-Data")),
        ("ect-4g", {"ECT": "4g"}, "GET"),
        ("save-data-on", {"Save-Data": "on"}, "GET"),
        ("forbidden", {"Cookie": "a=b", "Sec-X": "1", "Proxy-X": "1", "DNT": "1"}, "GET"),
        ("forbidden-and-own", {"Host": "x", "X-A": "1"}, "GET"),
        ("method-override", {"X-HTTP-Method-Override": "PUT"}, "GET"),
    ):
        yield case(f"sends-{name}", says(), fine, method=method, headers=tuple(headers.items()))
    sent = {"headers": (("X-A", "1"), ("X-B", "2"))}
    for name, acah in {
        "both": "x-a, x-b",
        "case": "X-a,X-B",
        "lines": ["x-a", "x-b"],
        "one": "x-a",
        "any": "*",
        "any-listed": "*, x-a, x-b",
        "semicolon": "x-a; x-b",
        "blank": "x-a x-b",
        "empty-parts": ", x-a,, x-b ,",
        "tabs": "x-a\t,\tx-b",
        "empty": "",
        "quoted": '"x-a", x-b',
        "bad-unneeded": "x-a, x-b, x c",
    }.items():
        yield case(f"allow-{name}", says(), says(acah=acah), **sent)
        include = says(acah=acah, acac="true")
        yield case(f"allow-{name}-include", says(acac="true"), include, **sent, **INCLUDE)
    for name, acah in {"any": "*", "named": "Authorization", "both": "*, Authorization"}.items():
        yield case(f"token-{name}", says("*"), says("*", acah=acah), headers=AUTH)
    own = says(acah="*", acac="true")
    yield case("token-any-include", says(acac="true"), own, headers=AUTH, **INCLUDE)


def _methods() -> Iterator[Case]:
    for method, acam in (
        *(("PUT", one) for one in (None, "PUT", "put", "GET, PUT", "*", "PUT;GET", "GET PUT")),
        *(("PUT", one) for one in (["GET", "PUT"], ",PUT,,", "", "POST", '"PUT"')),
        *(("patch", one) for one in ("PATCH", "patch", "*")),
        *(("PATCH", one) for one in ("PATCH", "patch")),
        *(("delete", "DELETE"), ("DELETE", "POST"), ("options", "OPTIONS"), ("head", None)),
        *(("post", None), ("TRACE", "TRACE"), ("QUERY", "QUERY"), ("query", "QUERY")),
    ):
        name = f"method-{method}-by-{acam}"
        yield case(name, says(), says(acam=acam), method=method)
    with_cookie = says(acam="*", acac="true")
    yield case("method-any-include", says(acac="true"), with_cookie, method="PUT", **INCLUDE)
    put: dict[str, Any] = {"method": "PUT"}
    for status in (201, 204, 206, 299, 300, 304, 307, 400, 401, 403, 405, 500):
        yield case(f"preflight-{status}", says(), says(acam="PUT", status=status), **put)
    for name, acao in {"none": None, "twice": [O, O], "other": "http://x.example"}.items():
        yield case(f"preflight-origin-{name}", says(), says(acao, acam="PUT"), **put)
    yield case("preflight-any", says("*"), says("*", acam="PUT"), **put)
    fine = says(acam="PUT", acac="true")
    both = says(acac="true")
    yield case("preflight-no-credentials", both, says(acam="PUT"), **put, **INCLUDE)
    any_one = says("*", acam="PUT", acac="true")
    yield case("preflight-any-credentials", both, any_one, **put, **INCLUDE)
    yield case("answer-any-credentials", says("*", acac="true"), fine, **put, **INCLUDE)
    yield case("answer-bare", says(None), fine, **put)
    yield case("answer-bare-500", says(None, status=500), fine, **put)
    yield case("answer-500", says(status=500), fine, **put)
    yield case("preflight-moved", says(), says(acam="PUT", status=307, to="{next}"), **put)


def _redirects() -> Iterator[Case]:
    plain, allows = says(None), says(acam="PUT, DELETE", acah="x-a, content-type, authorization")

    def way(name: str, *answers: Answer, preflight: Answer = allows, **fields: Any) -> Case:
        return Case(f"moved-{name}", tuple((preflight, one) for one in answers), **fields)

    on, off = says(status=307, to="{next}"), says(status=307, to="{third}{next}")
    yield way("bare", says(None, status=307, to="{next}"), says())
    yield way("here", on, says())
    yield way("here-then-bare", on, plain)
    yield way("nowhere", says(status=302), says())
    yield way("third-own", off, says())
    yield way("third-any", off, says("*"))
    yield way("third-null", off, says("null"))
    yield way("third-null-include", says(status=307, to="{third}{next}", acac="true"),
              says("null", acac="true"), **INCLUDE)  # fmt: skip
    yield way("third-and-back", off, says("null", status=307, to="{api}{next}"), says("null"))
    yield way("third-and-back-own", off, says("null", status=307, to="{api}{next}"), says())
    yield way("home-bare", says(status=307, to="{page}{next}"), plain)
    yield way("home-null", says(status=307, to="{page}{next}"), says("null"))
    yield way("from-home", says(None, status=302, to="{api}{next}"), says(), at="page")
    yield way("from-home-bare", says(None, status=302, to="{api}{next}"), plain, at="page")
    yield way("login", says(status=302, to="http://a:b@127.0.0.1:1/x"), says())
    yield way("data", says(status=302, to="data:text/plain,x"), says())
    yield way("invalid", says(status=302, to="http://[::1"), says())
    yield way("port", says(status=302, to="http://127.0.0.1:99999/"), says())
    put: dict[str, Any] = {"method": "PUT", "headers": (("X-A", "1"),)}
    yield way("put", on, says(), **put)
    yield way("put-303", says(status=303, to="{next}"), says(), **put)
    yield way("put-third", off, says("*"), preflight=says("*", acam="PUT", acah="x-a"), **put)
    first = (allows, on)
    yield Case("moved-put-then-bad-preflight", (first, (says(), says())), **put)
    yield Case("moved-put-then-get", ((allows, says(status=303, to="{next}")), (says(), says())),
               method="PUT")  # fmt: skip
    for status in (301, 302, 303, 307, 308):
        moved = says(status=status, to="{next}")
        yield Case(f"moved-post-{status}", ((allows, moved), (says(None), says())),
                   method="POST", headers=JSON)  # fmt: skip
    yield Case("moved-token-third", ((allows, off), (says(None), says("*"))), headers=AUTH)
    yield Case("moved-token-here", ((allows, on), (says(None), says())), headers=AUTH)
    yield way("framed", says("null", status=307, to="{third}{next}"), says("null"), framed=True)


def _exposed() -> Iterator[Case]:
    extra = (("X-Total", "5"), ("ETag", "x"), ("Retry-After", "1"), ("Cache-Control", "no-cache"))
    for name, aceh in {
        "none": None,
        "one": "X-Total",
        "case": "x-total, etag",
        "lines": ["X-Total", "ETag"],
        "any": "*",
        "any-named": "*, ETag",
        "malformed": "X-Total; ETag",
    }.items():
        answer = says(aceh=aceh)
        yield case(f"expose-{name}", Answer(200, answer.headers + extra))
        answer = says(aceh=aceh, acac="true")
        yield case(f"expose-{name}-include", Answer(200, answer.headers + extra), **INCLUDE)


def _drawn(random: Random, number: int) -> Case:
    """Mostly right, since one fault hides the next."""

    def pick(right: Any, *wrong: Any) -> Any:
        return right if random.random() < 0.75 else random.choice(wrong)

    def answer(**more: Any) -> Answer:
        return says(
            pick(random.choice((O, "*")), None, "null", f"{O}/", [O, O], f" {O}"),
            acac=pick("true", None, "True", ["true", "true"]),
            **more,
        )

    preflight = answer(
        status=pick(random.choice((200, 204)), 299, 301, 400, 401, 405, 500),
        acam=pick("GET, PUT, PATCH", "*", None, "put", ["GET", "PUT"], "GET;PUT", "POST"),
        acah=pick("authorization, x-a, content-type", "*", None, "X-A", "x-a x-b", ["x-a", "*"]),
    )
    hops = [(preflight, answer(status=pick(200, 201, 401, 500)))]
    if random.random() < 0.25:
        where = random.choice(("{next}", "{third}{next}", "{api}{next}"))
        status = random.choice((301, 302, 303, 307, 308))
        hops.insert(0, (preflight, answer(status=status, to=where)))
    sent = {"X-A": "1", "Content-Type": "application/json", "Accept": "text/html"}
    names = random.sample([*sent], random.randint(0, 2))
    return Case(
        f"drawn-{number}",
        tuple(hops),
        method=random.choice(("GET", "GET", "POST", "PUT", "PATCH", "patch", "head")),
        headers=tuple((name, sent[name]) for name in names),
        credentials=random.choice(("omit", "same-origin", "include")),
        framed=random.random() < 0.15,
    )


def all_cases(seed: int, drawn: int) -> list[Case]:
    """The known cases, and so many drawn ones."""
    random = Random(seed)
    known = [*_simple(), *_headers(), *_methods(), *_redirects(), *_exposed()]
    return known + [_drawn(random, number) for number in range(drawn)]
