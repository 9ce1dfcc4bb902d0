"""What findings about a sample have in common."""

from backend_doctor.model import Evidence, Remedy, Step, Value


def evidence(key: str, value: Value, text: str) -> Evidence:
    """Something that the sample shows."""
    return Evidence(key=key, value=value, text=text, source="sample token, decoded offline")


def advice(command: str, effect: str, step: Step = Step.CURE) -> Remedy:
    """A change of code or configuration, by a line to put there or in words."""
    return Remedy(step=step, command=command, effect=effect, language="text")


LOOK_INSIDE = Remedy(
    step=Step.CONFIRM,
    command="cut -d. -f2 token.jwt | tr '_-' '/+' | base64 -d 2>/dev/null; echo",
    effect="shows the payload on your own machine; never paste a live token into a web page",
    language="sh",
)
"""For what a report does not show."""
