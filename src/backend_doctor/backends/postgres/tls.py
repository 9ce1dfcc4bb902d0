"""TLS for PostgreSQL, in libpq's words."""

import ipaddress
import ssl

from backend_doctor.endpoint import Endpoint, Tls


def is_local(endpoint: Endpoint) -> bool:
    """Whether the server is on this machine, where nobody can listen in between."""
    if endpoint.socket or endpoint.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(endpoint.host).is_loopback
    except ValueError:
        return False


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What the mode asks for. Raises OSError for a file that cannot be read."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.mode != "verify-full":
        context.check_hostname = False
    # libpq: `require` with a CA file verifies, for compatibility
    if tls.mode in ("allow", "prefer") or (tls.mode == "require" and not tls.ca_file):
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context
