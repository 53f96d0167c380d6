"""Clients behind a simple failover, as a load balancer does it, that hold every answer against a model."""

import itertools
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx2

from support import graphql_client
from support.processes import eventually

CREATE = """mutation($i: CreateReleaseInput!) { done: createRelease(input: $i) { release { id } problem { detail } } }"""
PATCH = (
    """mutation($i: PatchReleaseInput!) { done: patchRelease(input: $i) { release { id } problem { detail } } }"""
)
PUBLISH = (
    "mutation($i: PublishReleaseInput!) { done: publishRelease(input: $i) { release { id } problem { detail } } }"
)
READ = """query($id: ID!, $product: ID!) {
  release(id: $id) { version notes status dependencies { nodes { version } } dependants { nodes { id } } }
  releases(first: 100, filter: {productId: $product}) { totalCount nodes { version notes status } }
  latestRelease(productId: $product) { version } }"""
# A load balancer gives up after these seconds without any server that answers.
PATIENCE_SECONDS = 20


class LoadBalancer:
    """The addresses of the servers that take requests, and the number of responses that each gave."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.answered: Counter[str] = Counter()
        self.is_broken: Callable[[], bool] = lambda: False
        self._turns = itertools.count()

    def post(self, http: httpx2.Client, body: dict[str, Any]) -> Any:
        """The data of a response: from the next server, if one refuses the connection or takes no requests."""
        until = time.monotonic() + PATIENCE_SECONDS
        reason: object = None
        while time.monotonic() < until:
            urls = list(self.urls)
            url = urls[next(self._turns) % len(urls)]
            try:
                response = graphql_client.post(http, url=url, **body)
            except httpx2.TransportError as error:
                reason = error
                continue
            if response.status_code == 503:
                reason = response.text
                continue
            answer = response.json()
            assert "errors" not in answer, answer
            self.answered[url] += 1
            return answer["data"]
        raise AssertionError(f"no server answers: {reason}")

    def wait_for_answers(self, *urls: str, count: int = 40) -> None:
        """Return when each of these servers has answered some more requests."""
        before = Counter(self.answered)

        def is_enough() -> bool:
            return all(self.answered[url] >= before[url] + count for url in urls)

        assert eventually(lambda: is_enough() or self.is_broken())
        assert is_enough(), self.answered


class Client(threading.Thread):
    """A client that changes the releases of its own product, reads them after each change, and stops at a failure."""

    def __init__(self, balancer: LoadBalancer, product: str, over: threading.Event, seed: int) -> None:
        super().__init__()
        self.balancer, self.product, self.over = balancer, product, over
        self.chance = random.Random(seed)
        # By id, in the order of their versions: what is known of each release.
        self.model: dict[str, dict[str, Any]] = {}
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with httpx2.Client(timeout=60) as http:
                while not self.over.is_set():
                    self._change(http)
                    self.check(http)
        except BaseException as error:  # noqa: BLE001  the test raises it
            self.failure = error

    def _change(self, http: httpx2.Client) -> None:
        drafts = [id_ for id_, release in self.model.items() if release["status"] == "DRAFT"]
        kind = self.chance.choice(("create", "patch", "publish")) if drafts else "create"
        if kind == "create" and len(self.model) < 60:
            version = f"1.{len(self.model)}"
            # The one before it, by name.
            needs = [{"name": self.product, "version": f"1.{len(self.model) - 1}"}] if self.model else []
            values = {"productId": self.product, "name": self.product, "version": version, "dependencies": needs}
            id_ = self._mutate(http, CREATE, **values)
            made = {"version": version, "notes": None, "status": "DRAFT"}
            self.model[id_] = made
            return
        id_ = self.chance.choice(drafts or list(self.model))
        if kind == "publish" and drafts:
            self._mutate(http, PUBLISH, id=id_)
            self.model[id_]["status"] = "PUBLISHED"
        else:
            notes = f"Notes {self.chance.random()}"
            self._mutate(http, PATCH, id=id_, name=self.product, notes=notes)
            self.model[id_]["notes"] = notes

    def _mutate(self, http: httpx2.Client, query: str, **values: Any) -> str:
        # The key lets a load balancer repeat a request that a server did not answer.
        body = {"query": query, "variables": {"i": {**values, "idempotencyKey": uuid.uuid4().hex}}}
        done = self.balancer.post(http, body)["done"]
        assert done["problem"] is None, done
        return str(done["release"]["id"])

    def check(self, http: httpx2.Client) -> None:
        """Hold what the servers answer against the model."""
        number, id_ = self.chance.choice(list(enumerate(self.model)))
        found = self.balancer.post(http, {"query": READ, "variables": {"id": id_, "product": self.product}})
        release, ids = found["release"], list(self.model)
        assert [node["version"] for node in release.pop("dependencies")["nodes"]] == [f"1.{number - 1}"][
            : number > 0
        ]
        assert [node["id"] for node in release.pop("dependants")["nodes"]] == ids[number + 1 : number + 2]
        assert release == self.model[id_]
        assert found["releases"]["totalCount"] == len(self.model)
        assert sorted(found["releases"]["nodes"], key=str) == sorted(self.model.values(), key=str)
        published = [one["version"] for one in self.model.values() if one["status"] == "PUBLISHED"]
        assert (found["latestRelease"] or {}).get("version") == (published[-1] if published else None)
