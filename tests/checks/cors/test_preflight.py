"""cors.preflight: facts in, findings out (real servers: tests/backends/test_cors.py)."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend_doctor import Finding, Status
from backend_doctor.backends.cors.exchanges import Exchange, Response, Step
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.backends.http.answers import Sample
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "cors" / "preflight.py")
PAGE = "https://shop.example"
ALLOWED = {"access-control-allow-origin": PAGE}


def exchange(
    preflight: Response | None, *answers: Response, method: str = "GET", **fields: Any
) -> Exchange:
    return Exchange(
        origin=PAGE,
        method=method,
        path="/api/orders",
        preflight=preflight,
        answers=tuple((Step(url="http://api/api/orders", actual=one),) for one in answers),
        samples=tuple(
            Sample(path="/api/orders", status=one.status, seconds=0.1) for one in answers
        ),
        **fields,
    )


def judge(*exchanges: Exchange) -> list[Finding]:
    seen = Preflights(url="http://api", exchanges=exchanges, wanted=len(exchanges))
    return list(CHECK.function(seen))


def labels(findings: list[Finding]) -> list[str]:
    return [finding.cause.label for finding in findings if finding.cause]


OK = Response(status=200, headers=ALLOWED)
BARE_500 = Response(status=500)


def test_what_is_allowed_is_fine() -> None:
    (finding,) = judge(exchange(OK, OK))
    assert (finding.status, finding.cause) == (Status.OK, None)


def test_one_request_in_four_that_fails_without_headers_is_a_warning() -> None:
    (finding,) = judge(exchange(OK, OK, OK, OK, BARE_500))
    assert (finding.status, labels([finding])) == (Status.WARNING, ["cors.error_masks_5xx"])
    assert judge(exchange(OK, BARE_500, OK))[0].status is Status.CRITICAL


def test_two_faults_are_two_findings() -> None:
    put = exchange(OK, method="PUT")
    assert labels(judge(exchange(OK, BARE_500), put)) == [
        "cors.error_masks_5xx",
        "cors.method_not_allowed",
    ]


def test_no_answer_is_neither_fine_nor_a_fault_of_cors() -> None:
    silent = Response(status=0)
    (finding,) = judge(exchange(silent, silent))
    assert finding.status is Status.UNKNOWN


def test_a_4xx_of_an_origin_that_is_not_allowed_is_about_the_origin() -> None:
    refusing = Response(status=400, refused="origin")
    assert labels(judge(exchange(refusing, Response(status=401)))) == ["cors.origin_not_allowed"]
    assert labels(judge(exchange(OK, Response(status=401)))) == ["cors.auth_outside_cors"]
    assert labels(judge(exchange(OK, Response(status=404)))) == ["cors.error_without_headers"]


def test_the_remedy_asks_as_the_browser_did_and_quotes_the_target() -> None:
    hostile = exchange(Response(status=401), method="PUT", headers={"x-a'b": "1"})
    (finding,) = judge(hostile)
    assert labels([finding]) == ["cors.preflight_blocked_by_auth"]
    assert """'Access-Control-Request-Headers: x-a'"'"'b'""" in finding.remedies[0].command
    assert "last" in finding.remedies[1].command


STATUS = st.sampled_from([0, 200, 204, 301, 307, 400, 401, 403, 404, 405, 429, 500, 503])
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "access-control-allow-methods",
            "access-control-allow-headers",
        ]
    ),
    st.one_of(st.sampled_from([PAGE, "*", "true", "null", "PUT", "a;b", "*, *"]), st.text()),
)
RESPONSES = st.builds(
    Response,
    status=STATUS,
    headers=HEADERS,
    refused=st.sampled_from(["", "origin", "method", "headers", "origin, method"]),
    location=st.sampled_from(["", "http://api/x", "https://else.example/x"]),
)


@given(
    st.one_of(st.none(), RESPONSES),
    st.lists(RESPONSES, max_size=3),
    st.sampled_from(["GET", "PUT", "patch"]),
    st.booleans(),
)
def test_whatever_comes_is_judged(
    preflight: Response | None, answers: list[Response], method: str, credentials: bool
) -> None:
    found = exchange(
        preflight,
        *answers,
        method=method,
        credentials=credentials,
        headers={"authorization": "x"},
    )
    findings = judge(found)
    assert findings
    assert all(one.cause or one.status in (Status.OK, Status.UNKNOWN) for one in findings)
