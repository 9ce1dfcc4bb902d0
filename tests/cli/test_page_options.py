"""``check URL --origin`` and ``triage`` of a browser's message, against a real application."""

from pathlib import Path
from typing import Any

import pytest
from tests.backends.test_cors import PAGE, POLICY, orders
from tests.cli.test_triage import CANARY, triage
from tests.safety.tool import Ran, check, run
from tests.servers.web import serving


def evidence(ran: Ran) -> dict[str, Any]:
    """Of cors.preflight, by key."""
    return {one["key"]: one["value"] for one in ran.finding("cors.preflight")["evidence"]}


def test_a_url_is_asked_as_a_page_does_without_any_file() -> None:
    told = ("--origin", PAGE, "--header", "Authorization", "--credentials", "--window", "0")
    with serving(orders(**POLICY)) as server:
        url = f"{server.url}/api/orders?key={CANARY}"
        fine = check(url, *told, "--method", "PUT", "--method", "GET")
        denied = check(url, *told, "--method", "DELETE")
    assert fine.code == 0
    assert evidence(fine)["matrix"] == [
        f"PUT /api/orders from {PAGE}: allowed by the preflight",
        f"GET /api/orders from {PAGE}: allowed",
    ]
    assert denied.code == 2
    assert denied.causes() == {"cors.method_not_allowed"}
    assert {path for _, path, _ in server.requests} <= {"/", "/api/orders"}
    assert CANARY not in fine.out + denied.out


def test_a_report_names_the_command_that_asks_again() -> None:
    with serving(orders()) as server:
        ran = run("check", f"{server.url}/api/orders", "--origin", PAGE, "--window", "0")
    assert f"check --origin {PAGE} {server.url}/api/orders -v" in ran.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["redis://127.0.0.1:1", "--origin", PAGE], "no target is an http(s) URL"),
        (["http://127.0.0.1:1", "--method", "PUT"], "expected --origin"),
        (["http://127.0.0.1:1", "--origin", f"{PAGE}/path"], "expected an origin such as"),
        (["http://127.0.0.1:1", "--origin", "*"], "expected an origin such as"),
        (
            ["http://127.0.0.1:1", "--origin", PAGE, "--header", f"authorization: {CANARY}"],
            "expected the name alone of a header",
        ),
        (["http://127.0.0.1:1", "--origin", PAGE, "--method", "TRACE"], "expected a method"),
        (["--from", "x.json", "--origin", PAGE], "leave --origin out"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_message(arguments: list[str], said: str) -> None:
    ran = run("check", *arguments)
    assert ran.code == 3
    assert said in " ".join(ran.err.split())
    assert CANARY not in ran.out + ran.err


def message(url: str, rule: str) -> str:
    return f"Access to fetch at '{url}?token={CANARY}' from origin '{PAGE}' has been blocked by " \
           f"CORS policy: {rule}"  # fmt: skip


def test_a_browsers_message_tells_page_address_rule_and_the_command() -> None:
    rule = "Request header field x-tenant is not allowed by Access-Control-Allow-Headers in pre..."
    ran = triage(message("https://api.example.com/orders", rule))
    assert ran.returncode == 0
    words = " ".join(ran.stdout.split())
    assert "Browser: a request header is not allowed" in words
    assert f"Page {PAGE} asked https://api.example.com/orders" in words
    assert f"check https://api.example.com/orders --origin {PAGE} --header x-tenant" in words
    assert CANARY not in ran.stdout
    rule = "Response to preflight request doesn't pass access control check: It does not have HTTP "
    told = triage(message("https://api.example.com/orders", rule + "ok status.")).stdout
    assert "add --method and --header" in " ".join(told.split())


def test_with_a_service_just_that_request_is_asked_again(tmp_path: Path) -> None:
    config = tmp_path / "doctor.yaml"
    rule = "Method DELETE is not allowed by Access-Control-Allow-Methods in preflight response."
    with serving(orders(**POLICY)) as server:
        config.write_text(
            f"services: {{shop: {{http: {server.url}, "
            f"cors: {{url: '{server.url}/api', origins: [https://other.example], paths: [/x]}}}}}}"
        )
        text = message(f"{server.url}/api/orders", rule)
        ran = triage(text, "-t", "shop", "--config", str(config), "--window", "0")
    assert ran.returncode == 2, ran.stdout + ran.stderr
    words = " ".join(ran.stdout.split())
    assert f"DELETE /orders from {PAGE}: method-not-allowed" in words
    assert "other.example" not in words
    assert {path for _, path, _ in server.requests} <= {"/", "/api", "/api/", "/api/orders"}
