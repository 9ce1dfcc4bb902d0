from collections.abc import Iterator
from shlex import quote

from backend_doctor import Finding, Instance, Login, check
from backend_doctor.backends.reachability import judge_login


@check
def reachability(login: Login, instance: Instance) -> Iterator[Finding]:
    """PgBouncer's console cannot be reached, or does not let us in: says which step failed."""
    ping = f"psql -h {quote(instance.host)} -p {instance.port}"
    if instance.user:
        ping += f" -U {quote(instance.user)}"
    yield from judge_login(
        login, instance, product="PgBouncer", ping=f"{ping} -d pgbouncer -c 'SHOW VERSION'"
    )
