"""Servers that the catalog talks to: one that holds files back, and one that receives webhooks."""

import collections
import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

CONTENT = b"what is released " * 1_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
_HOLD_SECONDS = 120


class Peer:
    """A server that counts what it is asked for by path, and answers once it is `free`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.free = threading.Event()
        self.asked: collections.Counter[str] = collections.Counter()
        self.bodies: list[Any] = []


@contextlib.contextmanager
def peer() -> Iterator[Peer]:
    """Have such a server on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked[self.path] += 1
            found.free.wait(_HOLD_SECONDS)
            self._answer(200, CONTENT)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.asked[self.path] += 1
            found.bodies.append((self.headers["webhook-id"], body))
            found.free.wait(_HOLD_SECONDS)
            self._answer(200, b"")

        def _answer(self, status: int, body: bytes) -> None:
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Peer("http://127.0.0.1:%d" % server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.free.set()
        server.shutdown()
        thread.join()
        server.server_close()
