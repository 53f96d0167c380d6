"""Forms of stored documents: each carries its version, and all reads of older ones give today's form."""

import asyncio
from typing import Any, get_args, get_type_hints

import orjson
import pymongo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import LOCAL
from release_catalog.domain import caller, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.events import broker
from release_catalog.storage import (
    bulk_load,
    collection_names,
    forms,
    indexes,
    migrations,
    verification_jobs,
    webhook_queue,
    webhooks,
)
from release_catalog.storage.collection_names import RELEASES, CollectionName
from release_catalog.storage.search_terms import StoredReleaseDocument
from support import old_forms
from support.catalog import Catalog, source

ANN, BOB = (Caller("local", name, frozenset({"admin"})) for name in ("ann", "bob"))
READER = Caller("local", "reader", frozenset({caller.READ}))

CREATE = """mutation($input: CreateReleaseInput!) { createRelease(input: $input) {
  release { id createdBy publishedBy } problem { detail ... on ValidationProblem { violations { field message } } } } }"""
PATCH = """mutation($input: PatchReleaseInput!) { patchRelease(input: $input) {
  release { id notes createdBy publishedBy } problem { detail ... on ValidationProblem { violations { field message } } } } }"""
REPLACE = """mutation($input: ReplaceReleaseInput!) { replaceRelease(input: $input) {
  release { id notes createdBy publishedBy } problem { detail ... on ValidationProblem { violations { field message } } } } }"""
IMPORT = """mutation($input: ImportReleaseInput!) { importRelease(input: $input) {
  release { id notes createdBy publishedBy } problem { detail ... on ValidationProblem { violations { field message } } } } }"""
EVENTS = "{ events { nodes { type actor } } }"


async def do(catalog: Catalog, text: str, **given: Any) -> Any:
    """The release of a mutation that has to succeed."""
    [answer] = (await catalog.ask(text, input=given)).values()
    assert answer["problem"] is None, answer
    return answer["release"]


async def step(catalog: Catalog, verb: str, id_: str, **given: Any) -> Any:
    kind = verb.capitalize()
    text = f"""mutation($input: {kind}ReleaseInput!) {{ {verb}Release(input: $input) {{
      release {{ id createdBy publishedBy }} problem {{ detail }} }} }}"""
    return await do(catalog, text, id=id_, **given)


async def import_(catalog: Catalog, document: dict[str, Any], **given: Any) -> Any:
    project = {"projectIdentifier": document["project"], "verification": "SKIP"}
    return await do(catalog, IMPORT, release=document, **project, **given)


async def actors(catalog: Catalog) -> list[tuple[str, str | None]]:
    return [(event["type"], event["actor"]) for event in (await catalog.ask(EVENTS))["events"]["nodes"]]


async def who(catalog: Catalog, id_: str) -> tuple[str | None, str | None]:
    found = (await catalog.ask("query($id: ID!) { release(id: $id) { createdBy publishedBy } }", id=id_))[
        "release"
    ]
    return found["createdBy"], found["publishedBy"]


async def test_releases_and_events_name_their_callers(empty: Catalog) -> None:
    product = await empty.product("tool")
    made = await do(empty.seen_by(ANN), CREATE, productId=product["id"], name="Tool", version="1")
    assert (made["createdBy"], made["publishedBy"]) == ("ann", None)
    await do(empty.seen_by(BOB), PATCH, id=made["id"], name="Tool", notes="It works.")
    published = await step(empty.seen_by(BOB), "publish", made["id"])
    assert (published["createdBy"], published["publishedBy"]) == ("ann", "bob")
    await step(empty, "withdraw", made["id"], reason="It leaks.")
    archived = await step(empty.seen_by(ANN), "archive", made["id"])
    assert (archived["createdBy"], archived["publishedBy"]) == ("ann", "bob")
    assert await actors(empty) == [
        ("release.created", "ann"), ("release.updated", "bob"), ("release.published", "bob"),
        ("release.withdrawn", "local"), ("release.archived", "ann"),
    ]  # fmt: skip
    assert await who(empty.seen_by(READER), made["id"]) == ("ann", "bob")
    assert ("release.published", "bob") in await actors(empty.seen_by(READER))


async def test_an_import_over_a_draft_leaves_its_creator(empty: Catalog) -> None:
    document = source("tool")
    made = await import_(empty.seen_by(ANN), document)
    assert made["createdBy"] == "ann"
    again = await import_(empty.seen_by(BOB), {**document, "releaseNotes": "It works."})
    assert (again["id"], again["notes"], again["createdBy"]) == (made["id"], "It works.", "ann")
    assert await actors(empty) == [("release.imported", "ann"), ("release.imported", "bob")]


@pytest.mark.parametrize(("job_of_before", "actor"), [(False, "ann"), (True, None)])
async def test_a_verification_in_the_background_names_the_caller_who_asked_for_it(
    empty: Catalog, job_of_before: bool, actor: str | None
) -> None:
    product = await empty.product("tool")
    file = {"name": "tool.zip", "size": 1, "sha256": "0" * 64, "downloadUrl": "https://downloads.example/tool"}
    made = await do(empty, CREATE, productId=product["id"], name="Tool", version="1", artifacts=[file])
    verify = "mutation($input: VerifyArtifactsInput!) { verifyArtifacts(input: $input) { problem { detail } } }"
    await empty.seen_by(ANN).ask(verify, input={"releaseId": made["id"], "verification": "BACKGROUND"})
    if job_of_before:
        await old_forms.raw(empty.database).verifications.update_many({}, {"$unset": {"actor": 1, "form": 1}})
    job = await verification_jobs.claim_job(empty.database)
    assert job
    release = await empty.database[RELEASES].find_one({"id": made["id"]})
    assert release
    files = release["artifacts"]
    verified: Any = {**files[0]["verification"], "status": "VERIFIED"}
    owner = verification_jobs.owner(job)
    await verification_jobs.save_results(owner, empty.database, made["id"], files, [verified], job)
    assert (await actors(empty))[-1] == ("artifact.verified", actor)


async def test_bulk_loaded_releases_name_no_caller(empty: Catalog) -> None:
    await empty.load(source("draft"))
    await empty.load(source("tool"), publish=True)
    found = (await empty.ask("{ releases { nodes { status createdBy publishedBy } } }"))["releases"]["nodes"]
    assert sorted(found, key=lambda each: each["status"]) == [
        {"status": status, "createdBy": None, "publishedBy": None} for status in ("DRAFT", "PUBLISHED")
    ]


async def test_a_dry_run_names_its_caller(empty: Catalog) -> None:
    product = await empty.product("tool")
    given = {"productId": product["id"], "name": "Tool", "version": "1", "dryRun": True}
    assert (await do(empty.seen_by(ANN), CREATE, **given))["createdBy"] == "ann"
    assert await actors(empty) == []


async def every_kind(catalog: Catalog) -> None:
    """Store at least one document of each collection."""
    ann = catalog.seen_by(ANN)
    more = {"Registry": {"url": "https://registry.example"}, "Project": {"deploymentType": "FULL"}}
    save = "mutation($input: %s!) { %s(input: $input) { problem { detail } } }"
    for kind in ("Catalog", "Pipeline", "Project", "Registry", "BaseImage", "Environment"):
        given = {"id": kind, "name": kind, **more.get(kind, {})}
        answer = await ann.ask(save % (f"Save{kind}Input", f"save{kind}"), input=given)
        assert answer[f"save{kind}"]["problem"] is None
    product = {"id": "tool", "key": "tool", "name": "Tool", "catalogId": "Catalog"}
    assert not (await ann.ask(save % ("SaveProductInput", "saveProduct"), input=product))["saveProduct"]["problem"]
    files = [{"name": "tool.zip", "size": 1, "sha256": "0" * 64, "downloadUrl": "https://downloads.example/tool"}]
    fields: dict[str, Any] = {"productId": "tool", "name": "Tool", "version": "1.0", "artifacts": files}
    made = await do(ann, CREATE, **fields, idempotencyKey="a")
    verify = "mutation($input: VerifyArtifactsInput!) { verifyArtifacts(input: $input) { problem { detail } } }"
    await ann.ask(verify, input={"releaseId": made["id"], "verification": "BACKGROUND"})
    await step(ann, "publish", made["id"])
    promote = "mutation($input: PromoteReleaseInput!) { promoteRelease(input: $input) { problem { detail } } }"
    answer = await ann.ask(promote, input={"releaseId": made["id"], "environment": "Environment"})
    assert answer["promoteRelease"]["problem"] is None
    record = """mutation($input: RecordPipelineExecutionInput!) { recordPipelineExecution(input: $input) {
      problem { detail } } }"""
    given = {"releaseId": made["id"], "pipelineId": "Pipeline", "status": "RUNNING"}
    assert (await ann.ask(record, input=given))["recordPipelineExecution"]["problem"] is None
    token = "mutation($input: CreateAccessTokenInput!) { createAccessToken(input: $input) { problem { detail } } }"
    assert not (await ann.ask(token, input={"name": "x", "scopes": ["admin"]}))["createAccessToken"]["problem"]
    hook = await webhooks.create(LOCAL, catalog.database, {"url": "https://hook.example", "events": ["*"]}, None)
    assert isinstance(hook, dict)
    await webhook_queue.log_attempt(catalog.database, hook["webhook"], 1, "DELIVERED", timestamps.now())
    await migrations.take_lease(catalog.database)


async def test_every_stored_document_carries_the_version_of_its_form(empty: Catalog) -> None:
    await every_kind(empty)
    for name in indexes.INDEXES:
        found = [document async for document in old_forms.raw(empty.database)[name].find()]
        assert found, name
        assert {document.get("form") for document in found} == {forms.current(name)}, name
        fields = [path[0] for path, _ in forms.added(name, None)]
        assert all(field in document for document in found for field in fields if field != "answer"), name
    assert await migrations.pending(empty.database) == {}


def declared_types() -> dict[CollectionName[Any], Any]:
    """Return the type of the documents of each collection."""
    declared = collection_names.__annotations__
    types = {getattr(collection_names, name): get_args(kind)[0] for name, kind in declared.items()}
    return {**types, RELEASES: StoredReleaseDocument}


async def test_every_stored_document_has_the_fields_of_its_type(empty: Catalog) -> None:
    await every_kind(empty)
    types = declared_types()
    assert types.keys() == indexes.INDEXES.keys()
    for name, kind in types.items():
        async for document in old_forms.raw(empty.database)[name].find():
            assert document.keys() - {forms.FORM} <= get_type_hints(kind).keys(), name
            assert kind.__required_keys__ <= document.keys(), name


async def test_documents_of_before_are_migrated_and_the_log_tells_what_it_knows(empty: Catalog) -> None:
    await every_kind(empty)
    [made] = (await empty.ask("{ releases { nodes { id } } }"))["releases"]["nodes"]
    await step(empty.seen_by(BOB), "withdraw", made["id"], reason="It leaks.")
    old = old_forms.raw(empty.database)
    for name in indexes.INDEXES:
        await old[name].update_many({}, {"$unset": {"form": 1}})
    await old_forms.forget(empty.database)
    assert await actors(empty) == [
        (kind, None)
        for kind in (
            "release.created",
            "release.updated",
            "release.published",
            "promotion.completed",
            "release.withdrawn",
        )
    ]
    assert (await migrations.pending(empty.database)).keys() == {each.name for each in migrations.MIGRATIONS}
    await migrations.run(empty.database, asyncio.Event(), lambda *_: None)
    assert await migrations.pending(empty.database) == {}
    assert await actors(empty) == [
        ("release.created", None), ("release.updated", None), ("release.published", None),
        ("promotion.completed", "ann"), ("release.withdrawn", "bob"),
    ]  # fmt: skip
    assert await who(empty, made["id"]) == (None, None)
    stored = await old.releases.find_one()
    assert {name: stored[name] for name in ("form", "createdBy", "publishedBy")} == {
        "form": forms.current(RELEASES), "createdBy": None, "publishedBy": None
    }  # fmt: skip


async def test_releases_get_the_callers_that_their_events_name(empty: Catalog) -> None:
    product = await empty.product("tool")
    ids = [
        (await do(empty.seen_by(who_), CREATE, productId=product["id"], name="Tool", version=version))["id"]
        for who_, version in ((ANN, "1"), (BOB, "2"), (ANN, "3"))
    ]
    await step(empty.seen_by(BOB), "publish", ids[0])
    stranger = empty.seen_by(Caller("other", "eve", frozenset({"admin"})))
    theirs = await import_(stranger, source("tool"))
    old = old_forms.raw(empty.database)
    await old.releases.update_many({}, {"$unset": {"form": 1, "createdBy": 1, "publishedBy": 1}})
    # Published by a newer process before its migration, while its creation had no actor yet.
    await old.events.update_one(
        {"releaseId": ids[2], "type": "release.created"}, {"$unset": {"actor": 1, "form": 1}}
    )
    await step(empty.seen_by(ANN), "publish", ids[2])
    assert await who(empty, ids[2]) == (None, "ann")
    await migrations.run(empty.database, asyncio.Event(), lambda *_: None)
    assert [await who(empty, id_) for id_ in ids] == [("ann", "bob"), ("bob", None), (None, "ann")]
    assert await who(stranger, theirs["id"]) == (None, None), "an import may have replaced a draft"


async def test_an_event_with_unreadable_data_does_not_hold_up_the_others(empty: Catalog) -> None:
    await every_kind(empty)
    old = old_forms.raw(empty.database)
    await old_forms.forget(empty.database)
    for number, data in enumerate(('{"withdrawal": null}', "{", "{}", None), start=90):
        event = {"_id": f"local/{number}", "tenantId": "local", "sequence": number, "type": "release.withdrawn"}
        await old.events.insert_one({**event, "data": data})
    await migrations.run(empty.database, asyncio.Event(), lambda *_: None)
    assert await migrations.pending(empty.database) == {}


@pytest.mark.parametrize("planned", [True, False])
async def test_reads_of_older_documents_give_todays_form(empty: Catalog, planned: bool) -> None:
    product = await empty.product("tool")
    needed = [{"name": "Tool", "version": "1"}]
    given = {"productId": product["id"], "name": "Tool"}
    first = await do(empty, CREATE, version="1", **given)
    second = await do(empty, CREATE, version="2", dependencies=needed, **given)
    for made in (first, second):
        await step(empty, "publish", made["id"])
    await old_forms.forget(empty.database)
    names = "createdBy publishedBy"
    text = """{ a: releases { nodes { NAMES } } b: releases(orderBy: {field: NAME}) { nodes { id NAMES } }
      c: releases(filter: {name: "Tool", version: "2"}) { nodes { dependencies { nodes { NAMES } } } }
      d: releases(filter: {version: "1"}) { nodes { NAMES dependants { nodes { NAMES } } dependencyGraph { nodes { NAMES } } } }
      e: product(key: "tool") { latestRelease { NAMES } releases { nodes { NAMES } } }
      f: release(id: "FIRST") { NAMES latestRelease { NAMES } }
      g: compareReleases(fromId: "FIRST", toId: "SECOND") { from { NAMES } to { NAMES } }
      events { nodes { actor release { NAMES } } } }"""
    text = text.replace("NAMES", names).replace("FIRST", first["id"]).replace("SECOND", second["id"])
    answer = orjson.loads(await empty.body(text, {}, planned=planned))
    assert "errors" not in answer, answer
    seen = orjson.dumps(answer["data"]).decode()
    assert seen.count('"createdBy":null') == seen.count('"publishedBy":null') == seen.count('"createdBy"') > 12
    assert seen.count('"actor":null') == seen.count('"actor"') == 4


async def test_changes_of_older_documents_work(empty: Catalog) -> None:
    product = await empty.product("tool")
    made = await do(empty, CREATE, productId=product["id"], name="Tool", version="1")
    imported = await import_(empty, source("other"))
    changed = [
        (PATCH, {"name": "Tool", "notes": "It works."}),
        (REPLACE, {"name": "Tool", "notes": "It works well."}),
    ]
    for text, fields in changed:
        await old_forms.forget(empty.database)
        after = await do(empty.seen_by(BOB), text, id=made["id"], **fields)
        assert after == {"id": made["id"], "notes": fields["notes"], "createdBy": None, "publishedBy": None}
    await old_forms.forget(empty.database)
    again = await import_(empty.seen_by(BOB), {**source("other"), "releaseNotes": "It works."})
    assert again == {"id": imported["id"], "notes": "It works.", "createdBy": None, "publishedBy": None}
    for verb, fields in (("publish", {}), ("withdraw", {"reason": "It leaks."}), ("archive", {})):
        assert (await step(empty.seen_by(BOB), verb, made["id"], **fields))["publishedBy"] == "bob"
        await old_forms.raw(empty.database).releases.update_many({}, {"$unset": {"form": 1, "createdBy": 1}})
    assert await who(empty, made["id"]) == (None, "bob")


async def test_idempotency_replays_an_older_answer_in_todays_form(empty: Catalog) -> None:
    product = await empty.product("tool")
    given = {"productId": product["id"], "name": "Tool", "version": "1", "idempotencyKey": "k"}
    made = await do(empty.seen_by(ANN), CREATE, **given)
    fields = {f"answer.release.{name}": 1 for name in ("createdBy", "publishedBy", "form")}
    await old_forms.raw(empty.database).requests.update_many({}, {"$unset": {**fields, "form": 1}})
    assert await do(empty.seen_by(ANN), CREATE, **given) == {**made, "createdBy": None}


async def test_an_export_of_older_documents_is_that_of_new_ones(empty: Catalog) -> None:
    await empty.load(source("tool"), source("other", needs=["tool"]))
    before = [document async for document in bulk_load.export(LOCAL, empty.database)]
    await old_forms.forget(empty.database)
    assert [document async for document in bulk_load.export(LOCAL, empty.database)] == before
    assert not any("createdBy" in document for document in before), "an import document has no such field"


async def test_subscribers_get_older_events_in_todays_form(empty: Catalog) -> None:
    product = await empty.product("tool")
    for version in "12":
        await do(empty, CREATE, productId=product["id"], name="Tool", version=version)
    await old_forms.forget(empty.database)
    async with broker.run_broker(empty.database) as feeds:
        following = await feeds.follow(LOCAL, "0")
        assert [(await anext(following))["actor"] for _ in range(2)] == [None, None]


values = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join)
defaults = st.none() | st.integers(7, 9) | st.lists(st.just(7), max_size=1)


@given(st.dictionaries(st.sampled_from("abc"), values, max_size=3), st.dictionaries(paths, defaults, max_size=4))
@settings(max_examples=300)
def test_the_database_stores_what_a_read_completes(
    mongodb_url: str, document: dict[str, Any], fields: dict[str, Any]
) -> None:
    added = forms._paths(dict(sorted(fields.items())))
    completion: list[dict[str, Any]] = [{"$set": forms.completion(added)}] if added else []
    with pymongo.MongoClient[dict[str, Any]](mongodb_url) as client:
        [stored] = client["admin"].aggregate([{"$documents": [{"_id": 1, **document}]}, *completion])
    forms.complete([document], added)
    assert stored == {"_id": 1, **document}


# Everything of a release that a client can read without arguments.
WHOLE = """{ release(id: "ID") { name version revision branch tag channel packagingType platforms { name } trial status
  importedStatus published publishedAt private archived archivedAt withdrawal { reason } author notes description metadata
  releasedAt importedAt endOfLifeAt createdBy publishedBy artifactCount registryArtifact { name } baseImage { id }
  registry { id } pipeline { id } customizations { id } platformReleaseMetadata { platform { name } }
  delivery { status description startDate endDate scheduleBuildExpression projects { priority } properties { propertyName }
    cmsDetails { cmsInstanceId } }
  artifacts { name platform { name } isExecutable arguments metadata extension downloads secured repositoryKey path
    packageType verification { status actualSha256 checkedAt } }
  dockerImages { name platform { name } metadata } dependencies { totalCount } _links { self { href } product { href } } } }"""
EXPORT = '{ exportRelease(id: "ID") }'


async def test_a_missing_field_has_its_default_in_whatever_form_the_document_is(empty: Catalog) -> None:
    """Remove each field that has a default, one after the other and all at once."""
    product = await empty.product("tool")
    files = [{"name": "tool.zip", "size": 1, "sha256": "0" * 64, "downloadUrl": "https://downloads.example/tool"}]
    images = [{"name": "tool", "imageUrl": "registry.example/tool:1"}]
    old = old_forms.raw(empty.database)
    given = {
        "productId": product["id"],
        "name": "Tool",
        "artifacts": files,
        "dockerImages": images,
        "delivery": {},
    }
    made = await do(empty, CREATE, version="1.0", **given)
    expected = await empty.ask(WHOLE.replace("ID", made["id"]))
    exported = await empty.ask(EXPORT.replace("ID", made["id"]))
    stored = await old.releases.find_one({})
    names = [name for name in forms.DEFAULTS[RELEASES] if name not in {"artifacts", "dockerImages", "delivery"}]
    holders = {"artifacts": "artifacts.0.", "dockerImages": "dockerImages.0."}
    # A creator is no default: it can only become unknown.
    names.remove("createdBy")
    for name in [*names, *[None]]:
        paths = names if name is None else [name]
        gone = {
            holders[head] + rest if (head := path.partition(".")[0]) in holders else path: 1
            for path in paths
            for rest in [path.partition(".")[2]]
        }
        await old.releases.replace_one({}, stored)
        await old.releases.update_one({}, {"$unset": gone})
        assert await empty.ask(WHOLE.replace("ID", made["id"])) == expected, name
        assert await empty.ask(EXPORT.replace("ID", made["id"])) == exported, name
    patched = await do(empty, PATCH, id=made["id"], name="Tool", notes="It works.")
    assert patched["notes"] == "It works."
    await old.releases.update_one({}, {"$unset": gone})
    await step(empty, "publish", made["id"])
    await old.releases.update_one({}, {"$unset": {name: 1 for name in gone if name != "status"}})
    await do(empty, PATCH, id=made["id"], name="Tool", notes="It works well.")
    await step(empty, "withdraw", made["id"], reason="It leaks.")


@pytest.mark.parametrize(
    "text",
    [
        '{ releases(filter: {name: "Tool"}, orderBy: {field: NAME}) { nodes { createdBy } } }',
        "{ a: releases(first: 1) { nodes { createdBy } } b: releases(first: 2) { nodes { createdBy } } }",
        "{ products { nodes { releases(first: 1) { nodes { createdBy notes } } } } }",
    ],
)
async def test_pages_that_are_aggregated_give_todays_form(empty: Catalog, text: str) -> None:
    """Their documents also have the fields of the order, and the number of the page."""
    for key in ("a", "b"):
        product = await empty.product(key)
        await do(empty, CREATE, productId=product["id"], name="Tool", version="1")
    expected = await empty.ask(text)
    reads = empty.commands.reads.copy()
    await old_forms.forget(empty.database)
    await old_forms.raw(empty.database).releases.update_many({}, {"$unset": {"notes": 1}})
    unknown = orjson.dumps(expected).replace(b'"local"', b"null")
    assert orjson.dumps(await empty.ask(text)) == unknown != orjson.dumps(expected)
    assert empty.commands.reads == reads, "the compiled query answers it: nothing is read a second time"
