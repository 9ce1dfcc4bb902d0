"""A private PostgreSQL that seems to have used up most of its transaction ids."""

from backend_doctor.demo.servers import PostgresServer, ServerError

# a file holds the commit states of so many transactions, 2 bits each
_STATES = 2**20


def skip_transactions(server: PostgresServer, xid: int) -> None:
    """Lets a server that is halted begin with about ``xid`` when it is started again."""
    xid -= xid % _STATES
    states = server.data / "pg_xact" / f"{xid // _STATES:04X}"
    states.write_bytes(bytes(_STATES // 4))
    server._give(states)
    program = str(server._programs / "pg_resetwal")
    skipping = server._spawn([program, "-x", str(xid), "-D", str(server.data)])
    try:
        code = skipping.wait(30)
    finally:
        skipping.kill()
        skipping.wait()
    if code != 0:
        raise ServerError(f"pg_resetwal failed:\n{server.log()}")
