"""S1: the products that documents name, by id, key or name, and those that an import or a load creates."""

import io
import json
import re
from typing import Any

import orjson
import pytest

from conftest import LOCAL
from release_catalog.cli import load as bulk
from release_catalog.storage import bulk_load, named_products
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from support.catalog import Catalog, source

Json = dict[str, Any]
IMPORT = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) { message
  warnings { artifactName message expectedSha256 actualSha256 }
  release { name product { id key name versionScheme } }
  problem { __typename ... on ValidationProblem { violations { field code message } } } } }"""


async def take(catalog: Catalog, document: Json, identifier: str, **given: Any) -> Any:
    asked = {"projectIdentifier": identifier, "release": document, "verification": "SKIP", **given}
    return (await catalog.ask(IMPORT, input=asked))["importRelease"]


def codes(answer: Json) -> list[tuple[str, str]]:
    return [(violation["field"], violation["code"]) for violation in answer["problem"]["violations"]]


async def load(catalog: Catalog, *documents: Json, **options: Any) -> bulk.Loader:
    loader = bulk.Loader(LOCAL, bulk.Report(0), "default", publish=False, stop=False, **options)
    await loader.run(catalog.database, io.BytesIO(b"\n".join(map(orjson.dumps, documents))))
    return loader


async def test_s1_an_identifier_is_an_id_before_a_key_and_a_key_before_a_name(empty: Catalog) -> None:
    by_id = await empty.product("k1", id="x", _id=LOCAL.key("x"), name="First")
    by_key = await empty.product("x", name="Second")
    by_name = await empty.product("k3", name="y")
    await empty.product("k4", name="x")
    for version, (identifier, product) in enumerate([("x", by_id), ("Second", by_key), ("y", by_name)]):
        answer = await take(empty, source("tool", str(version), project=identifier), identifier)
        assert answer["release"]["product"]["id"] == product["id"]
        assert answer["warnings"] == []
    documents = [source("tool", f"{identifier}1", project=identifier) for identifier in ("x", "Second", "y")]
    assert (await load(empty, *documents)).report.added == 3
    found = {
        r["version"]: r["productId"] async for r in empty.database[RELEASES].find({"version": {"$regex": "1$"}})
    }
    assert found.items() >= {"x1": by_id["id"], "Second1": by_key["id"], "y1": by_name["id"]}.items()
    assert await empty.database[PRODUCTS].count_documents({}) == 4


async def test_s1_a_name_of_several_products_is_a_violation(
    empty: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("a", "b", "c"):
        await empty.product(key, name="Same")
    await empty.product("d", name="Same", catalog_id="other")
    answer = await take(empty, source("tool", project="Same"), "Same")
    assert codes(answer) == [("input.projectIdentifier", "AMBIGUOUS")]
    assert answer["problem"]["violations"][0]["message"].startswith("3 products have the name 'Same': ")
    await load(empty, source("tool", project="Same"))
    assert "line 1: project: 3 products have the name 'Same': " in capsys.readouterr().err
    assert await empty.database[RELEASES].count_documents({}) == 0
    # The name is not ambiguous in the other catalog, nor is a key or an id.
    answer = await take(empty, source("tool", project="d"), "Same", catalogId="other")
    assert answer["release"]["product"]["key"] == "d"


async def test_s1_a_product_is_found_in_whichever_catalog_has_it(empty: Catalog) -> None:
    """The default catalog comes first, unless a catalog is given."""
    elsewhere = await empty.product("k", name="Name", catalog_id="other")
    for version, identifier in enumerate(("k", "Name", elsewhere["id"])):
        answer = await take(empty, source("tool", str(version), project=identifier), identifier)
        assert (answer["problem"], answer["warnings"]) == (None, [])
        assert answer["release"]["product"]["id"] == elsewhere["id"]
    by_name = await empty.product("there", name="k")
    assert (await take(empty, source("tool", "4", project="k"), "k"))["release"]["product"]["id"] == by_name["id"]
    await empty.product("Name", name="x", catalog_id="third")
    answer = await take(empty, source("tool", "5", project="Name"), "Name")
    assert answer["release"]["product"]["name"] == "x"
    for catalog in ("a", "b"):
        await empty.product("$both", name="Two", catalog_id=catalog)
    for identifier in ("$both", "Two"):
        answer = await take(empty, source("tool", project=identifier), identifier)
        assert codes(answer) == [("input.projectIdentifier", "AMBIGUOUS")]
    assert await empty.database[PRODUCTS].count_documents({}) == 5
    document = {"projectIdentifier": "k", "release": source("tool", project="k"), "catalogId": "nowhere"}
    answer = (await empty.ask(IMPORT, input=document))["importRelease"]
    assert codes(answer) == [("input.catalogId", "UNKNOWN")]


async def test_s1_the_id_of_a_product_in_another_catalog_is_a_violation(empty: Catalog) -> None:
    elsewhere = await empty.product("k", catalog_id="other")
    await empty.product("tool", catalog_id="third")
    for options in ({}, {"createProduct": False}, {"dryRun": True}):
        answer = await take(empty, source("k"), elsewhere["id"], catalogId="third", **options)
        assert codes(answer) == [("input.catalogId", "CONTRADICTORY_REFERENCE")]
    assert await empty.database[PRODUCTS].count_documents({}) == 2
    # A key or a name is one of its catalog.
    answer = await take(empty, source("k"), "k", catalogId="third")
    assert answer["release"]["product"]["id"] != elsewhere["id"]
    answer = await take(empty, source("k"), elsewhere["id"], catalogId="other")
    assert answer["release"]["product"]["id"] == elsewhere["id"]


async def test_a_product_elsewhere_is_found_by_indexes(empty: Catalog) -> None:
    some = [bulk_load.product(LOCAL, f"c{at}", f"p{at}") for at in range(1_000)]
    await bulk_load.put(LOCAL, empty.database, PRODUCTS, some)
    empty.commands.clear()
    found = await named_products.find_elsewhere(LOCAL, empty.database, ["p7"])
    assert found.choose("p7").products["p7"]["catalogId"] == "c7"
    by_key, by_name, _ = empty.commands.sent
    for command in (by_key, by_name):
        plain = {name: value for name, value in command.items() if name not in {"lsid", "$db", "$clusterTime"}}
        plan = await empty.database.command("explain", plain, verbosity="executionStats")
        assert '"COLLSCAN"' not in json.dumps(plan, default=str)
        # The second needs only the index.
        assert re.search(r'"totalDocsExamined": [01],', json.dumps(plan, default=str))


async def test_s1_a_new_product_is_a_warning(empty: Catalog) -> None:
    answer = await take(empty, source("tool"), "tool")
    assert answer["warnings"] == [
        {
            "artifactName": "",
            "message": "The product 'tool' did not exist: it was created with the version scheme ANY.",
            "expectedSha256": "",
            "actualSha256": None,
        }
    ]
    assert answer["message"] == "Created the draft tool 1.0."
    assert (await take(empty, source("tool", "1.1"), "tool"))["warnings"] == []


async def test_s1_a_new_product_has_the_version_scheme_of_the_import(empty: Catalog) -> None:
    refused = await take(empty, source("tool", "1.0"), "tool", versionScheme="SEMVER")
    assert codes(refused) == [("input.release.version", "NOT_A_VERSION")]
    assert await empty.database[PRODUCTS].count_documents({}) == 0
    answer = await take(empty, source("tool", "1.0.0"), "tool", versionScheme="SEMVER")
    assert answer["release"]["product"]["versionScheme"] == "SEMVER"
    assert "with the version scheme SEMVER" in answer["warnings"][0]["message"]
    # The scheme of a product that exists stays.
    refused = await take(empty, source("tool", "1"), "tool", versionScheme="ANY")
    assert codes(refused) == [("input.release.version", "NOT_A_VERSION")]


async def test_s1_without_create_product_a_new_product_is_a_violation(empty: Catalog) -> None:
    bad = {**source("tool"), "author": "nobody"}
    answer = await take(empty, bad, "tool", createProduct=False)
    assert codes(answer) == [("input.release.author", "NOT_AN_EMAIL"), ("input.projectIdentifier", "UNKNOWN")]
    assert await empty.database[PRODUCTS].count_documents({}) == 0
    assert await empty.database[RELEASES].count_documents({}) == 0
    await empty.product("tool")
    assert (await take(empty, source("tool"), "tool", createProduct=False))["problem"] is None


@pytest.mark.parametrize("identifier", [" tool", "tool\u00a0", "to\u202eol"])
async def test_a_new_product_has_a_valid_key(empty: Catalog, identifier: str) -> None:
    answer = await take(empty, source("tool", project=identifier), identifier)
    assert [field for field, _ in codes(answer)] == ["input.release.project", "input.projectIdentifier"]
    assert (await load(empty, source("tool", project=identifier))).report.refused == 1
    # One that is there already has an id.
    id_ = (await empty.product(identifier))["id"]
    assert (await take(empty, source("tool", project=id_), id_))["problem"] is None


async def test_s1_a_release_without_a_name_has_the_name_of_its_product(empty: Catalog) -> None:
    await empty.product("tool", name="The Tool")
    for version, document in (("1", {}), ("2", {"name": None})):
        nameless = {name: value for name, value in source("tool", version).items() if name != "name"} | document
        answer = await take(empty, nameless, "tool")
        assert answer["release"]["name"] == "The Tool"
        own = {
            **nameless,
            "version": f"{version}.1",
            "dependencies": [{"name": "The Tool", "version": f"{version}.1"}],
        }
        refused = await take(empty, own, "tool")
        assert codes(refused) == [("input.release.dependencies[0]", "DEPENDS_ON_ITSELF")]
        loader = await load(empty, own, {**nameless, "version": f"{version}.2"})
        assert (loader.report.added, loader.report.refused) == (1, 1)
    new = {name: value for name, value in source("new").items() if name != "name"}
    assert (await take(empty, new, "new"))["release"]["name"] == "new"
    names = {r["version"]: r["name"] async for r in empty.database[RELEASES].find({})}
    assert names == {"1": "The Tool", "1.2": "The Tool", "2": "The Tool", "2.2": "The Tool", "1.0": "new"}


async def test_a_load_creates_products_of_its_scheme_and_tells_their_number(
    empty: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    await empty.product("old", "DOTTED")
    documents = [source("a", "1.0.0"), source("a", "1.0.1"), source("b", "1.0.0"), source("old", "1.0")]
    wrong = [source("c", "1"), source("old", "x")]
    await load(empty, *documents, *wrong, new=bulk_load.NewProducts(scheme="SEMVER"))
    *refused, created, summary = capsys.readouterr().err.splitlines()
    assert [line.partition(": The")[0].partition(" is not")[0] for line in refused] == [
        "line 5: version: '1'", "line 6: version: 'x'",
    ]  # fmt: skip
    assert (created, summary) == ("new products: 2", "4 added, 0 existing, 2 refused")
    schemes = {product["key"]: product["versionScheme"] async for product in empty.database[PRODUCTS].find({})}
    assert schemes == {"old": "DOTTED", "a": "SEMVER", "b": "SEMVER"}


async def test_a_load_may_refuse_to_create_products(empty: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    await empty.product("old")
    await load(empty, source("old"), source("new"), new=bulk_load.NewProducts(create=False))
    assert capsys.readouterr().err.splitlines() == [
        "line 2: project: The product 'new' does not exist: save it first.",
        "1 added, 0 existing, 1 refused",
    ]
    assert await empty.database[PRODUCTS].count_documents({}) == 1


async def test_s1_each_dependency_that_does_not_exist_is_a_warning(empty: Catalog) -> None:
    await empty.put(await empty.product("lib"), "1.0", id="lib-1")
    await empty.product("tool")
    needed = [
        {"name": "lib", "version": "1.0"},
        {"catalogId": "lib-1", "name": "lib", "version": "1.0"},
        # An id that does not exist falls back to name and version.
        {"catalogId": "gone", "name": "lib", "version": "1.0"},
        {"name": "lib", "version": "2.0"},
        {"catalogId": "gone", "name": "zlib", "version": "1"},
    ]
    for number, one in enumerate(needed):
        answer = await take(empty, source("tool", str(number), dependencies=[one]), "tool")
        said = [warning["message"] for warning in answer["warnings"]]
        name = f"The dependency {one['name']} {one['version']} does not exist yet: "
        assert said == ([] if number < 3 else [f"{name}save it, or correct the reference."])
    answer = await take(empty, source("tool", "9", dependencies=needed[1:2] + needed[3:]), "tool")
    assert len(answer["warnings"]) == 2
    contradictory = [{"catalogId": "lib-1", "name": "lib", "version": "1.1"}]
    refused = await take(empty, source("tool", "10", dependencies=contradictory), "tool")
    assert codes(refused) == [("input.release.dependencies[0]", "CONTRADICTORY_REFERENCE")]


async def test_an_import_looks_up_all_its_dependencies_at_once(empty: Catalog) -> None:
    await empty.product("tool")
    reads = []
    for count in (1, 100):
        needed = [{"catalogId": f"id-{at}", "name": f"lib-{at}", "version": "1.0"} for at in range(count)]
        await take(empty, source("tool", str(count), dependencies=needed), "tool")
        reads.append(empty.commands.reads["releases"])
    assert reads[0] == reads[1]


@pytest.mark.parametrize("count", [1, 1_000])
async def test_products_are_found_by_indexes(empty: Catalog, count: int) -> None:
    await bulk_load.put(
        LOCAL, empty.database, PRODUCTS, [bulk_load.product(LOCAL, "default", f"p{at}") for at in range(3_000)]
    )
    empty.commands.clear()
    names = [f"p{at}" for at in range(count // 2)] + [f"other{at}" for at in range(count // 2)] or ["other"]
    found = await named_products.find(LOCAL, empty.database, names, "default")
    assert (len(found.products), found.ambiguous) == (count // 2, {})
    assert len(empty.commands.sent) == 2
    for command in empty.commands.sent:
        plain = {name: value for name, value in command.items() if name not in {"lsid", "$db", "$clusterTime"}}
        plan = await empty.database.command("explain", plain, verbosity="executionStats")
        assert '"COLLSCAN"' not in json.dumps(plan, default=str)


NOTES = "n" * 262_144
PATCH = "mutation($input: PatchReleaseInput!) { done: patchRelease(input: $input) { release { notes tag } %s } }"
REPLACE = (
    "mutation($input: ReplaceReleaseInput!) { done: replaceRelease(input: $input) { release { notes tag } %s } }"
)
VIOLATIONS = "problem { ... on ValidationProblem { violations { field code } } }"


async def test_s1_long_notes_stay_with_their_release(empty: Catalog) -> None:
    """What an import may give can be exported, and given again by an update that changes other fields."""
    answer = await take(empty, source("tool", releaseNotes=NOTES), "tool")
    assert answer["problem"] is None
    [stored] = [release async for release in empty.database[RELEASES].find({})]
    id_ = stored["id"]
    exported = (await empty.ask("query($id: ID!) { exportRelease(id: $id) }", id=id_))["exportRelease"]
    assert exported["releaseNotes"] == NOTES
    assert (await take(empty, exported, "tool"))["problem"] is None
    for notes in ({}, {"notes": NOTES}):
        for tag, text in (("v1", PATCH), ("v2", REPLACE)):
            given: Json = {"id": id_, "name": "tool", "tag": tag, **notes}
            if text == REPLACE:
                given |= {"notes": NOTES}
            done = (await empty.ask(text % VIOLATIONS, input=given))["done"]
            assert done == {"release": {"notes": NOTES, "tag": tag}, "problem": None}
    for text in (PATCH, REPLACE):
        longer = {"id": id_, "name": "tool", "notes": f"x{NOTES[1:]}"}
        done = (await empty.ask(text % VIOLATIONS, input=longer))["done"]
        assert done["problem"]["violations"] == [{"field": "input.notes", "code": "TOO_LONG"}]
    answer = await take(empty, source("tool", "2.0", releaseNotes=f"{NOTES}n"), "tool")
    assert codes(answer) == [("input.release.releaseNotes", "TOO_LONG")]


async def test_s1_an_older_name_may_be_given_again(empty: Catalog) -> None:
    """Releases from before the rule of names can still be patched, which takes their name."""
    made = await empty.put(await empty.product("tool"), "1.0", " tool", status="PUBLISHED")
    for text in (PATCH, REPLACE):
        given = {"id": made["id"], "name": " tool", "notes": text[:30]}
        assert (await empty.ask(text % VIOLATIONS, input=given))["done"]["problem"] is None
    done = (await empty.ask(PATCH % VIOLATIONS, input={"id": made["id"], "name": " other"}))["done"]
    assert {"field": "input.name", "code": "WHITE_SPACE"} in done["problem"]["violations"]


async def test_s1_a_creation_in_the_future_is_a_violation(empty: Catalog) -> None:
    answer = await take(empty, source("tool", createdAt="2999-01-01T00:00:00Z"), "tool")
    assert codes(answer) == [("input.release.createdAt", "IN_FUTURE")]
    assert (await load(empty, source("tool", createdAt="2999-01-01T00:00:00Z"))).report.refused == 1
