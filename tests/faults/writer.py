"""The load: writers that repeat each mutation with its idempotency key until it is answered.

    python -m faults.writer CONFIGURATION JOURNAL

The configuration is JSON: `urls` of the API processes, `tenants` (a name, a token, the id and key of a product), the
number of `writers`, and a `prefix` for keys and versions. Each line of the journal is one attempt, one operation that
was answered, or what a reader saw. It ends when standard input ends and every operation has been answered.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import httpx2

from support.graphql_client import JSON, RESPONSE, post

Json = dict[str, Any]

_RELEASE = "release { id etag version revision channel status notes }"
_PROBLEM = "problem { __typename detail ... on ValidationProblem { violations { field message } } }"
_PARTS = {
    "createRelease": _RELEASE,
    "patchRelease": _RELEASE,
    "publishRelease": _RELEASE,
    "importRelease": _RELEASE,
    "promoteRelease": "promotion { id sequence status hash environment version artifacts { path } }",
}
_READ = """query($after: ID) {
  releases(first: 20) { nodes { id } }
  events(after: $after, first: 100) { nodes { id type data } } }"""
# What says that an operation may be repeated, by the word that the journal has for it.
_CODES = {"UNAVAILABLE": "unavailable", "TIMEOUT": "timeout"}
_PAUSE_SECONDS = 0.03
_REPEAT_SECONDS = 0.3
_READ_SECONDS = 0.3
# A server that says nothing for longer has broken its word, which is 15 s.
_PATIENCE_SECONDS = 60.0
_DRAIN_SECONDS = 120.0
_DETAIL = 600


class Journal:
    """The results of operations, one line of JSON each."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def note(self, kind: str, **fields: Any) -> None:
        print(json.dumps({"kind": kind, **fields}), file=self._file, flush=True)


class Client:
    """Sends operations to the API processes, to another one after each failure."""

    def __init__(self, configuration: Json, journal: Journal) -> None:
        self.urls: list[str] = configuration["urls"]
        self.prefix: str = configuration["prefix"]
        self.journal = journal
        self.over = asyncio.Event()
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
        self.http = httpx2.AsyncClient(timeout=_PATIENCE_SECONDS, limits=limits)
        self._turns = itertools.count()

    async def send(self, server: int, token: str, accept: str, body: Json) -> httpx2.Response:
        headers, parameters = {"Authorization": f"Bearer {token}"}, {**body}
        query = parameters.pop("query")
        return await post(self.http, query, accept, url=self.urls[server], headers=headers, **parameters)

    async def do(self, tenant: Json, verb: str, key: str, fields: Json, *, replay: bool = False) -> Json:
        """Return the answer to a mutation, which is repeated until it has one."""
        kind = f"{verb[0].upper()}{verb[1:]}Input"
        query = f"mutation($input: {kind}!) {{ {verb}(input: $input) {{ {_PARTS[verb]} {_PROBLEM} }} }}"
        body = {"query": query, "variables": {"input": {**fields, "idempotencyKey": key}}}
        first, accept = next(self._turns), random.choice([JSON, RESPONSE])
        for number in itertools.count():
            server, began = (first + number) % len(self.urls), time.monotonic()
            outcome, told = await self.attempt(server, tenant["token"], accept, body)
            if outcome == "data":
                outcome, told = _judged(told[verb])
            attempt = {"key": key, "server": server, "began": began, "ended": time.monotonic(), "outcome": outcome}
            detail = None if outcome == "acknowledged" else str(told)[:_DETAIL]
            self.journal.note("attempt", tenant=tenant["name"], replay=replay, detail=detail, **attempt)
            if outcome == "acknowledged":
                return dict(told)
            await asyncio.sleep(_REPEAT_SECONDS * (0.5 + random.random()))
        raise AssertionError("unreachable")

    async def attempt(self, server: int, token: str, accept: str, body: Json) -> tuple[str, Any]:
        """Return the data that came, or the journal's word for what came in its place and what that was."""
        try:
            response = await self.send(server, token, accept, body)
        except httpx2.TimeoutException as error:
            return "silent", repr(error)
        except httpx2.TransportError as error:
            return "connection", repr(error)
        try:
            answer = response.json()
        except ValueError:
            return "other", f"{response.status_code} {response.text}"
        if "errors" not in answer and response.status_code == httpx2.codes.OK:
            return "data", answer["data"]
        told = f"{response.status_code} {dict(response.headers).get('retry-after')} {answer}"
        return _failed(answer, strictly_refused=accept != RESPONSE or _is_503(response)), told


def _failed(answer: Json, *, strictly_refused: bool) -> str:
    """Return the journal's word for errors; what is unavailable has to be refused as HTTP does it, if asked to."""
    words = set()
    for extensions in (error.get("extensions", {}) for error in answer.get("errors", [])):
        word = _CODES.get(extensions.get("code"), "other")
        outcome = extensions.get("outcome", "").lower()
        words.add(outcome if outcome in {"unknown", "changed"} else word)
    if len(words) != 1 or (words & {"unavailable", "unknown"} and not strictly_refused):
        return "other"
    return words.pop()


def _is_503(response: httpx2.Response) -> bool:
    return response.status_code == httpx2.codes.SERVICE_UNAVAILABLE and "retry-after" in response.headers


def _judged(payload: Json) -> tuple[str, Any]:
    problem = payload.pop("problem")
    if problem is None:
        [found] = payload.values()
        return "acknowledged", found
    return ("running" if "still running" in problem["detail"] else "other"), problem


class Writer:
    """Makes one release after the other and takes each through its life."""

    def __init__(self, client: Client, number: int, tenant: Json) -> None:
        self.client, self.number, self.tenant = client, number, tenant
        self.count = 0
        self.done: list[tuple[str, str, Json, Json]] = []

    async def run(self) -> None:
        for number in itertools.count():
            await self._life(number)
            if self.client.over.is_set():
                return

    async def _life(self, number: int) -> None:
        """Take one release through its life, or a part of it when the end comes."""
        version, product = f"{self.client.prefix}.{self.number}.{number}", self.tenant["product"]
        name = f"tool {self.number}"
        path = {"repositoryKey": "generic", "path": version, "packageType": "generic"}
        file = {"name": "tool.tgz", "size": 1, "sha256": f"{self.number:064x}"}
        file |= {"downloadUrl": "http://files.example/tool.tgz", **path}
        if number % 4 == 3:
            document: Json = {
                "name": name,
                "version": version,
                "createdAt": "2024-01-01T00:00:00Z",
                "author": None,
            }
            document |= {"project": self.tenant["key"], "artifacts": [file]}
            imported = {"projectIdentifier": self.tenant["key"], "verification": "SKIP"}
            made = await self._do("importRelease", {**imported, "release": document})
            if not made:
                return
            made = await self._do("importRelease", {**imported, "release": {**document, "releaseNotes": "again"}})
        else:
            fields = {"productId": product, "name": name, "version": version, "artifacts": [file]}
            made = await self._do("createRelease", fields)
        steps: list[tuple[str, Json]] = [
            ("patchRelease", {"name": name, "notes": f"{version} as a draft"}),
            ("publishRelease", {}),
            ("patchRelease", {"name": name, "notes": f"{version} published"}),
        ]
        for verb, fields in steps:
            made = made and await self._do(verb, {"id": made["id"], "ifMatch": made["etag"], **fields})
        if made:
            await self._do("promoteRelease", {"releaseId": made["id"], "environment": "QA"})

    async def _do(self, verb: str, fields: Mapping[str, Any]) -> Json | None:
        """Return the answer to one mutation; None when the end has come before it."""
        if self.client.over.is_set():
            return None
        self.count += 1
        key, given = f"{self.client.prefix}-{self.number}-{self.count}", dict(fields)
        answer = await self.client.do(self.tenant, verb, key, given)
        operation = {"key": key, "verb": verb, "tenant": self.tenant["name"], "input": given, "answer": answer}
        self.client.journal.note("operation", **operation)
        self.done.append((verb, key, given, answer))
        await asyncio.sleep(_PAUSE_SECONDS * 2 * random.random())
        if self.count % 6 == 0:
            await self._replay()
        return answer

    async def _replay(self) -> None:
        """Repeat something that was answered before: the answer is the same."""
        verb, key, given, before = random.choice(self.done)
        answer = await self.client.do(self.tenant, verb, key, given, replay=True)
        self.client.journal.note("replay", key=key, same=answer == before, before=before, answer=answer)


class Reader:
    """Reads what is new, and notes what it saw."""

    def __init__(self, client: Client, server: int, tenant: Json) -> None:
        self.client, self.server, self.tenant = client, server, tenant

    async def run(self) -> None:
        after: str | None = None
        while not self.client.over.is_set():
            body = {"query": _READ, "variables": {"after": after or "0"}}
            began = time.monotonic()
            outcome, told = await self.client.attempt(self.server, self.tenant["token"], RESPONSE, body)
            if outcome == "data":
                releases = [release["id"] for release in told["releases"]["nodes"]]
                events = [(event["id"], event["type"], event["data"]["id"]) for event in told["events"]["nodes"]]
                after = events[-1][0] if events else after
                self.client.journal.note("seen", tenant=self.tenant["name"], releases=releases, events=events)
            else:
                failure = {"outcome": outcome, "detail": str(told)[:_DETAIL], "server": self.server}
                self.client.journal.note("read", began=began, ended=time.monotonic(), **failure)
            await asyncio.sleep(_READ_SECONDS)


async def run(configuration: Json, journal: Journal) -> None:
    """Write until standard input ends, and then until every operation is answered."""
    client, tenants = Client(configuration, journal), configuration["tenants"]
    workers: list[Writer | Reader] = [
        Writer(client, number, tenants[number % len(tenants)]) for number in range(configuration["writers"])
    ]
    workers += [Reader(client, at, tenant) for at, tenant in itertools.product(range(len(client.urls)), tenants)]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
    client.over.set()
    async with asyncio.timeout(_DRAIN_SECONDS):
        await asyncio.gather(*tasks)
    journal.note("end")


def main() -> None:
    """Run with what the command line names."""
    with Path(sys.argv[2]).open("a") as file:
        asyncio.run(run(json.loads(Path(sys.argv[1]).read_text()), Journal(file)))


if __name__ == "__main__":
    main()
