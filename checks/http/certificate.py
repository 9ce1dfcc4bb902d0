from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Measure,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.http.certificate import Certificate
from backend_doctor.backends.http.remedies import renew_certificate

_DAY = 86_400.0


@check
def certificate(
    found: Certificate,
    instance: Instance,
    *,
    warning_days: float = 14.0,
    critical_days: float = 3.0,
) -> Iterator[Finding]:
    """The TLS certificate has expired, or soon will.

    Let's Encrypt renews 30 days before the end, so 14 days left mean that renewal fails.
    """
    days = found.seconds_left / _DAY
    measure = Measure(
        name="certificate_seconds_left",
        value=found.seconds_left,
        unit="s",
        warning=warning_days * _DAY,
        critical=critical_days * _DAY,
        minimum=None,
    )
    evidence = Evidence(
        key="certificate_expires",
        value=found.expires,
        text=f"the certificate of {found.subject or ', '.join(found.names[:3])}, issued by "
        f"{found.issuer}, expires at {found.expires}",
        source="TLS handshake",
    )
    if days >= warning_days:
        trust = "" if found.verified else f" It does not verify: {found.problem}."
        summary = f"The certificate is valid for {days:.0f} more days.{trust}"
        yield Finding(status=Status.OK, summary=summary, evidence=(evidence,), measures=(measure,))
        return
    label = "tls.expired" if days <= 0 else "tls.expires_soon"
    because = "no browser and no client that verifies connects any more"
    if days > 0:
        because = "renewal should have happened by now and did not"
    yield Finding(
        status=Status.CRITICAL if days < critical_days else Status.WARNING,
        summary=f"The certificate expired {-days:.1f} days ago."
        if days <= 0
        else f"The certificate expires in {days:.1f} days.",
        evidence=(evidence,),
        cause=Cause(label=label, confidence=Confidence.CERTAIN, because=because),
        remedies=renew_certificate(instance),
        explains=("reach.tls",) if days <= 0 else (),
        subjects=(Subject(kind="login", value=instance.address),),
        measures=(measure,),
    )
