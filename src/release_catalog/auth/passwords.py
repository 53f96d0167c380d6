"""The verification of service accounts' passwords, in shares of names and client networks."""

import asyncio
import collections
import concurrent.futures
import random
import time

from release_catalog.auth import errors
from release_catalog.auth.failed_attempts import Failures
from release_catalog.domain.caller import Owner
from release_catalog.fair_share import FairSlots

# A verification takes 64 MiB and some 50 ms of a core: this many run at once, and one more for names and networks
# with failures lately.
AT_ONCE = 2
# Attempts for one name from one network are verified one after the other; at most this many wait.
MAX_WAITING = 4
WAIT_SECONDS = 10.0
_MAX_ATTEMPTS = 100_000
_BUSY = "Too many passwords are waiting for verification: try again soon."


class Passwords:
    """Verifies passwords.

    A guess must delay no other caller. So attempts take turns: between networks, and between the names that one
    network tries. Names and networks with failures lately have a slot of their own, and each pair of them has to
    wait longer and longer between two attempts. Nothing is verified for a name that does not exist: such a guess
    ends after as long as others took lately, and takes nothing from accounts that exist.
    """

    def __init__(self) -> None:
        self.failures = Failures()
        self._pairs = FairSlots(
            _MAX_ATTEMPTS, per_caller=1, max_waiting=_MAX_ATTEMPTS, max_waiting_per_caller=MAX_WAITING
        )
        # Threads of their own: no other work keeps callers from signing in.
        self._threads = concurrent.futures.ThreadPoolExecutor(AT_ONCE + 1, "password")
        self._usual = FairSlots(AT_ONCE)
        self._suspect = FairSlots(1)
        # The durations of the last verifications, with their waiting.
        self._took: collections.deque[float] = collections.deque(maxlen=32)

    async def verify(self, name: str, network: str, known: str, password: str, *, exists: bool) -> bool:
        """Return whether the hash `known` was made of `password`, and its account exists.

        Refuse if too many attempts wait. A client that goes away should not cancel it: its thread goes on.
        """
        pair = Owner(network, name)
        async with errors.slot(self._pairs, pair, WAIT_SECONDS, _BUSY):
            await asyncio.sleep(self.failures.delay(pair))
            good = await self._verified(pair, known, password, exists=exists)
        if good:
            self.failures.forget(pair)
        else:
            for key in (pair, network, name):
                self.failures.add(key)
        return good

    async def _verified(self, pair: Owner, known: str, password: str, *, exists: bool) -> bool:
        if not exists and self._took:
            await asyncio.sleep(random.choice(self._took))  # noqa: S311  a delay is no secret
            return False
        began = time.monotonic()
        suspect = self.failures.many(pair.tenant) or self.failures.many(pair.caller)
        slots = self._suspect if suspect else self._usual
        async with errors.slot(slots, pair, WAIT_SECONDS, _BUSY):
            good = await asyncio.get_running_loop().run_in_executor(self._threads, matches, known, password)
        self._took.append(time.monotonic() - began)
        return good and exists


def matches(known: str, password: str) -> bool:
    """Return whether an Argon2 hash was made of a password."""
    # It takes a while to import, and few processes need it.
    from argon2 import PasswordHasher  # noqa: PLC0415
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

    try:
        return PasswordHasher().verify(known, password)
    except (VerificationError, InvalidHashError):
        return False
