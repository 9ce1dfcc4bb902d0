from collections.abc import Iterator
from shlex import quote

from backend_doctor import Finding, Instance, Login, check
from backend_doctor.backends.reachability import judge_login


@check
def reachability(login: Login, instance: Instance) -> Iterator[Finding]:
    """Redis cannot be reached, or does not let us in: says which step failed."""
    where = (
        f"-s {quote(instance.host)}"
        if instance.host.startswith("/")
        else (f"-h {quote(instance.host)} -p {instance.port}")
    )
    yield from judge_login(login, instance, product="Redis", ping=f"redis-cli {where} PING")
