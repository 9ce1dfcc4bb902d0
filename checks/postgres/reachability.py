from collections.abc import Iterator
from shlex import quote

from backend_doctor import Finding, Instance, Login, check
from backend_doctor.backends.reachability import judge_login


@check
def reachability(login: Login, instance: Instance) -> Iterator[Finding]:
    """PostgreSQL cannot be reached, or does not let us in: says which step failed."""
    ping = f"pg_isready -h {quote(instance.host)} -p {instance.port}"
    yield from judge_login(login, instance, product="PostgreSQL", ping=ping)
