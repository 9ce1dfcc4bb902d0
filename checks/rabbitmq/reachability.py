from collections.abc import Iterator
from shlex import quote

from backend_doctor import Finding, Instance, Login, check
from backend_doctor.backends.reachability import judge_login


@check
def reachability(login: Login, instance: Instance) -> Iterator[Finding]:
    """RabbitMQ cannot be reached, or does not let us in: says which step failed."""
    # no client is as common as bash, and a broker answers these 8 bytes with "AMQP" or its greeting
    place = f"/dev/tcp/{instance.host}/{instance.port}"
    script = 'exec 3<>"$1" && printf "AMQP\\0\\0\\11\\1" >&3 && timeout 3 head -c 200 <&3 | strings'
    yield from judge_login(
        login,
        instance,
        product="RabbitMQ",
        ping=f"timeout 5 bash -c {quote(script)} ask {quote(place)}",
    )
