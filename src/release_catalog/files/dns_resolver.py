"""Name lookups in threads of their own, shared between tenants.

The system's resolver blocks, takes as long as a name's servers like, and can't be stopped. In the event loop's
default threads, a few names whose servers are silent would hold up every other lookup, also the database driver's.
"""

import asyncio
import contextlib
import functools
import socket
import threading
from typing import Any

from release_catalog.domain.caller import Owner
from release_catalog.fair_share import FairSlots

AT_ONCE = 32
PER_TENANT = 8
SECONDS = 10.0

Addresses = list[tuple[Any, ...]]


class Resolver:
    """A resolver with a thread for each lookup, which counts against its tenant's share until it ends."""

    def __init__(self) -> None:
        self._slots = FairSlots(AT_ONCE, per_tenant=PER_TENANT, leave_free=True)

    async def addresses(self, owner: Owner, host: str, port: int) -> Addresses:
        """Return the answers of `getaddrinfo` for a TCP connection.

        Raise OSError or ValueError if the name has no address, TimeoutError after `SECONDS`, and Busy if
        too many lookups wait.
        """
        with contextlib.suppress(socket.gaierror):
            # An address in any spelling needs no server.
            return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]
        async with asyncio.timeout(SECONDS):
            return await self._slots.run_to_end(owner, functools.partial(_in_thread, host, port))


async def _in_thread(host: str, port: int) -> Addresses:
    """Resolve a name in a thread that, unlike an executor's, does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Addresses] = loop.create_future()

    def look_up() -> None:
        try:
            found = [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, ValueError) as error:
            tell(answer.set_exception, error)
        else:
            tell(answer.set_result, found)

    def tell(settle: Any, value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(lambda: answer.done() or settle(value))

    threading.Thread(target=look_up, name="lookup", daemon=True).start()
    return await answer
