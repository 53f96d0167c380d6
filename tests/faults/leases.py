"""Work that several API processes share by leases: claims on idempotency keys, files to verify and webhooks.

All of this happens in a tenant of its own, beside the load.
"""

import contextlib
import time
import uuid
from concurrent import futures
from typing import Any, Self

import httpx2

from faults.api_process import ApiProcess, signed_token
from faults.journal import Json
from faults.peers import CONTENT, DIGEST, Peer, peer
from faults.replica_set import wait_for
from faults.stage import Stage

_IMPORT = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) {
  release { id artifacts { verification { status } } } problem { __typename detail } } }"""
_HOOK = """mutation($url: String!) { createWebhook(input: {url: $url, events: ["*"]}) { webhook { id }
  problem { detail } } }"""
_RELEASE = """query($id: ID!) { release(id: $id) { artifacts { verification { status } } }
  events(releaseId: $id) { nodes { type } } }"""
# Longer than it takes to renew a lease, shorter than a receiver of webhooks is waited for.
_HOLD_SECONDS = 8.0
# The longest lease, that of a file, and as long again to notice.
_TAKEN_SECONDS = 75.0
_JOBS = 8
_EVENTS = 20


class LeaseCheck:
    """Finds out whether two API processes of a stage respect each other's leases."""

    def __init__(self, running: Stage) -> None:
        self.apis = running.apis
        self.running = running
        self.complaints: list[str] = []
        self._token = signed_token("gamma")
        self._stack = contextlib.ExitStack()
        self._files: Peer
        self._receiver: Peer
        self._pool: futures.ThreadPoolExecutor

    def __enter__(self) -> Self:
        self._files = self._stack.enter_context(peer())
        self._receiver = self._stack.enter_context(peer())
        self._pool = self._stack.enter_context(futures.ThreadPoolExecutor(4))
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever still waits for a file or a receiver gets it.
        self._files.free.set()
        self._receiver.free.set()
        self._stack.close()

    # Steps.

    def claims_are_kept(self) -> None:
        """Hold the claim on a key in one process: the other one leaves it alone."""
        for holder, other in (self.apis, self.apis[::-1]):
            key, name = self._begun(holder)
            time.sleep(_HOLD_SECONDS)
            told = self._import(other, key, "WAIT")
            self._check_fetched(f"/{key}")
            if not told["problem"] or "still running" not in told["problem"]["detail"]:
                self.complaints.append(f"a claim was stolen: {told}")
            self._files.free.set()
            first = name.result()
            again = self._import(other, key, "WAIT")
            if first["problem"] or first != again:
                self.complaints.append(f"a replay has another answer: {first} and then {again}")

    def jobs_are_done_once(self) -> None:
        """Have files verified in the background, slowly: no other process fetches them meanwhile, and each is told of once."""
        self._files.free.clear()
        keys = self._scheduled()
        time.sleep(_HOLD_SECONDS)
        for key in keys:
            self._check_fetched(f"/{key}")
        self._files.free.set()
        for id_ in keys.values():
            self._wait_verified(id_)

    def events_are_delivered_once(self) -> None:
        """Have events sent to a webhook, one of them slowly: each comes once, in order."""
        self._receiver.free.set()
        url = f"{self._receiver.url}/hook"
        made = self.apis[0].ask(self._token, _HOOK, url=url)["createWebhook"]
        assert made["problem"] is None, made
        for number in range(_EVENTS):
            self._import(self.apis[number % 2], uuid.uuid4().hex, "SKIP")
        self._wait_delivered(_EVENTS)
        self._receiver.free.clear()
        self._import(self.apis[0], uuid.uuid4().hex, "SKIP")
        self._wait_delivered(_EVENTS + 1)
        time.sleep(_HOLD_SECONDS)
        self._receiver.free.set()
        self._import(self.apis[1], uuid.uuid4().hex, "SKIP")
        self._wait_delivered(_EVENTS + 2)
        ids = [int(id_) for id_, _ in self._receiver.bodies]
        if ids != list(range(ids[0], ids[0] + _EVENTS + 2)):
            self.complaints.append(f"a webhook got these events: {ids}")

    def leases_of_the_dead_are_taken(self) -> None:
        """Kill the process that is ahead while it holds leases: the other one takes over in time."""
        ahead, behind = self.apis
        self._files.free.clear()
        key, held = self._begun(ahead)
        keys = self._scheduled()
        wait_for(lambda: sum(self._files.asked[f"/{one}"] for one in keys) >= len(keys) / 2, 30, "no job is done")
        self.running.kill_api(ahead)
        with contextlib.suppress(httpx2.TransportError):
            held.result()
        self._files.free.set()
        killed, answer = time.monotonic(), None
        while (answer is None or answer["problem"]) and time.monotonic() < killed + _TAKEN_SECONDS:
            answer = self._import(behind, key, "WAIT")
            time.sleep(0.2)
        if not answer or answer["problem"]:
            self.complaints.append(f"the claim of a dead process is still held: {answer}")
        for id_ in keys.values():
            self._wait_verified(id_)
        before = len(self._receiver.bodies)
        self._import(behind, uuid.uuid4().hex, "SKIP")
        self._wait_delivered(before + 1)

    # Helpers.

    def _begun(self, api: ApiProcess) -> tuple[str, "futures.Future[Json]"]:
        """Begin an import that waits for its file; its key, and its answer to be."""
        key = uuid.uuid4().hex
        self._files.free.clear()
        answer = self._pool.submit(self._import, api, key, "WAIT")
        wait_for(lambda: self._files.asked[f"/{key}"] or answer.done(), 60, "no file was fetched")
        assert not answer.done(), answer.result()
        return key, answer

    def _scheduled(self) -> dict[str, str]:
        """Import releases whose files are fetched later; their ids by their keys."""
        keys = [uuid.uuid4().hex for _ in range(_JOBS)]
        answers = [self._import(self.apis[at % 2], key, "BACKGROUND") for at, key in enumerate(keys)]
        return {key: answer["release"]["id"] for key, answer in zip(keys, answers, strict=True)}

    def _import(self, api: ApiProcess, key: str, mode: str) -> Json:
        """Return the answer to an import of a release with one file."""
        file = {"name": "tool", "size": len(CONTENT), "sha256": DIGEST, "downloadUrl": f"{self._files.url}/{key}"}
        document: Json = {"name": "tool", "version": key, "project": "tool", "author": None, "artifacts": [file]}
        document |= {"createdAt": "2024-01-01T00:00:00Z"}
        given = {"projectIdentifier": "tool", "release": document, "verification": mode, "idempotencyKey": key}
        answer: Json = api.ask(self._token, _IMPORT, input=given)["importRelease"]
        return answer

    def _check_fetched(self, path: str) -> None:
        """Complain where a file that is held back was asked for again: its lease was stolen."""
        if (count := self._files.asked[path]) > 1:
            self.complaints.append(f"a file was fetched {count} times")

    def _wait_verified(self, id_: str) -> None:
        deadline = time.monotonic() + _TAKEN_SECONDS
        found: Any = None
        while time.monotonic() < deadline:
            found = self.apis[-1].ask(self._token, _RELEASE, id=id_)
            if found["release"]["artifacts"][0]["verification"]["status"] == "VERIFIED":
                # The events of the first answer may have been read before the file was verified.
                found = self.apis[-1].ask(self._token, _RELEASE, id=id_)
                types = [event["type"] for event in found["events"]["nodes"]]
                if types != ["release.imported", "artifact.verified"]:
                    self.complaints.append(f"these events of a file: {types}")
                return
            time.sleep(0.2)
        self.complaints.append(f"a file was not verified: {found}")

    def _wait_delivered(self, count: int) -> None:
        deadline = time.monotonic() + _TAKEN_SECONDS
        while len(self._receiver.bodies) < count:
            if time.monotonic() > deadline:
                self.complaints.append(f"a webhook got {len(self._receiver.bodies)} events and not {count}")
                return
            time.sleep(0.05)
