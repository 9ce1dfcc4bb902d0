"""Who is compared: ours, and the peers that Debian packages, each as its manual says."""

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Command

from backend_doctor.demo.servers import PostgresServer, free_port

CHECK_POSTGRES = (
    "backends", "txn_idle --warning='2 for 30s' --critical='5 for 60s'", "locks "
    "--warning=waiting=1 --critical=waiting=3", "query_time --warning=30s --critical=60s",
    "sequence", "bloat", "last_analyze --warning=1d --critical=2d", "wal_files",
)  # fmt: skip
PACKAGES = "check-postgres prometheus-postgres-exporter pg-activity pgbadger"
# running, waiting and blocking queries: each long enough for two refreshes
SCREENS = ((2.5, "2"), (2.5, "3"), (2.5, "q"))
_ENTRY = re.compile(r"^(?=\d{4}-\d\d-\d\d )", re.MULTILINE)
_NOT_OF_THE_PATIENT = re.compile(r" user=(bench_\w+|postgres),")
DOCTOR = str(Path(sys.executable).with_name("backend-doctor"))


@dataclass(frozen=True)
class Tool:
    """One contestant. ``role`` is a superuser of its own, by which the server tells what it did."""

    name: str
    role: str
    command: Callable[[PostgresServer, Path], Command]


def doctor(url: str, window: float) -> Command:
    """Our check of one server."""
    words = [DOCTOR, "check", "env:DATABASE_URL", "--window", str(window)]
    return Command(words, {"DATABASE_URL": url})


def _shell(script: str, **environ: str) -> Command:
    return Command(["/bin/sh", "-c", script], environ)


def _check_postgres(server: PostgresServer, _: Path) -> Command:
    common = f"-H {server.host} -p {server.port} -u bench_check_postgres --db postgres"
    return _shell("; ".join(f"check_postgres --action={one} {common}" for one in CHECK_POSTGRES))


def _exporter(server: PostgresServer, _: Path) -> Command:
    port, url = free_port(), f"{server.url('bench_exporter')}?sslmode=disable"
    script = (
        f"prometheus-postgres-exporter --web.listen-address=127.0.0.1:{port} --log.level=error & "
        f"until curl -sf http://127.0.0.1:{port}/metrics; do sleep 0.02; done; kill $!; wait"
    )
    return _shell(script, DATA_SOURCE_NAME=url)


def _pg_activity(server: PostgresServer, _: Path) -> Command:
    place = f"host={server.host} port={server.port} user=bench_pg_activity dbname=postgres"
    return Command(["pg_activity", place], {}, keys=SCREENS)


def _pgbadger(server: PostgresServer, folder: Path) -> Command:
    log, out = folder / "applications.log", folder / "pgbadger.txt"
    # else it reports what the contestants and the furnishing ran
    entries = _ENTRY.split(server.log())
    log.write_text("".join(one for one in entries if not _NOT_OF_THE_PATIENT.search(one)))
    return _shell(f"pgbadger -q -o {out} {log}; cat {out}")


def contestants() -> list[Tool]:
    """Ours with two looks, ours with one, check_postgres, then the others. Raises
    FileNotFoundError when a peer is not installed."""
    for program in ("check_postgres", "prometheus-postgres-exporter", "pg_activity", "pgbadger"):
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is missing; as root: apt-get install {PACKAGES}")
    return [
        Tool("backend-doctor", "bench_doctor", lambda s, _: doctor(s.url("bench_doctor"), 5)),
        Tool(
            "backend-doctor --window 0",
            "bench_doctor_0",
            lambda s, _: doctor(s.url("bench_doctor_0"), 0),
        ),
        Tool("check_postgres, 8 actions", "bench_check_postgres", _check_postgres),
        Tool("postgres_exporter, 1 scrape", "bench_exporter", _exporter),
        Tool("pg_activity, 3 screens", "bench_pg_activity", _pg_activity),
        Tool("pgbadger", "bench_pgbadger", _pgbadger),
    ]
