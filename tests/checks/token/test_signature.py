"""token.signature: facts in, findings out."""

import msgspec
import pytest
from tests.checks.token.builders import place, token

from backend_doctor import Absent, Finding, Status
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.backends.token.signing import SigningSecret
from backend_doctor.registry import bundled_folder, load_file

CHECK = load_file(bundled_folder() / "token" / "signature.py")
GOOD = SigningSecret(long_enough=("HS256", "HS384"))


def judge(sample: SampleToken | None, secret: SigningSecret | None) -> list[Finding]:
    found = list(CHECK.function(sample, secret, place()))
    assert all(isinstance(finding, Finding) for finding in found)
    return found


def causes(sample: SampleToken | None, secret: SigningSecret | None) -> set[tuple[str, Status]]:
    return {(f.cause.label, f.status) for f in judge(sample, secret) if f.cause}


@pytest.mark.parametrize(
    ("sample", "secret", "label", "status"),
    [
        (token(alg="none"), GOOD, "token.alg_none", Status.CRITICAL),
        (token(guessed=True), None, "token.weak_secret", Status.CRITICAL),
        (None, SigningSecret(weakness="placeholder"), "token.weak_secret", Status.CRITICAL),
        (token(), SigningSecret(weakness="repeated"), "token.weak_secret", Status.CRITICAL),
        (None, SigningSecret(weakness="service name"), "token.weak_secret", Status.CRITICAL),
        (None, SigningSecret(), "token.weak_secret", Status.WARNING),
        (token(alg="HS512"), GOOD, "token.weak_secret", Status.WARNING),
        (token(signature="wrong"), GOOD, "token.wrong_key", Status.CRITICAL),
        (
            token(alg="RS256", signature="verified"),
            SigningSecret(kind="public key", rsa_bits=1024),
            "token.weak_key",
            Status.WARNING,
        ),
    ],
)
def test_each_illness_is_named(
    sample: SampleToken | None, secret: SigningSecret | None, label: str, status: Status
) -> None:
    assert causes(sample, secret) == {(label, status)}


@pytest.mark.parametrize(("service", "shown"), [("shop", True), ("adhoc", False)])
def test_a_configuration_is_shown_only_where_there_is_one(service: str, shown: bool) -> None:
    where = msgspec.structs.replace(place(), service=service)
    (finding,) = CHECK.function(token(signature="wrong"), GOOD, where)
    commands = [remedy.command for remedy in finding.remedies]
    assert ("backend-doctor config show" in commands) is shown
    assert any("given on the command line" in command for command in commands) is not shown


def test_two_illnesses_are_two_findings() -> None:
    weak = SigningSecret(weakness="placeholder")
    assert {label for label, _ in causes(token(signature="wrong"), weak)} == {
        "token.weak_secret",
        "token.wrong_key",
    }


@pytest.mark.parametrize(
    ("sample", "secret"),
    [
        (token(signature="verified"), GOOD),
        (token(), None),
        (token(alg="RS256"), SigningSecret(kind="public key")),
        (token(alg="RS256"), SigningSecret(kind="public key", rsa_bits=2048)),
        (token(alg="RS256"), SigningSecret()),
        (None, GOOD),
        (token(problem="torn"), GOOD),
    ],
)
def test_what_is_sound_is_fine(sample: SampleToken | None, secret: SigningSecret | None) -> None:
    (finding,) = judge(sample, secret)
    assert finding.status is Status.OK


def test_an_unverified_signature_is_not_called_right() -> None:
    (finding,) = judge(token(), None)
    assert "not verified" in finding.summary


def test_nothing_to_judge_is_skipped() -> None:
    with pytest.raises(Absent):
        judge(None, None)
