from collections.abc import Iterator

from backend_doctor import Absent, Evidence, Finding, Status, Subject, check
from backend_doctor.backends.token.protected import Answer, ProtectedAnswers
from backend_doctor.backends.token.refusal_rules import OPEN, REFUSALS, UNVERIFIED, Rule

Told = tuple[tuple[str, Answer], ...]


def _evidence(told: Told) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            key=f"status_{words.replace(' ', '_')}",
            value=answer.status,
            text=f"{answer.status} {words}",
            source="GET of the declared protected endpoint",
        )
        for words, answer in told
    )


def _finding(answers: ProtectedAnswers, rule: Rule, told: Told) -> Finding:
    # what is told last was asked with garbage, if that is among them
    grave = rule.grave if told[-1][1] is answers.garbage else None
    how, answer = told[-1] if grave else told[0]
    return Finding(
        status=grave or rule.status,
        summary=rule.summary.format(
            path=answers.path, origin=answers.origin, status=answer.status, how=how
        ),
        evidence=_evidence(told),
        cause=rule.cause,
        remedies=rule.remedies_for(answers.origin),
        subjects=(Subject(kind="endpoint", value=answers.path),),
    )


def _found(answers: ProtectedAnswers, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    for rule in rules:
        if told := tuple(one for one in answers.told if rule.applies(one[1])):
            yield _finding(answers, rule, told)


def _cannot_tell(answers: ProtectedAnswers) -> str:
    """Why nothing can be said of tokens, or ""."""
    without = answers.without
    if not without.status:
        return f"{answers.path} gave no answer: {without.problem}"
    if answers.throttled:
        return f"{answers.path} answers 429: it was asked too often"
    if without.failed:
        return f"{answers.path} answers {without.status} even without a token"
    if without.status in (404, 405):
        return f"{answers.path} answers {without.status}: declare a path that answers GET"
    return ""


def _notes(answers: ProtectedAnswers) -> Iterator[str]:
    refused = [answer for _, answer in answers.told if answer.status == 401]
    if refused and not all(answer.challenge for answer in refused):
        yield "a 401 without WWW-Authenticate, which RFC 9110 asks for"
    if refused and not answers.origin:
        yield "no page's origin is declared, so CORS of the 401 was not judged"


@check
def protected(answers: ProtectedAnswers) -> Iterator[Finding]:
    """A protected endpoint that lets anyone in, or refuses so that clients do not renew.

    Asked by GET without a token, with an empty one and with one that is garbage: 401 is right.
    """
    why_not = _cannot_tell(answers)
    if why_not:
        raise Absent(why_not)
    entered = OPEN if answers.without.accepted else UNVERIFIED
    found = tuple(_found(answers, (entered,))) or tuple(_found(answers, REFUSALS))
    yield from found
    if not found:
        yield Finding(
            status=Status.OK,
            summary=f"{answers.path} answers {answers.without.status} without a valid token.",
            notes=tuple(_notes(answers)),
        )
