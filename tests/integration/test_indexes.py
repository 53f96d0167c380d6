"""The query plans of the database for every filter and order of the contract."""

import datetime
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from conftest import LOCAL, connected
from release_catalog.domain import platforms, release, release_parts, timestamps
from release_catalog.storage import bulk_load, indexes, pagination, releases, version_constraints, version_order
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from release_catalog.storage.pagination import PageArgs
from support.catalog import Catalog, Commands

COUNT = 4_000
ORDERS = ["CREATED_AT", "UPDATED_AT", "RELEASED_AT", "PUBLISHED_AT", "NAME", "VERSION"]
# Each matches about 1 release in 100.
SELECTIVE: dict[str, Any] = {
    "ids": [f"{number:024d}" for number in range(0, COUNT, 100)],
    "productId": "p7",
    "productKey": "p7",
    "name": "name 7",
    "version": "1.7",
    "tag": "tag 7",
    "branch": "branch 7",
    "author": "a7@acme.example",
    "artifactSha256": f"{7:064x}",
    "dependsOnId": f"{7:024d}",
    "endOfLifeBefore": datetime.date(2026, 1, 2),
    "deliveryStatus": ["SUSPENDED"],
    "baseImageId": "image 7",
    "registryId": "registry 7",
    "pipelineId": "pipeline 7",
    "createdBy": "creator 7",
    "environment": "environment 7",
    "search": "word07x",
}
MINUTE = {
    "From": datetime.datetime(2026, 1, 1, 0, 30, tzinfo=datetime.UTC),
    "Before": datetime.datetime(2026, 1, 1, 0, 30, 40, tzinfo=datetime.UTC),
}
# Combinations of which each matches about 1 release in 100, or a few times as many.
COMBINED: dict[str, dict[str, Any]] = {
    **{
        f"a time of {name}": {f"{name}{end}": at for end, at in MINUTE.items()}
        for name in ("created", "updated", "released", "published")
    },
    "the beginning of a word": {"search": "word07"},
    "several words": {"search": "common word07x"},
    "a word and a common tag": {"search": "word07x", "catalogId": "default", "platform": "linux"},
    "a constraint": {"productId": "p7", "constraint": ">=1.7,<1.8"},
    "a constraint by key": {"productKey": "p7", "constraint": "=1.7"},
    "any of two": {"any": [{"tag": "tag 7"}, {"author": "a8@acme.example"}]},
    "any with a search": {"any": [{"search": "word07x"}, {"name": "name 8"}]},
    "any of two times": {
        "any": [{f"{name}{end}": at for end, at in MINUTE.items()} for name in ("created", "updated")]
    },
    "any with a time": {
        "any": [{f"published{end}": at for end, at in MINUTE.items()}, {"tag": "tag 7"}, {"search": "word08x"}]
    },
    "a time in any in any": {"any": [{"any": [{f"updated{end}": at for end, at in MINUTE.items()}]}]},
    "a constraint or a time": {
        "any": [
            {"productId": "p7", "constraint": ">=1.7,<1.8"},
            {f"released{end}": at for end, at in MINUTE.items()},
        ]
    },
    "any in any": {"any": [{"any": [{"tag": "tag 7"}, {"search": "word08x"}]}, {"baseImageId": "image 9"}]},
    "any beside a common condition": {"catalogId": "default", "any": [{"search": "word07x"}, {"tag": "tag 8"}]},
    "a word of one and none of another": {"search": "word07x", "none": [{"status": ["DRAFT"]}, {"tag": "tag 8"}]},
    "none of many": {"none": [{"tag": "tag 7"}, {"search": "word08x"}]},
    "a time and none": {**{f"updated{end}": at for end, at in MINUTE.items()}, "none": [{"channel": ["beta"]}]},
}
OTHERS: dict[str, Any] = {
    "catalogId": "default",
    "nameContains": "NAME 7",
    "revision": "0",
    "channel": ["stable", "beta"],
    "platform": "linux",
    "packagingType": ["OVA"],
    "status": ["PUBLISHED"],
    "private": False,
    "trial": False,
    "createdFrom": datetime.datetime(2026, 1, 1, 0, 30, tzinfo=datetime.UTC),
    "createdBefore": datetime.datetime(2026, 1, 1, 0, 40, tzinfo=datetime.UTC),
    "releasedFrom": datetime.datetime(2026, 1, 1, 0, 30, tzinfo=datetime.UTC),
    "releasedBefore": datetime.datetime(2026, 1, 1, 0, 40, tzinfo=datetime.UTC),
    "verification": ["SKIPPED"],
}


@pytest.fixture(scope="module")
async def many(mongodb_url: str) -> AsyncIterator[Catalog]:
    """4,000 releases in which each value of a selective filter comes 40 times, in no particular order."""
    commands = Commands()
    async with connected(mongodb_url, "explained", commands) as database:
        await database.client.drop_database("explained")
        await indexes.ensure(database)
        catalog = Catalog(database, LOCAL, commands)
        products = [
            await catalog.product(f"p{number}", id=f"p{number}", _id=f"local/p{number}") for number in range(100)
        ]
        await bulk_load.put(LOCAL, database, RELEASES, _releases(products))
        yield catalog


def _releases(products: list[Any]) -> Iterator[Any]:
    shuffled = random.Random(7)
    start = timestamps.parse("2026-01-01T00:00:00Z")
    for number in range(COUNT):
        seven = shuffled.randrange(100)
        at = [start + datetime.timedelta(seconds=shuffled.randrange(COUNT)) for _ in range(4)]
        file = {"name": "f", "sha256": f"{seven:064x}", "size": 1, "downloadUrl": "http://h/f"}
        yield release.document(
            "local", products[seven], f"name {seven}", f"1.{seven}", at[0],
            id=f"{number:024d}", createdAt=at[0], updatedAt=at[1], releasedAt=at[2], revision=str(number),
            tag=f"tag {seven}", branch=f"branch {seven}", author=f"a{seven}@acme.example", status="PUBLISHED",
            platforms=[platforms.parsed("linux/amd64")], packagingType="OVA",
            artifacts=[release_parts.artifact(at[0], **file)],
            dependencies=[{"releaseId": f"{seven:024d}", "name": "x", "version": "1"}],
            baseImageId=f"image {seven}", registryId=f"registry {seven}", pipelineId=f"pipeline {seven}",
            createdBy=f"creator {seven}", notes=f"A common word{seven:02d}x.", publishedAt=at[3],
            environments=[{"environment": f"environment {seven}", "promotionId": "x", "since": at[0]}],
            endOfLifeAt=f"2026-{1 if seven == 7 else 2:02d}-01",
            delivery={"status": "SUSPENDED" if seven == 7 else "NOT_STARTED"},
        )  # fmt: skip


def stages(plan: Any) -> Iterator[dict[str, Any]]:
    """Every stage of an explained plan."""
    if isinstance(plan, dict):
        # Newer versions of MongoDB list the steps of another engine besides, in small letters.
        if plan.get("stage", "").isupper():
            yield plan
        for value in plan.values():
            yield from stages(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from stages(value)


def examined(plan: Any) -> int:
    """Return the number of documents that all parts of an explained command examined."""
    if isinstance(plan, list):
        return sum(map(examined, plan))
    if not isinstance(plan, dict):
        return 0
    return sum(
        value if name == "totalDocsExamined" else examined(value)
        for name, value in plan.items()
        if name != "allPlansExecution"
    )


async def plan_of(catalog: Catalog, command: dict[str, Any]) -> Any:
    """The plan of a command, as it was executed."""
    plain = {name: value for name, value in command.items() if name not in {"lsid", "$db", "$clusterTime"}}
    return await catalog.database.command("explain", plain, verbosity="executionStats")


async def explained(
    catalog: Catalog, question: pagination.PageQuery[Any]
) -> tuple[list[dict[str, Any]], int, int]:
    """The stages of everything that the question asks of the database, documents examined and returned."""
    catalog.commands.clear()
    rows = (await pagination.read(catalog.database, question)).rows
    found: list[dict[str, Any]] = []
    documents = 0
    for command in list(catalog.commands.sent):
        answer = await plan_of(catalog, command)
        found += [stage for stage in stages(answer) if "nReturned" in stage]
        documents += examined(answer)
    return found, documents, len(rows)


async def check(
    many: Catalog, filter_: dict[str, Any], order: str, window: PageArgs, *, descending: bool
) -> tuple[int, int]:
    question = await releases.search(LOCAL, many.database, filter_, window, order, descending=descending)
    found, documents, returned = await explained(many, question)
    kinds = {stage["stage"] for stage in found}
    assert not kinds & {"COLLSCAN", "SORT"}, (filter_, order, kinds)
    assert kinds & {"IXSCAN", "COUNT_SCAN"}
    return documents, returned


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", SELECTIVE)
async def test_a_selective_filter_examines_little_more_than_it_returns(
    many: Catalog, name: str, order: str
) -> None:
    filter_ = {name: SELECTIVE[name]}
    for descending in (True, False):
        documents, returned = await check(many, filter_, order, PageArgs(10), descending=descending)
        assert returned == 10
        assert documents <= 10 * returned, (name, order)
        question = await releases.search(LOCAL, many.database, filter_, PageArgs(10), order, descending=descending)
        rows = (await pagination.read(many.database, question)).rows
        window = PageArgs(10, question.order.cursor(rows[-1]), backwards=not descending)
        documents, returned = await check(many, filter_, order, window, descending=descending)
        assert documents <= 10 * max(returned, 1), (name, order, "behind a cursor")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", COMBINED)
async def test_combined_conditions_examine_little_more_than_they_return(
    many: Catalog, name: str, order: str
) -> None:
    for descending in (True, False):
        question = await releases.search(
            LOCAL, many.database, COMBINED[name], PageArgs(20), order, descending=descending
        )
        rows = (await pagination.read(many.database, question)).rows
        for window in (PageArgs(20), PageArgs(20, question.order.cursor(rows[-1]), backwards=not descending)):
            documents, returned = await check(many, COMBINED[name], order, window, descending=descending)
            assert documents <= 10 * max(returned, 1), (name, order, window)
    await many.ask("query($f: ReleaseFilter) { releases(filter: $f) { totalCount } }", f=_sent(COMBINED[name]))
    for command in [command for command in many.commands.sent if "releases" in command.values()]:
        assert "COLLSCAN" not in str(await plan_of(many, command))


def _sent(value: Any) -> Any:
    """A filter as clients send it."""
    if isinstance(value, dict):
        return {name: _sent(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_sent(inner) for inner in value]
    return timestamps.format_rfc3339(value) if isinstance(value, datetime.datetime) else value


@pytest.mark.parametrize("order", ORDERS)
async def test_a_word_of_most_releases_is_read_along_the_order(many: Catalog, order: str) -> None:
    for filter_ in ({"search": "common"}, {"search": "com"}, {"any": [{"search": "common"}, {"tag": "tag 7"}]}):
        documents, returned = await check(many, filter_, order, PageArgs(10), descending=True)
        assert documents <= 2 * returned


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", [*OTHERS, None])
async def test_no_filter_scans_the_collection_or_sorts(many: Catalog, name: str | None, order: str) -> None:
    filter_ = {name: OTHERS[name]} if name else {}
    for window in (PageArgs(10), PageArgs(10, backwards=True)):
        _, returned = await check(many, filter_, order, window, descending=True)
        assert returned == (1 if name == "revision" else 10)


@pytest.mark.parametrize("order", ORDERS)
async def test_a_filter_that_most_releases_match_is_read_along_its_order(many: Catalog, order: str) -> None:
    documents, returned = await check(many, {"catalogId": "default"}, order, PageArgs(10), descending=True)
    assert documents <= 2 * returned


@pytest.mark.parametrize("order", ORDERS)
async def test_a_filter_that_most_releases_match_counts_less_with_an_instant(many: Catalog, order: str) -> None:
    newest = await releases.search(LOCAL, many.database, {}, PageArgs(30))
    since = (await pagination.read(many.database, newest)).rows[-1]["createdAt"]
    filter_ = {"catalogId": "default", "createdFrom": since}
    documents, returned = await check(many, filter_, order, PageArgs(10), descending=True)
    assert returned == 10
    assert documents <= 10 * returned


async def test_a_filter_of_many_terms_is_still_read_in_order(many: Catalog) -> None:
    filter_ = {"endOfLifeBefore": datetime.date(9999, 12, 31)}
    question = await releases.search(LOCAL, many.database, filter_, PageArgs(10))
    rows = (await pagination.read(many.database, question)).rows
    for window in (PageArgs(10), PageArgs(10, question.order.cursor(rows[-1]))):
        documents, returned = await check(many, filter_, "CREATED_AT", window, descending=True)
        assert documents <= 2 * returned


async def test_selective_filters_may_be_combined(many: Catalog) -> None:
    for order in ORDERS:
        await check(
            many, {"name": "name 7", "tag": "tag 7", "status": ["PUBLISHED"]}, order, PageArgs(5), descending=True
        )


async def test_a_product_whose_scheme_changes_is_read_along_an_index_of_its_own(many: Catalog) -> None:
    changing = {"productId": "p7"}
    await many.database[RELEASES].update_many(changing, [{"$set": {"nextVersionKey": "$versionKey"}}])
    [allowed] = version_constraints.constraints("ANY", ">=1,<2")
    first = await releases.search(LOCAL, many.database, changing, PageArgs(10), "VERSION")
    [part] = version_order._parts(first, ["p7"])
    last = (await pagination.read(many.database, part)).rows[-1]
    later = PageArgs(10, part.order.cursor(last))
    questions = [
        first,
        await releases.search(LOCAL, many.database, changing, later, "VERSION"),
        await releases.search(LOCAL, many.database, {}, PageArgs(10), "VERSION"),
        releases.latest(LOCAL, "p7", channel="stable", branch="branch 7", constraint=allowed),
    ]
    try:
        for question in questions:
            [part, *_] = version_order._parts(question, ["p7"])
            found, documents, returned = await explained(many, part)
            kinds = {stage["stage"] for stage in found}
            assert not kinds & {"COLLSCAN", "SORT"}
            assert {stage["indexName"] for stage in found if stage["stage"] == "IXSCAN"} == {part.order.index}
            assert 0 < documents <= returned + 3
    finally:
        await many.database[RELEASES].update_many(changing, {"$unset": {"nextVersionKey": ""}})


async def test_the_latest_release_is_the_first_of_its_index(many: Catalog) -> None:
    product = await many.database[PRODUCTS].find_one({"key": "p7"})
    assert product
    [allowed] = version_constraints.constraints(product["versionScheme"], ">=1,<2")
    question = releases.latest(LOCAL, product["id"], channel="stable", branch="branch 7", constraint=allowed)
    found, documents, returned = await explained(many, question)
    assert {stage["stage"] for stage in found} <= {
        "LIMIT",
        "FETCH",
        "IXSCAN",
        "PROJECTION_SIMPLE",
        "PROJECTION_DEFAULT",
    }
    assert documents <= 2
    assert returned == 1


async def test_the_latest_release_on_a_platform_is_the_first_of_its_index(many: Catalog) -> None:
    product = await many.database[PRODUCTS].find_one({"key": "p7"})
    assert product
    rare = await many.put(product, "0.1", status="PUBLISHED", platforms=[platforms.parsed("Plan9")])
    for platform in ("AMD64", "plan9"):
        question = releases.latest(LOCAL, "p7", channel="stable", platform=platform)
        found, documents, returned = await explained(many, question)
        assert not {stage["stage"] for stage in found} & {"COLLSCAN", "SORT"}
        assert documents <= 2
        assert returned == 1
    question = await releases.search(LOCAL, many.database, {"platform": "PLAN9"}, PageArgs(10), "NAME")
    _, documents, returned = await explained(many, question)
    assert returned == 1
    assert documents <= 10
    await many.database[RELEASES].delete_one({"id": rare["id"]})


@pytest.mark.parametrize(
    ("constraint", "most"),
    [
        ("^2", 2), ("<=5.0.1", 2), ("*", 2), (">9.0.2", 0),
        # The first of each range may be read besides.
        ("^2 || ^7", 4), ("^2 || 7.0.0", 4), ("^3.0.0-rc.2", 4), ("*, !=9", 4), ("<9.0.0-rc.2, !=8", 5),
    ],
)  # fmt: skip
async def test_a_constraint_is_judged_on_keys_of_versions(many: Catalog, constraint: str, most: int) -> None:
    product = await many.product(f"semver {constraint}", "SEMVER")
    made = [
        release.document("local", product, "tool", f"{major}.0.{patch}{pre}", timestamps.now(), status="PUBLISHED")
        for major in range(10)
        for patch in range(3)
        for pre in ("-rc.1", "-rc.2", "")
    ]
    await bulk_load.put(LOCAL, many.database, RELEASES, iter(made))
    [allowed] = version_constraints.constraints("SEMVER", constraint)
    question = releases.latest(LOCAL, product["id"], channel="stable", constraint=allowed)
    found, documents, _ = await explained(many, question)
    assert not {stage["stage"] for stage in found} & {"COLLSCAN", "SORT"}
    assert documents <= most


async def test_every_index_says_which_questions_it_serves(many: Catalog) -> None:
    indexes_ = await many.database[RELEASES].index_information()
    named = indexes_.keys() - {"_id_"}
    assert named == {model.document["name"] for model in indexes.INDEXES[RELEASES]}
    assert all(f"`{name}`" in (indexes.__doc__ or "") for name in named - {"identity"})
