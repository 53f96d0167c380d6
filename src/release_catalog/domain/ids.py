"""Generation of ids."""

import itertools
import os
import time

_process = os.urandom(5).hex()
_counter = itertools.count(int.from_bytes(os.urandom(3)))


def new() -> str:
    """Return 24 hexadecimal digits in the form of an ObjectId: seconds, this process, a counter."""
    return f"{int(time.time()) & 0xFFFFFFFF:08x}{_process}{next(_counter) & 0xFFFFFF:06x}"
