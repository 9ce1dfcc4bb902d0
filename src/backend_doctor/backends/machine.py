"""Whether a server runs on this machine, where more can be seen of it than it tells."""

import ipaddress
import socket


def is_here(host: str) -> bool:
    """Whether a host name, address or socket path names this machine; resolves names."""
    if host.startswith("/"):
        return True
    try:
        wanted = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    if any(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in wanted):
        return True
    import psutil

    own = {address.address for group in psutil.net_if_addrs().values() for address in group}
    return bool(wanted & own)
