"""The figures of the queues in the database, for scrapers: read seldom, briefly, and in the way of no answer."""

import asyncio
import functools
import time

import structlog

from release_catalog.metrics.readings import Readings
from release_catalog.storage import database as db
from release_catalog.storage import outages, queue_figures
from release_catalog.storage.database import Database
from release_catalog.storage.queue_figures import QueueFigures

# Scrapers that come more often get the same figures.
KEPT_SECONDS = 10.0

_FIGURES = {
    "webhooks_active": ("webhooks_active", "Active webhooks."),
    "webhooks_pending": ("webhooks_pending", "Active webhooks with an event that they did not get yet."),
    "webhooks_failing": ("webhooks_failing", "Active webhooks that wait for another attempt after a failure."),
    "webhook_oldest_pending_seconds": (
        "webhook_oldest_seconds",
        "Age of the oldest event that an active webhook did not get yet; 0 without one.",
    ),
    "verification_jobs_waiting": ("jobs_waiting", "Releases whose files wait for verification."),
    "verification_jobs_running": ("jobs_running", "Releases whose files are being verified, by any process."),
    "verification_oldest_waiting_seconds": (
        "job_oldest_seconds",
        "Time for which the oldest release waits for the verification of its files; 0 if none waits.",
    ),
    "migrations_pending": ("migrations_pending", "Collections with documents of an older form."),
}

_log = structlog.get_logger()


class QueueReader:
    """The figures of the queues, or none while the database does not answer."""

    def __init__(self, readings: Readings) -> None:
        self._figures: QueueFigures | None = None
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        readings.value(
            "database_up",
            "Whether the database answered when it was last asked: 1 or 0.",
            lambda: self._figures is not None,
        )
        for name, (attribute, help_) in _FIGURES.items():
            readings.gauge(name, help_, functools.partial(self._value, attribute))

    def _value(self, attribute: str) -> dict[tuple[str, ...], float]:
        figures = self._figures
        return {} if figures is None else {(): getattr(figures, attribute)}

    async def refresh(self, database: Database) -> None:
        """Read the figures, unless that was done a moment ago; scrapers that come at once wait for one reading."""
        if self._reading is None:
            if time.monotonic() - self._read_at < KEPT_SECONDS:
                return
            self._reading = asyncio.create_task(self._read(database))
            self._reading.add_done_callback(self._end)
        await asyncio.shield(self._reading)

    def _end(self, _: "asyncio.Task[None]") -> None:
        self._reading = None

    async def _read(self, database: Database) -> None:
        figures = None
        try:
            figures = await queue_figures.read(database)
        except db.Failure as error:
            _log.warning("queues not measured", reason=outages.reason(error))
        except Exception:  # noqa: BLE001  the other metrics are needed all the more
            _log.exception("queues not measured")
        self._figures, self._read_at = figures, time.monotonic()
