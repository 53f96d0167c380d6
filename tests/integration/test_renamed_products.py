"""A new name of a product reaches the search terms of its releases, whoever writes them meanwhile."""

from typing import Any

import pytest

from release_catalog.storage import renamed_products
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from support.catalog import Catalog, source

SAVE = "mutation($input: SaveProductInput!) { saveProduct(input: $input) { problem { detail } } }"
SEARCH = "query($text: String) { releases(filter: {search: $text}) { totalCount } }"


async def rename(catalog: Catalog, product: Any, name: str) -> None:
    given = {"id": product["id"], "key": product["key"], "name": name, "catalogId": product["catalogId"]}
    assert (await catalog.ask(SAVE, input=given))["saveProduct"]["problem"] is None


async def product(catalog: Catalog, **fields: Any) -> Any:
    return await catalog.product("tool", id="p", _id="local/p", name="Hammer", **fields)


async def found(catalog: Catalog, text: str) -> int:
    return int((await catalog.ask(SEARCH, text=text))["releases"]["totalCount"])


async def test_a_new_name_is_found_and_the_old_one_is_not(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed_products, "BATCH", 3)
    made = await product(empty)
    for number in range(10):
        await empty.put(made, f"{number}", name="tool", notes=f"note {number}", tag="kept")
    assert (await found(empty, "hammer"), await found(empty, "chisel")) == (10, 0)
    await rename(empty, made, "Wood chisel")
    assert (await found(empty, "hammer"), await found(empty, "chisel wood"), await found(empty, "note 7")) == (
        0,
        10,
        1,
    )
    tagged = '{ releases(filter: {tag: "kept"}) { totalCount } }'
    assert (await empty.ask(tagged))["releases"]["totalCount"] == 10
    stored = await empty.database[PRODUCTS].find_one({"id": "p"})
    assert stored
    assert "renamed" not in stored


async def test_an_unfinished_rename_is_finished_by_another_process(empty: Catalog) -> None:
    made = await product(empty)
    await empty.put(made, "1", name="tool")
    await empty.database[PRODUCTS].update_one({"id": "p"}, {"$set": {"name": "Chisel", "renamed": True}})
    await renamed_products.finish_all(empty.database)
    assert (await found(empty, "hammer"), await found(empty, "chisel")) == (0, 1)
    assert await empty.database[PRODUCTS].count_documents({"renamed": True}) == 0


async def test_a_release_that_changes_meanwhile_is_read_again(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await product(empty)
    await empty.put(made, "1", name="tool", id="r")
    done: list[int] = []
    change = renamed_products._change

    def changing(release: Any, name: str) -> Any:
        if not done:
            done.append(1)
            release["etag"] = "older"
        return change(release, name)

    monkeypatch.setattr(renamed_products, "_change", changing)
    await empty.database[RELEASES].update_one({"id": "r"}, {"$set": {"etag": "newer"}})
    await rename(empty, made, "Chisel")
    assert await found(empty, "chisel") == 1


async def test_a_load_that_meets_a_rename_has_the_new_name(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await product(empty)
    await empty.put(made, "1", name="tool")
    insert = type(empty.database[RELEASES]).insert_many

    async def renaming(self: Any, documents: Any, **options: Any) -> Any:
        monkeypatch.undo()
        await rename(empty, made, "Chisel")
        return await insert(self, documents, **options)

    monkeypatch.setattr(type(empty.database[RELEASES]), "insert_many", renaming)
    assert (await empty.load(source("other", project="tool"))).added == 1
    assert (await found(empty, "chisel"), await found(empty, "hammer")) == (2, 0)


async def test_a_created_release_has_the_name_of_its_product(empty: Catalog) -> None:
    made = await product(empty)
    await rename(empty, made, "Chisel")
    create = "mutation($input: CreateReleaseInput!) { createRelease(input: $input) { problem { detail } } }"
    given = {"productId": "p", "name": "tool", "version": "1"}
    assert (await empty.ask(create, input=given))["createRelease"]["problem"] is None
    assert await found(empty, "chisel") == 1
