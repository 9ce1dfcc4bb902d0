"""What findings about a sample have in common."""

from shlex import quote

from backend_doctor.endpoint import public_url
from backend_doctor.facts import Instance
from backend_doctor.model import Evidence, Remedy, Step, Value

NO_FILE = "sample token"
"""Where a sample is that stands in no file."""


def evidence(key: str, value: Value, text: str) -> Evidence:
    """Something that the sample shows."""
    return Evidence(key=key, value=value, text=text, source="sample token, decoded offline")


def advice(command: str, effect: str, step: Step = Step.CURE) -> Remedy:
    """A change of code or configuration, by a line to put there or in words."""
    return Remedy(step=step, command=command, effect=effect, language="text")


def declared_keys(instance: Instance) -> str:
    """The declared URL of the issuer's key set, without what may be private in it; "" if none."""
    url = instance.settings.get("jwks")
    return public_url(url) if isinstance(url, str) else ""


def ask_the_issuer(url: str) -> Remedy:
    """One document that the issuer publishes, by hand."""
    return Remedy(
        step=Step.CONFIRM,
        command=f"curl -si {quote(url)} | head -20",
        effect="shows what the issuer answers; ask from where a verifier runs",
        language="sh",
    )


def look_inside(instance: Instance) -> Remedy:
    """For what a report does not show; where the sample is no file, it is to be made one."""
    file = "token.jwt" if instance.address == NO_FILE else instance.address
    return Remedy(
        step=Step.CONFIRM,
        command=f"cut -d. -f2 <{quote(file)} | tr '_-' '/+' | base64 -d 2>/dev/null; echo",
        effect="shows the payload on your own machine; never paste a live token into a web page",
        language="sh",
    )
