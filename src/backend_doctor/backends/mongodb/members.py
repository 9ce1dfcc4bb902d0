"""Which members a URL names: those written in it, or those that DNS lists for its one name."""

import msgspec

from backend_doctor.endpoint import Endpoint


class SeedListError(Exception):
    """DNS does not tell the members of a ``mongodb+srv://`` name; the message says why."""


class Seeds(msgspec.Struct, frozen=True):
    """The members to try in order, and what the URL or its DNS record sets besides.

    Names of options are in lower case.
    """

    hosts: tuple[tuple[str, int], ...]
    options: dict[str, str]


async def seeds_of(endpoint: Endpoint, *, seconds: float) -> Seeds:
    """The members of an endpoint. Raises SeedListError; asks DNS for at most ``seconds``."""
    options = {key.lower(): value for key, value in endpoint.options}
    if options.pop("srv", "") != "true":
        return Seeds(endpoint.hosts, options)
    service = options.get("srvservicename", "mongodb")
    hosts, set_by_dns = await _looked_up(endpoint.host, service, seconds)
    return Seeds(hosts, set_by_dns | options)


async def _looked_up(
    name: str, service: str, seconds: float
) -> tuple[tuple[tuple[str, int], ...], dict[str, str]]:
    from dns.asyncresolver import resolve
    from dns.exception import DNSException
    from dns.resolver import NXDOMAIN, NoAnswer

    record = f"_{service}._tcp.{name}"
    try:
        found = await resolve(record, "SRV", lifetime=seconds)
        hosts = tuple(sorted((str(one.target).rstrip("."), int(one.port)) for one in found))
    except NXDOMAIN as error:
        raise SeedListError(f"there is no DNS name {record}") from error
    except (DNSException, OSError) as error:
        raise SeedListError(f"no SRV record for {record}: {type(error).__name__}") from error
    # whoever answers for the name could else send us, and the password, anywhere
    parent = name.partition(".")[2].lower()
    for host, _ in hosts:
        if not host.lower().endswith(f".{parent}"):
            raise SeedListError(f"the SRV record for {record} leads out of its own domain")
    try:
        texts = await resolve(name, "TXT", lifetime=seconds)
    except (NoAnswer, NXDOMAIN):
        return hosts, {}
    except (DNSException, OSError) as error:
        raise SeedListError(f"no TXT record for {name}: {type(error).__name__}") from error
    return hosts, _settings([b"".join(one.strings).decode("ascii", "replace") for one in texts])


def _settings(texts: list[str]) -> dict[str, str]:
    # the specification allows these two and no others
    pairs = (pair.partition("=") for text in texts for pair in text.split("&"))
    allowed = ("authsource", "replicaset")
    return {key.lower(): value for key, _, value in pairs if key.lower() in allowed}
