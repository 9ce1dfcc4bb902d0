"""URLs of MongoDB, RabbitMQ and HTTP to endpoints."""

from backend_doctor.config.urlparts import Parts, hosts_of
from backend_doctor.config.urlquery import Query, first_secret
from backend_doctor.endpoint import DEFAULT_PORTS, Endpoint, Tls, TlsMode
from backend_doctor.place import fault

_FLAGS = {"true": "true", "1": "true", "false": "", "0": ""}
_AMQPS_PORT = 5671
_HTTPS_PORT = 443


def mongodb(parts: Parts, place: str) -> Endpoint:
    """``mongodb://`` with its members, or ``mongodb+srv://`` with the one name to look up.

    The latter is told by the option ``("srv", "true")``. What else the driver understands
    (authSource, replicaSet, ...) stays an option under its own name.
    """
    query = Query(parts, place)
    srv = parts.scheme == "mongodb+srv"
    hosts = hosts_of(parts.hosts, DEFAULT_PORTS["mongodb"], place=place)
    socket = hosts[0][0] if hosts[0][0].startswith("/") else None
    if srv and (len(hosts) > 1 or ":" in parts.hosts or not hosts[0][0]):
        raise fault(
            place,
            "mongodb+srv:// names a DNS record, without a port and only one",
            "mongodb+srv://name/database, or mongodb://host1:27017,host2:27017/database",
        )
    if socket and len(hosts) > 1:
        raise fault(place, "a socket stands among several hosts", "hosts only, or one socket")
    if not socket and len(hosts) > 1 and not all(host for host, _ in hosts):
        raise fault(place, "one of the hosts is empty", "mongodb://host1:27017,host2:27017/...")
    return Endpoint(
        kind="mongodb",
        hosts=(("localhost", hosts[0][1]),)
        if socket
        else tuple((host or "localhost", port) for host, port in hosts),
        socket=socket,
        user=parts.user,
        password=first_secret(parts.password),
        database=parts.path or None,
        tls=_mongodb_tls(query, default="true" if srv else ""),
        options=(*query.rest, ("srv", "true")) if srv else query.rest,
    )


def _mongodb_tls(query: Query, *, default: str) -> Tls:
    encrypted = query.choose("tls", _FLAGS, query.choose("ssl", _FLAGS, default))
    any_certificate = query.choose("tlsallowinvalidcertificates", _FLAGS, "")
    any_name = query.choose("tlsallowinvalidhostnames", _FLAGS, "")
    insecure = query.choose("tlsinsecure", _FLAGS, "")
    mode: TlsMode = "verify-ca" if any_name else "verify-full"
    if any_certificate or insecure:
        mode = "require"
    pem = query.take("tlscertificatekeyfile")
    return Tls(
        mode=mode if encrypted else "disable",
        ca_file=query.take("tlscafile"),
        cert_file=pem,
        key_file=pem,
    )


def amqp(parts: Parts, place: str) -> Endpoint:
    """``amqp://`` or ``amqps://``; the path names the virtual host, and none means ``/``.

    A slash in a virtual host's name is written ``%2F``, so ``amqp://host/%2F`` is ``/`` too.
    """
    query = Query(parts, place)
    encrypted = parts.scheme == "amqps"
    default = _AMQPS_PORT if encrypted else DEFAULT_PORTS["rabbitmq"]
    hosts = hosts_of(parts.hosts, default, place=place)
    return Endpoint(
        kind="rabbitmq",
        hosts=tuple((host or "localhost", port) for host, port in hosts),
        user=parts.user,
        password=first_secret(parts.password),
        database=parts.path or "/",
        tls=_amqp_tls(query, encrypted=encrypted),
        options=query.rest,
    )


def _amqp_tls(query: Query, *, encrypted: bool) -> Tls:
    # aiormq's no_verify_ssl, and the verify of RabbitMQ's own clients
    unverified = query.choose("no_verify_ssl", _FLAGS, "")
    known = {"verify_peer": "", "verify_none": "true"}
    mode: TlsMode = "verify-full"
    if query.choose("verify", known, unverified):
        mode = "require"
    return Tls(
        mode=mode if encrypted else "disable",
        ca_file=query.take("cafile", "cacertfile"),
        cert_file=query.take("certfile"),
        key_file=query.take("keyfile"),
    )


def http(parts: Parts, place: str) -> Endpoint:
    """``http://`` or ``https://``; the whole URL is kept, without user and password."""
    encrypted = parts.scheme == "https"
    hosts = hosts_of(parts.hosts, _HTTPS_PORT if encrypted else DEFAULT_PORTS["http"], place=place)
    if len(hosts) > 1 or not hosts[0][0]:
        problem = "the URL names no host" if len(hosts) == 1 else "several hosts are given"
        raise fault(place, problem, "https://host/path with one host")
    return Endpoint(
        kind="http",
        hosts=hosts,
        user=parts.user,
        password=first_secret(parts.password),
        tls=Tls(mode="verify-full" if encrypted else "disable"),
        url=f"{parts.scheme}://{parts.remainder}",
    )
