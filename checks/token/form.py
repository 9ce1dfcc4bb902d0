from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Finding,
    Measure,
    Status,
    Step,
    check,
)
from backend_doctor.backends.token.sample import SampleToken
from backend_doctor.backends.token.words import advice, evidence


def _malformed(sample: SampleToken) -> Finding:
    return Finding(
        status=Status.CRITICAL,
        summary=f"The sample is no token that a verifier reads: {sample.problem}.",
        evidence=(evidence("problem", sample.problem, sample.problem),),
        cause=Cause(
            label="token.malformed",
            confidence=Confidence.CERTAIN,
            because="the sample does not have the form header.payload.signature of a JWT, or "
            "libraries read it in different ways",
        ),
        remedies=(
            advice(
                "Read the sample again where the application stores it; compare its length.",
                "shows whether the whole token was copied, without the word Bearer and quotes",
                Step.CONFIRM,
            ),
        ),
        notes=sample.notes,
    )


def _too_large(sample: SampleToken, most: int, critical: bool) -> Finding:
    where = "header of most servers takes" if critical else "cookie may have"
    return Finding(
        status=Status.CRITICAL if critical else Status.WARNING,
        summary=f"The sample token has {sample.size} bytes, more than the {most} that a {where}.",
        evidence=(
            evidence("token_bytes", sample.size, f"{sample.size} bytes; {most} are allowed"),
        ),
        cause=Cause(
            label="token.too_large",
            confidence=Confidence.CERTAIN if critical else Confidence.LIKELY,
            because="servers refuse a longer header with 400 or 431, and browsers drop a longer "
            "cookie without a word",
        ),
        remedies=(
            advice(
                "Keep ids in the payload; look roles, permissions and profile up on the server.",
                "new tokens are small; those already issued stay as they are",
            ),
        ),
        notes=sample.notes,
    )


@check
def form(
    sample: SampleToken, *, cookie_bytes: int = 4_096, header_bytes: int = 8_160
) -> Iterator[Finding]:
    """A token that verifiers cannot read, or read differently, or that is too large to travel.

    ``cookie_bytes`` is what RFC 6265 has browsers keep of one cookie; ``header_bytes`` is what
    nginx (8 KiB) and Apache (8190) take of one header, less ``Authorization: Bearer``.
    """
    size = Measure(
        name="token_bytes", value=sample.size, unit="B", warning=cookie_bytes, critical=header_bytes
    )
    if sample.problem:
        yield _malformed(sample)
    elif sample.size > cookie_bytes:
        critical = sample.size > header_bytes
        yield _too_large(sample, header_bytes if critical else cookie_bytes, critical)
    else:
        kind = "an encrypted token (JWE)" if sample.encrypted else sample.words
        yield Finding(
            status=Status.OK,
            summary=f"The sample, {kind}, is well formed and has {sample.size} bytes.",
            measures=(size,),
            notes=sample.notes,
        )
