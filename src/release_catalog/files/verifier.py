"""The verifier, which compares the bytes at an artifact's URL with its declared size and digest."""

import asyncio
import collections
import contextlib
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Self, TypedDict

from release_catalog import request_record
from release_catalog.domain import timestamps
from release_catalog.domain.caller import Owner
from release_catalog.domain.release_parts import VerificationDocument
from release_catalog.fair_share import Busy, FairSlots
from release_catalog.files import address_guard, http_client
from release_catalog.files.dns_resolver import Resolver
from release_catalog.files.transfer_rate import TransferRate
from release_catalog.request_record import FileFetch

MAX_REDIRECTS = 5
# Files fetched at a time, as a multiple of those of one release: it bounds threads and memory. One tenant gets
# half of it, and one of its callers, such as its background jobs, three quarters of that.
_RELEASES, _RELEASES_OF_TENANT, RELEASES_OF_CALLER = 8, 4, 3
MIN_RATE = 1_024
_NOBODY = Owner("")


class DeclaredFile(TypedDict):
    """The fields of an artifact that its verification needs."""

    downloadUrl: str
    size: int
    sha256: str


class Fetcher:
    """A fetcher that hashes files: `at_once` of a release, eight times that in total, in turns between tenants.

    Created inside the event loop; each current fetch takes a thread and 2 MiB.
    """

    def __init__(
        self,
        allowed: address_guard.Allowed,
        *,
        max_bytes: int,
        at_once: int,
        seconds: float = 300,
        min_rate: int = MIN_RATE,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Fetch no files that declare more than `max_bytes`, and those of a release within `seconds` together.

        A file of another size than declared is read to its end, too, up to `max_bytes`.

        A server must send `min_rate` bytes a second. `progress` gets the number of received bytes, in the threads
        that fetch. `of_caller` is the number of files fetched for one caller at a time.
        """
        self.allowed = allowed
        self._max_bytes = max_bytes
        self._at_once = at_once
        self._seconds = seconds
        self._min_rate = min_rate
        self.of_caller = at_once * RELEASES_OF_CALLER
        self._progress = progress or (lambda _: None)
        self._slots = FairSlots(
            at_once * _RELEASES,
            per_tenant=at_once * _RELEASES_OF_TENANT,
            per_caller=self.of_caller,
            leave_free=True,
            max_waiting=10_000,
            max_waiting_per_caller=1_000,
        )
        self._threads = futures.ThreadPoolExecutor(at_once * _RELEASES, "fetch")
        self._resolver = Resolver()
        self._tls = ssl.create_default_context()
        # The files that were verified, by the status of their verification.
        self.results: collections.Counter[str] = collections.Counter()
        # Set when the server stops: requests that wait for files are answered then.
        self.stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False)

    async def check_all(
        self,
        owner: Owner,
        artifacts: Sequence[DeclaredFile],
        seconds: float | None = None,
        *,
        max_wait: float | None = None,
    ) -> list[VerificationDocument]:
        """Return the verification of each artifact, in order, all within `seconds` from the turn of the first one.

        Raise Busy if that turn does not come within `max_wait` seconds.
        """
        if not artifacts:
            return []
        seconds = self._seconds if seconds is None else seconds
        mine = asyncio.Semaphore(self._at_once)
        async with contextlib.AsyncExitStack() as first:
            await first.enter_async_context(self._slots.slot(owner, max_seconds=max_wait))
            end = asyncio.get_running_loop().time() + seconds
            held = [first]

            async def one(artifact: DeclaredFile) -> VerificationDocument:
                expected = http_client.Expected(artifact["size"], self._max_bytes)
                try:
                    async with asyncio.timeout_at(end), mine, held.pop() if held else self._slots.slot(owner):
                        with _noted(artifact["downloadUrl"]):
                            body = await self._body(owner, artifact["downloadUrl"], expected)
                        return _judged(body, artifact["size"], artifact["sha256"])
                except (TimeoutError, Busy):
                    failure = _late(seconds)
                except address_guard.Unreachable as error:
                    failure = str(error)
                if expected.other:
                    return _judged(expected.other, artifact["size"], artifact["sha256"])
                return _result("UNREACHABLE", failure)

            results = await asyncio.gather(*map(one, artifacts))
            self.results.update(result["status"] for result in results)
            return results

    async def check(
        self, url: str, size: int, sha256: str, seconds: float, owner: Owner = _NOBODY
    ) -> VerificationDocument:
        """Return the verification of one file, within `seconds`, as an artifact stores it."""
        [result] = await self.check_all(owner, [{"downloadUrl": url, "size": size, "sha256": sha256}], seconds)
        return result

    async def _body(self, owner: Owner, url: str, expected: http_client.Expected) -> http_client.Body:
        if expected.size > self._max_bytes:
            raise address_guard.Unreachable(
                f"The declared size of {expected.size} bytes exceeds the limit of {self._max_bytes} bytes: verify "
                "the file elsewhere, or ask an operator to raise RELEASE_CATALOG_FILES_MAX_BYTES."
            )
        goal = http_client.target(url)
        for _ in range(MAX_REDIRECTS + 1):
            sock = await address_guard.connect(self.allowed, self._resolver, owner, goal.host, goal.port)
            rate = TransferRate(goal.host, self._min_rate)
            about = goal, expected, self._tls, self._progress, rate
            async with rate.kept():
                answer = await http_client.in_thread(self._threads, sock, http_client.exchange, *about)
            if isinstance(answer, http_client.Body):
                return answer
            goal, url = _redirected(goal, url, answer)
        raise address_guard.Unreachable(f"The URL redirects more than {MAX_REDIRECTS} times: give the final URL.")


@contextlib.contextmanager
def _noted(url: str) -> Iterator[None]:
    """Note in the record of the request that a file is fetched; of its URL only the host, which is no secret."""
    began, is_whole = time.perf_counter(), False
    try:
        yield
        is_whole = True
    finally:
        if record := request_record.current.get():
            ended = time.perf_counter()
            record.add_file(FileFetch(_host(url), ended - began, ended, is_whole))


def _host(url: str) -> str:
    try:
        return (urllib.parse.urlsplit(url).hostname or "")[: http_client.MAX_HOST]
    except ValueError:
        return ""


def _redirected(goal: http_client.Target, url: str, location: str) -> tuple[http_client.Target, str]:
    try:
        http_client.check_length(location)
        url = urllib.parse.urljoin(url, location)
        after = http_client.target(url)
    except (ValueError, address_guard.Unreachable) as error:
        why = error if isinstance(error, address_guard.Unreachable) else "The URL of the redirect is invalid."
        raise address_guard.Unreachable(f"{goal.host} redirects to an unusable URL. {why}") from error
    if (goal.scheme, after.scheme) == ("https", "http"):
        raise address_guard.Unreachable(
            f"{goal.host} redirects from https to http: give a URL that stays with https."
        )
    return after, url


def _judged(body: http_client.Body, size: int, sha256: str) -> VerificationDocument:
    if body.size is None:
        message = f"The file exceeds its declared size, {size} bytes"
    elif body.size != size:
        message = f"The file has {body.size} bytes, but {size} are declared"
    elif body.sha256 != sha256:
        message = f"The SHA-256 digest of the file is {body.sha256}, but {sha256} is declared"
    else:
        message = ""
    status = "MISMATCH" if message else "VERIFIED"
    message = message and f"{message}: correct the declaration, or the file."
    if body.encoding:
        note = f"{body.host} sent the file encoded ({body.encoding}), and the encoded bytes were compared."
        message = f"{message} {note}".lstrip()
    return _result(status, message or None, body)


def _late(seconds: float) -> str:
    return (
        f"The files of the release took longer than {seconds:g} seconds: use a faster server, or "
        "ask an operator to raise RELEASE_CATALOG_FILES_DEADLINE."
    )


def _result(status: str, message: str | None, body: http_client.Body | None = None) -> VerificationDocument:
    return {
        "status": status,
        "actualSha256": body.sha256 if body else None,
        "actualSize": body.size if body else None,
        "message": message,
        "checkedAt": timestamps.now(),
    }
