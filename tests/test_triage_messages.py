"""Every message leads somewhere; the browser's words, published ones, and any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.triage_words import CHECKS, MESSAGES, lead

from backend_doctor.triage import Message, read, telling_checks

CAUSES = {cause for check in CHECKS.values() for cause in check.causes}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.title)
class TestMessage:
    def test_it_leads_to_a_runbook_and_its_causes_have_sections(self, message: Message) -> None:
        assert message.runbook in CHECKS, f"no check {message.runbook}"
        assert CHECKS[message.runbook].runbook is not None
        assert set(message.causes) <= CAUSES, "left: its causes; right: all with a section"
        assert telling_checks(message, CHECKS)[0] == message.runbook
        assert message.causes or message.also

    def test_every_phrase_is_recognised_as_it_and_no_other(self, message: Message) -> None:
        for phrase in message.says:
            assert lead(phrase.replace("*", " X ")) == message.title

    def test_it_is_short_and_ranked(self, message: Message) -> None:
        assert 1 <= message.telling <= 9
        assert len(message.title) <= 60
        assert len(message.means) <= 240


def test_titles_are_unique_and_there_are_enough() -> None:
    titles = [message.title for message in MESSAGES]
    assert len(titles) == len(set(titles))
    assert len(titles) >= 20


# the browser's own words, as recorded with Chromium 156 for the Fetch rules
ACCESS = "Access to fetch at 'http://api:1/x' from origin 'http://app:2' has been blocked by CORS "
PREFLIGHT = ACCESS + "policy: Response to preflight request doesn't pass access control check: "
CONSOLE = [
    (
        ACCESS + "policy: No 'Access-Control-Allow-Origin' header is present on the requested "
        "resource.",
        "Browser: the answer has no Access-Control-Allow-Origin",
    ),
    (
        PREFLIGHT + "The 'Access-Control-Allow-Origin' header has a value 'http://b' that is not "
        "equal to the supplied origin.",
        "Browser: another origin is allowed, not this one",
    ),
    (
        ACCESS + "policy: The 'Access-Control-Allow-Origin' header contains multiple values "
        "'http://a, http://a', but only one is allowed.",
        "Browser: two Access-Control-Allow-Origin headers",
    ),
    (
        ACCESS + "policy: The value of the 'Access-Control-Allow-Origin' header in the response "
        "must not be the wildcard '*' when the request's credentials mode is 'include'.",
        "Browser: the wildcard does not go with credentials",
    ),
    (
        ACCESS + "policy: The value of the 'Access-Control-Allow-Credentials' header in the "
        "response is '' which must be 'true' when the request's credentials mode is 'include'.",
        "Browser: credentials are not allowed",
    ),
    (
        ACCESS + "policy: Request header field authorization is not allowed by "
        "Access-Control-Allow-Headers in preflight response.",
        "Browser: a request header is not allowed",
    ),
    (
        ACCESS + "policy: Method PUT is not allowed by Access-Control-Allow-Methods in preflight "
        "response.",
        "Browser: the method is not allowed",
    ),
    (PREFLIGHT + "It does not have HTTP ok status.", "Browser: the preflight was refused"),
    (
        PREFLIGHT + "Redirect is not allowed for a preflight request.",
        "Browser: the preflight was redirected",
    ),
    (
        ACCESS + "policy: Cannot parse Access-Control-Allow-Headers response header field in "
        "preflight response.",
        "Browser: a CORS header cannot be read",
    ),
    (
        ACCESS + "policy: Permission was denied for this request to access the `loopback` address "
        "space.",
        "Browser: a public page may not call a private address",
    ),
    (
        "Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote "
        "resource at http://api/x. (Reason: CORS header ‘Access-Control-Allow-Origin’ missing). "
        "Status code: 500.",
        "Browser: the answer has no Access-Control-Allow-Origin",
    ),
]


@pytest.mark.parametrize(("text", "title"), CONSOLE)
def test_the_browsers_console(text: str, title: str) -> None:
    assert lead(text) == title
    assert lead(text.replace("CORS policy: ", "CORS policy:\n", 1)) == title


# of libraries and of a kernel that no test here can have; their words as published
PUBLISHED = [
    ("Unclosed client session", "An HTTP client was not closed"),
    (
        "Out of memory: Killed process 812 (python3) total-vm:8388608kB, anon-rss:4194304kB",
        "The kernel ended a process for its memory",
    ),
    (
        "2026/01/02 03:04:05 [error] 7#7: *1 upstream timed out (110: Connection timed out) while "
        "reading response header from upstream",
        "A proxy in front got no good answer from the application",
    ),
]


@pytest.mark.parametrize(("text", "title"), PUBLISHED)
def test_published_words(text: str, title: str) -> None:
    assert lead(text) == title


def test_each_kind_once_with_its_count_and_the_most_telling_first() -> None:
    log = [
        "INFO started",
        "ERROR [Errno 111] Connection refused",
        "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 0 reached, ...",
        "FATAL:  sorry, too many clients already",
        "ERROR [Errno 111] Connection refused",
    ]
    found = read(log, MESSAGES)
    assert found.lines == 5
    assert [(s.message.title, s.lines) for s in found.sightings] == [
        ("PostgreSQL has no connection left", 1),
        ("SQLAlchemy found no free connection in time", 1),
        ("Nothing listens there", 2),
    ]


@pytest.mark.parametrize(
    "text",
    ["all is well", "GET /orders 200 12ms", "reached the end", "connection accepted", ""],
)
def test_what_is_no_message_is_not_taken_for_one(text: str) -> None:
    assert read([text], MESSAGES).sightings == ()


@given(st.lists(st.text(max_size=80), max_size=8))
def test_any_text_is_read(lines: list[str]) -> None:
    found = read(lines, MESSAGES)
    assert found.lines == len(lines)
    assert sum(sighting.lines for sighting in found.sightings) <= len(lines)
