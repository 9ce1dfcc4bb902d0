import subprocess
import sys

import pytest

_LOADED = """
import sys
from backend_doctor.model import Report
from backend_doctor.reports import RenderOptions, render
report = Report(tool_version="", started="", seconds=0, window=0, source="", targets=(), results=())
render(sys.argv[1], report, RenderOptions(color=True))
print(*{name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names))
"""


@pytest.mark.parametrize(
    ("format", "own"),
    [("text", set()), ("json", set()), ("nagios", set()), ("prometheus", {"prometheus_client"})],
)
def test_a_format_loads_only_what_it_needs(format: str, own: set[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _LOADED, format],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    loaded = {name for name in run.stdout.split() if not name.startswith("_")}
    assert loaded - {"backend_doctor", "msgspec", "typing_extensions", "sitecustomize"} == own
