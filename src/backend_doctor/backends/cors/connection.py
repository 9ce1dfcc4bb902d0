"""Cross-origin requests are HTTP: the same connection, the same three methods."""

from backend_doctor.backends.http.connection import HttpConnection, connect

__all__ = ["HttpConnection", "connect"]
