from collections.abc import Iterator
from shlex import quote

from backend_doctor import Finding, Instance, Login, check
from backend_doctor.backends.reachability import judge_login


@check
def reachability(login: Login, instance: Instance) -> Iterator[Finding]:
    """MongoDB cannot be reached, or does not let us in: says which step failed."""
    where = (
        quote(instance.host)
        if instance.host.startswith("/")
        else (f"--host {quote(instance.host)} --port {instance.port}")
    )
    ask = "db.hello()"
    yield from judge_login(
        login, instance, product="MongoDB", ping=f"mongosh --quiet {where} --eval {quote(ask)}"
    )
