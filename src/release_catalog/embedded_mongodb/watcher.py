"""Restart the embedded mongod when it stops in use, and warn when its disk is nearly full."""

import contextlib
import pathlib
import threading
import time
from collections.abc import Callable

import structlog

from release_catalog.embedded_mongodb import data_folder
from release_catalog.embedded_mongodb.binary import Unavailable

_LOOK_SECONDS = 1.0
# The first start follows at once; the pauses before later ones double up to this, until mongod has run for long.
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS, _LONG_SECONDS = 1.0, 60.0, 60.0
# How often the log tells of a disk that stays full.
_REMINDER_SECONDS = 600.0

_log = structlog.get_logger()


class Watcher:
    """Checks from a thread whether mongod runs, until it is closed."""

    def __init__(
        self,
        folder: pathlib.Path,
        is_running: Callable[[], bool],
        restart: Callable[[Callable[[], bool]], None],
        last_words: Callable[[], str],
    ) -> None:
        """Watch: `restart` gets a function that tells when to give up, `last_words` returns why mongod stopped."""
        self._folder = folder
        self._is_running, self._restart, self._last_words = is_running, restart, last_words
        self._closed = threading.Event()
        self._pause, self._started, self._reminded = 0.0, time.monotonic(), float("-inf")
        self._thread = threading.Thread(target=self._watch, name="embedded-mongod-watcher", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Stop restarting mongod; wait for a limited time until a current start has given up."""
        self._closed.set()
        self._thread.join(seconds)

    def _watch(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            with contextlib.suppress(OSError):  # such as a lack of file descriptors: the next check tells
                self._look()

    def _look(self) -> None:
        if self._is_running():
            if time.monotonic() - self._started > _LONG_SECONDS:
                self._pause = 0.0
            self._tell_of_space()
            return
        reason = " ".join(filter(None, (f"{self._last_words()}.", data_folder.little_space(self._folder))))
        pause, self._pause = self._pause, min(max(self._pause * 2, _FIRST_PAUSE_SECONDS), _MAX_PAUSE_SECONDS)
        _log.error("embedded MongoDB stopped", folder=str(self._folder), reason=reason, restart_in=pause)
        if self._closed.wait(pause):
            return
        try:
            self._restart(self._closed.is_set)
            _log.warning("embedded MongoDB restarted", folder=str(self._folder))
        except (Unavailable, OSError) as error:
            if not self._closed.is_set():
                _log.error("restart of the embedded MongoDB failed", reason=str(error))
        self._started = time.monotonic()

    def _tell_of_space(self) -> None:
        """Warn before mongod ends, as it does at the first checkpoint on a full disk."""
        warning = data_folder.little_space(self._folder)
        if not warning:
            self._reminded = float("-inf")
        elif time.monotonic() - self._reminded > _REMINDER_SECONDS:
            self._reminded = time.monotonic()
            _log.warning("embedded MongoDB low on disk space", folder=str(self._folder), reason=warning)
