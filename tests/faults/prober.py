"""Asks /livez of API processes ten times a second, in a process of its own.

    python -m faults.prober FILE

Standard input tells it whom to ask, a line each: `watch PORT PID`, `leave PORT`. It ends with its input. Each line
of FILE is one probe. A machine with more to do than it has processors delays everybody: so each probe also has the
time for which the server's thread and the prober's own waited for a processor.
"""

import contextlib
import http.client
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

_PAUSE_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0


class Prober:
    """Asks one server again and again until it is `over`."""

    def __init__(self, port: int, pid: int, file: TextIO, lock: threading.Lock) -> None:
        self.port, self.pid, self.file, self.lock = port, pid, file, lock
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.over.wait(_PAUSE_SECONDS):
            waited, began = self._waited(), time.monotonic()
            error = self._probe()
            seconds = time.monotonic() - began
            # What is asked of a server that is about to be killed says nothing.
            if not self.over.is_set():
                probe = {"kind": "probe", "port": self.port, "began": began, "seconds": seconds, "error": error}
                self._write(probe | {"waited": self._waited() - waited})

    def _probe(self) -> str | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_SECONDS)
        try:
            connection.request("GET", "/livez")
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        else:
            return None if status == http.client.OK else str(status)
        finally:
            connection.close()

    def _waited(self) -> float:
        """Return for how many seconds the server and this thread waited for a processor so far."""
        nanoseconds = 0
        for path in (f"/proc/{self.pid}/schedstat", f"/proc/self/task/{threading.get_native_id()}/schedstat"):
            with contextlib.suppress(OSError):
                nanoseconds += int(Path(path).read_text().split()[1])
        return nanoseconds / 1e9

    def _write(self, probe: dict[str, Any]) -> None:
        with self.lock:
            print(json.dumps(probe), file=self.file, flush=True)


def main() -> None:
    """Do what standard input says."""
    probers: dict[int, Prober] = {}
    lock = threading.Lock()
    with Path(sys.argv[1]).open("a") as file:
        for line in sys.stdin:
            word, port, *pid = line.split()
            if word == "watch":
                probers[int(port)] = Prober(int(port), int(pid[0]), file, lock)
            else:
                probers.pop(int(port)).over.set()
            # Who tells it to leave a server may kill that as soon as it has heard this.
            sys.stdout.write("done\n")
            sys.stdout.flush()
        for prober in probers.values():
            prober.over.set()


if __name__ == "__main__":
    main()
