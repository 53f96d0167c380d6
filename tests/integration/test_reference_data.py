"""Creation and changes of reference data."""

import asyncio
from typing import Any

import pytest

from release_catalog.domain import versions
from release_catalog.storage import release_writes, scheme_change
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from support.catalog import Catalog

SAVE = """mutation($input: Save%(kind)sInput!) { save%(kind)s(input: $input) { %(name)s { %(fields)s }
  problem { __typename status detail ... on ValidationProblem { violations { field code message } }
    ... on ConflictProblem { conflictingId } } } }"""
KINDS = {
    "Catalog": ("catalog", "id name description public"),
    "Product": ("product", "id key name description versionScheme category latestFree catalog { id }"),
    "Pipeline": ("pipeline", "id name properties { name required defaultValue }"),
    "Project": ("project", "id name applicationPath deploymentType streams { id name } buildEnvironments { id } properties { name }"),
    "Environment": ("environment", "id name requires"),
    "Registry": ("registry", "id name url healthy lastCheckedAt"),
    "BaseImage": ("baseImage", "id name containerImage operatingSystem { id distro version } healthy"),
}  # fmt: skip


async def save(catalog: Catalog, kind: str, **fields: Any) -> tuple[Any, Any]:
    """The saved thing and the problem; exactly one of them is there."""
    name, wanted = KINDS[kind]
    payload = (await catalog.ask(SAVE % {"kind": kind, "name": name, "fields": wanted}, input=fields))[
        f"save{kind}"
    ]
    assert (payload[name] is None) != (payload["problem"] is None)
    return payload[name], payload["problem"]


async def codes(catalog: Catalog, kind: str, **fields: Any) -> list[tuple[str, str]]:
    _, problem = await save(catalog, kind, **fields)
    assert (problem["__typename"], problem["status"]) == ("ValidationProblem", 400)
    return [(violation["field"], violation["code"]) for violation in problem["violations"]]


EXAMPLES: dict[str, dict[str, Any]] = {
    "Catalog": {"name": "Apps", "description": "All of them.", "public": True},
    "Product": {"key": "tool", "name": "Tool", "description": "# A tool", "versionScheme": "SEMVER", "category": "x", "latestFree": False},
    "Pipeline": {"name": "P", "properties": [{"name": "A", "required": True, "defaultValue": None}]},
    "Project": {"name": "P", "deploymentType": "PARTIAL", "streams": [{"id": "1", "name": "main"}], "applicationPath": "a/b"},
    "Environment": {"name": "QA", "requires": []},
    "Registry": {"name": "R", "url": "https://registry.example", "healthy": True, "lastCheckedAt": "2026-01-01T00:00:00.5Z"},
    "BaseImage": {"name": "B", "containerImage": "r/debian:12", "operatingSystem": {"id": "os", "distro": "debian", "version": "12"}, "healthy": None},
}  # fmt: skip


def shown(saved: Any, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: saved[name] for name in fields if name in saved}


@pytest.mark.parametrize("kind", KINDS)
async def test_saved_fields_are_returned_and_absent_fields_kept(empty: Catalog, kind: str) -> None:
    fields = EXAMPLES[kind]
    if kind == "BaseImage":
        fields = {**fields, "operatingSystem": {**fields["operatingSystem"], "name": "Debian 12"}}
    made, _ = await save(empty, kind, **fields)
    assert len(made["id"]) == 24
    expected = {**EXAMPLES[kind]}
    if kind == "Registry":
        expected["lastCheckedAt"] = "2026-01-01T00:00:00.500Z"
    assert shown(made, expected) == expected
    required = {"Product": ["key"], "Project": ["deploymentType"], "Registry": ["url"]}.get(kind, [])
    name = fields["name"] if kind == "Environment" else "Another name"
    again, _ = await save(empty, kind, id=made["id"], name=name, **{field: fields[field] for field in required})
    assert again == {**made, "name": name}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_id_that_is_given_is_kept(empty: Catalog, kind: str) -> None:
    fields = {"id": "10004/ä", **EXAMPLES[kind]}
    fields.pop("operatingSystem", None)
    made, _ = await save(empty, kind, **fields)
    again, _ = await save(empty, kind, **fields)
    assert made == again
    assert made["id"] == "10004/ä"


@pytest.mark.parametrize("kind", KINDS)
async def test_all_violations_come_together(empty: Catalog, kind: str) -> None:
    fields = {**EXAMPLES[kind], "name": "", "id": "x" * 256}
    fields.pop("operatingSystem", None)
    assert set(await codes(empty, kind, **fields)) >= {("input.name", "REQUIRED"), ("input.id", "TOO_LONG")}


async def test_null_brings_the_default_back(empty: Catalog) -> None:
    made, _ = await save(empty, "Product", **EXAMPLES["Product"])
    again, _ = await save(
        empty,
        "Product",
        id=made["id"],
        key="tool",
        name="Tool",
        description=None,
        versionScheme=None,
        latestFree=None,
    )
    assert (again["description"], again["versionScheme"], again["latestFree"]) == (None, "DOTTED", None)
    assert again["category"] == "x"


async def test_lists_hold_each_key_once(empty: Catalog) -> None:
    twice = [{"id": "1", "name": "a"}, {"id": "1", "name": "b"}, {"id": "", "name": "c"}]
    assert await codes(empty, "Project", name="P", deploymentType="FULL", streams=twice) == [
        ("input.streams[1]", "REPEATED"), ("input.streams[2].id", "REQUIRED"),
    ]  # fmt: skip
    found = await codes(empty, "Pipeline", name="P", properties=[{"name": "A"}, {"name": "A"}])
    assert found == [("input.properties[1]", "REPEATED")]


async def test_a_product_keeps_its_key_to_itself_and_its_catalog_for_good(empty: Catalog) -> None:
    first, _ = await save(empty, "Product", key="tool", name="One")
    assert first["catalog"]["id"] == "default"
    _, problem = await save(empty, "Product", key="tool", name="Two")
    assert (problem["__typename"], problem["conflictingId"]) == ("ConflictProblem", first["id"])
    await save(empty, "Catalog", id="other", name="Other")
    second, _ = await save(empty, "Product", key="tool", name="Two", catalogId="other")
    assert second["catalog"]["id"] == "other"
    assert await codes(empty, "Product", id=first["id"], key="tool", name="One", catalogId="other") == [
        ("input.catalogId", "FIXED")
    ]
    assert await codes(empty, "Product", key="x", name="x", catalogId="nowhere") == [
        ("input.catalogId", "UNKNOWN")
    ]
    assert await empty.database[PRODUCTS].count_documents({}) == 2


async def test_of_many_who_want_one_key_one_gets_it(empty: Catalog) -> None:
    await save(empty, "Catalog", id="default", name="Default")
    outcomes = await asyncio.gather(*(save(empty, "Product", key="tool", name=f"{n}") for n in range(20)))
    made = [saved["id"] for saved, _ in outcomes if saved]
    assert len(made) == 1
    assert {problem["conflictingId"] for _, problem in outcomes if problem} == set(made)


async def test_a_new_scheme_orders_all_releases_anew(empty: Catalog) -> None:
    product = await empty.product("tool", "ANY")
    for version in ("1.0.0-1", "1.0.0", "1.0.0-beta", "1.0.0-beta.2", "nightly"):
        await empty.put(product, version)
    query = """query($id: ID!) { product(id: $id) { releases(orderBy: {field: VERSION, direction: ASC}) { nodes { version } } } }"""

    async def order() -> list[str]:
        found = await empty.ask(query, id=product["id"])
        return [node["version"] for node in found["product"]["releases"]["nodes"]]

    assert await order() == ["nightly", "1.0.0-beta", "1.0.0-beta.2", "1.0.0", "1.0.0-1"]
    await save(empty, "Product", id=product["id"], key="tool", name="Tool", versionScheme="SEMVER")
    assert await order() == ["nightly", "1.0.0-1", "1.0.0-beta", "1.0.0-beta.2", "1.0.0"]


@pytest.mark.parametrize("releases", [0, 1])
async def test_a_release_that_is_made_while_the_scheme_changes_is_ordered_by_the_new_one(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch, releases: int
) -> None:
    product = await empty.product("tool", "ANY")
    for number in range(releases):
        await empty.put(product, f"{number}")
    looked, begun = asyncio.Event(), asyncio.Event()
    begin, load = scheme_change.begin, release_writes.load_drafts

    async def held(*arguments: Any) -> Any:
        product = await begin(*arguments)
        begun.set()
        await asyncio.wait_for(looked.wait(), 20)
        return product

    async def look(*arguments: Any) -> None:
        await load(*arguments)
        looked.set()
        await asyncio.wait_for(begun.wait(), 20)

    monkeypatch.setattr(scheme_change, "begin", held)
    monkeypatch.setattr(release_writes, "load_drafts", look)
    text = """mutation($id: ID!) { createRelease(input: {productId: $id, name: "tool", version: "1.0.0-beta"}) {
      problem { detail } } }"""
    given: dict[str, Any] = {"id": product["id"], "key": "tool", "name": "Tool", "versionScheme": "SEMVER"}
    (_, problem), made = await asyncio.gather(save(empty, "Product", **given), empty.ask(text, id=product["id"]))
    assert (problem, made["createRelease"]["problem"]) == (None, None)
    kept = await empty.database[RELEASES].find_one({"version": "1.0.0-beta"})
    assert kept
    assert kept["versionKey"] == versions.sort_key("SEMVER", "1.0.0-beta")
    assert "nextVersionKey" not in kept


async def test_environments_lead_to_one_another_and_never_round(empty: Catalog) -> None:
    await save(empty, "Environment", id="dev", name="DEV")
    await save(empty, "Environment", id="qa", name="QA", requires=["DEV", "DEV"])
    made, _ = await save(empty, "Environment", name="PROD", requires=["QA"])
    assert made["requires"] == ["QA"]
    assert await codes(empty, "Environment", id="dev", name="DEV", requires=["PROD"]) == [
        ("input.requires", "REQUIRES_ITSELF")
    ]
    assert await codes(empty, "Environment", name="NEW", requires=["NEW", "MOON"]) == [
        ("input.requires[1]", "UNKNOWN"), ("input.requires", "REQUIRES_ITSELF"),
    ]  # fmt: skip
    assert await codes(empty, "Environment", id="dev", name="Dev") == [("input.name", "FIXED")]
    _, problem = await save(empty, "Environment", name="QA")
    assert (problem["__typename"], problem["conflictingId"]) == ("ConflictProblem", "qa")


@pytest.mark.parametrize("url", ["registry.example", "ftp://x", "http://", "javascript:alert(1)"])
async def test_a_registry_has_a_url(empty: Catalog, url: str) -> None:
    assert await codes(empty, "Registry", name="R", url=url) == [("input.url", "NOT_A_URL")]


@pytest.mark.parametrize("id_", ["", ".", ".."])
async def test_an_id_can_stand_in_an_address(empty: Catalog, id_: str) -> None:
    assert await codes(empty, "Catalog", id=id_, name="C") == [("input.id", "NOT_AN_ID")]
