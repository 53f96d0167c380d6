"""Documents that are hidden from a caller do not exist for them (model.md, Visibility)."""

from typing import Any

import pytest

from release_catalog.domain import ledger, timestamps
from release_catalog.domain.caller import Caller, local
from release_catalog.storage.collection_names import CONTENTS, ENVIRONMENTS, EXECUTIONS, PIPELINES, PROMOTIONS
from support.catalog import Catalog

READER = Caller("local", "reader", frozenset({"release:read"}))
STRANGER = local("another")
HIDDEN: dict[str, dict[str, Any]] = {
    "draft": {"status": "DRAFT"},
    "private": {"status": "PUBLISHED", "private": True},
}
SEEN: dict[str, dict[str, Any]] = {
    "live": {"status": "PUBLISHED"},
    "gone": {"status": "WITHDRAWN"},
    "kept": {"status": "ARCHIVED"},
}


@pytest.fixture
async def mixed(empty: Catalog) -> tuple[Catalog, dict[str, str]]:
    """Five releases that need `base`, two of them hidden, each promoted; the hidden ones are the highest."""
    product = await empty.product("tool", "DOTTED")
    base = await empty.product("base")
    ids = {"base": (await empty.put(base, "1", status="PUBLISHED"))["id"]}
    previous = None
    for number, (name, fields) in enumerate((SEEN | HIDDEN).items()):
        needs = {"dependencies": [{"name": "base", "version": "1"}]}
        made = await empty.put(product, f"1.{number}", name=name, **fields, **needs)
        ids[name] = made["id"]
        record: Any = dict.fromkeys(ledger._FIELDS) | {
            "id": name, "tenantId": "local", "releaseId": made["id"], "environment": "QA", "name": name,
            "version": made["version"], "created": timestamps.now(), "status": "COMPLETED", "messages": [], "artifacts": [],
        }  # fmt: skip
        previous = ledger.append_hash(record, previous)
        await empty.database[PROMOTIONS].insert_one({**previous, "_id": f"local/{name}"})
        content: Any = {"tenantId": "local", "environment": "QA", "path": f"r/{name}", "releaseId": made["id"]}
        content |= {"checksum": "x", "promotionId": name}
        await empty.database[CONTENTS].insert_one(content)
        run: Any = {
            "tenantId": "local",
            "id": name,
            "pipelineId": "p",
            "releaseId": made["id"],
            "status": "RUNNING",
        }
        run |= {"startedAt": timestamps.now(), "endedAt": None}
        await empty.database[EXECUTIONS].insert_one(run)
    await empty.database[ENVIRONMENTS].insert_one(
        {"_id": "local/e", "tenantId": "local", "id": "e", "name": "QA", "requires": []}
    )
    await empty.database[PIPELINES].insert_one(
        {"_id": "local/p", "tenantId": "local", "id": "p", "name": "p", "properties": []}
    )
    return empty, ids


EVERYTHING = """query($base: ID!, $hidden: ID!) {
  releases { totalCount nodes { name } }
  filtered: releases(filter: {productKey: "tool"}, orderBy: {field: NAME}) { totalCount nodes { name } }
  drafts: releases(filter: {status: [DRAFT]}) { totalCount }
  private: releases(filter: {private: true}) { totalCount }
  dependOn: releases(filter: {dependsOnId: $base}) { totalCount nodes { name } }
  onHidden: releases(filter: {dependsOnId: $hidden}) { totalCount }
  byId: releases(filter: {ids: [$hidden]}) { totalCount }
  release(id: $hidden) { name }
  exportRelease(id: $hidden)
  compareReleases(fromId: $base, toId: $hidden) { from { id } }
  product(key: "tool") { releases { totalCount } latestRelease { name } }
  catalog(id: "default") { releases { totalCount } }
  base: release(id: $base) {
    dependants { totalCount nodes { name latestRelease { name } } }
    dependencyGraph(direction: DEPENDANTS) { nodeCount nodes { name } edges { fromId } }
    _links { dependants { href } }
  }
  promotions { totalCount nodes { name release { name } } }
  environment(name: "QA") { contents { totalCount nodes { path release { name } } } promotions { totalCount } }
  pipeline(id: "p") { executions { id } }
}"""


async def test_a_reader_sees_published_releases_alone(mixed: tuple[Catalog, dict[str, str]]) -> None:
    catalog, ids = mixed
    everything = await catalog.ask(EVERYTHING, base=ids["base"], hidden=ids["private"])
    assert everything["releases"]["totalCount"] == 6
    assert everything["promotions"]["totalCount"] == 5
    for hidden in HIDDEN:
        response = await catalog.seen_by(READER).respond(EVERYTHING, base=ids["base"], hidden=ids[hidden])
        assert "errors" not in response
        data = response["data"]
        told = str({name: value for name, value in data.items() if name != "private"})
        assert not [name for name in HIDDEN if f"'{name}'" in told or ids[name] in told]
        for found in (data["filtered"], data["dependOn"], data["base"]["dependants"], data["promotions"]):
            assert found["totalCount"] == len(found["nodes"]) == 3
        assert (data["releases"]["totalCount"], data["catalog"]["releases"]["totalCount"]) == (4, 4)
        assert [data[name]["totalCount"] for name in ("drafts", "private", "onHidden", "byId")] == [0, 0, 0, 0]
        assert [data[name] for name in ("release", "exportRelease", "compareReleases")] == [None, None, None]
        assert data["product"]["latestRelease"] == {"name": "live"}
        assert data["base"]["dependencyGraph"]["nodeCount"] == len(data["base"]["dependencyGraph"]["edges"]) == 3
        assert len(data["base"]["_links"]["dependants"]) == 3
        assert (
            data["environment"]["contents"]["totalCount"] == data["environment"]["promotions"]["totalCount"] == 3
        )
        assert len(data["pipeline"]["executions"]) == 3


async def test_s3_a_record_of_a_hidden_release_is_not_there(mixed: tuple[Catalog, dict[str, str]]) -> None:
    catalog, _ = mixed
    query = "query($n: String!, $v: String!, $c: String!) { promotion(name: $n, version: $v, created: $c) { id } }"
    async for record in catalog.database[PROMOTIONS].find({}):
        address = {"n": record["name"], "v": record["version"], "c": timestamps.format_rfc3339(record["created"])}
        found = (await catalog.seen_by(READER).ask(query, **address))["promotion"]
        assert (found is None) == (record["name"] in HIDDEN)
        assert (await catalog.ask(query, **address))["promotion"] == {"id": record["id"]}


async def test_another_tenant_sees_nothing(mixed: tuple[Catalog, dict[str, str]]) -> None:
    catalog, ids = mixed
    response = await catalog.seen_by(STRANGER).respond(EVERYTHING, base=ids["base"], hidden=ids["draft"])
    nothing = {"totalCount": 0, "nodes": []}
    assert response == {
        "data": {
            "releases": nothing, "filtered": nothing, "dependOn": nothing, "promotions": nothing,
            "drafts": {"totalCount": 0}, "private": {"totalCount": 0}, "onHidden": {"totalCount": 0},
            "byId": {"totalCount": 0}, "release": None, "exportRelease": None, "compareReleases": None, "product": None,
            "catalog": None, "base": None, "environment": None, "pipeline": None,
        }
    }  # fmt: skip


async def test_every_read_names_the_tenant(mixed: tuple[Catalog, dict[str, str]]) -> None:
    catalog, ids = mixed
    for caller in (READER, local("local")):
        await catalog.seen_by(caller).ask(EVERYTHING, base=ids["base"], hidden=ids["draft"])
        for command in catalog.commands.sent:
            wanted = command.get("filter") or command.get("query") or command["pipeline"][0]["$match"]
            assert "local" in str(wanted), command
