"""What browsers write of a denied request (Chromium's own words: test_cors_chromium.py)."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.console import parse
from backend_doctor.triage import load_messages, read

MESSAGES = load_messages()
FIREFOX = (
    "Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at "
    "https://api.example.com/orders. "
)
# the words that Firefox and Safari are known to print; only Chromium runs in the tests
WORDS = {
    "firefox": (
        FIREFOX + "(Reason: CORS header \N{LEFT SINGLE QUOTATION MARK}Access-Control-Allow-Origin"
        "\N{RIGHT SINGLE QUOTATION MARK} missing). Status code: 500.",
        ("https://api.example.com/orders", ()),
    ),
    "firefox-credentials": (
        FIREFOX + "(Reason: Credential is not supported if the CORS header "
        "'Access-Control-Allow-Origin' is '*').",
        ("https://api.example.com/orders", ("--credentials",)),
    ),
    "firefox-header": (
        FIREFOX + "(Reason: header 'X-Tenant' is not allowed according to header "
        "'Access-Control-Allow-Headers' from CORS preflight response).",
        ("https://api.example.com/orders", ("--header", "x-tenant")),
    ),
    "safari": (
        "Origin https://app.example.com is not allowed by Access-Control-Allow-Origin. "
        "Status code: 500",
        ("", ("--origin", "https://app.example.com")),
    ),
    "chromium-xhr": (
        "Access to XMLHttpRequest at 'https://u:c4n4ry@api.example.com/orders?key=c4n4ry#c4n4ry' "
        "from origin 'https://app.example.com' has been blocked by CORS policy: Response to "
        "preflight request doesn't pass access control check: It does not have HTTP ok status.",
        ("https://api.example.com/orders", ("--origin", "https://app.example.com")),
    ),
}


@pytest.mark.parametrize(("text", "told"), WORDS.values(), ids=WORDS)
def test_what_is_told(text: str, told: tuple[str, tuple[str, ...]]) -> None:
    (sighting,) = read([text], MESSAGES).sightings
    assert sighting.blocked is not None
    assert (sighting.blocked.url, sighting.blocked.client.words) == told
    assert sighting.blocked.preflight == ("preflight" in text)
    assert "c4n4ry" not in repr(sighting.blocked)


def test_a_message_that_a_terminal_broke_is_read_whole() -> None:
    text = WORDS["chromium-xhr"][0]
    for place in (index for index, sign in enumerate(text) if sign == " " and index > 120):
        found = read([text[:place], text[place + 1 :]], MESSAGES).sightings
        if found and found[0].blocked:
            assert found[0].blocked.url == "https://api.example.com/orders"
            return
    raise AssertionError("never read")


URLS = st.one_of(st.text(), st.from_regex(r"https?://[^']{0,40}", fullmatch=True))


@given(URLS, URLS, st.text())
def test_hostile_words_are_read_or_not_and_never_run(url: str, origin: str, more: str) -> None:
    found = parse(f"Access to fetch at '{url}' from origin '{origin}' has been blocked {more}")
    if found is not None and found.words:
        words = shlex.split(shlex.join(found.words))
        assert words[0].startswith(("http://", "https://"))
        assert "?" not in words[0]
        assert "@" not in words[0].split("/")[2]
