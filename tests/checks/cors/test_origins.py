"""cors.origins: facts in, findings out (real servers: tests/backends/test_cors.py)."""

from tests.checks.cors.test_preflight import PAGE, exchange

from backend_doctor import Finding, Status
from backend_doctor.backends.cors.exchanges import Exchange, Response, Step
from backend_doctor.backends.cors.preflights import Preflights
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "cors" / "origins.py")
STRANGER = "https://x.example"


def stranger(
    guise: str = "any", *, at: str = STRANGER, origin: str = "", credentials: str = ""
) -> Exchange:
    """One that was asked ``at``, and the origin and credentials that it was answered."""
    named = {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": credentials,
    }
    answer = Response(status=200, headers={key: value for key, value in named.items() if value})
    return Exchange(
        origin=at,
        method="GET",
        path="/",
        declared=False,
        guise=guise,
        answers=((Step(url="http://api/", actual=answer),),),
    )


def echo(guise: str, *origins: str, credentials: str = "true") -> list[Exchange]:
    """Strangers let in by their names."""
    return [stranger(guise, at=one, origin=one, credentials=credentials) for one in origins]


OTHER = "https://y.example"


def judge(
    *strangers: Exchange, refused: tuple[Exchange, ...] = (), own: Exchange | None = None
) -> list[Finding]:
    mine = own or exchange(None)
    seen = Preflights(
        url="http://api", exchanges=(mine,), strangers=strangers, refused=refused, wanted=1
    )
    return list(CHECK.function(seen))


def label(finding: Finding) -> str:
    return finding.cause.label if finding.cause else ""


def test_an_echo_of_two_names_with_credentials_is_critical() -> None:
    (finding,) = judge(*echo("any", STRANGER, OTHER))
    assert (finding.status, label(finding)) == (Status.CRITICAL, "cors.reflects_any_origin")
    assert "never `*` with credentials" in finding.remedies[0].effect
    assert judge(*echo("any", STRANGER), stranger(at=OTHER))[0].status is Status.OK


def test_each_cause_once_and_the_worst_of_it() -> None:
    pattern = [
        *echo("prefix", "https://a.x", "https://b.x"),
        *echo("dot", "https://c", "https://d"),
    ]
    found = judge(*pattern, *echo("null", "null"))
    assert {label(one) for one in found} == {"cors.origin_pattern_hole", "cors.null_origin_allowed"}
    assert len(found) == 2


def test_subdomains_are_advice() -> None:
    (finding,) = judge(*echo("subdomain", "https://a.shop.example", "https://b.shop.example"))
    assert finding.status is Status.OK
    assert "any name beneath the domain" in finding.notes[0]


def test_plain_http_counts_only_beside_https() -> None:
    plain = echo("plain", "http://shop.example")
    named = {"access-control-allow-origin": PAGE}
    (finding,) = judge(*plain, own=exchange(None, Response(status=200, headers=named)))
    assert (finding.status, label(finding)) == (
        Status.WARNING,
        "cors.plain_http_origin_allowed",
    )
    # the list has http by mistake: that is said of the origin which is shut out
    assert judge(*plain)[0].status is Status.OK


def test_a_public_api_is_fine() -> None:
    for answer in (
        [stranger(origin="*"), stranger(at=OTHER, origin="*")],
        echo("any", STRANGER, OTHER, credentials=""),
        [stranger()],
    ):
        assert judge(*answer)[0].status is Status.OK


def test_a_declared_refusal_counts_without_credentials_too() -> None:
    for answer in (stranger(origin="*"), stranger(origin=STRANGER)):
        (finding,) = judge(stranger(), refused=(answer,))
        assert (finding.status, label(finding)) == (Status.WARNING, "cors.reflects_any_origin")


def test_vary_matters_where_a_shared_cache_keeps_the_answer() -> None:
    named = {"access-control-allow-origin": PAGE}
    cached = {**named, "cache-control": "public, max-age=60"}

    def own(headers: dict[str, str]) -> Exchange:
        return exchange(None, Response(status=200, headers=headers))

    (finding,) = judge(stranger(), own=own(cached))
    assert (finding.status, label(finding)) == (Status.WARNING, "cors.missing_vary")
    (noted,) = judge(stranger(), own=own(named))
    assert noted.status is Status.OK
    assert "Vary" in noted.notes[0]
    (told,) = judge(stranger(), own=own({**cached, "vary": "Accept, Origin"}))
    assert not told.notes
    (constant,) = judge(stranger(origin=PAGE), own=own(cached))
    assert constant.status is Status.OK
    # what names the strangers too does not depend on a list of origins
    (open_one,) = judge(*echo("any", STRANGER, OTHER, credentials=""), own=own(cached))
    assert label(open_one) == ""


def test_nothing_tried_is_not_fine() -> None:
    assert judge()[0].status is Status.UNKNOWN
