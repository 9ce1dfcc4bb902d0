"""Ends a server and removes its folder when we die in any way, SIGKILL included."""

import subprocess
from pathlib import Path
from signal import Signals

# End of input means that the process holding the other end is gone, so no signal handler and no
# exit hook of ours has to run. Group signals also reach what initdb has started.
_SCRIPT = """
trap '' HUP INT TERM
pid=
while read -r line; do
    [ "$line" = done ] && exit 0
    pid=$line
done
if [ -n "$pid" ]; then
    kill -s "$1" -- "-$pid"
    tries=0
    while kill -s 0 -- "-$pid" && [ "$tries" -lt 50 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -s KILL -- "-$pid"
fi
rm -rf -- "$2"
"""


class Guard:
    """A small shell process that waits for our end.

    ``stop_signal`` is what ends the watched process group quickly; SIGKILL follows after 5 s.
    """

    def __init__(self, folder: Path, stop_signal: Signals) -> None:
        name = stop_signal.name.removeprefix("SIG")
        self._shell = subprocess.Popen(
            ["sh", "-c", _SCRIPT, "guard", name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def watch(self, pid: int) -> None:
        """Watch this leader of a process group, in place of an earlier one."""
        self._tell(str(pid))

    def release(self) -> None:
        """The server has been stopped and its folder removed: nothing is left to guard."""
        self._tell("done")
        if self._shell.stdin is not None:
            self._shell.stdin.close()
        self._shell.wait()

    def _tell(self, line: str) -> None:
        if self._shell.stdin is not None:
            self._shell.stdin.write(f"{line}\n".encode())
            self._shell.stdin.flush()
