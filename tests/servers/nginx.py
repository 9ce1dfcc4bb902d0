"""A real nginx in front of an application, as a ``server`` block says."""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.debian import nginx_binary

from backend_doctor.demo.servers import free_port

_SETTINGS = """
daemon off; master_process off; pid %(folder)s/pid; error_log %(folder)s/errors;
events { worker_connections 64; }
http {
  access_log %(folder)s/access;
  client_body_temp_path %(folder)s/a; proxy_temp_path %(folder)s/b; fastcgi_temp_path %(folder)s/c;
  uwsgi_temp_path %(folder)s/d; scgi_temp_path %(folder)s/e;
  server { listen 127.0.0.1:%(port)d; %(server)s }
}
"""


@contextlib.contextmanager
def nginx(server: str) -> Iterator[str]:
    """The base URL of an nginx whose only server holds these lines."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nginx.conf"
        path.write_text(_SETTINGS % {"folder": folder, "port": port, "server": server})
        command = [str(nginx_binary()), "-p", folder, "-c", str(path), "-e", f"{folder}/errors"]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            try:
                _wait(port, process)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.kill()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    assert process.stderr is not None
    raise RuntimeError(f"nginx did not start: {process.stderr.read().decode()}")
