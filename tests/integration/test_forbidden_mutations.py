"""Refusals of callers who lack a scope: in the payload of a mutation, and without a loss of the rest of an answer."""

from typing import Any

import pytest

from release_catalog.domain.caller import ADMIN, PROMOTE, READ, WEBHOOK, WRITE, Caller
from release_catalog.query_engine import executor
from support.catalog import Catalog, source

SAVED = "saveCatalog(input: {id: %s, name: %s}) { catalog { id } problem { ...P } }"
TOKEN = 'createAccessToken(input: {name: "t", scopes: []}) { token problem { ...P } }'
PROBLEM = "fragment P on Problem { __typename status title detail ... on ForbiddenProblem { scope } }"


def caller(*scopes: str, product: str | None = None) -> Caller:
    return Caller("local", "somebody", frozenset(scopes), product)


def saved(id_: str) -> str:
    return SAVED % (f'"{id_}"', f'"{id_}"')


async def stored(catalog: Catalog) -> dict[str, list[Any]]:
    """All documents of the database."""
    names = sorted(await catalog.database.client[catalog.database.name].list_collection_names())
    return {
        name: await catalog.database.client[catalog.database.name][name].find().to_list(None) for name in names
    }


async def test_a_mutation_without_its_scope_has_a_problem_and_empty_members(empty: Catalog) -> None:
    text = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) { dryRun catalogId name version
      status message warnings { message } release { id } problem { ...P } } }"""
    for dry_run in (False, True):
        values = {"projectIdentifier": "tool", "release": source("tool"), "dryRun": dry_run}
        answer = await empty.seen_by(caller(READ)).ask(text + PROBLEM, input=values)
        detail = "Your credentials lack the scope release:write: use others that have it."
        problem = {
            "__typename": "ForbiddenProblem",
            "status": 403,
            "title": "Forbidden",
            "detail": detail,
            "scope": WRITE,
        }
        assert answer["importRelease"] == {
            "dryRun": dry_run, "catalogId": None, "name": None, "version": None, "status": None, "message": detail,
            "warnings": [], "release": None, "problem": problem,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("mutation { first: %s second: %s }", {}),
        ("mutation { second: %s first: %s }", {}),
        ("mutation { ...F } fragment F on Mutation { first: %s ... on Mutation { second: %s } }", {}),
        (
            "mutation($yes: Boolean!) { first: %s second: %s ... @include(if: $yes) { __typename } }",
            {"yes": False},
        ),
        ("mutation($yes: Boolean! = true) { first: %s ... @include(if: $yes) { second: %s } }", {}),
        ("mutation($no: Boolean!) { first: %s ... @skip(if: $no) { second: %s } }", {"no": False}),
    ],
)
async def test_nothing_of_a_document_runs_if_one_mutation_lacks_its_scope(
    empty: Catalog, text: str, variables: dict[str, Any]
) -> None:
    before = await stored(empty)
    parts = (TOKEN, saved("new")) if text.index("second") < text.index("first") else (saved("new"), TOKEN)
    answer = await empty.seen_by(caller(WRITE)).ask(text % parts + PROBLEM, **variables)
    assert await stored(empty) == before
    assert (answer["first"]["catalog"], answer["second"]["token"]) == (None, None)
    for name in ("first", "second"):
        problem = answer[name]["problem"]
        assert (problem["__typename"], problem["scope"], problem["status"]) == ("ForbiddenProblem", ADMIN, 403)
    assert answer["second"]["problem"]["detail"].startswith("Your credentials lack the scope admin")
    detail = answer["first"]["problem"]["detail"]
    assert detail.startswith("Nothing of this document ran, because its mutation second is forbidden"), detail


async def test_mutations_that_are_skipped_or_of_another_operation_need_no_scope(empty: Catalog) -> None:
    writer = empty.seen_by(caller(WRITE))
    text = "mutation($no: Boolean!) { first: %s second: %s }" % (
        saved("one"),
        TOKEN.replace("{ token", "@skip(if: $no) { token"),
    )
    answer = await writer.ask(text + PROBLEM, no=True)
    assert answer == {"first": {"catalog": {"id": "one"}, "problem": None}}
    text = "mutation { first: %s second: %s kind: __typename }" % (saved("two"), saved("three"))
    answer = await writer.ask(text + PROBLEM)
    assert [answer[name]["problem"] for name in ("first", "second")] == [None, None]
    assert answer["kind"] == "Mutation"


async def test_a_token_of_one_product_runs_nothing_beside_what_needs_all_products(empty: Catalog) -> None:
    product = await empty.product("tool")
    create = """createRelease(input: {productId: "%s", name: "n", version: "1"}) { release { version }
      problem { ...P } }""" % product["id"]
    bound = empty.seen_by(caller(WRITE, product=product["id"]))
    before = await stored(empty)
    answer = await bound.ask(f"mutation {{ first: {create} second: {saved('new')} }}{PROBLEM}")
    assert await stored(empty) == before
    assert {answer[name]["problem"]["__typename"] for name in ("first", "second")} == {"ForbiddenProblem"}
    assert "bound to one" in answer["second"]["problem"]["detail"]
    other = create.replace(product["id"], (await empty.product("other"))["id"])
    answer = await bound.ask(f"mutation {{ first: {create} second: {other} }}{PROBLEM}")
    assert (answer["first"]["release"], answer["first"]["problem"]) == ({"version": "1"}, None)
    problem = answer["second"]["problem"]
    assert (problem["__typename"], problem["scope"]) == ("ForbiddenProblem", WRITE)


async def test_a_field_that_needs_another_scope_is_null_and_the_rest_stays(empty: Catalog) -> None:
    await empty.load(source("tool"), publish=True)
    before = dict(executor.fallbacks)
    text = "{ releases(first: 1) { nodes { name } } webhooks { id } accessTokens { id } webhook(id: 1) { id } }"
    for scopes, nulls in (
        ([READ], {"webhooks", "accessTokens", "webhook"}),
        ([READ, WEBHOOK], {"accessTokens"}),
        ([PROMOTE], {"webhooks", "accessTokens", "webhook"}),
        ([ADMIN], set()),
    ):
        response = await empty.seen_by(caller(*scopes)).respond(text)
        assert response["data"]["releases"] == {"nodes": [{"name": "tool"}]}
        errors = response.get("errors", [])
        assert {error["path"][0] for error in errors} == nulls
        assert {error["extensions"]["code"] for error in errors} <= {"FORBIDDEN"}
        for name in ("webhooks", "accessTokens"):
            assert response["data"][name] == (None if name in nulls else [])
    new = {reason for reason, count in executor.fallbacks.items() if count > before.get(reason, 0)}
    assert new == {"PermissionProblem"}
    assert empty.commands.reads["releases"] == 1
