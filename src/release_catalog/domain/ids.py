"""Generation of ids."""

import itertools
import os
import time


class _Generator:
    """The state of this process: five random bytes and a counter with a random start."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Draw a new state, so that a forked process does not repeat the ids of its parent."""
        self.process = os.urandom(5).hex()
        self.counter = itertools.count(int.from_bytes(os.urandom(3)))


_generator = _Generator()
os.register_at_fork(after_in_child=_generator.restart)


def new() -> str:
    """Return 24 hexadecimal digits in the form of an ObjectId: seconds, this process, a counter."""
    seconds, count = int(time.time()) & 0xFFFFFFFF, next(_generator.counter) & 0xFFFFFF
    return f"{seconds:08x}{_generator.process}{count:06x}"
