"""Transport security as the standard library does it, for drivers that take a context."""

import os
import ssl

from backend_doctor.endpoint import Tls


class TlsFileError(Exception):
    """A file that TLS was configured with cannot be read; the message names it."""


def check_files(tls: Tls) -> None:
    """Raises TlsFileError for a certificate or key file that cannot be read."""
    for path in (tls.ca_file, tls.cert_file, tls.key_file):
        if path and not os.access(path, os.R_OK):
            raise TlsFileError(f"the certificate or key file {path} cannot be read")


def context_of(tls: Tls) -> ssl.SSLContext | None:
    """None for a plain connection; only the ``verify`` modes look at the certificate.

    Raises TlsFileError, and ssl.SSLError for a file that holds no certificate or key.
    """
    if tls.mode == "disable":
        return None
    check_files(tls)
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.check_hostname = tls.mode == "verify-full"
    if not tls.mode.startswith("verify"):
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context
