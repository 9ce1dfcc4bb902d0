from collections.abc import Iterator

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Status,
    Subject,
    check,
)
from backend_doctor.backends.http.remedies import refuse_old_tls
from backend_doctor.backends.http.tls import TlsVersions


def _spoken(versions: TlsVersions) -> Iterator[Evidence]:
    if versions.agreed:
        yield Evidence(
            key="tls_version",
            value=versions.agreed,
            text=f"a client of today gets {versions.agreed}",
            source="TLS handshake",
        )
    if versions.old:
        yield Evidence(
            key="old_tls_version",
            value=versions.old,
            text=f"a client that offers TLS 1.0 and 1.1 only gets {versions.old}",
            source="a handshake of its own, ended at once",
        )


@check
def tls_version(versions: TlsVersions, instance: Instance) -> Iterator[Finding]:
    """The server speaks TLS below 1.2: beside newer versions, or nothing else.

    RFC 8996 (2021) forbids TLS 1.0 and 1.1; browsers have refused them since 2020.
    """
    evidence = tuple(_spoken(versions))
    subjects = (Subject(kind="login", value=instance.address),)
    if not versions.old:
        doubt = f"whether older ones are taken too is not known: {versions.doubt}"
        agreed = f"a client of today gets {versions.agreed or 'none'}"
        yield Finding(
            status=Status.OK if versions.agreed else Status.UNKNOWN,
            summary=f"No old version of TLS is agreed on; {agreed}.",
            evidence=evidence,
            notes=(doubt,) if versions.doubt else (),
            subjects=subjects,
        )
        return
    label = "tls.old_version_taken" if versions.agreed else "tls.old_version_only"
    because = "its list of protocols still holds versions whose signatures and ciphers are broken"
    if not versions.agreed:
        because = "it offers nothing newer, so browsers and current libraries do not connect"
    yield Finding(
        status=Status.WARNING if versions.agreed else Status.CRITICAL,
        summary=f"The server still takes {versions.old}."
        if versions.agreed
        else f"The server speaks {versions.old} at best.",
        evidence=evidence,
        cause=Cause(label=label, confidence=Confidence.CERTAIN, because=because),
        remedies=refuse_old_tls(instance),
        explains=() if versions.agreed else ("reach.tls",),
        subjects=subjects,
    )
