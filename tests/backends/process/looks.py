"""Scripts for processes, and what the checks say of them."""

import asyncio
import subprocess
from collections.abc import Callable

from backend_doctor.backends.process.connection import connect
from backend_doctor.deadlines import Timing
from backend_doctor.endpoint import Endpoint
from backend_doctor.engine import Engine, Examinee
from backend_doctor.facts import Instance, Login, Service
from backend_doctor.judge import Limits, judge
from backend_doctor.model import Finding, Report
from backend_doctor.registry import load_checks

MIB = 2**20
Spawn = Callable[..., subprocess.Popen[bytes]]
FOREVER = "time.sleep(600)"


def idle(words: str = "") -> str:
    return f"{words}\nprint('ready', flush=True)\n{FOREVER}"


def login(words: str) -> Login:
    return asyncio.run(connect(Endpoint(kind="process", hosts=(), socket=words), limit=5))[0]


def examine(*places: str, sampling: float = 1.0, limits: Limits | None = None) -> Report:
    """What the checks say of each place, which is its instance's name too."""
    checks = list(load_checks(plugins=False, backends=["process"]).values())
    instances = [
        Instance(
            service="shop",
            backend="process",
            name=words,
            address=words,
            host=words,
            port=0,
            settings={"sampling": sampling},
        )
        for words in places
    ]
    engine = Engine(checks, Timing(deadline=sampling + 30))
    snapshot = asyncio.run(
        engine.gather(
            [Service(name="shop", instances=tuple(instances))],
            [
                Examinee(one, Endpoint(kind="process", hosts=(), socket=one.name))
                for one in instances
            ],
        )
    )
    return judge(snapshot, checks, limits)


def findings(report: Report, check: str, place: str) -> list[Finding]:
    return [
        result.finding
        for result in report.results
        if result.check == f"process.{check}" and result.instance == place
    ]
