"""An upgrade from an earlier commit without a failed request: old and new servers beside each other, under load."""

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pymongo
import pytest

from release_catalog.storage.migrations import MIGRATIONS
from support import graphql_client
from support.catalog import source
from support.failover import Client, LoadBalancer
from support.old_servers import OldRelease, before_the_last_migration, previous_commit
from support.processes import Server, eventually, run, serving

PRODUCTS = [f"product-{number}" for number in range(3)]
SAVE = (
    "mutation($key: String!) { saveProduct(input: {key: $key, name: $key}) { product { id } problem { detail } } }"
)
# Fields and filters that need the newest forms of all documents.
FOUND = """query($product: ID!) { releases(first: 100, filter: {productId: $product, search: "product"},
  orderBy: {field: VERSION, direction: ASC}) { nodes { id version } } }"""


@pytest.fixture
def settings(mongodb_url: str) -> Iterator[dict[str, Any]]:
    found: dict[str, Any] = {"mongodb_url": mongodb_url, "database": f"test_{uuid.uuid4().hex}"}
    yield found
    with pymongo.MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(found["database"])


@contextlib.contextmanager
def load(server: Server) -> Iterator[tuple[LoadBalancer, list[Client]]]:
    """Clients that go on until the context ends; none of them may have failed then."""
    balancer, over = LoadBalancer(), threading.Event()
    balancer.urls = [server.url]
    clients = []
    for number, key in enumerate(PRODUCTS):
        id_ = graphql_client.ask(server.url, SAVE, key=key)["saveProduct"]["product"]["id"]
        clients.append(Client(balancer, id_, over, number))
    for client in clients:
        client.start()
    balancer.is_broken = lambda: any(client.failure for client in clients)
    try:
        yield balancer, clients
    finally:
        over.set()
        for client in clients:
            client.join(60)
        for client in clients:
            if client.failure:
                raise client.failure
    assert not any(client.is_alive() for client in clients)


def stop(server: Server, balancer: LoadBalancer, *others: Server) -> None:
    """Take a server out while requests run: it ends cleanly, though it still gets new ones until it has ended."""
    assert server.stop() == 0
    balancer.urls = [other.url for other in others]
    balancer.wait_for_answers(*balancer.urls)


@pytest.mark.parametrize("old_commit", [before_the_last_migration, previous_commit])
def test_an_upgrade_and_a_return_fail_no_request(
    settings: dict[str, Any], tmp_path: Path, old_commit: Callable[[], str]
) -> None:
    old = OldRelease(old_commit(), tmp_path)
    migrates = {migration.name for migration in MIGRATIONS} > old.migrations()
    assert migrates or old_commit is previous_commit
    releases = b"\n".join(orjson.dumps(source(f"tool-{number}")) for number in range(700))
    loaded = old.run("load", "-", source=releases, **settings)
    assert loaded.returncode == 0, loaded.stderr
    with contextlib.ExitStack() as servers:
        before = servers.enter_context(old.serving(tmp_path / "old.log", **settings))
        # It ends before the servers do.
        with load(before) as (balancer, clients):
            balancer.wait_for_answers(before.url)
            assert run("migrate", "--check", **settings).returncode == (3 if migrates else 0)
            # The new server comes beside the old one, and migrates while both serve.
            tried = servers.enter_context(serving(tmp_path / "tried", **settings))
            balancer.urls = [before.url, tried.url]
            balancer.wait_for_answers(before.url, tried.url)
            if migrates:
                assert eventually(lambda: tried.entries("migration finished"))
            # A return: the old one goes on alone with what both have written.
            stop(tried, balancer, before)
            # The upgrade: the old one stops, and the new ones go on.
            after = servers.enter_context(serving(tmp_path / "new", **settings))
            balancer.urls = [before.url, after.url]
            balancer.wait_for_answers(before.url, after.url)
            stop(before, balancer, after)
            migrated = run("migrate", **settings)
            assert migrated.returncode == 0, migrated.stderr
            assert run("migrate", "--check", **settings).returncode == 0
            balancer.wait_for_answers(after.url)
    with serving(tmp_path / "last", **settings) as last, httpx2.Client() as http:
        balancer.urls = [last.url]
        for client in clients:
            client.check(http)
            found = last.ask(FOUND, product=client.product)["releases"]["nodes"]
            assert [one["id"] for one in found] == list(client.model)
