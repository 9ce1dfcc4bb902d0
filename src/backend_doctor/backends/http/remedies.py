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
        command=f"curl -si --max-time 60 {quote(url)}",
        effect="shows the whole answer, also one that comes late; its body often names what failed",
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


def _shown_certificates(instance: Instance, reads: str, effect: str, *, more: str = "") -> Remedy:
    """What the server shows to this machine."""
    place = quote(f"{instance.host}:{instance.port}")
    return Remedy(
        step=Step.CONFIRM,
        command=f"openssl s_client -connect {place} -servername {quote(instance.host)}{more} "
        f"</dev/null 2>/dev/null |\n  {reads}",
        effect=effect,
        language="sh",
    )


def _cure(command: str, effect: str) -> Remedy:
    """Something to write into a configuration."""
    return Remedy(
        step=Step.CURE, command=command, effect=effect, changes_state=True, language="text"
    )


def renew_certificate(instance: Instance) -> tuple[Remedy, ...]:
    """What the server shows now, and how to renew it."""
    return (
        _shown_certificates(
            instance,
            "openssl x509 -noout -subject -issuer -dates",
            "shows the certificate that this machine is given",
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


def serve_chain(instance: Instance) -> tuple[Remedy, ...]:
    """Which certificates are sent, and how to send those that are missing."""
    return (
        _shown_certificates(
            instance,
            "grep -E '^ *[0-9]+ s:|^ +i:|^Verify return code'",
            "lists what is sent, each subject (s:) with its issuer (i:); the issuer of each is to "
            "be the subject of the next",
            more=" -showcerts",
        ),
        Remedy(
            step=Step.CONFIRM,
            command="SSL_CERT_FILE=/path/of/your/authority.pem backend-doctor check --only "
            "http.certificate",
            effect="where the authority is your own: whether its certificate is all that lacks",
            language="sh",
        ),
        _cure(
            "ssl_certificate /etc/letsencrypt/live/YOUR-NAME/fullchain.pem;",
            "nginx, and then a reload: the server's own certificate and its intermediates in one "
            "file, in this order; cert.pem alone holds the first only",
        ),
    )


def certificate_for(instance: Instance) -> tuple[Remedy, ...]:
    """For whom the certificate is, and how to get one for this host."""
    return (
        _shown_certificates(
            instance,
            "openssl x509 -noout -subject -issuer -ext subjectAltName",
            "shows for which names the certificate is that this machine is given",
        ),
        _cure(
            f"Have a certificate issued for {instance.host}, by an authority that the clients "
            "trust, and let the virtual host of that name show it.",
            "clients connect again; if the names are right for another address, mend DNS instead",
        ),
    )


def set_clock(instance: Instance) -> tuple[Remedy, ...]:
    """Which of the clocks is wrong, and how to set it right."""
    return (
        Remedy(
            step=Step.CONFIRM,
            command="timedatectl show -p NTP -p NTPSynchronized -p TimeUSec",
            effect=f"here and on {instance.host}: whether the clock is kept right, and what time "
            "it is there",
            language="sh",
        ),
        Remedy(
            step=Step.CURE,
            command="sudo timedatectl set-ntp true",
            effect="sets the clock of that machine right, by a jump where it is far off",
            changes_state=True,
            language="sh",
        ),
    )


def refuse_old_tls(instance: Instance) -> tuple[Remedy, ...]:
    """What an old client gets, and how to refuse it."""
    place = quote(f"{instance.host}:{instance.port}")
    return (
        Remedy(
            step=Step.CONFIRM,
            command=f"openssl s_client -connect {place} -servername {quote(instance.host)} -tls1_1 "
            "-cipher DEFAULT:@SECLEVEL=0 </dev/null | grep -E '^ *(New|Protocol)'",
            effect="shows whether TLS 1.1 is agreed on; -tls1 asks for 1.0",
            language="sh",
        ),
        _cure(
            "ssl_protocols TLSv1.2 TLSv1.3;",
            "nginx, in every server block, and then a reload; clients of before 2014 are refused "
            "from then on: $ssl_protocol in the access log tells beforehand if there are any",
        ),
    )


def walk_redirects(url: str) -> Remedy:
    """Every step of the way, by hand."""
    return Remedy(
        step=Step.CONFIRM,
        command=f"curl -sL --max-redirs 10 --max-time 30 -o /dev/null -D - {quote(url)} |\n"
        "  grep -iE '^(HTTP|location)'",
        effect="shows each answer's status and where it leads, up to ten of them",
        language="sh",
    )


def tell_the_scheme() -> tuple[Remedy, ...]:
    """How an application behind a proxy learns that its clients came by https."""
    return (
        _cure(
            "proxy_set_header Host $host;\nproxy_set_header X-Forwarded-Proto $scheme;",
            "nginx, and then a reload: the application is told by which name and scheme it was "
            "asked",
        ),
        _cure(
            "uvicorn app:app --proxy-headers --forwarded-allow-ips=ADDRESS-OF-THE-PROXY",
            "lets the application believe what the proxy tells, and nobody else; in Django "
            "SECURE_PROXY_SSL_HEADER, in Flask werkzeug's ProxyFix",
        ),
    )


def one_slash_rule() -> Remedy:
    """Where two places disagree on the slash at the end."""
    return _cure(
        "FastAPI(redirect_slashes=False)",
        "leaves the slash at the end to the proxy; in Django APPEND_SLASH = False; or take the "
        "proxy's rewrite away and leave it to the application: one of them, not both",
    )


def ask_at_its_place(url: str) -> Remedy:
    """The configuration without the detour."""
    return _cure(
        f"http: {{health: ...}}  # the path that answers itself, as {url} does not",
        "asks the service and not what its redirect leads to; do the same in the load balancer",
    )
