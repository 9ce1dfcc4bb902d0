"""The cause of each denial: one row for each kind, and what the answers add to it."""

from dataclasses import dataclass

from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.backends.cors.stacks import NAMES, PROXIES
from backend_doctor.backends.cors.verdicts import Blockade, echoed
from backend_doctor.model import Cause, Confidence

_CODES = {
    "wildcard-credentials": "wildcard",
    "header-wildcard-credentials": "header",
    "header-not-allowed": "header",
    "method-wildcard-credentials": "method",
    "method-not-allowed": "method",
    "acao-missing": "origin",
    "acao-mismatch": "origin",
    "acao-multiple": "duplicate",
    "acac-not-true": "credentials",
    "preflight-auth": "auth",
    "preflight-redirect": "redirect",
    "preflight-unanswered": "unanswered",
    "preflight-status": "unanswered",
    "redirect-without-cors": "hop",
    "redirect-null-origin": "hop",
    "redirect-preflight": "hop",
    "redirect-target": "hop",
}
# what a proxy answers in its own words, of which the application knows nothing
_OF_PROXIES = {"preflight-unanswered", "preflight-auth", "error-without-cors"}
_UNAUTHORIZED = (401, 407)


@dataclass(frozen=True)
class Denial:
    """``because`` may name the ``{detail}`` of the rule; ``cure`` is the recipe's name."""

    label: str
    cure: str
    because: str


DENIALS = {
    "origin": Denial(
        "cors.origin_not_allowed",
        "origin",
        "the server does not list this origin: every page from there is shut out",
    ),
    "header": Denial(
        "cors.header_not_allowed",
        "header",
        "the preflight does not allow the header ({detail}) that the client sends",
    ),
    "method": Denial(
        "cors.method_not_allowed", "method", "the preflight does not allow the method ({detail})"
    ),
    "wildcard": Denial(
        "cors.wildcard_with_credentials",
        "credentials",
        "the server answers `*`, which browsers refuse to every client that sends credentials",
    ),
    "credentials": Denial(
        "cors.credentials_not_allowed",
        "credentials",
        "the client sends credentials, and Access-Control-Allow-Credentials is not exactly `true`",
    ),
    "duplicate": Denial(
        "cors.duplicate_header",
        "duplicate",
        "two places set Access-Control-Allow-Origin; browsers refuse more than one value",
    ),
    "auth": Denial(
        "cors.preflight_blocked_by_auth",
        "auth",
        "something in front of CORS wants credentials, and a preflight never carries any",
    ),
    "redirect": Denial(
        "cors.preflight_redirect",
        "redirect",
        "the preflight is redirected, which no browser follows",
    ),
    "unanswered": Denial(
        "cors.preflight_fails",
        "preflight",
        "the preflight fails: nothing there answers OPTIONS as CORS asks",
    ),
    "hop": Denial(
        "cors.redirect_without_headers",
        "redirect",
        "the request is redirected, and a step on the way does not allow this origin",
    ),
    "server_error": Denial(
        "cors.error_masks_5xx",
        "error",
        "the request is allowed and fails on the server; the error lacks the CORS headers, so the "
        "browser calls it a CORS error",
    ),
    "error": Denial(
        "cors.error_without_headers",
        "error",
        "errors lack the CORS headers that other answers have: clients cannot tell a 404 from a "
        "broken network",
    ),
    "locked": Denial(
        "cors.auth_outside_cors",
        "auth",
        "authentication stands outside of CORS: its 401 lacks the headers, so that clients cannot "
        "tell an expired login from a broken network, and never refresh it",
    ),
    "proxy": Denial(
        "cors.proxy_error",
        "proxy",
        "what stands in front answered by itself; the CORS headers are the application's, which "
        "never saw the request",
    ),
}


def kind_of(found: Blockade) -> str:
    """Which row a blockade belongs to."""
    if found.code == "preflight-credentials":
        return "wildcard" if found.detail == "*" else "credentials"
    if found.code == "malformed-list":
        return "method" if found.detail.startswith("access-control-allow-methods") else "header"
    unauthorized = found.status in _UNAUTHORIZED
    if found.code in _OF_PROXIES and found.answer.author in PROXIES and not unauthorized:
        return "proxy"
    if found.code == "error-without-cors":
        return "server_error" if found.status >= 500 else "locked" if unauthorized else "error"
    return _CODES[found.code]


def cause_of(kind: str, found: Blockade, seen: Preflights) -> Cause:
    """The row's cause, with what the answers tell of who is at fault."""
    row = DENIALS[kind]
    return Cause(
        label=row.label,
        confidence=Confidence.CERTAIN,
        because=row.because.replace("{detail}", found.fault) + _told(kind, found, seen),
    )


def _told(kind: str, found: Blockade, seen: Preflights) -> str:
    front = NAMES.get(seen.layers.proxy, "")
    author = NAMES.get(found.answer.author, "")
    if kind == "origin":
        alike = [one for one in seen.strangers if one.guise in ("slash", "plain")]
        listed = next((one.origin for one in alike if echoed(one)[0]), "")
        return f"; it lists {listed}, which no such page ever sends" if listed else ""
    if kind == "duplicate" and front:
        return f"; {front} in front adds it to the application's"
    if kind == "unanswered" and author:
        dropped = f", or {front} drops the Origin header on the way" if front else ""
        return f"; {author} wrote that answer: it has no CORS middleware there{dropped}"
    if kind == "proxy":
        return f" ({author}, status {found.status})"
    return ""
