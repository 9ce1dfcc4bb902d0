"""How the demo starts `backend-doctor` as a process of its own."""

import os
import sys
from pathlib import Path

import backend_doctor

ENTRY = (sys.executable, "-m", "backend_doctor")

# what would lead the drivers or the configuration away from the demo's own servers
_MISLEADING = ("PG", "BACKEND_DOCTOR", "DATABASE_URL", "REDIS_URL")


def environment() -> dict[str, str]:
    """Ours, with this very package first, and nothing that leads to other backends."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_MISLEADING)}
    library = str(Path(backend_doctor.__file__).parents[1])
    path = os.pathsep.join(filter(None, (library, kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path}
