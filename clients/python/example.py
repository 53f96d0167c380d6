"""Create, import, list and follow releases with the generated client."""

import asyncio
import logging
from collections.abc import AsyncIterator

from release_catalog_client import ReleaseCatalog
from release_catalog_client.events import EventsEvents
from release_catalog_client.fragments import ReleaseLabel
from release_catalog_client.input_types import CreateReleaseInput, ImportReleaseInput, ReleaseFilter
from websockets import WebSocketException

log = logging.getLogger(__name__)


def connect(url: str, token: str | None = None) -> ReleaseCatalog:
    """Return a client of the server whose GraphQL endpoint is at `url`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return ReleaseCatalog(url, headers, ws_url=url.replace("http", "ws", 1), ws_headers=headers)


async def create(client: ReleaseCatalog, release: CreateReleaseInput) -> ReleaseLabel:
    """Create a draft; an idempotency key in the input makes it safe to repeat after a lost answer."""
    answer = (await client.create_release(release)).create_release
    if answer.release is None:
        raise ValueError(answer.problem)
    return answer.release


async def import_document(client: ReleaseCatalog, document: ImportReleaseInput) -> tuple[ReleaseLabel, list[str]]:
    """Import a document, and return its draft with the warnings, such as for files that could not be fetched."""
    answer = (await client.import_release(document)).import_release
    if answer.release is None:
        raise ValueError(answer.problem)
    return answer.release, [warning.message for warning in answer.warnings]


async def all_releases(
    client: ReleaseCatalog, matching: ReleaseFilter, size: int = 100
) -> AsyncIterator[ReleaseLabel]:
    """Yield all releases that match a filter, page by page."""
    after = None
    while True:
        page = (await client.list_releases(matching=matching, first=size, after=after)).releases
        for release in page.nodes:
            yield release
        if not page.page_info.has_next_page:
            return
        after = page.page_info.end_cursor


async def follow(client: ReleaseCatalog, after: str, pause: float = 1) -> AsyncIterator[EventsEvents]:
    """Yield each event after the one with the id `after`. After a cut, go on where it was, so none is missed."""
    while True:
        try:
            async for answer in client.events(after=after):
                after = answer.events.id
                yield answer.events
        except (OSError, WebSocketException) as cut:
            log.warning("cut: %s", cut)
        await asyncio.sleep(pause)
