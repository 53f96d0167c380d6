"""kill -9 in the middle of imports: each has happened or has not, and its key brings it to an end.

Servers are killed one after the other, each with imports under way, so that all their claims run out together.
"""

import collections
import contextlib
import hashlib
import http.server
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import httpx2
import pymongo
import pytest

from release_catalog.domain import timestamps
from release_catalog.storage import idempotency
from release_catalog.storage.collection_names import EVENTS, RELEASES, REQUESTS, VERIFICATIONS
from support.catalog import source
from support.graphql_client import data_of, post
from support.processes import Server, eventually, serving

Json = dict[str, Any]

IMPORT = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) { message
  release { id name artifacts { name verification { status } } } problem { __typename detail } } }"""
CONTENT = random.Random(5).randbytes(200_000)
AT_ONCE = 3
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Files:
    """A file server that sends the first half of a file and, while it is not `free`, holds back the rest."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.asked: collections.Counter[str] = collections.Counter()
        self.ended: collections.Counter[str] = collections.Counter()
        files = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(CONTENT)))
                    self.end_headers()
                    self.wfile.write(CONTENT[: len(CONTENT) // 2])
                    files.asked[self.path] += 1
                    files.free.wait(60)
                    self.wfile.write(CONTENT[len(CONTENT) // 2 :])
                    files.ended[self.path] += 1

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]


@pytest.fixture
def files() -> Iterator[Files]:
    files = Files()
    thread = threading.Thread(target=files.server.serve_forever)
    thread.start()
    yield files
    files.free.set()
    files.server.shutdown()
    thread.join()
    files.server.server_close()


@pytest.fixture
def settings(mongodb_url: str) -> Iterator[Json]:
    """The settings of servers that share a database and may fetch from this machine."""
    name = f"test_{uuid.uuid4().hex}"
    yield {"mongodb_url": mongodb_url, "database": name, "files_allow": "127.0.0.1"}
    with pymongo.MongoClient[Json](mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture
def database(settings: Json) -> Iterator[Any]:
    with pymongo.MongoClient[Json](settings["mongodb_url"], tz_aware=True) as client:
        yield client[settings["database"]]


def asked(files: Files, key: str, mode: str, count: int = 2) -> Json:
    """A request to import a release called `key` with some files, under that key."""
    artifacts = [
        {"name": f"{at}", "size": len(CONTENT), "sha256": DIGEST, "downloadUrl": f"{files.url}/{key}/{at}"}
        for at in range(count)
    ]
    document = source(key, artifacts=artifacts)
    return {"projectIdentifier": key, "release": document, "verification": mode, "idempotencyKey": key}


def sent(server: Server, given: Json) -> Json | None:
    """The answer to an import, repeated while other writes go first; None where its server was killed."""
    with httpx2.Client(timeout=60) as http, contextlib.suppress(httpx2.TransportError):
        while True:
            answer = post(http, IMPORT, url=server.url, variables={"input": given})
            errors = answer.json().get("errors", [])
            if [error["extensions"].get("outcome") for error in errors] != ["UNCHANGED"]:
                done: Json = data_of(answer)["importRelease"]
                return done
    return None


def there(database: Any, key: str) -> tuple[bool, bool, bool]:
    """Whether an import has a release, an event of it, and an answer that is remembered."""
    release = database[RELEASES].find_one({"name": key})
    event = release and database[EVENTS].find_one({"releaseId": release["id"], "type": "release.imported"})
    memory = database[REQUESTS].find_one({"_id": f"local/{key}", "answer": {"$exists": True}})
    return release is not None, event is not None, memory is not None


def finished(server: Server, given: Json, seconds: float) -> Json:
    """The answer to the same request, repeated until no other process seems to work on it; it has so long."""
    deadline, late = time.monotonic() + seconds, False
    while not late:
        late = time.monotonic() > deadline
        answer = sent(server, given)
        assert answer
        if answer["problem"] is None:
            return answer
        assert "still running" in answer["problem"]["detail"], answer
        time.sleep(0.2)
    raise AssertionError(f"{given['idempotencyKey']} is claimed for too long")


Moment = Callable[[Files, Server, list[str]], None]


def before_a_file_is_asked_for(files: Files, server: Server, keys: list[str]) -> None:
    time.sleep(random.random() / 20)


def while_files_are_fetched(files: Files, server: Server, keys: list[str]) -> None:
    # A tenant has a few jobs at a time: the others wait for their turn.
    assert eventually(lambda: sum(files.asked[f"/{key}/0"] > 0 for key in keys) >= AT_ONCE)


def when_the_last_byte_was_sent(files: Files, server: Server, keys: list[str]) -> None:
    while_files_are_fetched(files, server, keys)
    files.free.set()
    paths = [f"/{key}/{at}" for key in keys for at in range(2)]
    assert eventually(lambda: any(files.ended[path] for path in paths))


def at_any_moment(files: Files, server: Server, keys: list[str]) -> None:
    files.free.set()
    time.sleep(random.random() * 0.6)


MOMENTS: list[Moment] = [
    before_a_file_is_asked_for, while_files_are_fetched, when_the_last_byte_was_sent, at_any_moment, at_any_moment,
]  # fmt: skip


def test_an_import_whose_server_is_killed_happens_wholly_or_not_at_all_and_its_idempotency_key_ends_it(
    tmp_path: Path, files: Files, settings: Json, database: Any
) -> None:
    given: dict[str, Json] = {}
    for number, moment in enumerate(MOMENTS):
        files.free.clear()
        mine = {f"{number}-{mode.lower()}-{at}": mode for at in range(4) for mode in ("WAIT", "BACKGROUND")}
        requests = {key: asked(files, key, mode) for key, mode in mine.items()}
        given |= requests
        with serving(tmp_path / str(number), **settings) as server, futures.ThreadPoolExecutor(len(mine)) as pool:
            pending = [pool.submit(sent, server, request) for request in requests.values()]
            moment(files, server, list(mine))
            assert server.stop(signal.SIGKILL) == -signal.SIGKILL
            for key, answer in zip(mine, pending, strict=True):
                if answer.result() is not None:
                    assert there(database, key) == (True, True, True), "what was answered has happened"
        for key in given:
            assert there(database, key) in {(True,) * 3, (False,) * 3}
    killed = time.monotonic()
    files.free.set()
    for key, request in given.items():
        if there(database, key)[0] and request["verification"] == "WAIT":
            [release] = database[RELEASES].find({"name": key})
            assert {file["verification"]["status"] for file in release["artifacts"]} == {"VERIFIED"}
    # Not to wait until what the dead had leased is free again.
    database[VERIFICATIONS].update_many({}, {"$set": {"leaseUntil": timestamps.now()}})

    files.ended.clear()
    waiting = {key for key in given if there(database, key)[0] and is_waiting(database, key)}
    with (
        serving(tmp_path / "one", **settings) as one,
        serving(tmp_path / "two", **settings),
        futures.ThreadPoolExecutor(len(given)) as pool,
    ):
        left = patience(database) - (time.monotonic() - killed)
        answers = dict(zip(given, pool.map(lambda each: finished(one, each, left), given.values()), strict=True))
        assert eventually(lambda: database[VERIFICATIONS].count_documents({}) == 0)
        again = dict(zip(given, pool.map(lambda each: sent(one, each), given.values()), strict=True))
        assert {key: answer["release"]["id"] for key, answer in answers.items()} == {
            key: answer and answer["release"]["id"] for key, answer in again.items()
        }
    for key in given:
        assert there(database, key) == (True, True, True)
        [release] = database[RELEASES].find({"name": key})
        assert {file["verification"]["status"] for file in release["artifacts"]} == {"VERIFIED"}
        kinds = sorted(event["type"] for event in database[EVENTS].find({"releaseId": release["id"]}))
        assert kinds == ["artifact.verified", "release.imported"]
    for key in waiting:
        assert [files.ended[f"/{key}/{at}"] for at in range(2)] == [1, 1], "two servers, one of which does it"
    numbers = [event["sequence"] for event in database[EVENTS].find().sort("sequence", 1)]
    assert numbers == list(range(1, len(numbers) + 1))


def patience(database: Any) -> float:
    """Seconds until the last trace of a killed server is gone: its claim on a key, and what its transaction locks."""
    limit = "transactionLifetimeLimitSeconds"
    locked: float = database.client.admin.command({"getParameter": 1, limit: 1})[limit]
    # MongoDB looks for transactions that are too old twice in that time.
    return max(idempotency.LOCK_TTL.total_seconds(), 1.5 * locked) + 5


def is_waiting(database: Any, key: str) -> bool:
    [release] = database[RELEASES].find({"name": key})
    return {file["verification"]["status"] for file in release["artifacts"]} == {"PENDING"}
