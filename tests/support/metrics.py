"""Metrics as a scraper reads them."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

OPEN = "application/openmetrics-text"
PREFIX = "release_catalog_"


class Scrape:
    """The metrics in the answer to a scraper."""

    def __init__(self, text: str, *, is_open: bool = False) -> None:
        self.text = text
        parse: Any = (
            openmetrics_parser.text_string_to_metric_families if is_open else text_string_to_metric_families
        )
        self.families = {family.name: family for family in parse(text)}

    def samples(self, name: str, **labels: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The values of a metric by all of its labels, as far as it has these labels."""
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name.removeprefix(PREFIX) == name and labels.items() <= sample.labels.items()
        }

    def value(self, name: str, **labels: str) -> float:
        """The sum of the values with these labels."""
        return sum(self.samples(name, **labels).values())


async def scrape(http: httpx2.AsyncClient, url: str = "/metrics", **headers: str) -> Scrape:
    """What the server answers to a scraper."""
    response = await http.get(url, headers=headers)
    assert response.status_code == 200, response.text
    return Scrape(response.text, is_open=response.headers["content-type"].startswith(OPEN))


async def scrape_until(http: httpx2.AsyncClient, met: Callable[[Scrape], bool]) -> Scrape:
    """The first answer that meets a condition."""
    async with asyncio.timeout(60):
        while True:
            found = await scrape(http)
            if met(found):
                return found
            await asyncio.sleep(0.2)
