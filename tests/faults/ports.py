"""Ports that stay free while what listens on them is down."""

import random
import socket

# Below the ports that outgoing connections take: those would occupy the port of a process that is down.
_RANGE = range(20_000, 32_000)


def free_port() -> int:
    """Return a loopback port that nothing uses."""
    while True:
        port = random.choice(_RANGE)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
