"""cors.exposed_headers: facts in, findings out (the rules: backends/test_cors_chromium.py)."""

from typing import Any

import pytest
from tests.checks.cors.test_preflight import ALLOWED, OK, exchange

from backend_doctor import Absent, Finding, Status
from backend_doctor.backends.cors.exchanges import Exchange, Response
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "cors" / "exposed_headers.py")


def judge(*exchanges: Exchange, expose: tuple[str, ...] = ("x-total", "etag")) -> Finding:
    seen = Preflights(url="http://api", exchanges=exchanges, wanted=1, expose=expose)
    (finding,) = CHECK.function(seen)
    return finding


def exposing(names: str, status: int = 200, **fields: Any) -> Exchange:
    granted = {"access-control-allow-credentials": "true"}
    headers = {**ALLOWED, **granted, "access-control-expose-headers": names}
    return exchange(OK, Response(status=status, headers=headers), **fields)


def test_what_is_exposed_or_never_hidden_is_fine() -> None:
    assert judge(exposing("X-Total, ETag")).status is Status.OK
    assert judge(exposing("*")).status is Status.OK
    assert judge(exchange(OK, OK), expose=("content-type",)).status is Status.OK


@pytest.mark.parametrize("names", ["x-total", "", "x-total; etag"])
def test_what_is_hidden_is_named(names: str) -> None:
    finding = judge(exposing(names))
    assert finding.status is Status.WARNING
    assert finding.cause is not None
    assert finding.cause.label == "cors.header_not_exposed"
    assert "etag" in finding.summary
    assert ("x-total" in finding.summary) == (names != "x-total")


def test_with_credentials_a_star_exposes_nothing() -> None:
    finding = judge(exposing("*", credentials=True))
    assert finding.status is Status.WARNING
    assert finding.cause is not None
    assert "with credentials" in finding.cause.because


def test_without_a_good_answer_nothing_is_claimed() -> None:
    unreadable = exchange(OK, Response(status=200))
    for one in (exposing("", status=500), exchange(OK, method="PUT"), unreadable):
        with pytest.raises(Absent):
            judge(one)
    assert judge(exposing(""), expose=()).status is Status.SKIPPED
