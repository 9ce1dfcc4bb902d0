"""Who is compared: ours, and the peers that Debian packages, each as its manual says."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Command

from backend_doctor.demo.servers import PostgresServer, free_port

CHECK_POSTGRES = (
    "backends", "txn_idle --warning=30s --critical=60s", "locks --warning=waiting=1 "
    "--critical=waiting=3", "query_time --warning=30s --critical=60s", "sequence", "bloat",
    "last_analyze --warning=1d --critical=2d", "wal_files",
)  # fmt: skip
PACKAGES = "check-postgres prometheus-postgres-exporter pg-activity pgbadger"


@dataclass(frozen=True)
class Tool:
    """One contestant. ``role`` is a superuser of its own, so that the server's log tells what it
    did; without one it reads the log alone."""

    name: str
    role: str
    command: Callable[[PostgresServer, Path], Command]


def _shell(script: str, **environ: str) -> Command:
    return Command(["/bin/sh", "-c", script], environ)


def _ours(server: PostgresServer, window: str, role: str) -> Command:
    doctor = str(Path(sys.executable).with_name("backend-doctor"))
    words = [doctor, "check", "env:DATABASE_URL", "--window", window]
    return Command(words, {"DATABASE_URL": server.url(role)})


def _check_postgres(server: PostgresServer, _: Path) -> Command:
    common = f"-H {server.host} -p {server.port} -u bench_check_postgres --db postgres"
    return _shell("; ".join(f"check_postgres --action={one} {common}" for one in CHECK_POSTGRES))


def _exporter(server: PostgresServer, _: Path) -> Command:
    port, url = free_port(), f"{server.url('bench_exporter')}?sslmode=disable"
    ask = f"curl -s --retry 20 --retry-connrefused --retry-delay 0 http://127.0.0.1:{port}/metrics"
    script = (
        f"prometheus-postgres-exporter --web.listen-address=127.0.0.1:{port} --log.level=error & "
        f"sleep 0.2; {ask}; kill $!; wait"
    )
    return _shell(script, DATA_SOURCE_NAME=url)


def _pg_activity(server: PostgresServer, _: Path) -> Command:
    place = f"host={server.host} port={server.port} user=bench_pg_activity dbname=postgres"
    return Command(["pg_activity", place], {}, terminal=True, seconds=8)


def _pgbadger(server: PostgresServer, folder: Path) -> Command:
    out = folder / "pgbadger.txt"
    script = f"pgbadger -q -p '%m [%p] <%u> ' -o {out} {server.log_path}; cat {out}"
    return _shell(script)


def tools() -> list[Tool]:
    """All contestants. Raises FileNotFoundError when a peer is not installed."""
    for program in ("check_postgres", "prometheus-postgres-exporter", "pg_activity", "pgbadger"):
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is missing; as root: apt-get install {PACKAGES}")
    return [
        Tool("backend-doctor", "bench_doctor", lambda s, _: _ours(s, "5", "bench_doctor")),
        Tool("  --window 0", "bench_doctor_0", lambda s, _: _ours(s, "0", "bench_doctor_0")),
        Tool("check_postgres, 8 actions", "bench_check_postgres", _check_postgres),
        Tool("postgres_exporter, 1 scrape", "bench_exporter", _exporter),
        Tool("pg_activity, 8 s", "bench_pg_activity", _pg_activity),
        Tool("pgbadger", "", _pgbadger),
    ]
