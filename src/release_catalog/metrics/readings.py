"""Metrics whose values are kept elsewhere, and read with each scrape."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# Returns the values by those of the labels; one that is missing is unknown. Called in another thread.
Read = Callable[[], Mapping[tuple[str, ...], float]]


@dataclasses.dataclass(frozen=True)
class _Reading:
    kind: type[CounterMetricFamily | GaugeMetricFamily]
    name: str
    help: str
    labels: Sequence[str]
    read: Read


class Readings(Collector):
    """The gauges and counters that are read."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._readings: list[_Reading] = []

    def gauge(self, name: str, help_: str, read: Read, *labels: str) -> None:
        """Add a gauge."""
        self._readings.append(_Reading(GaugeMetricFamily, f"{self._prefix}_{name}", help_, labels, read))

    def counter(self, name: str, help_: str, read: Read, *labels: str) -> None:
        """Add a counter."""
        self._readings.append(_Reading(CounterMetricFamily, f"{self._prefix}_{name}", help_, labels, read))

    def value(self, name: str, help_: str, read: Callable[[], float]) -> None:
        """Add a gauge without labels."""
        self.gauge(name, help_, lambda: {(): read()})

    def collect(self) -> Iterable[Metric]:
        """Yield each metric with its values of now."""
        for reading in self._readings:
            family = reading.kind(reading.name, reading.help, labels=reading.labels)
            for labels, value in reading.read().items():
                family.add_metric(labels, value)
            yield family
