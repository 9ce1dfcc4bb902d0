from collections.abc import Iterator
from shlex import quote

from backend_doctor import (
    Cause,
    Confidence,
    Evidence,
    Finding,
    Instance,
    Login,
    Problem,
    Remedy,
    Status,
    Step,
    Subject,
    check,
)
from backend_doctor.backends.reachability import where_it_came_from


def _cause(login: Login) -> Cause:
    if login.problem is Problem.REFUSED:
        label, because = "reach.refused", "it has ended, or runs on another machine"
    elif login.problem is Problem.RIGHTS:
        label, because = "reach.rights", "it is another user's, and hidden from this one"
    elif login.problem is Problem.LOST:
        label, because = "reach.lost", "it was there at first and ended while it was looked at"
    else:
        label, because = "reach.other", "what the configuration says fits no process, or several"
    confidence = Confidence.POSSIBLE if label == "reach.other" else Confidence.CERTAIN
    return Cause(label=label, confidence=confidence, because=because)


def _look(address: str) -> str:
    way, _, value = address.partition(" ")
    return {
        "pid": f"ps -o pid,ppid,user,lstart,args -p {quote(value)}",
        "pidfile": f'ps -o pid,ppid,user,lstart,args -p "$(head -1 {quote(value)})"',
        "port": f"ss -ltnp {quote(f'sport = :{value}')}",
        "unit": f"systemctl status --no-pager {quote(value)}",
    }.get(way, f"pgrep -af -- {quote(value)}")


@check
def reachability(login: Login, instance: Instance) -> Iterator[Finding]:
    """The application's process is not there, or may not be looked at."""
    if login.ok:
        yield Finding(status=Status.OK, summary=f"{login.server} runs.", notes=login.notes)
        return
    yield Finding(
        status=Status.CRITICAL,
        summary=f"{login.message[:1].upper()}{login.message[1:]}.",
        evidence=(
            Evidence(
                key="login_problem",
                value=login.problem.value,
                text=f"looked for by {login.address}: {login.message}",
                source="/proc and the socket table",
            ),
        ),
        cause=_cause(login),
        remedies=(
            Remedy(
                step=Step.CONFIRM,
                command=_look(login.address),
                effect="looks for it again; as root it shows every user's processes",
                language="sh",
            ),
            where_it_came_from(
                instance, effect="shows how the process is named, and where that was configured"
            ),
        ),
        subjects=(Subject(kind="login", value=instance.address),),
    )
