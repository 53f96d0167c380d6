"""Changes of a product's version scheme, between whose batches others read and write."""

import asyncio
import contextlib
import datetime
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies
from pymongo.errors import AutoReconnect

from conftest import LOCAL, connected
from release_catalog.domain import release, timestamps, versions
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.domain.versions import Scheme
from release_catalog.storage import (
    bulk_load,
    indexes,
    pagination,
    reference_data,
    releases,
    scheme_change,
    search_terms,
    version_order,
)
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import COUNTERS, PRODUCTS, RELEASES
from release_catalog.storage.database import Database
from release_catalog.storage.outages import SchemeChangeUnderWay, TurnNotReached
from support.catalog import Catalog

# Their orders in ANY and in SEMVER differ at many places, and two are no semantic versions.
VERSIONS = [f"1.{minor}.0{pre}" for minor in range(5) for pre in ("", "-1", "-beta", "-beta.2")] + ["nightly", "2"]
CREATE = """mutation($id: ID!, $version: String!, $revision: String) {
  createRelease(input: {productId: $id, name: "tool", version: $version, revision: $revision}) {
    release { id } problem { detail } } }"""
REVISE = """mutation($id: ID!, $revision: String!) {
  patchRelease(input: {id: $id, name: "tool", revision: $revision}) { problem { detail } } }"""
SAVE = """mutation($id: ID!, $scheme: VersionScheme!) {
  saveProduct(input: {id: $id, key: "tool", name: "Tool", versionScheme: $scheme}) {
    product { versionScheme } problem { detail } } }"""
PAGE = """query($filter: ReleaseFilter, $first: Int, $after: String, $last: Int, $before: String, $to: OrderDirection!) {
  releases(filter: $filter, first: $first, after: $after, last: $last, before: $before,
           orderBy: {field: VERSION, direction: $to}) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } nodes { id version product { key } } } }"""
LATEST = """query($id: ID!, $constraint: String) {
  latestRelease(productId: $id, constraint: $constraint) { version } }"""


async def change(database: Database, product: ProductDocument, scheme: Scheme) -> ProductDocument:
    values = {"id": product["id"], "key": product["key"], "name": "Tool", "versionScheme": scheme}
    saved = await reference_data.product(LOCAL, database, values)
    assert isinstance(saved, dict)
    return saved


def rising(scheme: Scheme, some: Sequence[str] = VERSIONS) -> list[str]:
    return sorted(some, key=lambda version: versions.sort_key(scheme, version))


@pytest.fixture
async def tool(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> ProductDocument:
    """A product in ANY with a published release of each version, of which a batch takes five."""
    monkeypatch.setattr(scheme_change, "BATCH", 5)
    product = await empty.product("tool", "ANY")
    for version in VERSIONS:
        await empty.put(product, version, status="PUBLISHED")
    return product


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Awaitable[Any]]], list[int]]:
    """Lets a function run between any two batches, and before and after each step; returns how often it ran."""

    def set_(action: Callable[[], Awaitable[Any]]) -> list[int]:
        ran: list[int] = []
        next_step = scheme_change._next_step

        async def act(*_: Any) -> None:
            ran.append(1)
            await action()

        async def step(*arguments: Any) -> None:
            await act()
            await next_step(*arguments)
            await act()

        monkeypatch.setattr(scheme_change, "_rest", act)
        monkeypatch.setattr(scheme_change, "_next_step", step)
        return ran

    return set_


async def walked(catalog: Catalog, to: str, size: int, **filter_: Any) -> list[str]:
    """The versions of all pages, forwards; then backwards, which must be the same."""
    found: list[str] = []
    after = None
    while True:
        page = (await catalog.ask(PAGE, filter=filter_, first=size, after=after, to=to))["releases"]
        found += [node["version"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    back: list[str] = []
    before = None
    while True:
        page = (await catalog.ask(PAGE, filter=filter_, last=size, before=before, to=to))["releases"]
        back = [node["version"] for node in page["nodes"]] + back
        before = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert back == found
    return found


async def has_ended(database: Database, scheme: Scheme) -> bool:
    """Whether every release has the key of the scheme, and nothing else is left of a change."""
    assert await database[PRODUCTS].count_documents({"schemeChange": {"$exists": True}}) == 0
    assert await database[RELEASES].count_documents({"nextVersionKey": {"$exists": True}}) == 0
    counter = await database[COUNTERS].find_one({"_id": LOCAL.key("events")})
    assert counter
    assert counter["reordered"] == []
    found = [one async for one in database[RELEASES].find({"name": "tool"})]
    return all(one["versionKey"] == versions.sort_key(scheme, one["version"]) for one in found)


@pytest.mark.parametrize("filtered", ["product", "name", "nothing"])
async def test_readers_have_the_old_order_then_the_new_one(
    empty: Catalog, tool: ProductDocument, between: Any, filtered: str
) -> None:
    beside = await empty.product("beside", "DOTTED")
    for version in ("0.5", "1.3", "3.0"):
        await empty.put(beside, version, name="beside", status="PUBLISHED")
    filter_ = {"product": {"productId": tool["id"]}, "name": {"name": "tool"}, "nothing": {}}[filtered]
    some = [("tool", version) for version in VERSIONS]
    some += [] if filtered != "nothing" else [("beside", version) for version in ("0.5", "1.3", "3.0")]

    def order(scheme: Scheme) -> list[str]:
        schemes: dict[str, Scheme] = {"tool": scheme, "beside": "DOTTED"}
        return [v for _, v in sorted(some, key=lambda one: versions.sort_key(schemes[one[0]], one[1]))]

    seen: list[str] = []

    async def read() -> None:
        found = await walked(empty, "ASC", 7, **filter_)
        assert found in (order("ANY"), order("SEMVER"))
        assert await walked(empty, "DESC", 100, **filter_) == found[::-1]
        seen.append("old" if found == order("ANY") else "new")

    ran = between(read)
    await change(empty.database, tool, "SEMVER")
    assert len(seen) == len(ran) > 3 * len(VERSIONS) / 5
    assert [kind for kind, _ in itertools.groupby(seen)] == ["old", "new"]
    assert seen.count("old") > 4
    assert seen.count("new") > 8
    assert await has_ended(empty.database, "SEMVER")


async def test_the_latest_release_is_the_old_one_then_the_new_one(
    empty: Catalog, tool: ProductDocument, between: Any
) -> None:
    constraints = (None, ">=1.2,<1.4", "!=1.4.0-beta", "<1.1")
    choices: dict[str, list[str | None]] = {"old": [], "new": []}
    seen = []

    async def read() -> list[str | None]:
        answers = [await empty.ask(LATEST, id=tool["id"], constraint=constraint) for constraint in constraints]
        found = [answer["latestRelease"] and answer["latestRelease"]["version"] for answer in answers]
        seen.append(found)
        return found

    choices["old"] = await read()
    between(read)
    await change(empty.database, tool, "SEMVER")
    choices["new"] = await read()
    assert choices == {"old": ["2", "1.3.0-1", "2", "1.0.0-1"], "new": ["1.4.0", "1.3.0", "1.4.0", "1.0.0"]}
    assert [found for found, _ in itertools.groupby(seen)] == list(choices.values())


async def test_releases_that_are_written_meanwhile_are_in_both_orders(
    empty: Catalog, tool: ProductDocument, between: Any
) -> None:
    made = list(VERSIONS)
    numbers = itertools.count()

    async def write() -> None:
        """Add a release, make an earlier draft's place another one, and read."""
        number = next(numbers)
        version = f"1.{number % 7}.{number}-beta"
        answer = await empty.ask(CREATE, id=tool["id"], version=version, revision="5")
        assert answer["createRelease"]["problem"] is None
        made.append(version)
        # A place before or behind the batches.
        for revision in ("0", "9", "5"):
            revised = await empty.ask(
                REVISE, id=answer["createRelease"]["release"]["id"], revision=f"{revision}.{number}"
            )
            assert revised["patchRelease"]["problem"] is None
        found = await walked(empty, "ASC", 50, productId=tool["id"])
        assert found in (rising("ANY", made), rising("SEMVER", made))

    between(write)
    await change(empty.database, tool, "SEMVER")
    assert await walked(empty, "ASC", 50, productId=tool["id"]) == rising("SEMVER", made)
    assert await has_ended(empty.database, "SEMVER")


async def test_a_page_is_read_again_if_a_step_begins_before_it_is_complete(
    empty: Catalog, tool: ProductDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    fetch = pagination.fetch_pages

    async def fetch_pages(database: Database, questions: Any, keys: Any = None) -> Any:
        pages = await fetch(database, questions, keys)
        reads.append(1)
        if len(reads) == 1:
            await change(empty.database, tool, "SEMVER")
        return pages

    monkeypatch.setattr(pagination, "fetch_pages", fetch_pages)
    found = await empty.ask(PAGE, filter={"productId": tool["id"]}, first=100, to="ASC")
    assert [node["version"] for node in found["releases"]["nodes"]] == rising("SEMVER")
    assert len(reads) == 2


async def test_a_constraint_is_read_again_in_the_new_scheme(
    empty: Catalog, tool: ProductDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[ProductDocument] = []
    fetch = version_order.fetch_pages

    async def fetch_pages(*arguments: Any) -> Any:
        if not changed:
            changed.append(await change(empty.database, tool, "SEMVER"))
        return await fetch(*arguments)

    monkeypatch.setattr(version_order, "fetch_pages", fetch_pages)
    answer = await empty.ask(LATEST, id=tool["id"], constraint=">=1.2,<1.4")
    assert answer["latestRelease"] == {"version": "1.3.0"}


async def test_a_constraint_of_the_old_scheme_is_refused_in_the_new_one(
    empty: Catalog, tool: ProductDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    await change(empty.database, tool, "SEMVER")
    changed: list[ProductDocument] = []
    fetch = version_order.fetch_pages

    async def fetch_pages(*arguments: Any) -> Any:
        if not changed:
            changed.append(await change(empty.database, tool, "DEBIAN"))
        return await fetch(*arguments)

    monkeypatch.setattr(version_order, "fetch_pages", fetch_pages)
    error = await empty.error(LATEST, id=tool["id"], constraint="^1.2")
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "DEBIAN" in error["message"]


async def test_a_page_by_version_costs_one_more_command(empty: Catalog, tool: ProductDocument) -> None:
    await empty.ask(PAGE, filter={"productId": tool["id"]}, first=3, to="ASC")
    first = dict(empty.commands.reads)
    await empty.ask(LATEST, id=tool["id"])
    second = dict(empty.commands.reads)
    await empty.ask(LATEST, id=tool["id"], constraint=">1")
    assert (first["releases"], first["counters"]) == (2, 1)
    assert second == {"products": 1, "releases": 1, "counters": 1}
    assert empty.commands.reads == {"products": 2, "releases": 1, "counters": 1}


class CrashError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("batches", range(1, 13, 3))
async def test_a_change_whose_process_dies_is_continued(
    empty: Catalog, tool: ProductDocument, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    left = [batches]

    async def crash(_: float) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise CrashError

    async def nothing(*_: Any) -> None:
        pass

    with monkeypatch.context() as dying:
        dying.setattr(scheme_change, "_rest", crash)
        dying.setattr(scheme_change, "_release", nothing)
        with contextlib.suppress(CrashError):
            await change(empty.database, tool, "SEMVER")
    found = await walked(empty, "ASC", 50, productId=tool["id"])
    assert found in (rising("ANY"), rising("SEMVER"))
    assert await scheme_change._take(empty.database, {}) is None
    await empty.database[PRODUCTS].update_many({}, {"$set": {"schemeChange.leaseUntil": timestamps.now()}})
    async with scheme_change.run_in_background(empty.database):
        with db.deadline(60):
            await scheme_change.wait(empty.database, tool["_id"])
    assert await has_ended(empty.database, "SEMVER")
    assert await walked(empty, "ASC", 50, productId=tool["id"]) == rising("SEMVER")


async def test_a_change_that_meets_an_outage_tells_that_it_takes_effect_later(
    empty: Catalog, tool: ProductDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: float) -> None:
        raise AutoReconnect("no primary")

    with monkeypatch.context() as broken:
        broken.setattr(scheme_change, "_rest", fail)
        error = await empty.error(SAVE, id=tool["id"], scheme="SEMVER")
    assert (error["extensions"]["code"], error["extensions"]["outcome"]) == ("UNAVAILABLE", "UNKNOWN")
    assert "takes effect later" in error["message"]
    assert await walked(empty, "ASC", 50, productId=tool["id"]) == rising("ANY")
    # A repetition continues it.
    answer = await empty.ask(SAVE, id=tool["id"], scheme="SEMVER")
    assert answer["saveProduct"] == {"product": {"versionScheme": "SEMVER"}, "problem": None}
    assert await has_ended(empty.database, "SEMVER")


async def test_a_change_that_takes_too_long_goes_on_without_its_request(
    empty: Catalog, tool: ProductDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = asyncio.Event()

    async def rest(_: float) -> None:
        await answered.wait()

    monkeypatch.setattr(scheme_change, "_rest", rest)
    with monkeypatch.context() as late:
        late.setattr(scheme_change, "_time_left", lambda _: asyncio.sleep(0))
        with pytest.raises(SchemeChangeUnderWay):
            await change(empty.database, tool, "SEMVER")
        # Another change waits for its turn.
        late.setattr(scheme_change, "_WAIT_SECONDS", float("inf"))
        with pytest.raises(TurnNotReached):
            await change(empty.database, tool, "DEBIAN")
    answered.set()
    assert (await change(empty.database, tool, "SEMVER"))["versionScheme"] == "SEMVER"
    assert await has_ended(empty.database, "SEMVER")


async def test_a_change_that_readers_have_is_answered_before_the_rest_is_done(
    empty: Catalog, tool: ProductDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, taken = asyncio.Event(), asyncio.Event()
    next_step = scheme_change._next_step

    async def step(database: Database, product: ProductDocument) -> None:
        await next_step(database, product)
        if product["schemeChange"]["step"] == "PREPARE":
            taken.set()
            await answered.wait()

    monkeypatch.setattr(scheme_change, "_next_step", step)
    monkeypatch.setattr(scheme_change, "_time_left", lambda _: taken.wait())
    assert (await change(empty.database, tool, "SEMVER"))["versionScheme"] == "SEMVER"
    assert await walked(empty, "ASC", 50, productId=tool["id"]) == rising("SEMVER")
    answered.set()
    await scheme_change.wait(empty.database, tool["_id"])
    assert await has_ended(empty.database, "SEMVER")


async def test_changes_of_one_product_take_turns(empty: Catalog, tool: ProductDocument) -> None:
    schemes: list[Scheme] = ["SEMVER", "DEBIAN", "PEP440", "SEMVER"]
    saved = await asyncio.gather(*(change(empty.database, tool, scheme) for scheme in schemes))
    assert [one["versionScheme"] for one in saved] == schemes
    product = await empty.database[PRODUCTS].find_one({"_id": tool["_id"]})
    assert product
    assert await has_ended(empty.database, product["versionScheme"])


async def test_changes_of_several_products_do_not_meet(empty: Catalog, tool: ProductDocument) -> None:
    others = [await empty.product(f"other {number}") for number in range(3)]
    for other, version in itertools.product(others, VERSIONS):
        await empty.put(other, version)
    await asyncio.gather(*(change(empty.database, product, "SEMVER") for product in (tool, *others)))
    assert await has_ended(empty.database, "SEMVER")
    for product in (tool, *others):
        assert await walked(empty, "DESC", 50, productId=product["id"]) == rising("SEMVER")[::-1]


async def test_other_fields_are_saved_while_a_scheme_changes(
    empty: Catalog, tool: ProductDocument, between: Any
) -> None:
    async def save() -> None:
        values = {"id": tool["id"], "key": "tool", "name": "Tool", "description": "new"}
        assert isinstance(await reference_data.product(LOCAL, empty.database, values), dict)

    between(save)
    await change(empty.database, tool, "SEMVER")
    product = await empty.database[PRODUCTS].find_one({"_id": tool["_id"]})
    assert product
    assert (product["description"], product["versionScheme"]) == ("new", "SEMVER")


async def test_a_refused_product_keeps_its_scheme(empty: Catalog, tool: ProductDocument) -> None:
    values = {"id": tool["id"], "key": "tool", "name": "", "versionScheme": "SEMVER"}
    assert not isinstance(await reference_data.product(LOCAL, empty.database, values), dict)
    await empty.product("other")
    taken = {"id": tool["id"], "key": "other", "name": "Tool", "versionScheme": "SEMVER"}
    assert not isinstance(await reference_data.product(LOCAL, empty.database, taken), dict)
    product = await empty.database[PRODUCTS].find_one({"_id": tool["_id"]})
    assert product
    assert (product["versionScheme"], product["key"], "schemeChange" in product) == ("ANY", "tool", False)


@pytest.mark.parametrize("at", range(4))
async def test_releases_that_are_loaded_meanwhile_are_in_the_order_of_the_scheme(
    empty: Catalog, tool: ProductDocument, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """A load has read its product before the change begins, and inserts its releases at one of the steps."""
    insert, is_read, may_insert = bulk_load._insert, asyncio.Event(), asyncio.Event()
    next_step, steps = scheme_change._next_step, itertools.count(1)

    async def inserted(database: Database, collection: Any, documents: Any) -> frozenset[int]:
        if collection == RELEASES:
            documents = list(documents)
            is_read.set()
            await may_insert.wait()
        return await insert(database, collection, documents)

    async def load() -> None:
        now = timestamps.now()
        some = [
            {"project": "tool", "name": "tool", "version": f"1.{n}.7-beta", "createdAt": now, "artifacts": [],
             "dependencies": [], "id": f"{n}"}
            for n in range(5)
        ]  # fmt: skip
        await bulk_load.load(LOCAL, database, some)

    async def step(*arguments: Any) -> None:
        await next_step(*arguments)
        if next(steps) == at:
            may_insert.set()
            await asyncio.shield(loading)

    database = empty.database
    monkeypatch.setattr(bulk_load, "_insert", inserted)
    monkeypatch.setattr(scheme_change, "_next_step", step)
    loading = asyncio.create_task(load())
    await is_read.wait()
    await change(database, tool, "SEMVER")
    may_insert.set()
    await loading
    made = [*VERSIONS, *(f"1.{n}.7-beta" for n in range(5))]
    assert await walked(empty, "ASC", 50, productId=tool["id"]) == rising("SEMVER", made)
    assert await has_ended(database, "SEMVER")


MANY = 12_000


async def test_twelve_thousand_releases_change_their_scheme(
    empty: Catalog, between: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine is, no command is late, and the lease is renewed in time.
    monkeypatch.setattr(db, "BACKGROUND_SECONDS", 300.0)
    monkeypatch.setattr(scheme_change, "LEASE", datetime.timedelta(minutes=30))
    product, database, now = await empty.product("tool", "ANY"), empty.database, timestamps.now()
    made = [f"1.{number // 120}.{number // 2 % 60}{'-1' if number % 2 else ''}" for number in range(MANY)]
    for start in range(0, MANY, 2_000):
        some = [release.document("local", product, "tool", v, now) for v in made[start : start + 2_000]]
        documents: Any = [search_terms.to_stored(LOCAL, one) for one in some]
        await database[RELEASES].insert_many(documents, ordered=False)
    tops = {scheme: rising(scheme, made)[-20:][::-1] for scheme in ("ANY", "SEMVER")}
    seen = []

    async def read() -> None:
        page = await empty.ask(PAGE, filter={"productId": product["id"]}, first=20, to="DESC")
        [scheme] = [s for s, top in tops.items() if top == [n["version"] for n in page["releases"]["nodes"]]]
        seen.append(scheme)

    ran = between(read)
    await change(database, product, "SEMVER")
    assert [scheme for scheme, _ in itertools.groupby(seen)] == ["ANY", "SEMVER"]
    assert len(ran) >= 3 * (MANY / scheme_change.BATCH - 1)
    assert await has_ended(database, "SEMVER")


@pytest.fixture(scope="module")
async def kept(mongodb_url: str) -> AsyncIterator[Database]:
    async with connected(mongodb_url, "scheme_changes") as database:
        await database.client.drop_database("scheme_changes")
        await indexes.ensure(database)
        yield database


ACTIONS = strategies.lists(
    strategies.one_of(
        strategies.tuples(strategies.just("save"), strategies.sampled_from(VERSIONS)),
        strategies.tuples(strategies.just("revise"), strategies.integers(0, 9)),
        strategies.tuples(strategies.just("read"), strategies.integers(1, 5)),
    ),
    max_size=25,
)
tenants = itertools.count()


@hypothesis.given(
    first=strategies.lists(strategies.sampled_from(VERSIONS), min_size=1, max_size=9, unique=True),
    schemes=strategies.lists(strategies.sampled_from(["SEMVER", "ANY", "DEBIAN", "PEP440", "MAVEN"]), min_size=1, max_size=3),
    actions=ACTIONS,
)  # fmt: skip
@hypothesis.settings(
    max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None
)
async def test_whatever_happens_between_batches_a_page_is_in_one_order(
    kept: Database, monkeypatch: pytest.MonkeyPatch, first: list[str], schemes: list[Scheme], actions: list[Any]
) -> None:
    caller = Caller(f"tenant {next(tenants)}", "me", LOCAL.scopes)
    catalog = Catalog(kept, caller)
    product = await catalog.product("tool", "ANY")
    known = [(version, (await catalog.put(product, version))["id"]) for version in first]
    left = list(actions)
    orders: list[Scheme] = ["ANY"]

    async def act(*_: Any) -> None:
        if not left:
            return
        kind, value = left.pop(0)
        if kind == "save":
            variables = {"id": product["id"], "version": value, "revision": str(len(known))}
            made = (await catalog.ask(CREATE, **variables))["createRelease"]
            # The scheme may refuse the version.
            if made["release"]:
                known.append((value, made["release"]["id"]))
        elif kind == "revise":
            id_ = known[value % len(known)][1]
            await catalog.ask(REVISE, id=id_, revision=f"new {len(left)}")
        else:
            page = await catalog.ask(PAGE, filter={"productId": product["id"]}, first=100, to="ASC")
            found = [node["id"] for node in page["releases"]["nodes"]]
            assert found in [_ids(scheme, known) for scheme in orders]
            latest = await catalog.ask(PAGE, filter={"name": "tool"}, last=value, to="ASC")
            found = [node["id"] for node in latest["releases"]["nodes"]]
            assert found in [_ids(scheme, known)[-value:] for scheme in orders]

    with monkeypatch.context() as patched:
        patched.setattr(scheme_change, "BATCH", 2)
        patched.setattr(scheme_change, "_rest", act)
        for scheme in schemes:
            orders = [orders[-1], scheme]
            values = {"id": product["id"], "key": "tool", "name": "Tool", "versionScheme": scheme}
            assert isinstance(await reference_data.product(caller, kept, values), dict)
            orders = [scheme]
            await act()
    page = await catalog.ask(PAGE, filter={"productId": product["id"]}, first=100, to="ASC")
    assert [node["id"] for node in page["releases"]["nodes"]] == _ids(schemes[-1], known)
    assert await kept[RELEASES].count_documents({"nextVersionKey": {"$exists": True}}) == 0


def _ids(scheme: Scheme, known: list[tuple[str, str]]) -> list[str]:
    return [id_ for _, id_ in sorted(known, key=lambda one: (versions.sort_key(scheme, one[0]), one[1]))]


async def test_the_parts_of_a_page_are_read_along_an_index(empty: Catalog, tool: ProductDocument) -> None:
    reordered = [tool["id"]]
    window = pagination.PageArgs(5)
    whole = await releases.search(LOCAL, empty.database, {}, window, "VERSION")
    bound = await releases.search(LOCAL, empty.database, {"productId": tool["id"]}, window, "VERSION")
    latest = releases.latest(LOCAL, tool["id"], channel="stable")
    [by_next, others] = version_order._parts(whole, reordered)
    assert [part.index for part in (by_next, others)] == ["next", "version"]
    assert [part.index for part in version_order._parts(bound, reordered)] == ["next"]
    assert [part.index for part in version_order._parts(latest, reordered)] == ["nextLatest"]
