"""The browser's decision, row by row as a real Chromium took it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.backends.cors.fetch import (
    Hop,
    Request,
    Seen,
    decide,
    needs_preflight,
)

O = "http://page.example:8001"  # noqa: E741 - as the table calls it
API = "http://api.example:8002/x"
THIRD = "http://third.example:8003/x"
JSON = {"Content-Type": "application/json"}
AUTH = {"Authorization": "Bearer x"}


def seen(acao: str | None = O, acac: str | None = None, status: int = 200, **more: str) -> Seen:
    """An answer; other headers by short names: acam, acah, location."""
    names = {
        "acam": "access-control-allow-methods",
        "acah": "access-control-allow-headers",
        "location": "location",
    }
    headers = {names[key]: value for key, value in more.items()}
    if acao is not None:
        headers["access-control-allow-origin"] = acao
    if acac is not None:
        headers["access-control-allow-credentials"] = acac
    return Seen(status, headers)


def judge(
    actual: Seen,
    preflight: Seen | None = None,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    mode: Any = "same-origin",
) -> str:
    request = Request(O, method, headers or {}, mode)
    return decide(request, [Hop(API, preflight, actual)]).code


SIMPLE = [
    ("s01", seen(None), "acao-missing"),
    ("s02", seen("*"), "ok"),
    ("s03", seen(O), "ok"),
    ("s04", seen(f"{O}/"), "acao-mismatch"),
    ("s05", seen(O.replace("http", "HTTP")), "acao-mismatch"),
    ("s06", seen(f"{O}, http://other.example"), "acao-multiple"),
    ("s07", seen(f"{O}, {O}"), "acao-multiple"),
    ("s08", seen("*, *"), "acao-multiple"),
    ("s09", seen("http://other.example"), "acao-mismatch"),
    ("s10", seen("null"), "acao-mismatch"),
    ("s11", seen("http://page.example"), "acao-mismatch"),
    ("s12", seen("http://*.example:8001"), "acao-mismatch"),
    ("s13", seen(""), "acao-mismatch"),
    ("s14", seen(f"  {O} "), "ok"),
    ("s15", seen(f"*, {O}"), "acao-multiple"),
    ("s16", seen(O.replace("http", "https")), "acao-mismatch"),
    ("f17", seen(status=401), "ok"),
    ("f18", seen(None, status=401), "error-without-cors"),
    ("f19", seen(None, status=502), "error-without-cors"),
]


@pytest.mark.parametrize(
    ("actual", "code"), [row[1:] for row in SIMPLE], ids=[r[0] for r in SIMPLE]
)
def test_simple_requests(actual: Seen, code: str) -> None:
    assert judge(actual) == code


CREDENTIALS = [
    ("k01", seen("*", "true"), "include", "wildcard-credentials"),
    ("k02", seen(O), "include", "acac-not-true"),
    ("k03", seen(O, "true"), "include", "ok"),
    ("k04", seen(O, "True"), "include", "acac-not-true"),
    ("k05", seen(O, "true, true"), "include", "acac-not-true"),
    ("k06", seen("*", "true"), "same-origin", "ok"),
    ("k07", seen(O, "1"), "include", "acac-not-true"),
    ("k08", seen(O), "omit", "ok"),
]


@pytest.mark.parametrize(
    ("actual", "mode", "code"), [row[1:] for row in CREDENTIALS], ids=[r[0] for r in CREDENTIALS]
)
def test_credentials(actual: Seen, mode: str, code: str) -> None:
    assert judge(actual, mode=mode) == code


INCLUDED: dict[str, Any] = {"mode": "include"}
PUT: dict[str, Any] = {"method": "PUT"}
POST_JSON: dict[str, Any] = {"method": "POST", "headers": JSON}
PREFLIGHTED = [
    ("p03", seen(acah="content-type"), seen(), POST_JSON, "ok"),
    ("p04", seen(), seen(), POST_JSON, "header-not-allowed"),
    ("f22", seen(acah=""), seen(), POST_JSON, "header-not-allowed"),
    ("p05", seen("*", acah="*"), seen("*"), POST_JSON, "ok"),
    ("p06", seen(O, "true", acah="*"), seen(O, "true"), POST_JSON | INCLUDED,
     "header-wildcard-credentials"),
    ("p10", seen(O, "true", acah="*"), seen(O, "true"), {"headers": AUTH} | INCLUDED,
     "header-wildcard-credentials"),
    ("p07", seen("*", acah="*"), seen("*"), {"headers": AUTH}, "ok"),
    ("p08", seen(acah="authorization"), seen(), {"headers": AUTH}, "ok"),
    ("p09", seen("*", acah="*, Authorization"), seen("*"), {"headers": AUTH}, "ok"),
    ("p11", seen(acah="content-type"), seen(), {"headers": {"X-Request-Id": "1"}},
     "header-not-allowed"),
    ("p20", seen(acah="content-type"), seen(), {"headers": {"traceparent": "00-1"}},
     "header-not-allowed"),
    ("p21", seen(acah="content-type"), seen(), {"headers": {"Cache-Control": "no-cache"}},
     "header-not-allowed"),
    ("p12", seen(acah="CONTENT-type"), seen(), POST_JSON, "ok"),
    ("p13", seen(acah="x-a, content-type"), seen(), POST_JSON, "ok"),
    ("p16", seen(acah="x-a"), seen(), {"method": "POST", "headers": {"X-A": "1"}}, "ok"),
    ("p14", seen(acah="A; B"), seen(), {"headers": {"A": "1"}}, "malformed-list"),
    ("p15", seen(acah="A B"), seen(), {"headers": {"A": "1"}}, "malformed-list"),
    ("f20", seen(acam="PUT;GET"), seen(), PUT, "malformed-list"),
    ("f21", seen(acam="PUT", acah="A B"), seen(), PUT, "malformed-list"),
    ("p17", seen(), seen(), {"headers": {"Accept": "a" * 129}}, "header-not-allowed"),
    ("p19", seen(), seen(), {"headers": {"Accept-Language": "en_US"}}, "header-not-allowed"),
    ("m01", seen(), seen(), PUT, "method-not-allowed"),
    ("m02", seen("*", acam="*"), seen("*"), PUT, "ok"),
    ("m03", seen(O, "true", acam="*"), seen(O, "true"), PUT | INCLUDED,
     "method-wildcard-credentials"),
    ("m04", seen(acam="put"), seen(), PUT, "method-not-allowed"),
    ("m05", seen(acam="PATCH"), seen(), {"method": "PATCH"}, "ok"),
    ("m06", seen(acam="PATCH"), seen(), {"method": "patch"}, "method-not-allowed"),
    ("m07", seen(acam="DELETE"), seen(), {"method": "delete"}, "ok"),
    ("m08", seen(acam="POST, PUT"), seen(), PUT, "ok"),
    ("m09", seen(acam="POST"), seen(), {"method": "DELETE"}, "method-not-allowed"),
    *((f"f{n}", seen(acam="PUT", status=status), seen(), PUT, "ok")
      for n, status in (("01", 204), ("02", 201), ("03", 299))),
    *((f"f{n}", seen(acam="PUT", status=status), seen(), PUT, "preflight-status")
      for n, status in (("04", 400), ("05", 401), ("06", 405), ("07", 500), ("09", 304))),
    ("f08", seen(acam="PUT", status=307), seen(), PUT, "preflight-redirect"),
    ("f10", seen(acam="PUT"), seen(None, status=500), PUT, "error-without-cors"),
    ("f11", seen(acam="PUT"), seen(status=500), PUT, "ok"),
    ("f12", seen(None, acam="PUT"), seen(), PUT, "preflight-acao"),
    ("f16", seen(f"{O}, {O}", acam="PUT"), seen(), PUT, "preflight-acao"),
    ("f13", seen(acam="PUT"), seen(O, "true"), PUT | INCLUDED, "preflight-credentials"),
    ("f14", seen("*", "true", acam="PUT"), seen(O, "true"), PUT | INCLUDED,
     "preflight-credentials"),
    ("f15", seen(O, "true", acam="PUT"), seen("*", "true"), PUT | INCLUDED,
     "wildcard-credentials"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("preflight", "actual", "options", "code"),
    [row[1:] for row in PREFLIGHTED],
    ids=[row[0] for row in PREFLIGHTED],
)
def test_preflighted_requests(
    preflight: Seen, actual: Seen, options: dict[str, Any], code: str
) -> None:
    request = Request(O, options.get("method", "GET"), options.get("headers", {}))
    assert needs_preflight(request)
    assert judge(actual, preflight, **options) == code


def test_p07_passes_in_chromium_and_not_by_the_standard() -> None:
    hop = Hop(API, seen("*", acah="*"), seen("*"))
    assert "Authorization" in decide(Request(O, headers=AUTH), [hop]).warning


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"Content-Type": "text/plain;charset=utf-8"}),  # p01
        ("POST", {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}),  # p02
        ("GET", {"Range": "bytes=0-1"}),  # p18
        ("GET", {"Accept": "a" * 128}),
        ("head", {}),
    ],
)
def test_no_preflight(method: str, headers: dict[str, str]) -> None:
    assert not needs_preflight(Request(O, method, headers))
    assert judge(seen(), None, method=method, headers=headers) == "ok"


TO_API = seen(status=307, location="http://api.example:8002/y")
TO_THIRD = seen(status=307, location=THIRD)
BACK = "http://page.example:8001/back"
REDIRECTED = [
    ("r01", [(API, None, seen(None, status=307, location="/y"))], {}, "redirect-without-cors"),
    ("r02", [(API, None, TO_API), ("http://api.example:8002/y", None, seen())], {}, "ok"),
    ("r03", [(API, None, TO_THIRD), (THIRD, None, seen())], {}, "redirect-null-origin"),
    ("r04", [(API, None, TO_THIRD), (THIRD, None, seen("*"))], {}, "ok"),
    ("r05", [(API, None, TO_THIRD), (THIRD, None, seen("null"))], {}, "ok"),
    ("r06", [(API, seen(acam="PUT"), TO_API), (API, seen(acam="PUT"), seen())], PUT, "ok"),
    ("r07", [(API, seen(acam="PUT"), TO_API), (API, seen(), seen())], PUT, "redirect-preflight"),
    ("r08", [(API, None, seen(status=307, location=BACK)), (BACK, None, seen(None))], {},
     "redirect-null-origin"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("hops", "options", "code"), [r[1:] for r in REDIRECTED], ids=[r[0] for r in REDIRECTED]
)
def test_redirects(
    hops: list[tuple[str, Seen | None, Seen]], options: dict[str, Any], code: str
) -> None:
    request = Request(O, options.get("method", "GET"))
    assert decide(request, [Hop(*hop) for hop in hops]).code == code


HEADER = st.one_of(st.none(), st.sampled_from([O, "*", "null", "", f"{O}, *"]), st.text())


@given(HEADER, HEADER, HEADER, HEADER, st.integers(100, 599), st.sampled_from(["GET", "PUT"]))
def test_any_headers_give_a_verdict_and_none_is_passed_without_an_allowed_origin(
    acao: str | None, acac: str | None, acam: str | None, acah: str | None, status: int, method: str
) -> None:
    lists = {key: value for key, value in (("acam", acam), ("acah", acah)) if value is not None}
    answer = seen(acao, acac, status, **lists)
    verdict = decide(Request(O, method, {}, "include"), [Hop(API, answer, answer)])
    if not verdict.blocked:
        assert acao is not None
        assert acao.strip(" \t") == O
        assert (acac or "").strip(" \t") == "true"
