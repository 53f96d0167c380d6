"""Values keep what they say: numbers, variables of literals, instants, names; what can't be kept is a violation."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from release_catalog.domain import release_delivery
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.storage.collection_names import RELEASES
from support import graphql_client
from support.catalog import Catalog, source
from support.graphql_client import data_of, served
from support.processes import run

BIG = 12345678901234567890123
FILE = {"name": "a", "size": 1, "sha256": "a" * 64, "downloadUrl": "https://h.example/a"}
CREATE = """mutation($input: CreateReleaseInput!) { createRelease(input: $input) { release { id metadata
  delivery { properties { propertyName propertyValue } } } warnings
  problem { ... on ValidationProblem { violations { field code message } } } } }"""


@pytest.fixture
async def product(empty: Catalog) -> ProductDocument:
    made = await empty.product("app", "DOTTED")
    definitions = [{"name": "N"}]
    saved = 'mutation($p: [PropertyDefinitionInput!]) { savePipeline(input: {id: "line", name: "Line", properties: $p}) { problem { detail } } }'
    await empty.ask(saved, p=definitions)
    return made


@pytest.fixture
async def http(empty: Catalog, product: ProductDocument) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(empty.database) as client:
        yield client


def new(product: ProductDocument, **fields: Any) -> dict[str, Any]:
    return {"productId": product["id"], "name": "app", "version": "1.0", **fields}


def fields(problem: Any) -> list[tuple[str, str]]:
    return [(violation["field"], violation["code"]) for violation in problem["violations"]]


async def post(http: httpx2.AsyncClient, body: str) -> Any:
    answer = (await http.post("/graphql", content=body, headers={"content-type": "application/json"})).json()
    assert "errors" not in answer, answer
    return answer["data"]["createRelease"]


def literal(product: ProductDocument, text: str, variables: str = "") -> str:
    head = f'productId: "{product["id"]}", name: "app", version: "1.0"'
    selection = CREATE.partition("createRelease(input: $input)")[2].removesuffix("}")
    return f"mutation{variables} {{ createRelease(input: {{{head}, {text}}}){selection} }}"


NUMBERS = ("18446744073709551616", "-9223372036854775809", str(BIG), "1e400", "3.14159265358979323846")


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_number_that_json_can_not_keep_is_refused_with_its_path(
    http: httpx2.AsyncClient, product: ProductDocument, number: str
) -> None:
    input_ = new(product, metadata={"a": [1, "HERE"]}, artifacts=[{**FILE, "metadata": "HERE"}],
                 dockerImages=[{"name": "i", "imageUrl": "h/i:1", "metadata": {"b": "HERE"}}])  # fmt: skip
    body = json.dumps({"query": CREATE, "variables": {"input": input_}}).replace('"HERE"', number)
    answer = await post(http, body)
    assert sorted(fields(answer["problem"])) == [
        ("input.artifacts[0].metadata", "NOT_JSON"),
        ("input.dockerImages[0].metadata.b", "NOT_JSON"),
        ("input.metadata.a[1]", "NOT_JSON"),
    ]
    text = literal(product, f"metadata: {{a: [1, {number}]}}")
    answer = await post(http, json.dumps({"query": text}))
    assert fields(answer["problem"]) == [("input.metadata.a[1]", "NOT_JSON")]
    assert number[:40] in answer["problem"]["violations"][0]["message"]


@pytest.mark.parametrize(
    "number", ["18446744073709551615", "-9223372036854775808", "0.1", "1e22", "1.7976931348623157e308"]
)
async def test_other_numbers_come_back(http: httpx2.AsyncClient, product: ProductDocument, number: str) -> None:
    body = json.dumps({"query": CREATE, "variables": {"input": new(product, metadata=["HERE"])}})
    answer = await post(http, body.replace('"HERE"', number))
    assert answer["release"]["metadata"] == [json.loads(number)]
    for verb in ("exportRelease", "release"):
        query = f'{{ {verb}(id: "{answer["release"]["id"]}") {"{ metadata }" if verb == "release" else ""} }}'
        found = data_of(await graphql_client.post(http, query))[verb]
        assert found["metadata"] == [json.loads(number)]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (str(BIG), str(BIG)),
        ("12345678901234567890", "12345678901234567890"),
        ("-1", "-1"),
        ("9" * 4_096, "9" * 4_096),
        ("3.14159265358979323846", "3.14159265358979323846"),
        ("1.0", "1.0"),
        ("true", "true"),
    ],
    ids=lambda value: value[:25],
)
async def test_property_values_keep_their_digits(
    http: httpx2.AsyncClient, product: ProductDocument, given: str, kept: str
) -> None:
    delivery = {"pipelineId": "line", "properties": [{"propertyName": "N", "propertyValue": "HERE"}]}
    body = json.dumps(
        {"query": CREATE, "variables": {"input": new(product, delivery=delivery, idempotencyKey="k")}}
    )
    answer = await post(http, body.replace('"HERE"', given))
    assert answer["release"]["delivery"]["properties"] == [{"propertyName": "N", "propertyValue": kept}]
    assert await post(http, body.replace('"HERE"', given)) == answer
    text = literal(
        product,
        f'revision: "1", delivery: {{pipelineId: "line", properties: [{{propertyName: "N", propertyValue: {given}}}]}}',
    )
    answer = await post(http, json.dumps({"query": text}))
    assert answer["release"]["delivery"]["properties"][0]["propertyValue"] == kept


async def test_a_property_that_nothing_defines_is_a_warning(empty: Catalog, product: ProductDocument) -> None:
    delivery = {"pipelineName": "Line", "properties": [{"propertyName": "N", "propertyValue": 1}]}
    answer = (await empty.ask(CREATE, input=new(product, delivery=delivery)))["createRelease"]
    assert answer["warnings"] == []
    patch = CREATE.replace("create", "patch").replace("Create", "Patch")
    more = {"properties": [{"propertyName": "M", "propertyValue": 1}]}
    input_ = {"id": answer["release"]["id"], "name": "app", "delivery": more}
    answer = (await empty.ask(patch, input=input_))["patchRelease"]
    assert [entry["propertyName"] for entry in answer["release"]["delivery"]["properties"]] == ["N", "M"]
    assert answer["warnings"] == ["Neither the pipeline nor a project defines the property 'M': check its name."]


async def test_an_undefined_variable_is_left_out_of_json(empty: Catalog, product: ProductDocument) -> None:
    text = literal(
        product, "metadata: {a: $a, list: [1, $a, [$b]], inner: {b: $b}, c: $c}", "($a: JSON, $b: Int, $c: JSON)"
    )
    answer = (await empty.ask(text, c=[1]))["createRelease"]
    assert answer["release"]["metadata"] == {"list": [1, None, [None]], "inner": {}, "c": [1]}
    answer = (await empty.ask(text.replace('"1.0"', '"1.1"'), a=None, b=2))["createRelease"]
    assert answer["release"]["metadata"] == {"a": None, "list": [1, None, [2]], "inner": {"b": 2}}
    alone = literal(product, 'revision: "1", metadata: $a', "($a: JSON)")
    assert (await empty.ask(alone))["createRelease"]["release"]["metadata"] is None


async def test_the_commands_refuse_such_numbers(mongodb_url: str, empty: Catalog, tmp_path: Path) -> None:
    document = json.dumps(source("tool", metadata={"n": ["HERE"]})).replace('"HERE"', "18446744073709551616")
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": empty.database.name}
    file = tmp_path / "release.json"
    file.write_text(document + "\n")
    loaded = run("load", file, **settings)
    assert loaded.returncode == 1
    assert "metadata.n[0]: The number 18446744073709551616 can't be kept" in loaded.stderr
    imported = run("import", file, "--verification", "skip", **settings)
    assert imported.returncode == 1
    assert "metadata.n[0]" in imported.stdout + imported.stderr
    assert await empty.database[RELEASES].count_documents({}) == 0


# ------------------------------------------------------------------ instants and schedules

LEAP = ("2016-12-31T23:59:60Z", "2016-12-31t23:59:60.5z", "2016-12-31T18:59:60-05:00", "2017-01-01T05:29:60+05:30")


@pytest.mark.parametrize("instant", LEAP)
async def test_a_leap_second_is_the_second_before(empty: Catalog, product: ProductDocument, instant: str) -> None:
    last = "2016-12-31T23:59:59.500Z" if ".5" in instant else "2016-12-31T23:59:59Z"
    input_ = new(product, createdAt=instant, releasedAt=instant, endOfLifeAt=instant)
    text = CREATE.replace("metadata", "createdAt releasedAt endOfLifeAt", 1)
    made = (await empty.ask(text, input=input_))["createRelease"]["release"]
    assert (made["createdAt"], made["releasedAt"], made["endOfLifeAt"]) == (last, last, "2016-12-31")
    await empty.load(source("tool", createdAt=instant, releasedAt=instant))
    exported = await empty.ask('{ releases(filter: {name: "tool"}) { nodes { createdAt releasedAt } } }')
    assert exported["releases"]["nodes"] == [{"createdAt": last, "releasedAt": last}]
    query = "query($t: DateTime) { releases(filter: {createdFrom: $t}) { totalCount } }"
    assert (await empty.ask(query, t=instant))["releases"]["totalCount"] == 2
    record = '{ promotion(name: "a", version: "1", created: "%s") { environment } }' % instant
    assert (await empty.ask(record))["promotion"] is None


@pytest.mark.parametrize(
    "instant",
    ["2016-12-31T23:58:60Z", "2016-12-31T23:59:60+01:00", "2016-12-31T23:59:61Z", "2016-12-31T12:00:60Z"],
)
async def test_no_other_minute_has_a_leap_second(empty: Catalog, product: ProductDocument, instant: str) -> None:
    response = await empty.respond(CREATE, input=new(product, createdAt=instant))
    assert "is not an RFC 3339 timestamp" in response["errors"][0]["message"]


@pytest.mark.parametrize("schedule", ["0\t2\t*\t*\t*", "\t0 0 12\t* * ?;\t*/5 * * * *\t"])
async def test_tabs_in_a_schedule_are_white_space(empty: Catalog, product: ProductDocument, schedule: str) -> None:
    text = CREATE.replace("properties {", "scheduleBuildExpression properties {")
    answer = (await empty.ask(text, input=new(product, delivery={"scheduleBuildExpression": schedule})))[
        "createRelease"
    ]
    assert answer["release"]["delivery"]["scheduleBuildExpression"] == schedule


@pytest.mark.parametrize("schedule", ["0\u00a02 * * *", "0\n2 * * *", "0\u30002 * * *"])
async def test_no_other_character_is(empty: Catalog, product: ProductDocument, schedule: str) -> None:
    input_ = new(product, delivery={"scheduleBuildExpression": schedule})
    answer = (await empty.ask(CREATE, input=input_))["createRelease"]
    assert {field for field, _ in fields(answer["problem"])} == {"input.delivery.scheduleBuildExpression"}


# ------------------------------------------------------------------ names of other documents


IMPORT = """importRelease(input: {projectIdentifier: "p ", release: {name: "n", version: "1", project: "p ",
  createdAt: "2020-01-01T00:00:00Z", author: "a@b.example", artifacts: []}})"""


@pytest.mark.parametrize(
    ("mutation", "field"),
    [
        ('saveEnvironment(input: {name: " QA"})', "input.name"),
        ('savePipeline(input: {name: "p "})', "input.name"),
        ('saveCatalog(input: {name: "\\u3000c"})', "input.name"),
        ('createAccessToken(input: {name: "t ", scopes: ["admin"]})', "input.name"),
        ('promoteRelease(input: {releaseId: "x", environment: "QA", includedRepositoryKeys: ["a", " b"]})', "input.includedRepositoryKeys[1]"),
        (IMPORT, "input.projectIdentifier"),
    ],
)  # fmt: skip
async def test_white_space_at_the_end_of_a_name_is_refused(empty: Catalog, mutation: str, field: str) -> None:
    problem = "problem { ... on ValidationProblem { violations { field code message } } }"
    [answer] = (await empty.ask(f"mutation {{ {mutation} {{ {problem} }} }}")).values()
    assert (field, "WHITE_SPACE") in fields(answer["problem"])


# ------------------------------------------------------------------ replacement without a delivery (S4)

PROJECT = {"projectId": "p", "projectStreamId": "s", "buildEnvironmentId": None, "priority": 1, "packageName": None,
           "requestAllFiles": False, "projectGroups": None}  # fmt: skip


@pytest.mark.parametrize("delivery", [{}, {"delivery": None}])
@pytest.mark.parametrize("status", ["STARTED", "SUSPENDED", "COMPLETED"])
async def test_a_replacement_without_a_delivery_keeps_a_started_one(
    empty: Catalog, product: ProductDocument, status: str, delivery: dict[str, None]
) -> None:
    kept: Any = {**release_delivery.NEW, "status": status, "startDate": "2026-01-01", "projects": [PROJECT]}
    made = await empty.put(product, "1.0", "app", delivery=kept, notes="n")
    text = CREATE.replace("create", "replace").replace("Create", "Replace")
    answer = (await empty.ask(text, input={"id": made["id"], "name": "app", **delivery}))["replaceRelease"]
    assert answer["warnings"] == [f"The delivery is {status} and stays as it is: give a delivery to replace it."]
    stored = await empty.database[RELEASES].find_one({"id": made["id"]})
    assert stored
    assert (stored["delivery"], stored["notes"]) == (kept, None)
    text = """mutation($release: ReleaseDocumentInput!) { importRelease(input: {projectIdentifier: "app", verification: SKIP, release: $release})
      { message problem { detail } } }"""
    imported = (await empty.ask(text, release=source("app")))["importRelease"]
    assert f"The delivery is {status} and stays as it is" in imported["message"]
    stored = await empty.database[RELEASES].find_one({"id": made["id"]})
    assert stored
    assert stored["delivery"] == kept


async def test_it_resets_one_that_was_not_started(empty: Catalog, product: ProductDocument) -> None:
    made = await empty.put(product, "1.0", "app", delivery={**release_delivery.NEW, "description": "d"})
    text = CREATE.replace("create", "replace").replace("Create", "Replace")
    answer = (await empty.ask(text, input={"id": made["id"], "name": "app"}))["replaceRelease"]
    assert answer["warnings"] == []
    assert answer["release"]["delivery"] is None
