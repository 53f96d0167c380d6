"""Measure how fast files are fetched and verified, beside reading and hashing the same file from disk.

    make bench-files                two gigabytes
    python benchmarks/files.py --bytes 200000000

The best of each counts, taken in turn. The project wants four fifths of hashlib's rate.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from release_catalog.files import address_guard, verifier

WANTED = 0.8
BLOCK = 1_000_000
ROUNDS = 5
SERVER = """
import os, socket, sys
size = os.path.getsize(sys.argv[1])
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    connection, _ = listening.accept()
    with connection, open(sys.argv[1], "rb") as file:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % size)
        sent = 0
        while sent < size:
            sent += os.sendfile(connection.fileno(), file.fileno(), sent, 1 << 23)
"""


@contextlib.contextmanager
def serving(file: Path) -> Iterator[str]:
    """Serve a file at a URL of this machine."""
    with subprocess.Popen([sys.executable, "-c", SERVER, file], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  our own
        try:
            port = int(process.stdout.readline() if process.stdout else 0)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()


async def measure(file: Path, size: int, url: str) -> tuple[float, float]:
    """Return the least seconds that hashing the file took, from disk and from its URL."""
    hashed, fetched = list[float](), list[float]()
    async with verifier.Fetcher(address_guard.parse("127.0.0.1"), max_bytes=1 << 40, at_once=4) as fetcher:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            with file.open("rb", buffering=0) as reading:
                digest = hashlib.file_digest(reading, "sha256").hexdigest()
            hashed.append(time.perf_counter() - began)
            began = time.perf_counter()
            result = await fetcher.check(url, size, digest, 100)
            fetched.append(time.perf_counter() - began)
            if result["status"] != "VERIFIED":
                sys.exit(f"The file was not verified: {result}")
    return min(hashed), min(fetched)


def main() -> None:
    """Print both rates and their ratio; exit with 1 if it is less than wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=2 * 10**9)
    size = parser.parse_args().bytes
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        block = os.urandom(BLOCK)
        with file.open("wb") as writing:
            for number in range(size // BLOCK):
                writing.write(number.to_bytes(8, "big") + block[8:])
        with serving(file) as url:
            hashed, fetched = asyncio.run(measure(file, size, url))
    ratio = hashed / fetched
    print(
        f"from disk {size / hashed / 1e6:,.0f} MB/s, fetched {size / fetched / 1e6:,.0f} MB/s, ratio {ratio:.2f}"
    )
    sys.exit(0 if ratio >= WANTED else 1)


if __name__ == "__main__":
    main()
