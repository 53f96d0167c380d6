"""Work that goes on without the caller who began it."""

import asyncio
import gc
from typing import Any

from release_catalog.storage.database import shielded


async def test_an_error_that_nobody_waits_for_any_more_is_no_entry_in_the_log() -> None:
    """A client that hangs up while its document is read would have all of it written there."""
    logged: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    may_end = asyncio.Event()

    async def fail() -> None:
        await may_end.wait()
        raise ValueError

    waiting = asyncio.create_task(shielded(fail()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    # It remembers where it was, and so the work.
    del waiting
    may_end.set()
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert logged == []
