"""The matrix of clients and paths, and what else the answers tell, facts in, words out."""

from typing import Any

import pytest
from tests.checks.cors.test_preflight import ALLOWED, OK, exchange

from backend_doctor.backends.cors.exchanges import Exchange, Response
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.backends.cors.remarks import matrix, remarks

PUTS = {**ALLOWED, "access-control-allow-methods": "PUT"}


def seen(*exchanges: Exchange, **more: Any) -> Preflights:
    return Preflights(url="http://api", exchanges=exchanges, wanted=len(exchanges), **more)


def put(**headers: str) -> Exchange:
    return exchange(Response(status=200, headers={**PUTS, **headers}), method="PUT")


def test_the_matrix_holds_each_client_and_path_with_its_rule() -> None:
    found = matrix(
        seen(
            exchange(OK, OK),
            put(),
            exchange(OK, method="DELETE"),
            exchange(Response(status=0), Response(status=0)),
        )
    )
    base = "/api/orders from https://shop.example"
    assert found.value == (
        f"GET {base}: allowed",
        f"PUT {base}: allowed by the preflight",
        f"DELETE {base}: method-not-allowed",
        f"GET {base}: no answer",
    )
    assert f"method-not-allowed: DELETE {base}" in found.text


def test_a_large_matrix_is_cut_in_words_and_whole_in_data() -> None:
    many = [exchange(OK, OK) for _ in range(3)]
    paths = [Exchange(origin=f"https://{n}.example", method="GET", path="/") for n in range(40)]
    found = matrix(seen(*many, *paths))
    assert isinstance(found.value, tuple)
    assert len(found.value) == 43
    assert found.text.endswith("and 29 more")


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (None, "for 5 s"),
        ("0", "for 0 s"),
        ("-1", "for 0 s"),
        ("soon", "for 5 s"),
        ("600", ""),
        ("7200", ""),
        ("86400", "Chromium keeps a preflight for 7200 s at most"),
        ("9" * 5000, "for 5 s"),
    ],
)
def test_how_long_a_preflight_is_kept(age: str | None, said: str) -> None:
    answer = put(**({} if age is None else {"access-control-max-age": age}))
    notes = [note for note in remarks(seen(answer)) if "preflight for" in note]
    assert (said in notes[0]) if said else not notes


@pytest.mark.parametrize(
    ("origin", "peer", "told"),
    [
        ("https://www.example.com", "10.1.2.3", True),
        ("https://www.example.com", "::1", True),
        ("https://8.8.8.8", "127.0.0.1", True),
        ("https://www.example.com", "8.8.8.8", False),
        ("https://www.example.com", "", False),
        ("http://localhost:3000", "127.0.0.1", False),
        ("http://app.internal", "10.1.2.3", False),
        ("http://192.168.1.2", "10.1.2.3", False),
        ("null", "10.1.2.3", False),
    ],
)
def test_a_public_page_and_a_private_address(origin: str, peer: str, told: bool) -> None:
    one = Exchange(origin=origin, method="GET", path="/", preflight=OK)
    notes = [note for note in remarks(seen(one, peer=peer)) if "Local Network Access" in note]
    assert bool(notes) == told


def test_a_redirect_elsewhere_is_said_not_to_have_been_followed() -> None:
    headers = {**ALLOWED, "access-control-max-age": "600"}
    moved = Response(status=302, headers=headers, location="https://login.example/x")
    (note,) = remarks(seen(exchange(OK, moved)))
    assert "redirected to login.example" in note
    astray = Response(status=302, headers=headers, location="about:invalid")
    assert matrix(seen(exchange(OK, astray))).text.startswith("redirect-target: GET")


def test_a_halt_is_said() -> None:
    (note,) = remarks(seen(exchange(OK, OK), throttled=True))
    assert "the server answered 429" in note
