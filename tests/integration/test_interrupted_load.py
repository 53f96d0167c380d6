"""A load that ends between the insertion of its releases and the settling of their references."""

from typing import Any

import pytest

from release_catalog.domain.caller import READ, Caller
from release_catalog.storage import bulk_load, forms, migrations, reference_lookup
from release_catalog.storage.collection_names import RELEASES
from support import old_forms
from support.catalog import Catalog, source

EDGES = "query($id: ID!) { release(id: $id) { dependencies { nodes { id } } } }"
DEPENDANTS = "query($id: ID!) { release(id: $id) { dependants { nodes { id } } } }"
IMPORT = """mutation($i: ImportReleaseInput!) { importRelease(input: $i) {
  release { id dependencies { edges { reference { releaseId name version } node { id } } } }
  warnings { message } problem { detail ... on ValidationProblem { violations { field code } } } } }"""


class KilledError(Exception):
    """The end of the process."""


async def load(catalog: Catalog, *sources: dict[str, Any]) -> bulk_load.Loaded:
    return await catalog.load(*sources, publish=True, check=True)


async def interrupted(catalog: Catalog, step: str, *sources: dict[str, Any]) -> None:
    """Load and end before this step."""

    async def end(*_: Any, **__: Any) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reference_lookup, step, end)
        with pytest.raises(KilledError):
            await load(catalog, *sources)


async def nodes(catalog: Catalog, text: str, id_: str, field: str) -> list[str]:
    return sorted(node["id"] for node in (await catalog.ask(text, id=id_))["release"][field]["nodes"])


async def check(catalog: Catalog) -> None:
    """Check that all is as after a load that was not interrupted."""
    assert await nodes(catalog, EDGES, "by-name", "dependencies") == ["first"]
    assert await nodes(catalog, EDGES, "by-id", "dependencies") == ["wanted"]
    assert await nodes(catalog, DEPENDANTS, "first", "dependants") == ["by-name"]
    assert await nodes(catalog, DEPENDANTS, "second", "dependants") == []
    assert await nodes(catalog, DEPENDANTS, "wanted", "dependants") == ["by-id"]
    found = [one["id"] async for one in catalog.database[RELEASES].find({"terms": "is:default/lib@1.0"})]
    assert found == ["first"]
    assert await catalog.database[RELEASES].count_documents({"terms": "wants:#wanted"}) == 0
    assert await migrations.pending(catalog.database) == {}
    assert await catalog.database[RELEASES].count_documents({"form": {"$ne": forms.current(RELEASES)}}) == 0


@pytest.mark.parametrize("step", ["settle_names", "learn_ids"])
@pytest.mark.parametrize("repair", ["load", "migrate"])
async def test_the_next_load_or_start_completes_it(empty: Catalog, step: str, repair: str) -> None:
    await load(
        empty,
        source("lib", project="one", id="first"),
        source("app", id="by-name", needs=["lib"]),
        source("tool", id="by-id", dependencies=[{"catalogId": "wanted", "name": "want", "version": "1.0"}]),
    )
    again = (source("lib", project="two", id="second"), source("want", id="wanted"))
    await interrupted(empty, step, *again)
    if repair == "migrate":
        await old_forms.migrate(empty.database)
    else:
        assert (await load(empty, *again)).present == 2
        # Its form tells a server that it was interrupted, until the server has looked, too.
        await old_forms.migrate(empty.database)
    await check(empty)


async def test_a_repetition_of_an_older_load_does_not_take_its_names_back(empty: Catalog) -> None:
    first = (source("lib", project="one", id="first"), source("app", id="by-name", needs=["lib"]))
    await load(empty, *first)
    await interrupted(empty, "settle_names", source("lib", project="two", id="second"))
    await load(empty, *first)
    assert await nodes(empty, EDGES, "by-name", "dependencies") == ["first"]
    assert await nodes(empty, DEPENDANTS, "second", "dependants") == []


async def test_an_export_with_hidden_names_is_imported_and_loaded_again(empty: Catalog) -> None:
    lib = await empty.product("lib")
    hidden = await empty.put(lib, "7.0", name="Secret", private=True)
    create = "mutation($i: CreateReleaseInput!) { createRelease(input: $i) { release { id } problem { detail } } }"
    needed = [{"releaseId": hidden["id"]}, {"releaseId": hidden["id"], "name": "Secret"}]
    made = []
    for number, one in enumerate(needed):
        fields = {"productId": lib["id"], "name": f"App {number}", "version": f"{number}.0", "dependencies": [one]}
        made.append(
            (await empty.ask(create, i={**fields, "author": "a@acme.example"}))["createRelease"]["release"]["id"]
        )
        await empty.ask(
            "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { detail } } }", id=made[-1]
        )
    reader = empty.seen_by(Caller("local", "reader", frozenset({READ})))
    exported = [document async for document in bulk_load.export(reader.caller, empty.database)]
    declared = [document["dependencies"] for document in exported]
    assert declared == [
        [{"catalogId": hidden["id"], "name": "", "version": ""}],
        [{"catalogId": hidden["id"], "name": "Secret", "version": ""}],
    ]

    other = empty.seen_by(Caller("other", "eve", frozenset({"admin"})))
    for number, document in enumerate(exported):
        input_ = {"projectIdentifier": "lib", "release": document, "verification": "SKIP"}
        answer = (await other.ask(IMPORT, i=input_))["importRelease"]
        assert answer["problem"] is None
        [edge] = answer["release"]["dependencies"]["edges"]
        reference = {"releaseId": hidden["id"], "name": ("", "Secret")[number], "version": ""}
        assert edge == {"reference": reference, "node": None}
        assert "does not exist yet" in answer["warnings"][-1]["message"]
    # It leads by its id to the release that comes later, and is exported as it came.
    assert [
        document["dependencies"] for document in [d async for d in bulk_load.export(other.caller, empty.database)]
    ] == declared
    product = (await other.ask('{ product(key: "lib") { id } }'))["product"]["id"]
    later = {"id": hidden["id"], "productId": product, "name": "Secret", "version": "7.0"}
    assert (await other.ask(create, i=later))["createRelease"]["problem"] is None
    for id_ in made:
        assert await nodes(other, EDGES, id_, "dependencies") == [hidden["id"]]
    third = empty.seen_by(Caller("third", "eve", frozenset({"admin"})))
    assert (await third.load(*exported)).added == 2


@pytest.mark.parametrize(
    "needed",
    [
        {"name": "", "version": ""},
        {"catalogId": "", "name": "", "version": "1"},
    ],
)
async def test_other_names_of_a_document_stay_required(empty: Catalog, needed: dict[str, str]) -> None:
    answer = await empty.respond(
        "mutation($i: JSON!) { x: importRelease(input: $i) { problem { detail } } }".replace(
            "JSON", "ImportReleaseInput"
        ),
        i={
            "projectIdentifier": "lib",
            "release": source("lib", dependencies=[{"version": "", **needed}]),
            "verification": "SKIP",
        },
    )
    problem = answer.get("errors") or answer["data"]["x"]["problem"]
    assert problem
