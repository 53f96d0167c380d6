"""Whether the bytes at an artifact's URL are the ones that it declares."""

import asyncio
import ssl
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Any, Self

from release_catalog.domain import instants
from release_catalog.files import guard, transfer

MAX_REDIRECTS = 5
# Releases whose files are fetched side by side, whatever is asked for: it bounds threads and memory.
_RELEASES = 8

Verification = dict[str, Any]


class Fetcher:
    """Fetches and hashes files, `at_once` of each release and eight times that over all.

    Made inside the event loop; each fetch under way takes a thread and 2 MiB.
    """

    def __init__(
        self,
        allowed: guard.Allowed,
        *,
        max_bytes: int,
        at_once: int,
        seconds: float = 300,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Files that declare more than `max_bytes` are not fetched; those of a release have `seconds` together.

        `progress` is told, in the threads that fetch, how many bytes have come.
        """
        self.allowed = allowed
        self._max_bytes = max_bytes
        self._at_once = at_once
        self._seconds = seconds
        self._progress = progress or (lambda _: None)
        self._free = asyncio.Semaphore(at_once * _RELEASES)
        self._threads = futures.ThreadPoolExecutor(at_once * _RELEASES, "fetch")
        self._tls = ssl.create_default_context()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False)

    async def check_all(
        self, artifacts: Sequence[Mapping[str, Any]], seconds: float | None = None
    ) -> list[Verification]:
        """The verification of each artifact, in order, all within `seconds`."""
        seconds = self._seconds if seconds is None else seconds
        mine = asyncio.Semaphore(self._at_once)
        end = asyncio.get_running_loop().time() + seconds

        async def one(artifact: Mapping[str, Any]) -> Verification:
            try:
                async with asyncio.timeout_at(end), mine, self._free:
                    return await self._verified(artifact["downloadUrl"], artifact["size"], artifact["sha256"])
            except TimeoutError:
                return _result("UNREACHABLE", _late(seconds))
            except guard.Unreachable as failure:
                return _result("UNREACHABLE", str(failure))

        return await asyncio.gather(*map(one, artifacts))

    async def check(self, url: str, size: int, sha256: str, seconds: float) -> Verification:
        """The verification of one file, within `seconds`, as an artifact keeps it."""
        [result] = await self.check_all([{"downloadUrl": url, "size": size, "sha256": sha256}], seconds)
        return result

    async def _verified(self, url: str, size: int, sha256: str) -> Verification:
        if size > self._max_bytes:
            raise guard.Unreachable(
                f"It declares {size} bytes, and files above {self._max_bytes} bytes are not fetched: verify it "
                "elsewhere, or have an operator raise RELEASE_CATALOG_FILES_MAX_BYTES."
            )
        goal = transfer.target(url)
        for _ in range(MAX_REDIRECTS + 1):
            sock = await guard.connect(self.allowed, goal.host, goal.port)
            about = goal, size, self._tls, self._progress
            answer = await transfer.in_thread(self._threads, sock, transfer.exchange, *about)
            if isinstance(answer, transfer.Body):
                return _judged(answer, size, sha256, goal.host)
            goal, url = _redirected(goal, url, answer)
        raise guard.Unreachable(
            f"It is redirected more than {MAX_REDIRECTS} times: give the URL where the file lies in the end."
        )


def _redirected(goal: transfer.Target, url: str, location: str) -> tuple[transfer.Target, str]:
    try:
        transfer.check_length(location)
        url = urllib.parse.urljoin(url, location)
        after = transfer.target(url)
    except (ValueError, guard.Unreachable) as error:
        why = error if isinstance(error, guard.Unreachable) else "Its URL can't be read."
        raise guard.Unreachable(f"{goal.host} redirects to where nothing can be fetched. {why}") from error
    if (goal.scheme, after.scheme) == ("https", "http"):
        raise guard.Unreachable(
            f"{goal.host} redirects from https to http, which could be tampered with: have it stay with https."
        )
    return after, url


def _judged(body: transfer.Body, size: int, sha256: str, host: str) -> Verification:
    if body.size is None:
        message = f"The file is longer than the declared {size} bytes"
    elif body.size != size:
        message = f"The file has {body.size} bytes where {size} are declared"
    elif body.sha256 != sha256:
        message = f"The SHA-256 of the file is {body.sha256} where {sha256} is declared"
    else:
        message = ""
    status = "MISMATCH" if message else "VERIFIED"
    message = message and f"{message}: correct what is declared, or the file."
    if body.encoding:
        note = f"{host} sent it encoded ({body.encoding}), and what it sent is what was compared."
        message = f"{message} {note}".lstrip()
    return _result(status, message or None, body)


def _late(seconds: float) -> str:
    return (
        f"It took longer than {seconds:g} seconds, which is the limit for all files of a release: see that its "
        "server answers and is fast enough, or have an operator raise RELEASE_CATALOG_FILES_DEADLINE."
    )


def _result(status: str, message: str | None, body: transfer.Body | None = None) -> Verification:
    return {
        "status": status,
        "actualSha256": body.sha256 if body else None,
        "actualSize": body.size if body else None,
        "message": message,
        "checkedAt": instants.now(),
    }
