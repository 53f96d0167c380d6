"""Observers of the requests of a process: the log, and traces if a collector is configured."""

from collections.abc import Sequence

from release_catalog import request_record, tracing
from release_catalog.request_record import Observer
from release_catalog.server.request_log import LogWriter
from release_catalog.settings import Settings
from release_catalog.storage.command_monitor import CommandMonitor


class Observability:
    """The observers of finished requests, and the monitors of database commands."""

    def __init__(self, settings: Settings) -> None:
        """Raise tracing.Unavailable if traces are configured but can't be made."""
        self._tracer = tracing.from_environment()
        # Traces come first, because the log has their ids.
        traces: Sequence[Observer] = [self._tracer] if self._tracer else []
        self.observers: Sequence[Observer] = [*traces, LogWriter(settings.slow_seconds)]
        counts = bool(self._tracer or settings.slow_seconds) or settings.log_level in {"debug", "info"}
        steps = tracing.MAX_SPANS if self._tracer else request_record.MAX_STEPS
        # Without a reader of what they count, they would cost time for nothing.
        self.monitors = [CommandMonitor(steps)] if counts else []

    async def aclose(self) -> None:
        """Send what is not sent yet, within a few seconds."""
        if self._tracer:
            await self._tracer.close()
