"""A real MongoDB for the whole run, databases in it, and ways to ask the catalog."""

import collections
import contextlib
import itertools
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import hypothesis
import pytest
import structlog
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from structlog.dev import ConsoleRenderer, plain_traceback

from release_catalog import sample
from release_catalog.domain import caller
from release_catalog.embedded_mongodb import supervisor
from release_catalog.query_engine import executor
from release_catalog.query_engine.context import Context
from release_catalog.storage import database as db
from release_catalog.storage import indexes, transactions, unit_of_work
from support.catalog import Catalog, Commands

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Each kind of read, write, transaction, error and time-out.
OVER_BOTH_DRIVERS = {
    "test_seeds", "test_release_mutations", "test_lifecycle", "test_pagination", "test_queries", "test_import", "test_events",
    "test_graphs", "test_export", "test_indexes", "test_transactions", "test_outages", "test_write_concern",
}  # fmt: skip
# Files that take long, the longest first: they start first, so that no process is left with one of them at the end.
LONGEST = """test_hostile_inputs test_backup test_query_engine test_rolling_upgrade test_overload test_killed test_debian test_webhooks_under_kills test_outages
  test_tenant_isolation test_load test_clients test_which_database test_embedded test_server test_migrations test_registry_versions
  test_client_tools test_image test_compose_mongodb test_forms test_proxies test_hostile_sockets test_slow_clients test_subscriptions test_authentication test_write_concern
  test_shutdown test_promotion test_files test_access test_waiting test_ledger_command test_webhooks
  test_release_mutations test_http test_transactions test_events test_answer_size test_fair_workers test_wire""".split()
# Painting a traceback takes seconds.
structlog.configure(
    [*structlog.get_config()["processors"][:-1], ConsoleRenderer(exception_formatter=plain_traceback)]
)

SHARED = Path(__file__).parents[2] / "shared"
LOCAL = caller.local("local")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if url := os.environ.get("RELEASE_CATALOG_TEST_MONGODB_URL"):
        yield url
        return
    with supervisor.start(tmp_path_factory.mktemp("mongodb")) as mongod:
        with MongoClient[dict[str, Any]](mongod.url) as client:
            # It would keep the files of dropped databases open for five minutes, in which tests make too many.
            client.admin.command({"setParameter": 1, "minSnapshotHistoryWindowInSeconds": 60})
        yield mongod.url


@contextlib.asynccontextmanager
async def connected(
    url: str, name: str, *listeners: Any, driver: Any = AsyncMongoClient
) -> AsyncIterator[db.Database]:
    client = driver(url, event_listeners=listeners)
    try:
        yield db.configure(client[name])
    finally:
        closing = client.close()
        if closing is not None:
            await closing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long."""
    order = {name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of some modules over Motor, too: together they send every kind of command."""
    own = [mark for mark in metafunc.definition.iter_markers("parametrize") if mark.args[0] == "driver"]
    if "driver" in metafunc.fixturenames and not own:
        drivers: dict[str, Any] = {"pymongo": AsyncMongoClient}
        if metafunc.module.__name__ in OVER_BOTH_DRIVERS:
            drivers["motor"] = AsyncIOMotorClient
        metafunc.parametrize("driver", drivers.values(), ids=drivers.keys())


@pytest.fixture(scope="session")
def sample_name(mongodb_url: str) -> str:
    """Name of a database that holds the sample; tests only read it."""

    async def fill() -> None:
        async with connected(mongodb_url, "sample") as database:
            await indexes.ensure(database)
            assert await sample.load(LOCAL, database) > 2000

    anyio.run(fill)
    return "sample"


@pytest.fixture
async def stocked(mongodb_url: str, sample_name: str, driver: Any) -> AsyncIterator[Catalog]:
    """The catalog over the sample, for reading only."""
    commands = Commands()
    async with connected(mongodb_url, sample_name, commands, driver=driver) as database:
        yield Catalog(database, LOCAL, commands)


@pytest.fixture(scope="session")
def lend(mongodb_url: str) -> Iterator[Callable[[], str]]:
    """Gives the name of a database with indexes and without documents; tests must not change its indexes.

    Creating a database takes fifty times as long as emptying one. There are several in turn, so that a command that
    a test leaves behind does not reach the next test.
    """
    names = [f"test_{uuid.uuid4().hex}" for _ in range(3)]

    async def create() -> None:
        for name in names:
            async with connected(mongodb_url, name) as database:
                await indexes.ensure(database)

    anyio.run(create)
    turns = itertools.cycle(names)
    yield lambda: emptied(mongodb_url, next(turns))
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        for name in names:
            client.drop_database(name)


def emptied(url: str, name: str) -> str:
    """Delete all documents of a database; its name."""
    with MongoClient[dict[str, Any]](url) as client:
        database = client[name]
        for collection in database.list_collection_names():
            if collection in indexes.INDEXES:
                database[collection].delete_many({})
            else:
                database.drop_collection(collection)
    return name


@pytest.fixture
def empty_name(lend: Callable[[], str]) -> str:
    """Name of a database with indexes and without documents."""
    return lend()


@pytest.fixture
async def empty(mongodb_url: str, empty_name: str, driver: Any) -> AsyncIterator[Catalog]:
    """The catalog over a database without documents."""
    commands = Commands()
    async with connected(mongodb_url, empty_name, commands, driver=driver) as database:
        yield Catalog(database, LOCAL, commands)


@pytest.fixture(autouse=True)
def no_unsupported_query() -> Iterator[None]:
    """Let no query of any test fall back from its compiled form; only errors may."""
    before = collections.Counter(executor.fallbacks)
    yield
    assert not [reason for reason in executor.fallbacks - before if reason.startswith(executor.UNSUPPORTED)]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let writes wait for their turns for as long as the machine needs."""
    monkeypatch.setattr(unit_of_work, "_MAX_WAIT_SECONDS", 300.0)
    monkeypatch.setattr(Context, "seconds_left", 300.0)


@pytest.fixture
def many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let writers take no turns, as those of different processes do not."""

    async def at_once(_: caller.Caller, database: db.Database, work: Any) -> Any:
        return await transactions.run(database, work)

    monkeypatch.setattr(unit_of_work, "serialized_transaction", at_once)


@pytest.fixture
def shared() -> Path:
    """The folder of specifications that may lie beside the project."""
    if not SHARED.is_dir():
        pytest.skip("the specifications are not beside this checkout")
    return SHARED
