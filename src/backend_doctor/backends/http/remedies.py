"""Commands to hand to a person: quoted by rule; they read, or are run by that person."""

from collections.abc import Iterable
from shlex import quote

from backend_doctor.facts import Instance
from backend_doctor.model import Remedy, Step


def ask_again(instance: Instance) -> str:
    """One TCP and TLS handshake and one request, with what happens on the way."""
    place = f"[{instance.host}]" if ":" in instance.host else instance.host
    scheme = "https" if instance.port in (443, 8443) else "http"
    url = f"{scheme}://{place}:{instance.port}/"
    return f"curl -sv -o /dev/null --max-time 5 {quote(url)}"


def look_at_answers(url: str) -> Remedy:
    """The failing answer itself."""
    return Remedy(
        step=Step.CONFIRM,
        command=f"curl -si --max-time 10 {quote(url)}",
        effect="shows the whole answer; its body often names what failed",
        language="sh",
    )


def read_the_log(seconds: int = 300) -> Remedy:
    """The traceback that the client is not shown."""
    return Remedy(
        step=Step.CONFIRM,
        command=f"journalctl -u YOUR-SERVICE --since '-{seconds} seconds' | grep -A 30 Traceback",
        effect="shows the exception behind the last failures, where the service logs to journald",
        language="sh",
    )


def errors_name(meanings: Iterable[str]) -> Remedy:
    """Where to go on, when the answers name another backend's error."""
    return Remedy(
        step=Step.CURE,
        command=f"Mend what the answers name: {'; '.join(meanings)}.",
        effect="the HTTP errors are its symptom; restarting the application only hides it",
        language="text",
    )


def enlarge_pool(
    size: int, overflow: int, spare: int, *, needed: int, figures: str
) -> tuple[Remedy, ...]:
    """A pool as large as the work ``needed`` in one process, as far as the server's ``spare``
    slots allow; ``figures`` say in words how that was found, "" if it was not."""
    wanted = max(size + 1, min(needed - max(overflow, 0), size + spare))
    counted = (
        f"{figures}; those who queue now will add to it: look again afterwards"
        if figures
        else ("one step at a time, looking again after each")
    )
    return (
        Remedy(
            step=Step.CONFIRM,
            command="SELECT application_name, state, count(*), max(now() - state_change)\n"
            "  FROM pg_stat_activity WHERE backend_type = 'client backend'\n"
            " GROUP BY 1, 2 ORDER BY 3 DESC;",
            effect="run it a few times: sessions of an undersized pool are all at work, and none "
            "for long",
        ),
        Remedy(
            step=Step.CURE,
            command=f"create_async_engine(url, pool_size={wanted}, max_overflow={max(overflow, 0)},"
            " pool_timeout=5)",
            effect=f"connections for each process: {counted}; the server has {spare} slots to "
            "spare for all processes together, so multiply by replicas x workers first",
            changes_state=True,
            language="text",
        ),
        Remedy(
            step=Step.PREVENT,
            command="pool_size >= requests per second x seconds that a request holds a connection",
            effect="take connections late and give them back early: no call to elsewhere between; "
            "limit the requests that run at once instead of letting them wait",
            language="text",
        ),
    )


def renew_certificate(instance: Instance) -> tuple[Remedy, ...]:
    """What the server shows now, and how to renew it."""
    place = f"{instance.host}:{instance.port}"
    return (
        Remedy(
            step=Step.CONFIRM,
            command=f"openssl s_client -connect {quote(place)} -servername {quote(instance.host)} "
            "</dev/null 2>/dev/null |\n  openssl x509 -noout -subject -issuer -dates",
            effect="shows the certificate that this machine is given",
            language="sh",
        ),
        Remedy(
            step=Step.CURE,
            command="certbot renew && systemctl reload nginx",
            effect="renews what is due and lets the server read it again: a renewed file alone "
            "changes nothing; use your own authority's command where it is not Let's Encrypt",
            changes_state=True,
            language="sh",
        ),
    )
