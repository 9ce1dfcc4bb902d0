"""Our verdict on a server's answers is a real Chromium's, case by case."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from tests.backends.cors_cases import all_cases
from tests.servers.chromium import Case, Outcome, Sites

from backend_doctor.backends.cors.exchanges import Exchange, hops
from backend_doctor.backends.cors.fetch import DIFFERENCES, Request, Verdict, decide, hidden_headers
from backend_doctor.backends.cors.prober import Prober
from backend_doctor.backends.http.connection import METHODS, HttpConnection, Reply, connect
from backend_doctor.endpoint import Endpoint
from backend_doctor.triage import load_messages, read

SEED = 20261123
DRAWN = 120
SENT_HEADERS = ("x-total", "etag", "retry-after", "cache-control")
HINTS = (
    *("user-agent", "DPR", "Device-Memory", "RTT", "Width", "Downlink", "Viewport-Width"),
    *("ect-4g", "save-data-on"),
)


@dataclass(frozen=True)
class Compared:
    """One case: what Chromium did, and what we say."""

    case: Case
    url: str
    browser: Outcome
    ours: Verdict
    hidden: tuple[str, ...]


class Stand(HttpConnection):
    """Sends GET where we would send nothing: this server answers all methods alike."""

    async def send(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = ()
    ) -> Reply:
        return await super().send(method if method in METHODS else "GET", target, headers)


async def _stand(site: str) -> HttpConnection:
    host, _, port = site.removeprefix("http://").partition(":")
    _, opened = await connect(Endpoint(kind="cors", hosts=((host, int(port)),), url=site), limit=5)
    assert opened is not None
    opened.__class__ = Stand
    return opened


async def _judged(
    http: HttpConnection, sites: Sites, number: int
) -> tuple[Verdict, tuple[str, ...]]:
    """Our verdict, from what our own prober is answered, and which headers we call hidden."""
    case = sites.cases[number]
    exchange = Exchange(
        origin="null" if case.framed else sites.origins["page"],
        method=case.method,
        path=sites.url(number),
        headers=dict(case.headers),
        credentials=case.credentials == "include",
    )
    prober = Prober(http)
    found = await prober.again(await prober.asked(exchange))
    request = Request(exchange.origin, case.method, exchange.headers, case.credentials)
    (steps,) = found.answers
    assert all(step.actual.status for step in steps)
    hidden = hidden_headers(request, steps[-1].actual.seen, SENT_HEADERS)
    return decide(request, hops(steps)), hidden


async def _all_judged(sites: Sites) -> list[tuple[Verdict, tuple[str, ...]]]:
    http = await _stand(sites.origins["api"])
    found = [await _judged(http, sites, number) for number in range(len(sites.cases))]
    await http.close()
    return found


async def _compared() -> list[Compared]:
    sites = Sites(all_cases(SEED, DRAWN))
    async with sites.open():
        browsed, found = await asyncio.gather(sites.browse(), _all_judged(sites))
    return [
        Compared(case, sites.url(number), browser, *ours)
        for number, (case, browser, ours) in enumerate(
            zip(sites.cases, browsed, found, strict=True)
        )
    ]


@pytest.fixture(scope="module")
def matrix() -> list[Compared]:
    """All cases, asked once."""
    return asyncio.run(_compared())


def test_every_verdict_is_chromiums(matrix: list[Compared]) -> None:
    assert len(matrix) >= 120
    denied = [one for one in matrix if one.browser.status is None]
    assert len(matrix) / 3 < len(denied) < 2 * len(matrix) / 3
    wrong = [
        f"{one.case}: Chromium {one.browser.status or 'denies'}, ours {one.ours}"
        for one in matrix
        if (one.browser.status is None) != one.ours.blocked
    ]
    assert not wrong, "\n".join(wrong)


def test_what_chromium_lets_pass_and_the_standard_does_not_is_known_by_name(
    matrix: list[Compared],
) -> None:
    names = {text: name for name, text in DIFFERENCES.items()}
    known = [one for one in matrix if not one.case.name.startswith("drawn")]
    warned = {one.case.name: names[one.ours.warning] for one in known if one.ours.warning}
    assert warned == {
        "token-any": "authorization-by-wildcard",
        **dict.fromkeys((f"sends-{hint}" for hint in HINTS), "hints-unasked"),
    }


def test_scripts_can_read_the_headers_that_we_say(matrix: list[Compared]) -> None:
    shown = [one for one in matrix if one.case.name.startswith("expose")]
    assert len(shown) > 10
    for one in shown:
        assert set(SENT_HEADERS) - set(one.browser.headers) == set(one.hidden), one.case


def test_the_console_tells_which_page_asked_for_what(matrix: list[Compared]) -> None:
    messages = load_messages()
    told = [one for one in matrix if one.browser.console]
    assert len(told) > 100
    for one in told:
        (sighting,) = read([one.browser.console], messages).sightings
        assert sighting.message.runbook == "cors.preflight", one.browser.console
        assert sighting.blocked is not None
        assert sighting.blocked.url == one.url
        if one.ours.code == "method-not-allowed":
            assert sighting.blocked.client.methods == (one.ours.detail,)
        if one.ours.code == "header-not-allowed":
            assert sighting.blocked.client.headers[0] in one.ours.detail
