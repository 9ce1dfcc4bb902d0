"""What a TLS handshake shows, also one that a careful client would refuse."""

import asyncio
import ssl
import warnings
from typing import Any

import msgspec

_SECONDS = 3.0


class Secured(msgspec.Struct, frozen=True):
    """``version`` in OpenSSL's words (``TLSv1.3``); ``chain`` holds the certificates that the
    server sent, in DER, its own first."""

    version: str
    chain: tuple[bytes, ...]


def secured_by(channel: ssl.SSLObject) -> Secured:
    """What the other side of an encrypted channel has shown."""
    return Secured(channel.version() or "", tuple(_sent(channel)))


def _sent(channel: Any) -> list[bytes]:
    if hasattr(channel, "get_unverified_chain"):
        return list(channel.get_unverified_chain() or ())
    # public from Python 3.13 on; _ssl.ENCODING_DER is 2
    return [one.public_bytes(2) for one in channel._sslobj.get_unverified_chain() or ()]


def _unverifying(*, old: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if old:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        # higher levels leave out the signatures that these versions need
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


async def handshake(host: str, port: int, *, old: bool = False) -> Secured:
    """One handshake that verifies nothing, and sends nothing; ``old`` offers TLS 1.0 and 1.1 only.

    Raises OSError (ssl.SSLError is one) where it fails, TimeoutError after 3 s.
    """
    async with asyncio.timeout(_SECONDS):
        _, writer = await asyncio.open_connection(
            host, port, ssl=_unverifying(old=old), server_hostname=host
        )
    try:
        return secured_by(writer.get_extra_info("ssl_object"))
    finally:
        writer.transport.abort()
