"""The releases that environments hold, and the environments that hold releases and products."""

import asyncio
from typing import Any

import pytest

from release_catalog.domain.caller import READ, Caller, local
from release_catalog.storage import migrations
from release_catalog.storage.collection_names import RELEASES
from support import old_forms
from support.catalog import Catalog
from support.promotions import environment, file, promote, published, roll_back

READER = Caller("local", "reader", frozenset({READ}))
WHERE = """{ environments { name releases { totalCount nodes { version } } }
  products { nodes { key inEnvironments { environment { name } since releases { version } } } }
  releases(orderBy: {field: VERSION, direction: ASC}) { nodes {
    version inEnvironments { environment { name } since promotion { id created } } } } }"""
SAME = {"path": "app.jar", "repositoryKey": "maven"}


@pytest.fixture
async def qa(empty: Catalog) -> Catalog:
    for name in ("QA", "PROD"):
        await environment(empty, name)
    return empty


async def where(catalog: Catalog) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, Any]]:
    """The versions by environment, the environments by version, and the environments of products."""
    data = await catalog.ask(WHERE)
    held = {e["name"]: [node["version"] for node in e["releases"]["nodes"]] for e in data["environments"]}
    assert [e["releases"]["totalCount"] for e in data["environments"]] == [len(some) for some in held.values()]
    by_version = {}
    for release in data["releases"]["nodes"]:
        assert all(one["since"] == one["promotion"]["created"] for one in release["inEnvironments"])
        by_version[release["version"]] = [one["environment"]["name"] for one in release["inEnvironments"]]
    by_product = {
        product["key"]: {
            one["environment"]["name"]: [release["version"] for release in one["releases"]]
            for one in product["inEnvironments"]
        }
        for product in data["products"]["nodes"]
    }
    return held, by_version, by_product


async def stored(catalog: Catalog) -> dict[str, list[Any]]:
    """What releases keep of their environments, by version."""
    return {
        release["version"]: sorted(release["environments"], key=lambda one: one["environment"])
        async for release in catalog.database[RELEASES].find({})
    }


async def test_a_promotion_an_overwritten_path_and_a_rollback_change_the_answers(qa: Catalog) -> None:
    first = await published(qa, file("app.jar", 1, **SAME), version="1")
    second = await published(qa, file("app.jar", 2, **SAME), version="2")
    assert await where(qa) == ({"PROD": [], "QA": []}, {"1": [], "2": []}, {"tool": {}})
    await promote(qa, first)
    await promote(qa, first, "PROD")
    assert await where(qa) == (
        {"PROD": ["1"], "QA": ["1"]}, {"1": ["PROD", "QA"], "2": []}, {"tool": {"PROD": ["1"], "QA": ["1"]}},
    )  # fmt: skip
    over, problem = await promote(qa, second, overwriteExistingArtifacts=True)
    assert problem is None
    assert await where(qa) == (
        {"PROD": ["1"], "QA": ["2"]}, {"1": ["PROD"], "2": ["QA"]}, {"tool": {"PROD": ["1"], "QA": ["2"]}},
    )  # fmt: skip
    await roll_back(qa, over["id"])
    assert (await where(qa))[0] == {"PROD": ["1"], "QA": ["1"]}


async def test_a_refused_promotion_and_a_dry_run_change_nothing(qa: Catalog) -> None:
    first = await published(qa, file("app.jar", 1, **SAME), version="1")
    second = await published(qa, file("app.jar", 2, **SAME), version="2")
    await promote(qa, first)
    before = await stored(qa)
    assert (await promote(qa, second))[1] is not None
    await promote(qa, second, "PROD", dryRun=True)
    assert await stored(qa) == before


async def test_a_release_is_held_as_long_as_one_of_its_files_is(qa: Catalog) -> None:
    both = await published(qa, file("a", 1), file("app.jar", 1, **SAME), version="1")
    one = await published(qa, file("app.jar", 2, **SAME), version="2")
    first, _ = await promote(qa, both)
    await promote(qa, one, overwriteExistingArtifacts=True)
    assert (await where(qa))[1] == {"1": ["QA"], "2": ["QA"]}
    again, _ = await promote(qa, both, overwriteExistingArtifacts=True)
    assert (await where(qa))[1] == {"1": ["QA"], "2": []}
    assert (await stored(qa))["1"][0]["promotionId"] == again["id"]
    await roll_back(qa, again["id"])
    assert (await stored(qa))["1"][0]["promotionId"] == first["id"]
    assert (await where(qa))[1] == {"1": ["QA"], "2": ["QA"]}


async def test_an_update_of_a_release_keeps_its_environments(qa: Catalog) -> None:
    id_ = await published(qa, file("a", 1), version="1")
    await promote(qa, id_)
    for verb in ("patch", "replace"):
        text = f"mutation($input: {verb.capitalize()}ReleaseInput!) {{ {verb}Release(input: $input) {{ problem {{ detail }} }} }}"
        fields: dict[str, Any] = {"id": id_, "name": "tool", "notes": verb}
        if verb == "replace":
            [kept] = [r["artifacts"][0] async for r in old_forms.raw(qa.database).releases.find({"id": id_})]
            fields["artifacts"] = [{name: kept[name] for name in ("name", "size", "sha256", "downloadUrl")}]
        answer = (await qa.ask(text, input=fields))[f"{verb}Release"]
        assert answer["problem"] is None, answer
        assert (await where(qa))[0] == {"PROD": [], "QA": ["1"]}


async def test_hidden_releases_and_other_tenants_are_in_no_environment(qa: Catalog) -> None:
    shown = await published(qa, file("a", 1), version="1")
    hidden = await published(qa, file("b", 2), version="2", private=True)
    for id_ in (shown, hidden):
        await promote(qa, id_)
    held, by_version, by_product = await where(qa.seen_by(READER))
    assert held["QA"] == ["1"]
    assert by_version == {"1": ["QA"]}
    assert by_product == {"tool": {"QA": ["1"]}}
    other = qa.seen_by(local("other"))
    await environment(other, "QA")
    assert (await where(other))[0] == {"QA": []}


async def test_a_page_of_fifty_products_with_their_environments_takes_three_commands(qa: Catalog) -> None:
    for number in range(50):
        id_ = await published(qa, file("a", number), key=f"p{number:02d}")
        if number % 10 == 0:
            await promote(qa, id_)
            await promote(qa, id_, "PROD")
    query = """{ products(first: 50) { nodes { key inEnvironments {
      environment { id name requires } since releases { id name version status } } } } }"""
    found = (await qa.ask(query))["products"]["nodes"]
    assert qa.commands.reads == {"products": 1, "releases": 1, "environments": 1}
    assert len(found) == 50
    assert [len(product["inEnvironments"]) for product in found] == [2, *[0] * 9] * 5
    releases = "{ releases(first: 50) { nodes { inEnvironments { environment { name } promotion { id } } } } }"
    assert sum(len(one["inEnvironments"]) for one in (await qa.ask(releases))["releases"]["nodes"]) == 10
    assert qa.commands.reads == {"releases": 1, "environments": 1, "promotions": 1}
    # One after the other, the indexes of held releases and of contents serve all of it.
    for command in [command for command in qa.commands.sent if "aggregate" in command]:
        assert command["hint"] == "held"


async def test_what_environments_hold_is_found_by_indexes(qa: Catalog) -> None:
    many = [await published(qa, file(f"{n}", n), version=f"{n}") for n in range(30)]
    await promote(qa, many[3])
    for query in (
        '{ environment(name: "QA") { releases { nodes { id } totalCount } } }',
        "{ products { nodes { inEnvironments { since } } } }",
    ):
        await qa.ask(query)
        for command in [
            c for c in qa.commands.sent if "releases" in {c.get("find"), c.get("aggregate"), c.get("count")}
        ]:
            plain = {name: value for name, value in command.items() if name not in {"lsid", "$db", "$clusterTime"}}
            plan = await qa.database.command("explain", plain, verbosity="executionStats")
            assert "COLLSCAN" not in str(plan)
            assert "'totalDocsExamined': 0" in str(plan) or "'totalDocsExamined': 1," in str(plan)


async def test_the_oldest_content_of_each_release_is_one_key(qa: Catalog) -> None:
    files = [file(f"{number}", number) for number in range(50)]
    for version in ("1", "2"):
        await promote(qa, await published(qa, *files, version=version))
    stages = [
        {"$match": {"tenantId": "local", "environment": "QA", "releaseId": {"$in": ["x", "y"]}}},
        {"$sort": {"releaseId": 1, "since": 1, "promotionId": 1}},
        {
            "$group": {
                "_id": "$releaseId",
                "promotionId": {"$first": "$promotionId"},
                "since": {"$first": "$since"},
            }
        },
    ]
    plan = await qa.database.command(
        "explain", {"aggregate": "contents", "pipeline": stages, "cursor": {}, "hint": "release"}
    )
    assert "DISTINCT_SCAN" in str(plan)


async def test_older_documents_get_their_environments_by_migration(qa: Catalog) -> None:
    first = await published(qa, file("app.jar", 1, **SAME), file("b", 2), version="1")
    second = await published(qa, file("app.jar", 2, **SAME), version="2", notes="Fixes libssl3.")
    await promote(qa, first)
    await promote(qa, second, overwriteExistingArtifacts=True)
    await promote(qa, first, "PROD")
    old = old_forms.raw(qa.database)
    before, terms = await stored(qa), [sorted(r["terms"]) async for r in old.releases.find({}).sort("id", 1)]
    await old.contents.update_many({}, {"$unset": {"since": 1}, "$set": {"form": 1}})
    lost = {"environments": 1, "productName": 1, "publishedKey": 1}
    await old.releases.update_many({}, {"$unset": lost, "$set": {"form": 3}})
    for kind in ("^in:", "^word:", "^creator:"):
        await old.releases.update_many({}, {"$pull": {"terms": {"$regex": kind}}})
    assert (await where(qa))[0] == {"PROD": [], "QA": []}
    await migrations.run(qa.database, asyncio.Event(), lambda *_: None)
    assert await stored(qa) == before
    assert [sorted(r["terms"]) async for r in old.releases.find({}).sort("id", 1)] == terms
    assert (await where(qa))[0] == {"PROD": ["1"], "QA": ["2", "1"]}
    assert not await migrations.pending(qa.database)
