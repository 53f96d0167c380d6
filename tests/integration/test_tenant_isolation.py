"""Walls between tenants, and around what is not published: nothing shows through, not even that there is something.

The questions are made from the schema (see walls.py): what is added to it is asked here too.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from conftest import LOCAL, connected
from release_catalog.domain.caller import READ, WRITE, Caller, local
from support import tenant_walls as walls
from support.catalog import Catalog
from support.promotions import everything

READER = Caller("local", "reader", frozenset({READ}))
BOUND = Caller("local", "bound", frozenset({READ, WRITE}), "areal-other")


@pytest.fixture
async def databases(mongodb_url: str, lend: Callable[[], str]) -> AsyncIterator[list[Catalog]]:
    """Two databases without documents."""
    async with connected(mongodb_url, lend()) as one, connected(mongodb_url, lend()) as other:
        yield [Catalog(one, LOCAL), Catalog(other, LOCAL)]


def differences(one: dict[str, str], other: dict[str, str]) -> dict[str, Any]:
    assert one.keys() == other.keys()
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}


async def test_the_questions_reach_what_there_is(databases: list[Catalog]) -> None:
    """Otherwise the other tests would prove nothing: to its own tenant, each of them tells something."""
    catalog, other = databases
    await walls.stock(catalog)
    real = walls.world()
    for name, text in walls.queries(real):
        response = await catalog.respond(text)
        assert "errors" not in response, (name, response["errors"])
        [answer] = response["data"].values()
        empty = answer in (None, []) or (isinstance(answer, dict) and answer.get("totalCount") == 0)
        passed_over = name in {f"releases by {field}" for field in PASSED_OVER} | {
            "catalog by nothing",
            "rateLimit",
        }
        assert not empty or passed_over or "by nothing" in name, name
    for template, (status, _, text) in (await walls.hal(catalog, real)).items():
        assert status == 200 or "distro" in template, (template, text)
    assert {name for name, _ in walls.queries(real)} >= set(walls.QUERIES)
    told = await walls.answers(other, walls.unreal(real))
    assert not [answer for answer in told.values() if "INTERNAL_SERVER_ERROR" in answer]


# Conditions of which the stock's release has another value.
PASSED_OVER = {
    "revision", "packagingType", "deliveryStatus", "status", "private", "createdBefore", "releasedFrom",
    "releasedBefore", "endOfLifeBefore", "dependsOnId", "verification", "trial", "publishedBefore",
    "updatedBefore",
}  # fmt: skip


async def test_another_tenant_finds_nothing_and_changes_nothing(databases: list[Catalog]) -> None:
    catalog, _ = databases
    await walls.stock(catalog)
    used = 'mutation { publishRelease(input: {id: "areal-release-draft", idempotencyKey: "areal-used-publishRelease"}) { problem { detail } } }'
    await catalog.ask(used)
    before = await everything(catalog)
    real, unreal = walls.world(), walls.unreal(walls.world())
    told = await walls.answers(catalog.seen_by(local("stranger-1")), real)
    nothing = await walls.answers(catalog.seen_by(local("stranger-2")), unreal)
    assert differences(told, nothing) == {}
    assert not [name for name, answer in told.items() if walls.SECRET in answer]
    after = await everything(catalog)
    for collection, documents in before.items():
        assert [d for d in after[collection] if d in documents] == documents, collection
    strange = [d for name, rows in after.items() if name != "meta" for d in rows if d not in before.get(name, [])]
    assert not [document for document in strange if walls.SECRET in str(document)]
    assert not [name for name, answer in told.items() if "INTERNAL_SERVER_ERROR" in answer]
    assert strange, "what they did, they did in their own tenants"


@pytest.mark.parametrize("caller", [READER, BOUND], ids=["reader", "bound"])
@pytest.mark.parametrize("hidden", ["-draft", "-private"])
async def test_visibility_hidden_releases_change_no_response(
    databases: list[Catalog], caller: Caller, hidden: str
) -> None:
    catalog, without = databases
    await walls.stock(catalog)
    await walls.stock(without, hidden=False)
    for values in (walls.world(hidden), walls.world()):
        told = await walls.answers(catalog.seen_by(caller), values, change=False)
        nothing = await walls.answers(without.seen_by(caller), values, change=False)
        assert differences(told, nothing) == {}
        assert not [name for name, answer in told.items() if "-draft" in str(answer) and hidden == "-private"]
    before = await everything(catalog)
    # Of its own product, who is bound to one may say that it needs what is hidden.
    for values in (walls.world(hidden), walls.world(hidden) | {"product": "areal-other", "key": "areal-other"}):
        told = await walls.answers(catalog.seen_by(caller), values, read=False)
        nothing = await walls.answers(without.seen_by(caller), values, read=False)
        assert differences(told, nothing) == {}
        assert not [name for name, answer in told.items() if "INTERNAL_SERVER_ERROR" in answer]
    after = await everything(catalog)
    for collection in ("releases", "promotions", "contents", "executions"):
        assert [d for d in after[collection] if d in before[collection]] == before[collection]


async def test_a_bound_token_writes_releases_of_its_product_only(databases: list[Catalog]) -> None:
    catalog, _ = databases
    await walls.stock(catalog)
    bound = catalog.seen_by(BOUND)
    before = await everything(catalog)
    for name, text in walls.mutations(walls.world()):
        answer = (await bound.ask(text))[name]
        # A bulk has a result for each input.
        problem = answer["problem"] or answer["results"][0]["problem"]
        assert (problem["__typename"], problem["status"]) == ("ForbiddenProblem", 403), (name, problem)
    assert await everything(catalog) == before
    create = """mutation { createRelease(input: {productId: "areal-other", name: "n", version: "2"}) { release { id }
      problem { detail } } }"""
    id_ = (await bound.ask(create))["createRelease"]["release"]["id"]
    assert await bound.ask(f'{{ release(id: "{id_}") {{ status }} releases {{ totalCount }} }}') == {
        "release": {"status": "DRAFT"},
        "releases": {"totalCount": 3},
    }
    events = f'{{ events(releaseId: "{id_}") {{ nodes {{ type }} }} }}'
    assert (await bound.ask(events))["events"]["nodes"] == [{"type": "release.created"}]
    assert (await catalog.seen_by(READER).ask(events))["events"]["nodes"] == []
    published = f'mutation {{ publishRelease(input: {{id: "{id_}"}}) {{ release {{ status }} }} }}'
    assert (await bound.ask(published))["publishRelease"] == {"release": {"status": "PUBLISHED"}}


async def test_idempotency_replays_no_answer_to_who_is_bound_elsewhere(databases: list[Catalog]) -> None:
    catalog, _ = databases
    await walls.stock(catalog)
    publish = """mutation { publishRelease(input: {id: "areal-release-draft", idempotencyKey: "k"}) { release { id }
      problem { __typename } } }"""
    assert (await catalog.ask(publish))["publishRelease"]["release"]
    answer = (await catalog.seen_by(BOUND).ask(publish))["publishRelease"]
    assert answer == {"release": None, "problem": {"__typename": "ConflictProblem"}}


async def test_every_mutation_has_its_scope(databases: list[Catalog]) -> None:
    """And without it, nothing is told of what there is."""
    catalog, _ = databases
    await walls.stock(catalog)
    before = await everything(catalog)
    for scopes, allowed in (
        ({READ}, set()),
        ({"release:promote"}, {"promoteRelease", "rollbackPromotion"}),
        ({"webhook:write"}, {name for name in walls.MUTATIONS if name.endswith("Webhook")}),
        (set(), set()),
    ):
        some = catalog.seen_by(Caller("local", "x", frozenset(scopes)))
        for name, text in walls.mutations(walls.unreal(walls.world())):
            problem = (await some.ask(text))[name]["problem"] or {}
            assert (problem.get("__typename") == "ForbiddenProblem") == (name not in allowed), (
                scopes,
                name,
                problem,
            )
    assert await everything(catalog) == before
    nobody = catalog.seen_by(Caller("local", "x", frozenset()))
    for name, text in walls.queries(walls.world()):
        codes = [error["extensions"]["code"] for error in (await nobody.respond(text)).get("errors", [])]
        assert codes == ([] if name in {"viewer", "rateLimit"} else ["FORBIDDEN"]), name
