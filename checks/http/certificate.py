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
from backend_doctor.backends.http.certificate import Certificate, Link
from backend_doctor.backends.http.remedies import (
    certificate_for,
    renew_certificate,
    serve_chain,
    set_clock,
)

_DAY = 86_400.0
_SOURCE = "TLS handshake"


def _login(instance: Instance) -> tuple[Subject, ...]:
    return (Subject(kind="login", value=instance.address),)


def _shown(found: Certificate) -> Evidence:
    return Evidence(
        key="certificate_expires",
        value=found.expires,
        text=f"the certificate of {found.subject or ', '.join(found.names[:3])}, issued by "
        f"{found.issuer}, expires at {found.expires}",
        source=_SOURCE,
    )


def _ending(found: Certificate, instance: Instance, warning: float, critical: float) -> Finding:
    days = found.seconds_left / _DAY
    measure = Measure(
        name="certificate_seconds_left",
        value=found.seconds_left,
        unit="s",
        warning=warning * _DAY,
        critical=critical * _DAY,
        minimum=None,
    )
    if days >= warning:
        trust = "" if found.verified else f" It does not verify: {found.problem}."
        summary = f"The certificate is valid for {days:.0f} more days.{trust}"
        return Finding(
            status=Status.OK, summary=summary, evidence=(_shown(found),), measures=(measure,)
        )
    label = "tls.expired" if days <= 0 else "tls.expires_soon"
    because = "no browser and no client that verifies connects any more"
    if days > 0:
        because = "renewal should have happened by now and did not"
    return Finding(
        status=Status.CRITICAL if days < critical else Status.WARNING,
        summary=f"The certificate expired {-days:.1f} days ago."
        if days <= 0
        else f"The certificate expires in {days:.1f} days.",
        evidence=(_shown(found),),
        cause=Cause(label=label, confidence=Confidence.CERTAIN, because=because),
        remedies=renew_certificate(instance),
        explains=("reach.tls",) if days <= 0 else (),
        subjects=_login(instance),
        measures=(measure,),
    )


def _links(found: Certificate) -> Iterator[Link]:
    """The intermediate certificates that lead up from the server's own, one by one."""
    wanted, known = found.issuer, {link.subject: link for link in reversed(found.chain)}
    while (link := known.pop(wanted, None)) is not None and not link.self_signed:
        yield link
        wanted = link.issuer


def _intermediate(
    found: Certificate, instance: Instance, warning: float, critical: float
) -> Iterator[Finding]:
    """The intermediate that ends first, if that is before the certificate itself."""
    # one that has ended and does not matter is there for old clients, who take another way
    links = [one for one in _links(found) if not (found.verified and one.seconds_left <= 0)]
    first = min(links, key=lambda one: one.seconds_left, default=None)
    if first is None or first.seconds_left >= min(warning * _DAY, found.seconds_left):
        return
    days = first.seconds_left / _DAY
    label = "tls.intermediate_expires_soon" if days > 0 else "tls.intermediate_expired"
    when = f"expires in {days:.1f} days" if days > 0 else f"expired {-days:.1f} days ago"
    yield Finding(
        status=Status.CRITICAL if days < critical else Status.WARNING,
        summary=f"An intermediate certificate {when}, before the server's own.",
        evidence=(
            Evidence(
                key="intermediate_expires",
                value=first.expires,
                text=f"{first.subject}, issued by {first.issuer} and sent along by the server, "
                f"expires at {first.expires}",
                source=_SOURCE,
            ),
        ),
        cause=Cause(
            label=label,
            confidence=Confidence.LIKELY,
            because="a client that knows no other way to an authority that it trusts refuses the "
            "server's certificate, however long that is valid itself",
        ),
        remedies=serve_chain(instance),
        explains=("reach.tls",) if days <= 0 else (),
        subjects=_login(instance),
    )


def _refusal(found: Certificate, instance: Instance, cause: Cause) -> Finding:
    remedies = {
        "tls.not_yet_valid": set_clock,
        "tls.chain_incomplete": serve_chain,
        "tls.unknown_authority": serve_chain,
    }.get(cause.label, certificate_for)
    sent = len(found.chain)
    return Finding(
        status=Status.CRITICAL if found.problem else Status.WARNING,
        summary=f"The certificate is refused: {found.problem.rstrip('.')}."
        if found.problem
        else "Browsers refuse the certificate: it has no subjectAltName.",
        evidence=(
            Evidence(
                key="certificate_names",
                value=found.names[:10],
                text=f"asked as {instance.host}, the server shows a certificate for "
                f"{', '.join(found.names[:10]) or 'no name'} ({found.subject}), issued by "
                f"{found.issuer}, with {sent} more in its chain",
                source=_SOURCE,
            ),
        ),
        cause=cause,
        remedies=remedies(instance),
        explains=("reach.tls",) if found.problem else (),
        subjects=_login(instance),
    )


def _wrong_name(found: Certificate, instance: Instance) -> Cause | None:
    told = "mismatch" in found.problem
    foreign = not found.verified and bool(found.names) and not found.covers(instance.host)
    unnamed = found.verified and not found.names
    if not (told or foreign or unnamed):
        return None
    because = (
        "the server at this address answers with the certificate of another: DNS leads to the "
        "wrong place, or no virtual host there has this name"
    )
    if not found.names:
        because = "it names its host in commonName alone, which browsers have stopped to read"
    return Cause(label="tls.wrong_name", confidence=Confidence.CERTAIN, because=because)


def _untrusted(found: Certificate) -> Cause | None:
    """Why nobody vouches for it, in so far as OpenSSL's words tell."""
    said = found.problem.replace("self signed", "self-signed")
    issuer = found.issuer or "its issuer"
    if "not yet valid" in said:
        label, confidence = "tls.not_yet_valid", Confidence.LIKELY
        because = (
            "it was installed before its time, or the clock of this machine, and of every "
            "client that refuses it, is behind"
        )
    elif "self-signed" in said and "in certificate chain" not in said:
        label, confidence = "tls.self_signed", Confidence.CERTAIN
        because = "nobody but the server itself vouches for it"
    elif "issuer certificate" not in said and "first certificate" not in said:
        if "self-signed" not in said:
            return None
        label, confidence = "tls.unknown_authority", Confidence.CERTAIN
        because = "the authority at the end of its chain is not among those trusted here"
    elif not any(_links(found)) and (found.fetchable or found.chain):
        label, confidence = "tls.chain_incomplete", Confidence.LIKELY
        because = (
            f"the server does not send the certificate of {issuer} along, which clients do not "
            "have; browsers that have met it elsewhere connect, programs do not"
        )
    else:
        label, confidence = "tls.unknown_authority", Confidence.LIKELY
        because = f"its chain ends with {issuer}, which is not among the authorities trusted here"
    return Cause(label=label, confidence=confidence, because=because)


@check
def certificate(
    found: Certificate,
    instance: Instance,
    *,
    warning_days: float = 14.0,
    critical_days: float = 3.0,
) -> Iterator[Finding]:
    """The TLS certificate ends soon, is for another name, or is not vouched for.

    Let's Encrypt renews 30 days before the end, so 14 days left mean that renewal fails.
    """
    yield _ending(found, instance, warning_days, critical_days)
    yield from _intermediate(found, instance, warning_days, critical_days)
    for cause in (_wrong_name(found, instance), _untrusted(found)):
        if cause is not None:
            yield _refusal(found, instance, cause)
