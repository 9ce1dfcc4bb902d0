from collections.abc import Iterator

from backend_doctor import Finding, Instance, Login, check
from backend_doctor.backends.http.remedies import ask_again
from backend_doctor.backends.reachability import judge_login


@check
def reachability(login: Login, instance: Instance) -> Iterator[Finding]:
    """The service's HTTP address cannot be reached: says which step failed."""
    yield from judge_login(login, instance, product="HTTP", ping=ask_again(instance))
