"""How every command ends."""

import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Ends the process at once, what was printed being flushed.

    The interpreter's own way out waits for threads that may never end (name resolution can
    hang) and costs a tenth of a short run.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(code)
