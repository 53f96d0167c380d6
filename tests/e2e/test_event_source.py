"""A plain EventSource in a real browser: it connects again by itself, and misses nothing."""

import asyncio

from selenium import webdriver

from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from support.catalog import Catalog
from support.subscribers import happen, served
from support.waiting import eventually

START = """
const query = "subscription { events { id } }";
window.seen = [];
window.opened = 0;
const source = new EventSource("/graphql?query=" + encodeURIComponent(query));
source.onopen = () => { window.opened += 1; };
source.addEventListener("next", (event) => {
  window.seen.push([event.lastEventId, JSON.parse(event.data).data.events.id]);
});
"""


async def test_an_event_source_misses_nothing_over_two_cuts(empty: Catalog, chromium: webdriver.Chrome) -> None:
    release = await empty.put(await empty.product("a"), "1", status="PUBLISHED")
    app = create_app(Settings(), database=empty.database)

    async def shows(expression: str, count: int) -> None:
        """Wait until the page has counted this far."""
        async with asyncio.timeout(60):
            while await asyncio.to_thread(chromium.execute_script, f"return {expression}") < count:  # noqa: ASYNC110  the page tells nobody
                await asyncio.sleep(0.05)

    async def cut() -> None:
        limit = app.state.subscriber_limit
        limit.closing.set()
        await eventually(lambda: limit.used == 0)
        limit.closing.clear()

    async with served(app) as host:
        await asyncio.to_thread(chromium.get, f"http://{host}/graphql")
        await asyncio.to_thread(chromium.execute_script, START)
        await shows("window.opened", 1)
        # The first cut comes before any event.
        await cut()
        await happen(empty, release, times=2)
        await shows("window.seen.length", 2)
        await cut()
        await happen(empty, release, times=3)
        await shows("window.seen.length", 5)
        seen = await asyncio.to_thread(chromium.execute_script, "return window.seen")
        assert seen == [[f"{number:016d}"] * 2 for number in range(1, 6)]
