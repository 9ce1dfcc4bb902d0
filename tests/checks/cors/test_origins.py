"""cors.origins: facts in, findings out (real servers: tests/backends/test_cors.py)."""

from tests.checks.cors.test_preflight import PAGE, exchange

from backend_doctor import Finding, Status
from backend_doctor.backends.cors.preflights import Exchange, Preflights, Response, Step
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "cors" / "origins.py")
STRANGER = "https://x.example"


def stranger(**headers: str) -> Exchange:
    named = {f"access-control-allow-{key}": value for key, value in headers.items()}
    answer = Response(status=200, headers=named)
    return Exchange(
        origin=STRANGER,
        method="GET",
        path="/",
        declared=False,
        answers=((Step(url="http://api/", actual=answer),),),
    )


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


def test_an_echo_with_credentials_is_critical() -> None:
    (finding,) = judge(stranger(origin=STRANGER, credentials="true"))
    assert (finding.status, label(finding)) == (Status.CRITICAL, "cors.reflects_any_origin")
    assert "never `*` with credentials" in finding.remedies[0].effect


def test_a_public_api_is_fine() -> None:
    for answer in (
        stranger(origin="*"),
        stranger(origin=STRANGER),
        stranger(),
        stranger(origin=""),
    ):
        assert judge(answer)[0].status is Status.OK


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
    # what names the strangers too does not depend on a list of origins
    (open_one,) = judge(stranger(origin=STRANGER), own=own(cached))
    assert label(open_one) == ""


def test_nothing_tried_is_not_fine() -> None:
    assert judge()[0].status is Status.UNKNOWN
