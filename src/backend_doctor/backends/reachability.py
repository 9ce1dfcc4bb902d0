"""What a failed login means, for every backend that has one: one cause each, told apart."""

from collections.abc import Iterator
from shlex import quote

from backend_doctor.endpoint import DEFAULT_PORTS
from backend_doctor.facts import Instance, Login, Problem
from backend_doctor.model import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Measure,
    Remedy,
    Status,
    Step,
    Subject,
)

_BECAUSE = {
    Problem.NAME_UNKNOWN: "the host's name does not resolve here",
    Problem.REFUSED: "nothing listens there: the server is down, or host or port are wrong",
    Problem.TIMED_OUT: "packets are dropped on the way (firewall, wrong address), or the server "
    "is too stuck to answer",
    Problem.TLS: "both sides do not agree on an encrypted connection",
    Problem.LOGIN: "the server is there and refuses these credentials",
    Problem.RIGHTS: "the login is right, but this user may not connect here",
    Problem.FULL: "the server has no free connection for a user without special rights",
    Problem.STARTING: "the server is starting, stopping or recovering, and takes no clients yet",
    Problem.LOST: "the server let us in and then ended the connection: it went down, was "
    "restarted, or somebody ended our session; no login was tried again",
    Problem.OTHER: "the connection ended before a login was possible",
}


# told apart by the server's own code where the problem alone would mislead
_BECAUSE_CODE = {
    (Problem.LOGIN, "3D000"): "the server is there, but it has no database of that name",
    (Problem.LOGIN, "530"): "the server is there, but it has no virtual host of that name",
    (Problem.OTHER, "replicaSet"): "a driver that is told another set's name finds no member",
}


def _summary(login: Login, product: str) -> str:
    place = login.address
    texts = {
        Problem.NAME_UNKNOWN: f"The name in {place} is unknown: {login.message}.",
        Problem.REFUSED: f"Nothing listens at {place}: {login.message}.",
        Problem.TIMED_OUT: f"No answer from {place} within {login.limit:g} s.",
        Problem.WRONG_PROTOCOL: f"{login.answered_by or 'Something else'} answers at {place}, "
        f"not {product}.",
        Problem.TLS: f"TLS with {place} failed: {login.message}.",
        Problem.LOGIN: f"{product} at {place} refuses the login: {login.message}.",
        Problem.RIGHTS: f"{product} at {place} lets this user in no further: {login.message}.",
        Problem.FULL: f"{product} at {place} is full: {login.message}.",
        Problem.LOST: f"{product} at {place} was lost between the looks: {login.message}.",
        Problem.STARTING: f"{product} at {place} takes no clients yet: {login.message}.",
    }
    return texts.get(login.problem, f"The login at {place} failed: {login.message}.")


def where_it_came_from(instance: Instance, *, effect: str) -> Remedy:
    """Where to look what was configured, also for a target that no configuration holds;
    ``effect`` says what is seen in a configuration."""
    if instance.adhoc:
        return Remedy(
            step=Step.CONFIRM,
            command="compare it with the target that was given on the command line (what env:NAME "
            "or file:PATH holds)",
            effect="it came from there",
            language="text",
        )
    return Remedy(
        step=Step.CONFIRM, command="backend-doctor config show", effect=effect, language="sh"
    )


def _remedies(login: Login, instance: Instance, ping: str) -> tuple[Remedy, ...]:
    service = f"{instance.service}.{instance.backend}"
    origin = where_it_came_from(
        instance, effect=f"shows the address used for {service} and where it came from"
    )
    if login.problem is Problem.NAME_UNKNOWN:
        ask = Remedy(
            step=Step.CONFIRM,
            command=f"getent hosts {quote(instance.host)}",
            effect="asks this machine's resolver for the name",
            language="sh",
        )
        return ask, origin
    if login.problem is Problem.LOST:
        return (_again(ping),)
    if login.problem in (Problem.LOGIN, Problem.RIGHTS):
        grants = Remedy(
            step=Step.CURE,
            command=f"backend-doctor grants {instance.backend}",
            effect="prints the role and rights that the checks need",
            language="sh",
        )
        return origin, grants
    return _again(ping), origin


def _again(ping: str) -> Remedy:
    return Remedy(
        step=Step.CONFIRM, command=ping, effect="asks again from this machine", language="sh"
    )


def _attempt(login: Login) -> str:
    took = f"{login.seconds:.2f} s of {login.limit:g} s"
    if login.problem is Problem.LOST:
        return f"let in after {took}, then cut off"
    return f"one attempt, {took}"


def judge_login(login: Login, instance: Instance, *, product: str, ping: str) -> Iterator[Finding]:
    """One finding: ok with the seconds it took, or critical with one ``reach.*`` cause.

    ``ping`` is the shell command that asks the same server again, quoted by the caller.
    """
    measure = Measure(name="login_seconds", value=login.seconds, unit="s", maximum=login.limit)
    if login.ok:
        summary = f"{login.server} answers in {login.seconds * 1000:.0f} ms."
        yield Finding(status=Status.OK, summary=summary, measures=(measure,), notes=login.notes)
        return
    said = " ".join(part for part in (login.code, login.message) if part)
    because = _BECAUSE_CODE.get((login.problem, login.code)) or _BECAUSE.get(
        login.problem,
        f"the port is another one's: {login.answered_by} listens there; {product}'s usual port is "
        f"{DEFAULT_PORTS.get(instance.backend, 'another')}",
    )
    yield Finding(
        status=Status.CRITICAL,
        summary=_summary(login, product),
        evidence=(
            Evidence(
                key="login_problem",
                value=login.problem.value,
                text=f"{_attempt(login)}: {said or login.problem.value}",
                source="login",
            ),
        ),
        cause=Cause(
            label=f"reach.{login.problem.value}",
            confidence=Confidence.POSSIBLE
            if login.problem is Problem.OTHER and login.code != "replicaSet"
            else Confidence.CERTAIN,
            because=because,
        ),
        remedies=_remedies(login, instance, ping),
        explains=("pgbouncer.server_unavailable",) if instance.backend == "postgres" else (),
        subjects=(Subject(kind="login", value=instance.address),),
    )
