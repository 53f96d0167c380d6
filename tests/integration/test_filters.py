"""Filters of releases against a predicate in Python over the same documents, and their limits."""

import datetime
import unicodedata
from collections.abc import Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from conftest import LOCAL, connected
from release_catalog.domain import caller, platforms, release, release_parts, timestamps, versions
from release_catalog.domain.caller import Caller
from release_catalog.storage import bulk_load, indexes, pagination
from release_catalog.storage.collection_names import COUNTERS, PRODUCTS, RELEASES
from support import old_forms
from support.catalog import Catalog, source

PAGE = """query($filter: ReleaseFilter, $first: Int, $order: ReleaseOrder) {
  releases(filter: $filter, first: $first, orderBy: $order) { totalCount nodes { id } } }"""
START = timestamps.parse("2026-01-01T00:00:00Z")
COUNT = 60
READER = Caller("local", "reader", frozenset({caller.READ}))
BOUND = Caller("local", "bound", frozenset({caller.READ, caller.WRITE}), product="p1")
NOTES = ["Fixes libssl3 on x86_64.", "发布目录的搜索", "Größe, café and foo-bar", "", "libssl-dev 1.2.3 and libc6"]
WORDS = ["lib", "libssl", "LIBSSL3", "x86_64", "x86", "foo-bar", "bar", "目录", "目", "搜索", "grösse", "CAFE", "1.2",
         "tool", "tool 1", "product two", "fixes x86", "nothing", "and lib"]  # fmt: skip


def at(seconds: int) -> datetime.datetime:
    return START + datetime.timedelta(seconds=seconds)


def document(number: int, products: list[Any]) -> Any:
    published = number % 4 != 0
    file = release_parts.artifact(START, name="f", sha256=f"{number % 7:064x}", size=1, downloadUrl="http://h/f")
    return release.document(
        "local", products[number % 3], f"tool {number % 5}", f"1.{number % 6}.{number}", at(number // 2),
        id=f"r{number:02d}", revision=str(number % 2), branch=[None, "main"][number % 2], tag=f"t{number % 3}",
        channel=["stable", "beta"][number % 2], private=number % 11 == 0, trial=number % 5 == 0,
        packagingType=[None, "OVA", "HELM_CHART"][number % 3], author=f"a{number % 2}@x.example",
        platforms=[platforms.parsed(["linux/amd64", "windows"][number % 2])],
        status=["DRAFT", "PUBLISHED", "WITHDRAWN", "ARCHIVED"][number % 4],
        publishedAt=at(number) if published else None, releasedAt=at(number) if number % 3 else None,
        updatedAt=at(2 * number), endOfLifeAt=f"2026-0{1 + number % 5}-01" if number % 2 else None,
        artifacts=[file] if number % 3 else [], notes=NOTES[number % 5], createdBy=["ann", None][number % 2],
        baseImageId=[None, "b1"][number % 2], registryId=[None, "g1", "g2"][number % 3],
        pipelineId=[None, "l1"][number % 2],
        dependencies=[{"releaseId": f"r{number - 1:02d}", "name": "x", "version": "1"}] if number % 4 == 3 else [],
        delivery={"status": "STARTED"} if number % 6 == 0 else None,
        environments=[{"environment": "QA", "promotionId": "x", "since": START}] if number % 8 == 1 else [],
    )  # fmt: skip


# ---------------------------------------------------------------- the predicate


def plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def finds(text: str, document: Any) -> bool:
    """Whether each word of a text begins a word of the document, where CJK words begin anywhere."""
    texts = [plain(document[name] or "") for name in ("name", "productName", "description", "notes")]
    for word in plain(text).replace("-", " ").split():
        found = False
        for where in texts:
            for place in range(len(where)):
                begins = place == 0 or not where[place - 1].isalnum() or ord(word[0]) > 0x3000
                found = found or (begins and where.startswith(word, place))
        if not found:
            return False
    return True


def between(value: Any, start: Any, end: Any) -> bool:
    return value is not None and (start is None or value >= start) and (end is None or value < end)


def allowed(text: str, version: str) -> bool:
    key = versions.sort_key("SEMVER", version)
    [ranges] = versions.constraint("SEMVER", text)
    return any(key >= low and (high is None or key < high) for low, high in ranges.releases)


TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "ids": lambda d, v: d["id"] in v,
    "catalogId": lambda d, v: d["catalogId"] == v,
    "productId": lambda d, v: d["productId"] == v,
    "productKey": lambda d, v: d["productId"] == v,
    "name": lambda d, v: d["name"] == v,
    "nameContains": lambda d, v: v.lower() in d["name"].lower(),
    "version": lambda d, v: d["version"] == v,
    "revision": lambda d, v: d["revision"] == v,
    "branch": lambda d, v: d["branch"] == v,
    "tag": lambda d, v: d["tag"] == v,
    "channel": lambda d, v: d["channel"] in v,
    "platform": lambda d, v: v in {d["platforms"][0]["name"], *d["platforms"][0]["name"].split("/")},
    "packagingType": lambda d, v: d["packagingType"] in v,
    "status": lambda d, v: d["status"] in v,
    "deliveryStatus": lambda d, v: d["delivery"] is not None and d["delivery"]["status"] in v,
    "private": lambda d, v: d["private"] is v,
    "trial": lambda d, v: d["trial"] is v,
    "author": lambda d, v: d["author"] == v,
    "createdFrom": lambda d, v: between(d["createdAt"], v, None),
    "createdBefore": lambda d, v: between(d["createdAt"], None, v),
    "updatedFrom": lambda d, v: between(d["updatedAt"], v, None),
    "updatedBefore": lambda d, v: between(d["updatedAt"], None, v),
    "releasedFrom": lambda d, v: between(d["releasedAt"], v, None),
    "releasedBefore": lambda d, v: between(d["releasedAt"], None, v),
    "publishedFrom": lambda d, v: between(d["publishedAt"], v, None),
    "publishedBefore": lambda d, v: between(d["publishedAt"], None, v),
    "endOfLifeBefore": lambda d, v: d["endOfLifeAt"] is not None and d["endOfLifeAt"] < v,
    "artifactSha256": lambda d, v: any(file["sha256"] == v for file in d["artifacts"]),
    "verification": lambda d, v: any(file["verification"]["status"] in v for file in d["artifacts"]),
    "dependsOnId": lambda d, v: any(needed["releaseId"] == v for needed in d["dependencies"]),
    "constraint": lambda d, v: allowed(v, d["version"]),
    "search": lambda d, v: finds(v, d),
    "environment": lambda d, v: any(one["environment"] == v for one in d["environments"]),
    "baseImageId": lambda d, v: d["baseImageId"] == v,
    "registryId": lambda d, v: d["registryId"] == v,
    "pipelineId": lambda d, v: d["pipelineId"] == v,
    "createdBy": lambda d, v: d["createdBy"] == v,
    "any": lambda d, v: any(matches(d, one) for one in v),
    "none": lambda d, v: not any(matches(d, one) for one in v),
}


def matches(document: Any, filter_: dict[str, Any]) -> bool:
    return all(TESTS[name](document, value) for name, value in filter_.items())


def sees(who: Caller, document: Any) -> bool:
    return who.sees_drafts in {True, document["productId"]} or (
        document["status"] != "DRAFT" and not document["private"]
    )


# ---------------------------------------------------------------- any filter

_instants = st.integers(-1, 2 * COUNT).map(at)


def _among(*values: Any) -> Any:
    return st.sampled_from(values)


def _some(*values: Any) -> Any:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2)


VALUES: dict[str, Any] = {
    "ids": st.lists(st.integers(0, COUNT).map(lambda n: f"r{n:02d}"), max_size=9),
    "catalogId": _among("default", "other"),
    "productId": _among("p0", "p1", "nobody"),
    "productKey": _among("p0", "p2", "nobody"),
    "name": _among("tool 1", "tool 2", "none"),
    "nameContains": _among("TOOL", "3", ".*"),
    "version": _among("1.1.1", "1.2.8"),
    "revision": _among("0", "1"),
    "branch": _among("main", "x"),
    "tag": _among("t0", "t1"),
    "channel": _some("stable", "beta"),
    "platform": _among("linux/amd64", "amd64", "windows"),
    "packagingType": _some("OVA", "HELM_CHART"),
    "status": _some("DRAFT", "PUBLISHED", "WITHDRAWN", "ARCHIVED"),
    "deliveryStatus": _some("STARTED", "COMPLETED"),
    "private": st.booleans(),
    "trial": st.booleans(),
    "author": _among("a0@x.example", "a1@x.example"),
    **{name: _instants for name in TESTS if name.endswith(("From", "Before")) and not name.startswith("end")},
    "endOfLifeBefore": _among("2026-03-01", "2026-02-02"),
    "artifactSha256": st.integers(0, 8).map(lambda n: f"{n:064x}"),
    "verification": _some("SKIPPED", "PENDING"),
    "dependsOnId": st.integers(0, COUNT).map(lambda n: f"r{n:02d}"),
    "search": _among(*WORDS),
    "environment": _among("QA", "PROD"),
    "baseImageId": _among("b1", "b2"),
    "registryId": _among("g1", "g2"),
    "pipelineId": _among("l1", "l2"),
    "createdBy": _among("ann", "bob"),
}
assert VALUES.keys() == TESTS.keys() - {"constraint", "any", "none"}


@st.composite
def filters(draw: Any, depth: int = 0, product: bool = False) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(list(VALUES)), max_size=2 if depth else 3, unique=True))
    found = {name: draw(VALUES[name]) for name in names}
    product = product or "productId" in found or "productKey" in found
    if product and draw(st.booleans()):
        found["constraint"] = draw(_among(">=1.2", "^1.3", "<1.2 || >=1.4", "1.1.x", "*"))
    for name in ("any", "none") if depth < 3 else ():
        if draw(st.integers(0, 3)) == 0:
            inner = filters(depth + 1, product)
            found[name] = draw(st.lists(inner, min_size=name == "any", max_size=2))
    return found


def conditions(filter_: dict[str, Any], depth: int = 0) -> int:
    own = len(filter_.keys() - {"any", "none"})
    inner = [one for name in ("any", "none") for one in filter_.get(name, ())]
    return (max(own, 1) if depth else own) + sum(conditions(one, depth + 1) for one in inner)


def is_ordered(filter_: dict[str, Any]) -> bool:
    inner = [one for name in ("any", "none") for one in filter_.get(name, ())]
    ranges = [
        (filter_.get(f"{name}From"), filter_.get(f"{name}Before"))
        for name in ("created", "updated", "released", "published")
    ]
    return all(a is None or b is None or a < b for a, b in ranges) and all(map(is_ordered, inner))


def sent(value: Any) -> Any:
    """A filter as a client sends it."""
    if isinstance(value, dict):
        return {name: sent(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [sent(inner) for inner in value]
    return timestamps.format_rfc3339(value) if isinstance(value, datetime.datetime) else value


def test_any_filter_matches_as_its_predicate_says(mongodb_url: str) -> None:
    async def run() -> None:
        async with connected(mongodb_url, "generated") as database:
            await database.client.drop_database("generated")
            await indexes.ensure(database)
            catalog = Catalog(database, LOCAL)
            names = ("Product one", "Product two", "Werkzeug")
            products = [
                await catalog.product(f"p{n}", "SEMVER", id=f"p{n}", _id=f"local/p{n}", name=name)
                for n, name in enumerate(names)
            ]
            documents = [document(number, products) for number in range(COUNT)]
            await bulk_load.put(LOCAL, database, RELEASES, documents)
            portal = anyio.from_thread.BlockingPortal()
            async with portal:
                await anyio.to_thread.run_sync(lambda: generated(portal, catalog, documents))

    anyio.run(run)


def generated(portal: Any, catalog: Catalog, documents: list[Any]) -> None:
    orders = ["CREATED_AT", "UPDATED_AT", "RELEASED_AT", "PUBLISHED_AT", "NAME", "VERSION"]

    @settings(max_examples=250, suppress_health_check=list(HealthCheck))
    @given(filters().filter(lambda f: conditions(f) <= 20 and is_ordered(f)), st.sampled_from(orders),
           st.sampled_from([LOCAL, READER, BOUND]))  # fmt: skip
    def check(filter_: dict[str, Any], order: str, who: Caller) -> None:
        expected = {d["id"] for d in documents if sees(who, d) and matches(d, filter_)}
        if not sees_reference(filter_, who, documents):
            return
        variables = {"filter": sent(filter_), "first": 100, "order": {"field": order}}

        async def ask() -> Any:
            return (await catalog.seen_by(who).ask(PAGE, **variables))["releases"]

        found = portal.call(ask)
        note(f"{filter_} {order} {who.subject}")
        assert {node["id"] for node in found["nodes"]} == expected
        assert found["totalCount"] == len(expected) == len(found["nodes"])

    check()


def sees_reference(filter_: dict[str, Any], who: Caller, documents: list[Any]) -> bool:
    """Whether the caller sees the releases that the filter's dependsOnId names: hidden ones have no dependants."""
    inner = [one for name in ("any", "none") for one in filter_.get(name, ())]
    needed = [d for d in documents if d["id"] == filter_.get("dependsOnId")]
    return all(sees(who, d) for d in needed) and all(sees_reference(one, who, documents) for one in inner)


# ---------------------------------------------------------------- limits


def nest(depth: int) -> dict[str, Any]:
    return {"name": "x"} if depth == 0 else {"any" if depth % 2 else "none": [nest(depth - 1)]}


@pytest.mark.parametrize(
    ("filter_", "argument", "says"),
    [
        (nest(4), "filter.none[0].any[0].none[0].any[0]", "at most 3 deep"),
        (nest(8), "filter.none[0].any[0].none[0].any[0]", "at most 3 deep"),
        ({"any": [{"name": f"{n}"} for n in range(21)]}, "filter", "at most 20"),
        ({"any": [{}] * 21}, "filter", "at most 20"),
        ({"none": [{"any": [{"name": "x", "tag": "x"}] * 11}]}, "filter", "at most 20"),
        ({"any": []}, "filter.any", "leave it out"),
        ({"any": [{"status": []}]}, "filter.any[0].status", "leave it out"),
        ({"none": [{"ids": [f"{n}" for n in range(101)]}]}, "filter.none[0].ids", "at most 100"),
        ({"any": [{"updatedFrom": "2026-01-02T00:00:00Z", "updatedBefore": "2026-01-01T00:00:00Z"}]},
         "filter.any[0].updatedFrom", "ends before it begins"),
        ({"publishedFrom": "2026-01-02T00:00:00Z", "publishedBefore": "2026-01-02T00:00:00Z"},
         "filter.publishedFrom", "ends before it begins"),
        ({"constraint": ">=1"}, "filter.constraint", "productId or productKey"),
        ({"any": [{"productId": "p"}, {"constraint": ">=1"}]}, "filter.any[1].constraint", "productId or productKey"),
        ({"productKey": "tool", "constraint": "~~1"}, "filter.constraint", ">="),
        ({"productKey": "tool", "none": [{"constraint": "x" * 1000}]}, "filter.none[0].constraint", "at most"),
        ({"search": "x" * 257}, "filter.search", "at most 256"),
        ({"search": " ".join(f"w{n}x" for n in range(21))}, "filter.search", "at most 20"),
        ({"search": "..."}, "filter.search", "no word"),
        ({"any": [{"nameContains": "x" * 257}]}, "filter.any[0].nameContains", "at most 256"),
    ],
)  # fmt: skip
async def test_a_filter_beyond_a_limit_is_refused_by_its_name(
    empty: Catalog, filter_: dict[str, Any], argument: str, says: str
) -> None:
    await empty.product("tool", "SEMVER", id="p", _id="local/p")
    error = await empty.error(PAGE, filter=filter_)
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}
    assert says in error["message"]
    assert error["path"] == ["releases"]


async def test_a_filter_at_its_limits_is_answered(empty: Catalog) -> None:
    filters_: list[dict[str, Any]] = [
        nest(3), {"any": [{"name": f"{n}"} for n in range(20)]}, {"none": []}, {"search": "a" * 256},
    ]  # fmt: skip
    for filter_ in filters_:
        assert (await empty.ask(PAGE, filter=filter_))["releases"]["totalCount"] == 0


async def test_the_place_of_a_connection_is_none_of_the_twenty_conditions(empty: Catalog) -> None:
    product = await empty.product("tool", "SEMVER", id="p", _id="local/p")
    await empty.put(product, "1.0.0")
    query = """query($filter: ReleaseFilter) {
      products { nodes { releases(filter: $filter) { totalCount } } }
      catalogs { nodes { releases(filter: $filter) { totalCount } } } }"""
    for count in (20, 21):
        filter_ = {"none": [{"name": f"{number}"} for number in range(count)]}
        if count == 20:
            data = await empty.ask(query, filter=filter_)
            for name in ("products", "catalogs"):
                assert [one["releases"]["totalCount"] for one in data[name]["nodes"]] == [1]
        else:
            assert "at most 20" in (await empty.error(query, filter=filter_))["message"]


async def test_a_key_of_very_many_products_counts_in_one_catalog(empty: Catalog) -> None:
    many: list[Any] = [
        {**bulk_load.product(LOCAL, f"c{number:03d}", "tool"), "versionScheme": "SEMVER"} for number in range(250)
    ]
    await empty.database[PRODUCTS].insert_many(many)
    for number in (0, 249):
        await empty.put(many[number], "1.0.0")
    await empty.put(await empty.product("tools"), "1.0.0")
    error = await empty.error(PAGE, filter={"productKey": "tool"})
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": "filter.productKey"}
    assert "give catalogId" in error["message"]
    for filter_, count in (
        ({"productKey": "tool", "catalogId": "c249"}, 1),
        ({"productKey": "tool", "catalogId": "c249", "constraint": "^1.0"}, 1),
        ({"productKey": "tool", "catalogId": "c248"}, 0),
        ({"any": [{"productKey": "tool", "catalogId": "c000"}, {"productKey": "tools"}]}, 2),
    ):
        assert (await empty.ask(PAGE, filter=filter_))["releases"]["totalCount"] == count, filter_
    for id_, count in ((many[249]["id"], 1), (many[248]["id"], 0)):
        found = await empty.ask(PAGE, filter={"productKey": "tool", "productId": id_})
        assert found["releases"]["totalCount"] == count
    within = """{ catalogs(last: 2) { nodes { id releases(filter: {productKey: "tool"}) { totalCount } } } }"""
    await bulk_load.catalog(LOCAL, empty.database, "c249")
    found = (await empty.ask(within))["catalogs"]["nodes"]
    assert {"id": "c249", "releases": {"totalCount": 1}} in found


async def test_constraints_on_very_many_products_are_refused(empty: Catalog) -> None:
    many: list[Any] = [
        {**bulk_load.product(LOCAL, f"c{number:03d}", "tool"), "versionScheme": "PEP440"} for number in range(100)
    ]
    await empty.database[PRODUCTS].insert_many(many)
    await empty.put(many[0], "1.0.0")
    filter_: dict[str, Any] = {"productKey": "tool", "constraint": "<2"}
    assert (await empty.ask(PAGE, filter=filter_))["releases"]["totalCount"] == 1
    error = await empty.error(PAGE, filter={**filter_, "none": [{"constraint": f"<{n}"} for n in range(3, 19)]})
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": "filter"}
    assert "at most 100" in error["message"]
    # Nothing is read for the constraints.
    assert empty.commands.reads.keys() == {"products"}


# ---------------------------------------------------------------- searches


@pytest.mark.parametrize(
    ("notes", "texts"),
    [
        ("Uses libssl3.", ["libssl3", "libssl", "LIBSSL3", "uses lib"]),
        ("Built for x86_64 only", ["x86_64", "x86", "64", "X86_64"]),
        ("Calls foo_bar_baz and __init__", ["foo_bar", "bar_baz", "_baz", "init", "__init__", "init__", "_init"]),
        ("Since v1.2.3 and 4.5.6", ["v1.2.3", "1.2.3", "v1", "v4.5.6", "v4.5", "4.5"]),
        (f"v1.{'2' * 100}", [f"v1.{'2' * 100}", f"1.{'2' * 100}"]),
        ("The foo-bar tool", ["foo-bar", "foo", "bar", "bar foo", "foo bar"]),
        ("发布目录的搜索", ["目录", "发布目录", "搜索", "录", "目录的搜"]),
        ("リリースカタログ", ["カタログ", "リリース", "ﾘﾘｰｽ"]),
        ("릴리스를 저장한다", ["릴리스", "저장", "리스를"]),
        ("Größe des Cafés", ["größe", "GROSSE", "cafe", "Cafés"]),
        ("python3.11 and 1.2.3", ["python3.11", "python3", "1.2", "1.2.3"]),
        ("हिन्दी में", ["हिन्दी"]),
        ("line\nbreak\ttab", ["break tab"]),
        ("a" * 100, ["a" * 100, "a" * 10]),
    ],
)
async def test_a_search_finds_words_by_their_beginnings(empty: Catalog, notes: str, texts: list[str]) -> None:
    product = await empty.product("tool")
    await empty.put(product, "1", notes=notes)
    await empty.put(product, "2", notes="nothing of it")
    for text in texts:
        assert (await empty.ask(PAGE, filter={"search": text}))["releases"]["totalCount"] == 1, text
    for text in ("zzz", f"{texts[0]} zzz", "word:zzz", "^zzz"):
        assert (await empty.ask(PAGE, filter={"search": text}))["releases"]["totalCount"] == 0, text


async def test_words_of_long_notes_are_bounded(empty: Catalog) -> None:
    product = await empty.product("tool")
    made = await empty.put(product, "1", notes=" ".join(f"w{number}x" for number in range(40_000)))
    [stored] = [one async for one in old_forms.raw(empty.database).releases.find({"id": made["id"]})]
    assert sum(term.startswith("word:") for term in stored["terms"]) == 1_000
    assert (await empty.ask(PAGE, filter={"search": "w900x"}))["releases"]["totalCount"] == 1


async def test_an_update_changes_the_words(empty: Catalog) -> None:
    product = await empty.product("tool")
    made = await empty.put(product, "1", notes="before", name="tool")
    text = "mutation($input: PatchReleaseInput!) { patchRelease(input: $input) { problem { detail } } }"
    await empty.ask(text, input={"id": made["id"], "name": "tool", "notes": "after"})
    for word, count in (("before", 0), ("after", 1)):
        assert (await empty.ask(PAGE, filter={"search": word}))["releases"]["totalCount"] == count


async def test_a_filtered_page_takes_few_commands(empty: Catalog) -> None:
    product = await empty.product("tool", "SEMVER", id="p", _id="local/p")
    for number in range(5):
        await empty.put(product, f"1.0.{number}", notes="Fixes libssl3.")
    query = "query($filter: ReleaseFilter) { releases(filter: $filter) { nodes { id } } }"
    for filter_, reads in (
        ({"search": "libssl fixes"}, {"releases": 2}),
        ({"environment": "QA"}, {"releases": 1}),
        ({"any": [{"tag": "x"}, {"search": "lib"}], "none": [{"status": ["DRAFT"]}]}, {"releases": 2}),
        ({"updatedFrom": "2026-01-01T00:00:00Z"}, {"releases": 2}),
        ({"productKey": "tool", "constraint": ">=1"}, {"products": 2, "releases": 2, "counters": 2}),
        ({"any": [{"productKey": key, "constraint": "^1"} for key in ("tool", "x", "y")]},
         {"products": 2, "releases": 1, "counters": 2}),
    ):  # fmt: skip
        await empty.ask(query, filter=filter_)
        assert empty.commands.reads == reads, filter_


async def test_many_connections_share_the_commands_of_a_search(empty: Catalog) -> None:
    for number in range(5):
        await empty.put(await empty.product(f"p{number}", catalog_id=f"c{number}"), "1", notes="Fixes libssl3.")
    query = """query { catalogs { nodes { releases(filter: {search: "libssl"}) { totalCount nodes { id } } } }
      products { nodes { releases(filter: {search: "libssl"}) { totalCount nodes { id } } } } }"""
    data = await empty.ask(query)
    assert empty.commands.reads == {"catalogs": 1, "products": 1, "releases": 3}
    for name in ("catalogs", "products"):
        assert [len(one["releases"]["nodes"]) for one in data[name]["nodes"]] == [1] * 5
        assert [one["releases"]["totalCount"] for one in data[name]["nodes"]] == [1] * 5


async def test_many_connections_share_the_lookups_of_their_filters(empty: Catalog) -> None:
    for number in range(10):
        product = await empty.product("tool", "PEP440", f"c{number}", id=f"p{number}", _id=f"local/p{number}")
        await empty.put(product, f"1.{number}", id=f"r{number}")
    await empty.load(source("app", needs=["lib"]), source("lib"))
    for query, commands in (
        ('products { nodes { releases(filter: {constraint: ">=1"}) { nodes { id } } } }', 7),
        ('products { nodes { releases(filter: {productKey: "tool"}) { nodes { id } } } }', 3),
        ('catalogs { nodes { releases(filter: {productKey: "tool", constraint: "<2"}) { nodes { id } } } }', 8),
        ('catalogs { nodes { releases(filter: {dependsOnId: "r1"}) { nodes { id } } } }', 4),
        ('releases(filter: {productKey: "tool", any: [{constraint: ">=1"}, {constraint: "<3"}]}) { nodes { id } }', 7),
    ):  # fmt: skip
        await empty.ask(f"{{ {query} }}")
        assert sum(empty.commands.reads.values()) <= commands, (query, empty.commands.reads)


# ---------------------------------------------------------------- changes of version schemes

CONSTRAINED = """query($filter: ReleaseFilter, $order: ReleaseOrder) { releases(filter: $filter, orderBy: $order) {
  totalCount nodes { version } facets { status { count } } } }"""


@pytest.mark.parametrize("order", ["CREATED_AT", "VERSION", "NAME"])
async def test_a_constraint_reads_the_new_keys_while_a_scheme_changes(empty: Catalog, order: str) -> None:
    """In the step COPY, some releases still have their old keys."""
    product = await empty.product("tool", "SEMVER", id="p", _id="local/p")
    other = await empty.product("other", "SEMVER", id="q", _id="local/q")
    for number in range(6):
        made = await empty.put(product, f"1.{number}.0", revision=f"{number}")
        keys = {"nextVersionKey": made["versionKey"], **({"versionKey": "!old"} if number % 2 else {})}
        await empty.database[RELEASES].update_one({"id": made["id"]}, {"$set": keys})
        await empty.put(other, f"1.{number}.0", revision=f"{number}")
    counter = {"$set": {"reordered": ["p"], "schemeSteps": 1}}
    await empty.database[COUNTERS].update_one({"_id": "local/events"}, counter, upsert=True)
    narrow = {"constraint": ">=1.3"}
    for filter_, count in (
        ({"productId": "p", **narrow}, 3),
        ({"any": [{"productId": "p", **narrow}, {"productId": "q", "constraint": "<1.1"}]}, 4),
        ({"productId": "p", "none": [narrow]}, 3),
    ):
        found = (await empty.ask(CONSTRAINED, filter=filter_, order={"field": order}))["releases"]
        assert len(found["nodes"]) == found["totalCount"] == count, filter_
        assert found["facets"]["status"] == [{"count": count}]


async def test_a_constraint_has_the_meaning_of_the_scheme_at_the_time(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheme changes after the filter was read, before the page is."""
    product = await empty.product("tool", "SEMVER", id="p", _id="local/p")
    for version in ("1.9.0", "1.10.0-rc.1"):
        made = await empty.put(product, version, revision=version)
        key = versions.sort_key("ANY", version)
        await empty.database[RELEASES].update_one({"id": made["id"]}, {"$set": {"nextVersionKey": key}})
    read = pagination.fetch_pages
    done: list[int] = []

    async def changing(*arguments: Any, **options: Any) -> Any:
        if not done:
            done.append(1)
            await empty.database[PRODUCTS].update_one({"id": "p"}, {"$set": {"versionScheme": "ANY"}})
            counter = {"$set": {"reordered": ["p"], "schemeSteps": 1}}
            await empty.database[COUNTERS].update_one({"_id": "local/events"}, counter, upsert=True)
        return await read(*arguments, **options)

    monkeypatch.setattr(pagination, "fetch_pages", changing)
    query = "query($filter: ReleaseFilter) { releases(filter: $filter) { nodes { version } } }"
    found = (await empty.ask(query, filter={"productId": "p", "constraint": ">=1.9.5"}))["releases"]["nodes"]
    assert found == [{"version": "1.10.0-rc.1"}], "SEMVER leaves the pre-release out"
