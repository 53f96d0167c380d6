"""S3: release-catalog ledger verify, as users run it, on ledgers that somebody has tampered with."""

from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
import orjson
import pytest

from conftest import LOCAL, connected
from release_catalog.domain import ledger
from release_catalog.domain.caller import local
from release_catalog.storage import ledger as stored
from release_catalog.storage.collection_names import COUNTERS, EVENTS, PROMOTIONS, CounterDocument
from support.catalog import Catalog
from support.processes import run
from support.promotions import environment, file, promote, published, roll_back


@pytest.fixture
async def catalog(mongodb_url: str, empty_name: str) -> AsyncIterator[Catalog]:
    """A ledger of six: two promotions, each rolled back, one that was refused, and another one."""
    async with connected(mongodb_url, empty_name) as database:
        catalog = Catalog(database, LOCAL)
        await environment(catalog, "QA")
        id_ = await published(catalog, file("a"))
        for _ in range(2):
            record, _ = await promote(catalog, id_)
            await roll_back(catalog, record["id"])
        await promote(catalog, id_, includedRepositoryKeys=["x"])
        await promote(catalog, id_)
        yield catalog


# What is said of each run besides its result.
said: list[str] = []


async def verify(catalog: Catalog, mongodb_url: str, *arguments: str) -> tuple[int, list[str]]:
    """The exit code, and the lines that were printed."""

    def command() -> tuple[int, list[str]]:
        done = run("ledger", "verify", *arguments, mongodb_url=mongodb_url, database=catalog.database.name)
        said.append(done.stderr)
        return done.returncode, done.stdout.splitlines()

    return await anyio.to_thread.run_sync(command)


async def head(catalog: Catalog) -> CounterDocument:
    found = await catalog.database[COUNTERS].find_one({"_id": "local/ledger"})
    assert found
    return found


async def test_a_whole_ledger(catalog: Catalog, mongodb_url: str) -> None:
    noted = await catalog.database[PROMOTIONS].find_one({"sequence": 3})
    assert noted
    last = (await head(catalog))["hash"]
    for arguments in ([], ["--tenant", "local"], ["--head", noted["hash"]], ["--head", last]):
        assert await verify(catalog, mongodb_url, *arguments) == (0, [f"6 records, head {last}"])
    assert await verify(catalog, mongodb_url, "--tenant", "other") == (0, ["0 records, head None"])
    code, [told] = await verify(catalog, mongodb_url, "--head", "0" * 64)
    assert (code, told[:24]) == (1, "No record has the hash 0")


async def test_the_verification_tells_what_it_does_not_prove(catalog: Catalog, mongodb_url: str) -> None:
    noted = await catalog.database[PROMOTIONS].find_one({"sequence": 3})
    assert noted
    await verify(catalog, mongodb_url)
    assert "Without --head, this command can't detect a ledger that was rewritten as a whole" in said[-1]
    await verify(catalog, mongodb_url, "--head", noted["hash"])
    assert "Records 1 to 3 are unchanged since the given head." in said[-1]
    # What is wrong is on standard output alone.
    await verify(catalog, mongodb_url, "--head", "0" * 64)
    assert "given head" not in said[-1]


async def test_every_promotion_event_carries_a_head_that_proves_a_rewrite(
    catalog: Catalog, mongodb_url: str
) -> None:
    """Messages kept by receivers reveal a rewritten ledger, wherever it differs."""
    match = {"type": {"$regex": "^promotion"}}
    kept = [
        orjson.loads(event["data"])["ledger"]
        async for event in catalog.database[EVENTS].find(match).sort("sequence", 1)
    ]
    assert [head["sequence"] for head in kept] == [1, 2, 3, 4, 5, 6]
    records = {record["sequence"]: record["hash"] async for record in catalog.database[PROMOTIONS].find({})}
    assert [head["hash"] for head in kept] == [records[head["sequence"]] for head in kept]
    await make_anew(catalog, first=4)
    assert (await verify(catalog, mongodb_url))[0] == 0
    codes = [(await verify(catalog, mongodb_url, "--head", head["hash"]))[0] for head in kept]
    assert codes == [0, 0, 0, 1, 1, 1]


async def test_a_changed_record(catalog: Catalog, mongodb_url: str) -> None:
    await catalog.database[PROMOTIONS].update_one({"sequence": 4}, {"$set": {"messages.0": "All went well."}})
    code, [told] = await verify(catalog, mongodb_url)
    assert (code, told) == (1, "4: was changed; its hash does not match its content.")
    await catalog.database[PROMOTIONS].update_one({"sequence": 2}, {"$set": {"createdBy": "mallory"}})
    code, told_all = await verify(catalog, mongodb_url)
    assert (code, [each[:2] for each in told_all]) == (1, ["2:", "4:"])


async def test_a_changed_record_with_a_hash_made_anew(catalog: Catalog, mongodb_url: str) -> None:
    for sequence, said in ((3, "4: does not match"), (6, "6: was changed")):
        record = await catalog.database[PROMOTIONS].find_one({"sequence": sequence})
        assert record
        changed = {**record, "createdBy": "mallory"}
        change = {"$set": {"createdBy": "mallory", "hash": ledger.digest(changed)}}
        await catalog.database[PROMOTIONS].update_one({"sequence": sequence}, change)
        code, told = await verify(catalog, mongodb_url)
        assert code == 1
        assert told[-1].startswith(said)


async def make_anew(catalog: Catalog, first: int) -> None:
    """Rewrite the ledger from a record on so that it is whole again."""
    previous = await catalog.database[PROMOTIONS].find_one({"sequence": first - 1})
    async for record in catalog.database[PROMOTIONS].find({"sequence": {"$gte": first}}).sort("sequence", 1):
        changed: Any = {**record, "createdBy": "mallory"}
        previous = ledger.append_hash(changed, previous)
        await catalog.database[PROMOTIONS].replace_one({"_id": record["_id"]}, previous)
    assert previous
    kept = {name: previous[name] for name in ("sequence", "hash", "created")}
    await catalog.database[COUNTERS].update_one({"_id": "local/ledger"}, {"$set": kept})


async def test_a_ledger_made_anew_as_a_whole_is_told_by_a_witness(catalog: Catalog, mongodb_url: str) -> None:
    noted = (await head(catalog))["hash"]
    await make_anew(catalog, first=1)
    assert (await verify(catalog, mongodb_url))[0] == 0
    assert (await verify(catalog, mongodb_url, "--head", noted))[0] == 1


@pytest.mark.parametrize(("first", "last"), [(1, 1), (3, 4), (6, 6), (5, 6), (1, 6)])
async def test_removed_records(catalog: Catalog, mongodb_url: str, first: int, last: int) -> None:
    await catalog.database[PROMOTIONS].delete_many({"sequence": {"$gte": first, "$lte": last}})
    code, [told] = await verify(catalog, mongodb_url)
    assert code == 1
    assert told.startswith(f"{first}: is missing")
    # Promotions that come later do not cover it up.
    id_ = await published(catalog, file("b"), version="2")
    assert (await promote(catalog, id_))[0]["sequence"] == 7
    assert (await verify(catalog, mongodb_url))[0] == 1


async def test_a_ledger_record_sends_no_control_sequences_to_the_terminal(
    catalog: Catalog, mongodb_url: str
) -> None:
    await catalog.database[PROMOTIONS].update_one({"sequence": 6}, {"$set": {"sequence": "\x9b2J\u202e"}})
    code, told = await verify(catalog, mongodb_url)
    assert (code, told[-1]) == (
        1,
        "\\x9b2J\\u202e: was not written by the catalog, whose own note ends with an earlier record.",
    )
    assert all(each.isprintable() for each in told)


async def test_swapped_records(catalog: Catalog, mongodb_url: str) -> None:
    for number, to in ((2, -1), (5, 2), (-1, 5)):
        await catalog.database[PROMOTIONS].update_one({"sequence": number}, {"$set": {"sequence": to}})
    code, told = await verify(catalog, mongodb_url)
    assert code == 1
    assert {each[:2] for each in told} >= {"2:", "5:"}


async def test_records_without_a_head_and_records_behind_it(catalog: Catalog, mongodb_url: str) -> None:
    last = await catalog.database[PROMOTIONS].find_one({"sequence": 6}, {"_id": 0})
    assert last
    added: Any = {**last, "id": "forged", "messages": ["Approved."]}
    forged = ledger.append_hash(added, last)
    await catalog.database[PROMOTIONS].insert_one(forged)
    code, [told] = await verify(catalog, mongodb_url)
    assert (code, told[:37]) == (1, "7: was not written by the catalog, wh")
    await catalog.database[PROMOTIONS].update_one({"id": "forged"}, {"$set": {"sequence": "7"}})
    assert (await verify(catalog, mongodb_url))[0] == 1
    await catalog.database[PROMOTIONS].delete_one({"id": "forged"})
    assert (await verify(catalog, mongodb_url))[0] == 0
    await catalog.database[COUNTERS].delete_one({"_id": "local/ledger"})
    code, [told] = await verify(catalog, mongodb_url)
    assert (code, told[:2]) == (1, "6:")
    # A ledger from before heads were kept goes on, and has one from then on.
    other = catalog.seen_by(local("local"))
    record, _ = await promote(other, await published(other, file("b"), version="2"))
    assert (record["sequence"], record["previousHash"]) == (7, last["hash"])
    assert (await verify(catalog, mongodb_url))[0] == 0


async def test_a_ledger_that_grows_meanwhile_is_whole(catalog: Catalog) -> None:
    id_ = await published(catalog, file("b"), version="2")
    await catalog.database[PROMOTIONS].update_one({"sequence": 1}, {"$set": {"createdBy": "mallory"}})
    found = []
    async for wrong in stored.verify(LOCAL, catalog.database, ledger.HashChain()):
        found.append(wrong)
        assert (await promote(catalog, id_))[1] is None
    assert found == ["1: was changed; its hash does not match its content."]
