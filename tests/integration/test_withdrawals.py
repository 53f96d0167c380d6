"""A withdrawal looks up whom it concerns while others write, and notices what they change of that."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from release_catalog.domain.caller import READ, WRITE, Caller
from release_catalog.storage import dependency_traversal, release_lifecycle
from release_catalog.storage.collection_names import EVENTS, PRODUCTS, RELEASES
from release_catalog.storage.dependency_traversal import Affected
from release_catalog.usage import Usage, measuring
from support.catalog import Catalog

WITHDRAW = """mutation($input: WithdrawReleaseInput!) { withdrawRelease(input: $input) {
  affectedCount release { status } problem { __typename detail } } }"""
CREATE = """mutation($input: CreateReleaseInput!) { createRelease(input: $input) {
  release { id } problem { detail ... on ValidationProblem { violations { message } } } } }"""
PUBLISH = "mutation($id: ID!) { publishRelease(input: {id: $id}) { problem { detail } } }"


class Gate:
    """Stops walks to dependants until it is opened, and counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.walks = 0
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        # What happens between a walk and the transaction after it.
        self.then: Callable[[], Any] | None = None
        real = dependency_traversal.affected

        async def affected(*arguments: Any) -> Affected:
            self.walks += 1
            found = await real(*arguments)
            self.entered.set()
            await self.opened.wait()
            if self.then:
                await self.then()
            return found

        monkeypatch.setattr(dependency_traversal, "affected", affected)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


async def withdraw(catalog: Catalog, id_: str, **fields: Any) -> Any:
    data = await catalog.ask(WITHDRAW, input={"id": id_, "reason": "It leaks.", **fields})
    return data["withdrawRelease"]


async def create(catalog: Catalog, product: str, version: str, needs: str | None = None) -> str:
    needed = [{"name": needs, "version": "1"}] if needs else []
    fields = {"productId": product, "name": product, "version": version, "dependencies": needed}
    answer = (await catalog.ask(CREATE, input=fields))["createRelease"]
    assert answer["problem"] is None, answer
    return str(answer["release"]["id"])


async def hub(catalog: Catalog, dependants: int = 2) -> tuple[str, str]:
    """A published release with published dependants; returns its id and the product of these."""
    base, app = await catalog.product("base"), await catalog.product("app")
    made = await catalog.put(base, "1", status="PUBLISHED")
    needs: list[dict[str, Any]] = [{"name": "base", "version": "1"}]
    for number in range(dependants):
        await catalog.put(app, str(number), name=f"app {number}", status="PUBLISHED", dependencies=needs)
    return made["id"], app["id"]


async def notices(catalog: Catalog) -> list[Any]:
    found = catalog.database[EVENTS].find({"type": "release.withdrawn"}).sort("sequence", 1)
    return [orjson.loads(event["data"])["withdrawal"] async for event in found]


async def test_other_writers_go_on_while_a_withdrawal_walks(empty: Catalog, gate: Gate) -> None:
    id_, product = await hub(empty)
    other = Catalog(empty.database, empty.caller)
    withdrawing = asyncio.create_task(withdraw(empty, id_))
    await asyncio.wait_for(gate.entered.wait(), 30)
    await asyncio.wait_for(create(other, product, "other"), 30)
    assert not withdrawing.done()
    gate.opened.set()
    answer = await asyncio.wait_for(withdrawing, 30)
    assert (answer["affectedCount"], answer["release"]) == (2, {"status": "WITHDRAWN"})
    # What the other one wrote has nothing to do with it.
    assert gate.walks == 1


async def test_changes_during_the_walk_are_noticed(empty: Catalog, gate: Gate) -> None:
    id_, product = await hub(empty)
    other = Catalog(empty.database, empty.caller)
    new = await create(other, product, "9", needs="base")

    async def publish() -> None:
        if gate.walks == 1:
            assert (await other.ask(PUBLISH, id=new))["publishRelease"]["problem"] is None

    gate.then = publish
    gate.opened.set()
    assert (await withdraw(empty, id_))["affectedCount"] == 3
    # Of the draft only those who see it are told, which took a walk more the first time.
    assert gate.walks == 3
    [notice] = await notices(empty)
    assert (notice["affectedCount"], len(notice["affected"])) == (3, 3)


async def test_a_hub_that_changes_all_the_time_can_be_withdrawn(empty: Catalog, gate: Gate) -> None:
    id_, product = await hub(empty)
    other = Catalog(empty.database, empty.caller)

    async def change() -> None:
        await create(other, product, f"9.{gate.walks}", needs="base")

    gate.then = change
    gate.opened.set()
    assert (await withdraw(empty, id_))["affectedCount"] == 2
    # Two look-ups, the second with a walk for those who don't see the drafts.
    assert gate.walks == release_lifecycle.MAX_LOOK_UPS + 1


async def test_a_release_that_changes_meanwhile_is_looked_at_again(empty: Catalog, gate: Gate) -> None:
    id_, _ = await hub(empty)
    other = Catalog(empty.database, empty.caller)
    archive = "mutation($id: ID!) { archiveRelease(input: {id: $id}) { problem { detail } } }"

    async def archived() -> None:
        await other.ask(archive, id=id_)

    gate.then = archived
    gate.opened.set()
    answer = await withdraw(empty, id_)
    assert answer["problem"]["__typename"] == "ValidationProblem"
    assert await notices(empty) == []


async def test_refused_and_repeated_withdrawals_do_not_walk(empty: Catalog, gate: Gate) -> None:
    gate.opened.set()
    id_, product = await hub(empty)
    draft = await create(empty, product, "draft")
    for refused in ("nobody", draft):
        assert (await withdraw(empty, refused))["problem"] is not None
    assert gate.walks == 0
    first = await withdraw(empty, id_, idempotencyKey="k")
    assert await withdraw(empty, id_, idempotencyKey="k") == first
    assert gate.walks == 1


async def test_callers_with_the_same_visibility_need_one_walk(empty: Catalog, gate: Gate) -> None:
    gate.opened.set()
    id_, product = await hub(empty)
    base = await empty.database[PRODUCTS].find_one({"key": "base"})
    assert base
    bound = Caller("local", "ci", frozenset({READ, WRITE}), product=base["id"])
    tried = await withdraw(empty.seen_by(bound), id_, dryRun=True)
    assert (tried["affectedCount"], gate.walks) == (2, 1)
    # With a draft on the way, each sees something else.
    await create(empty, product, "draft", needs="base")
    tried = await withdraw(empty.seen_by(bound), id_, dryRun=True)
    assert (tried["affectedCount"], gate.walks) == (2, 4)
    # A draft of its name and version takes no edge from it, for anybody.
    await empty.database[RELEASES].delete_many({"productId": product, "status": "DRAFT"})
    await empty.put(base, "1", revision="7", private=True)
    assert (await withdraw(empty, id_, dryRun=True))["affectedCount"] == 2
    assert gate.walks == 5


@pytest.mark.parametrize("count", [0, 7, 60])
async def test_a_withdrawal_is_priced_by_what_it_walks(empty: Catalog, count: int) -> None:
    id_, _ = await hub(empty, count)
    usage = Usage()
    with measuring(usage):
        await release_lifecycle.withdraw(
            empty.caller, empty.database, {"id": id_, "reason": "It leaks.", "dryRun": True}
        )
    assert usage.walked == count
    assert usage.points >= count // 5
