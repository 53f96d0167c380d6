"""Backups: everything of a tenant as of one instant, restored to a database that gives the same answers."""

import asyncio
import contextlib
import datetime
import io
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import orjson
import pytest

from conftest import LOCAL, connected
from release_catalog.domain import ledger as chains
from release_catalog.domain import timestamps
from release_catalog.domain.caller import local
from release_catalog.storage import (
    backup,
    backup_comparison,
    backup_verification,
    event_log,
    forms,
    ledger,
    migrations,
    restore,
    restore_marker,
    unit_of_work,
)
from release_catalog.storage import webhooks as stored_webhooks
from release_catalog.storage.backup_comparison import Difference
from release_catalog.storage.backup_contents import BACKED_UP
from release_catalog.storage.backup_format import Damaged, Reader
from release_catalog.storage.collection_names import (
    CONTENTS,
    COUNTERS,
    EVENTS,
    META,
    MIGRATION_STATE,
    PRODUCTS,
    PROMOTIONS,
    RELEASES,
    REQUESTS,
    TOKENS,
    VERIFICATIONS,
    WEBHOOKS,
)
from support import tenant_walls as walls
from support.catalog import Catalog, source
from support.promotions import environment, everything, file, promote, published, roll_back

PROBLEM = "problem { __typename detail ... on ValidationProblem { violations { field message } } }"
CREATE = (
    f"mutation($input: CreateReleaseInput!) {{ createRelease(input: $input) {{ release {{ id }} {PROBLEM} }} }}"
)
VERBS = """mutation($id: ID!) { %s(input: {id: $id%s}) { problem { detail } } }"""
COUNT_OF_WRITERS = 4


def quiet(*_: object) -> None:
    """Show no progress."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no server: there is none."""
    monkeypatch.setattr(restore, "WAIT_SECONDS", 0.0)


@pytest.fixture
async def second(mongodb_url: str, lend: Callable[[], str]) -> AsyncIterator[Catalog]:
    """A database without documents, beside the one of `empty`."""
    async with connected(mongodb_url, lend()) as database:
        yield Catalog(database, LOCAL)


async def saved(catalog: Catalog, tenant: str | None = "local", *, secrets: bool = False) -> bytes:
    target = io.BytesIO()
    await backup.write(catalog.database, target, tenant, secrets=secrets, progress=quiet)
    return target.getvalue()


async def restored(file: bytes, catalog: Catalog, tenant: str | None = None, **options: Any) -> dict[str, int]:
    source = io.BytesIO(file)
    verified = backup_verification.verify(source)
    made = restore.Options(tenant, **options)
    return await restore.restore(catalog.database, source, verified, made, quiet)


async def compared(file: bytes, catalog: Catalog, tenant: str | None = None) -> dict[str, Difference]:
    """The differences of the collections that differ."""
    found = await backup_comparison.compare(catalog.database, io.BytesIO(file), tenant, quiet)
    return {name: difference for name, difference in found.items() if not difference.is_equal}


async def answers(catalog: Catalog) -> dict[str, str]:
    """Everything that the schema and HAL can be asked."""
    values = walls.world()
    found = {f"{at} {name}": await catalog.respond(text) for at, (name, text) in enumerate(walls.queries(values))}
    found |= await walls.hal(catalog, values)
    return {name: orjson.dumps(answer).decode() for name, answer in found.items()}


async def create(catalog: Catalog, version: str, product: str = "tool", **fields: Any) -> str:
    input_ = {"productId": product, "name": "tool", "version": version, **fields}
    answer = (await catalog.ask(CREATE, input=input_))["createRelease"]
    assert answer["problem"] is None, answer
    return str(answer["release"]["id"])


async def do(catalog: Catalog, verb: str, id_: str, more: str = "") -> None:
    [answer] = (await catalog.ask(VERBS % (verb, more), id=id_)).values()
    assert answer["problem"] is None, answer


async def busy(catalog: Catalog, number: int, over: asyncio.Event) -> None:
    """Create, publish, promote, roll back, withdraw, archive and discard releases until it is over."""
    await catalog.product(f"tool{number}", id=f"tool{number}", _id=catalog.caller.key(f"tool{number}"))
    turn = 0
    while not over.is_set():
        turn += 1
        file_ = {"name": "a", "size": 1, "sha256": f"{turn:064x}", "downloadUrl": "http://h/a"}
        id_ = await create(catalog, f"{number}.{turn}", f"tool{number}", artifacts=[file_], name=f"tool{number}")
        if turn % 4 == 0:
            await do(catalog, "discardRelease", id_)
            continue
        await do(catalog, "publishRelease", id_)
        record, problem = await promote(catalog, id_, overwriteExistingArtifacts=True)
        assert problem is None, problem
        if turn % 3 == 0:
            await roll_back(catalog, record["id"])
        if turn % 5 == 0:
            await do(catalog, "withdrawRelease", id_, ', reason: "It fails."')


@contextlib.asynccontextmanager
async def load(catalog: Catalog) -> AsyncIterator[None]:
    over = asyncio.Event()
    writers = [asyncio.create_task(busy(catalog, number, over)) for number in range(COUNT_OF_WRITERS)]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*writers)


async def events_reached(catalog: Catalog, number: int) -> None:
    async with asyncio.timeout(120):
        while await event_log.head(LOCAL, catalog.database) < number:  # noqa: ASYNC110  databases know no events
            await asyncio.sleep(0.01)


async def check_consistency(catalog: Catalog, last: int) -> None:
    """What holds in each instant of a catalog holds in the restored one."""
    rows = await everything(catalog)
    numbers = sorted(event["sequence"] for event in rows[EVENTS])
    assert numbers == list(range(1, last + 1))
    assert await event_log.head(LOCAL, catalog.database) == last
    newest: dict[str, Any] = {}
    for event in sorted(rows[EVENTS], key=lambda event: event["sequence"]):
        newest[event["releaseId"]] = event
    releases = {release["id"]: release for release in rows[RELEASES] if "tenantId" in release}
    for id_, event in newest.items():
        if event["type"] == "release.discarded":
            assert id_ not in releases
            assert any(row["_id"] == LOCAL.key(id_) for row in rows[RELEASES])
        else:
            data = orjson.loads(event["data"])
            release = releases.pop(id_)
            assert data["updatedAt"] == timestamps.format_rfc3339(release["updatedAt"])
            assert data["published"] == (release["status"] == "PUBLISHED")
    assert releases == {}
    contents: dict[str, str] = {}
    by_id = {record["id"]: record for record in rows[PROMOTIONS]}
    undone = {record.get("undoes") for record in by_id.values()}
    for record in sorted(by_id.values(), key=lambda record: record["sequence"]):
        if record["status"] == "COMPLETED" and record["id"] not in undone:
            contents |= {artifact["path"]: record["id"] for artifact in record["artifacts"]}
    assert {content["path"]: content["promotionId"] for content in rows[CONTENTS]} == contents
    chain = chains.HashChain()
    assert [fault async for fault in ledger.verify(LOCAL, catalog.database, chain)] == []
    assert chain.sequence == len(by_id) > 0


async def test_a_backup_under_load_is_of_one_instant(empty: Catalog, second: Catalog) -> None:
    await environment(empty, "QA")
    async with load(empty):
        await events_reached(empty, 60)
        first = await saved(empty)
        await events_reached(empty, 120)
        late = await saved(empty)
        await events_reached(empty, 150)
    for file_ in (first, late):
        verified = backup_verification.verify(io.BytesIO(file_))
        assert verified.ledger_faults == []
        last = verified.header["lastEvent"]
        assert last
        await restored(file_, second)
        assert await compared(file_, second) == {}
        await check_consistency(second, last)
        # The other one differs, and so does the catalog that has gone on.
        assert await compared(late if file_ is first else first, second)
        assert (await compared(file_, empty))[EVENTS].only_in_database
        await restore_marker.put(second.database, "local")
        await restore.discard(second.database)
        assert not any(
            rows for name, rows in (await everything(second)).items() if name in BACKED_UP and name != META
        )


async def test_a_restored_catalog_gives_every_answer_of_its_source(empty: Catalog, second: Catalog) -> None:
    await walls.stock(empty)
    await environment(empty, "QA")
    id_ = await published(empty, file("a"), file("b", 2), key="more")
    record, _ = await promote(empty, id_)
    await promote(empty, id_, includedRepositoryKeys=["x"])
    await roll_back(empty, record["id"])
    draft = await published(empty, key="more", version="2", status="DRAFT", publishedAt=None)
    await do(empty, "discardRelease", draft)
    await empty.load(source("loaded", needs=["areal-base", "nothing"]), publish=True)
    file_ = await saved(empty, secrets=True)
    await restored(file_, second, enable_webhooks=True)
    assert await compared(file_, second) == {}
    assert await compared(file_, empty) == {}
    there, here = await answers(empty), await answers(second)
    assert here == there
    # It goes on as its source would have.
    assert "used before" in str(
        await second.ask(CREATE, input={"id": draft, "productId": "areal-product", "name": "n", "version": "9"})
    )
    event = await event_log.head(LOCAL, empty.database)
    await create(second, "77", "areal-product")
    assert await event_log.head(LOCAL, second.database) == event + 1
    record, _ = await promote(second, id_)
    chain = chains.HashChain()
    assert [fault async for fault in ledger.verify(LOCAL, second.database, chain)] == []
    assert chain.sequence == record["sequence"]
    assert record["serviceId"] == (await promote(empty, id_))[0]["serviceId"]


async def test_a_backup_of_one_tenant_holds_nothing_of_another(empty: Catalog, second: Catalog) -> None:
    await walls.stock(empty)
    other = empty.seen_by(local("local2"))
    await other.product("own", id="own", _id="local2/own")
    id_ = await create(other, "1", "own", notes="of another tenant")
    await do(other, "discardRelease", id_)
    await create(other, "1", "own", notes="of another tenant")
    for tenant, words in (("local2", walls.SECRET), ("local", "of another tenant")):
        file_ = await saved(empty, tenant, secrets=True)
        plain = b"".join(document for block in blocks(file_) for document in block.documents)
        assert words.encode() not in plain
        others = b"local2" if tenant == "local" else b"local/"
        assert others not in plain
    file_ = await saved(empty, "local2")
    await restored(file_, second)
    assert {
        row["_id"].partition("/")[0]
        for rows in (await everything(second)).values()
        for row in rows
        if "/" in row["_id"]
    } == {"local2"}
    # What is left of the discarded draft is there, too.
    assert backup_verification.verify(io.BytesIO(file_)).documents[RELEASES] == 2


def blocks(file_: bytes) -> Iterator[Any]:
    return backup_verification.blocks(Reader(io.BytesIO(file_)))


async def test_all_tenants_are_restored_into_an_empty_database_only(empty: Catalog, second: Catalog) -> None:
    await walls.stock(empty)
    other = empty.seen_by(local("a / b"))
    await environment(other, "QA")
    for _ in range(2):
        await promote(other, await published(other, file("a"), version=str(_)), overwriteExistingArtifacts=True)
    file_ = await saved(empty, None)
    with pytest.raises(restore.RestoreFailed, match="holds all tenants, so it can't become one"):
        await restored(file_, second, "new")
    with pytest.raises(
        restore.RestoreFailed, match=r"The database \w+ is not empty \(.*releases: \d.*RELEASE_CATALOG_DATABASE"
    ):
        await restored(file_, empty)
    await restored(file_, second)
    assert await compared(file_, second) == {}
    assert await restore_marker.find(second.database) is None
    chain = chains.HashChain()
    assert [f async for f in ledger.verify(local("a / b"), second.database, chain)] == []
    assert chain.sequence == 2
    # What one tenant lacks is found.
    await second.database[PROMOTIONS].delete_one({"tenantId": "local"})
    assert (await compared(file_, second))[PROMOTIONS].only_in_backup == 1


async def test_a_backup_becomes_another_tenant_beside_its_source(empty: Catalog) -> None:
    await walls.stock(empty)
    await environment(empty, "QA")
    id_ = await published(empty, file("a"), key="more")
    await promote(empty, id_)
    draft = await published(empty, key="more", version="2", status="DRAFT", publishedAt=None)
    await do(empty, "discardRelease", draft)
    file_ = await saved(empty, secrets=True)
    with pytest.raises(
        restore.RestoreFailed, match=r"The tenant local of .* is not empty .*name another one in --tenant"
    ):
        await restored(file_, empty)
    before = await everything(empty)
    await restored(file_, empty, "copy")
    assert await compared(file_, empty, "copy") == {}
    assert await compared(file_, empty) == {}
    after = await everything(empty)
    new = [row for name in BACKED_UP for row in after.get(name, []) if row not in before.get(name, [])]
    assert new
    copy = empty.seen_by(local("copy"))
    for row in new:
        assert row["_id"].startswith("copy/"), row
        assert "local" not in str(
            {
                k: v
                for k, v in row.items()
                if k not in {"originalTenantId", "createdBy", "publishedBy", "actor", "updatedBy"}
            }
        ).replace('"createdBy":"local"', ""), row
    assert (await answers(copy)).keys() == (await answers(empty)).keys()
    assert [row["tenantId"] for row in after[TOKENS]] == ["local"]
    # Its ledger is whole, and goes on.
    for _ in range(2):
        chain = chains.HashChain()
        assert [fault async for fault in ledger.verify(copy.caller, empty.database, chain)] == []
        await promote(copy, id_)
    assert "used before" in str(
        await copy.ask(CREATE, input={"id": draft, "productId": "areal-product", "name": "n", "version": "9"})
    )


async def test_restored_webhooks_send_nothing_unless_they_are_enabled(empty: Catalog, second: Catalog) -> None:
    await walls.stock(empty)
    await empty.database[WEBHOOKS].update_many({}, {"$set": {"active": True}})
    plain, with_secrets = await saved(empty), await saved(empty, secrets=True)
    content = b"".join(
        document for block in blocks(plain) for document in block.documents if block.collection == WEBHOOKS
    )
    assert walls.SECRET.encode() not in content
    assert TOKENS not in backup_verification.verify(io.BytesIO(plain)).documents
    with pytest.raises(restore.RestoreFailed, match="The backup has no secrets of webhooks"):
        await restored(plain, second, enable_webhooks=True)
    await restored(plain, second)
    [webhook] = await stored_webhooks.listed(LOCAL, second.database)
    assert not webhook["active"]
    assert webhook["secret"].startswith("whsec_")
    assert await compared(plain, second) == {}
    await restore_marker.put(second.database, "local")
    await restored(with_secrets, second, again=True, enable_webhooks=True)
    [webhook] = await stored_webhooks.listed(LOCAL, second.database)
    assert webhook["active"]
    assert webhook["secret"] == walls.SECRET
    assert await second.database[TOKENS].count_documents({}) == 1


async def test_a_comparison_names_what_differs(empty: Catalog, second: Catalog) -> None:
    product = await empty.product("tool")
    ids_ = [(await empty.put(product, f"{number:03}"))["id"] for number in range(30)]
    file_ = await saved(empty)
    await restored(file_, second)
    await second.database[RELEASES].update_one({"_id": LOCAL.key(ids_[3])}, {"$set": {"notes": "other", "x": 1}})
    await second.database[RELEASES].delete_one({"_id": LOCAL.key(ids_[5])})
    more: Any = {"_id": LOCAL.key("zzz"), "tenantId": "local", "version": "z"}
    await second.database[RELEASES].insert_one(more)
    found = await compared(file_, second)
    assert found == {
        RELEASES: Difference(
            equal=28, different=1, only_in_backup=1, only_in_database=1,
            named=[
                f"local/{ids_[3]} differs in notes, x", f"local/{ids_[5]} is only in the backup",
                "local/zzz is only in the database",
            ],
        )
    }  # fmt: skip
    await second.database[RELEASES].update_many({}, {"$set": {"notes": "changed"}})
    difference = (await compared(file_, second))[RELEASES]
    assert (difference.different, len(difference.named)) == (29, 10)


async def test_events_that_are_no_longer_kept_are_no_difference(empty: Catalog, second: Catalog) -> None:
    await walls.stock(empty)
    old = timestamps.now() - datetime.timedelta(days=200)
    await empty.database[EVENTS].update_one({"sequence": 1}, {"$set": {"writtenAt": old}})
    file_ = await saved(empty)
    await restored(file_, second)
    # As MongoDB does sooner or later.
    await second.database[EVENTS].delete_one({"sequence": 1})
    assert await compared(file_, second) == {}
    await second.database[EVENTS].delete_one({"sequence": 2})
    assert (await compared(file_, second))[EVENTS].only_in_backup == 1


async def test_an_interrupted_restore_is_not_taken_for_a_whole_one(
    empty: Catalog, second: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await walls.stock(empty)
    file_ = await saved(empty)
    store = restore._store
    stored = []

    async def failing(plain: Any, block: Any) -> None:
        stored.append(block.collection)
        if block.collection == EVENTS:
            raise restore.RestoreFailed("The power is off.")
        await store(plain, block)

    with monkeypatch.context() as patched:
        patched.setattr(restore, "_store", failing)
        with pytest.raises(restore.RestoreFailed, match="The power is off"):
            await restored(file_, second)
    assert RELEASES in stored
    marker = await restore_marker.find(second.database)
    assert marker
    assert marker["tenant"] == "local"
    for attempt in (
        restored(file_, second), restored(file_, second, "other"), saved(second), saved(second, None), compared(file_, second),
    ):  # fmt: skip
        with pytest.raises(
            (restore.RestoreFailed, backup.BackupFailed), match="A restore of the tenant local is unfinished"
        ):
            await attempt
    # A restore to elsewhere does not remove it.
    with pytest.raises(restore.RestoreFailed, match="A restore of the tenant local is unfinished"):
        await restored(file_, second, "other", again=True)
    # Other tenants go on.
    await saved(second, "other")
    await restored(file_, second, again=True)
    assert await compared(file_, second) == {}
    assert await restore_marker.find(second.database) is None
    assert await restore.discard(second.database) is None


async def test_a_restore_runs_alone_and_holds_up_migrations(empty: Catalog, second: Catalog) -> None:
    await walls.stock(empty)
    file_ = await saved(empty)
    owner = await migrations.take_lease(second.database)
    assert owner
    with pytest.raises(
        restore.RestoreFailed, match="Another process restores a backup into this database or migrates"
    ):
        await restored(file_, second)
    await migrations.release_lease(second.database, owner)
    async with restore._alone(second.database):
        assert await migrations.take_lease(second.database) is None
    await restored(file_, second)


async def test_a_restore_that_stood_still_ends_once_another_process_may_have_begun(
    empty: Catalog, second: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await walls.stock(empty)
    file_ = await saved(empty)
    store = restore._store

    async def late(plain: Any, block: Any) -> None:
        await store(plain, block)
        if block.collection == RELEASES:
            await second.database[MIGRATION_STATE].update_one({"_id": "lease"}, {"$set": {"owner": "another"}})

    monkeypatch.setattr(restore, "_store", late)
    with pytest.raises(restore.RestoreFailed, match="another process may have begun"):
        await restored(file_, second)
    assert await restore_marker.find(second.database)


async def test_a_writer_during_a_restore_is_found(
    empty: Catalog, second: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await walls.stock(empty)
    file_ = await saved(empty)
    store = restore._store

    async def beside(plain: Any, block: Any) -> None:
        if block.collection == EVENTS:
            await unit_of_work.count_change(LOCAL, second.database)
        await store(plain, block)

    monkeypatch.setattr(restore, "_store", beside)
    with pytest.raises(restore.RestoreFailed, match="Another process wrote to counters during the restore"):
        await restored(file_, second)
    assert await restore_marker.find(second.database)


async def test_a_ledger_that_was_changed_before_the_backup_is_told(empty: Catalog) -> None:
    await environment(empty, "QA")
    id_ = await published(empty, file("a"))
    for _ in range(3):
        await promote(empty, id_)
    await empty.database[PROMOTIONS].update_one({"sequence": 2}, {"$set": {"createdBy": "nobody"}})
    faults = backup_verification.verify(io.BytesIO(await saved(empty))).ledger_faults
    assert faults == ["local: record 2: was changed; its hash does not match its content."]
    await empty.database[PROMOTIONS].delete_one({"sequence": 3})
    faults = backup_verification.verify(io.BytesIO(await saved(empty, None))).ledger_faults
    assert any("3: is missing, and so are all up to 3" in fault for fault in faults)


async def test_documents_of_older_forms_are_restored_as_they_are(empty: Catalog, second: Catalog) -> None:
    product = await empty.product("tool")
    made = await empty.put(product, "1")
    older = {"$set": {forms.FORM: 2}, "$unset": {"environments": "", "productName": "", "publishedKey": ""}}
    await empty.database[RELEASES].update_one({}, older)
    await restored(await saved(empty), second)
    assert (
        (await migrations.pending(second.database)).keys()
        == (await migrations.pending(empty.database)).keys()
        != set()
    )
    await migrations.run(second.database, asyncio.Event(), quiet)
    assert (await second.respond("{ releases { nodes { id } } }"))["data"]["releases"]["nodes"] == [
        {"id": made["id"]}
    ]


async def test_a_pending_change_of_a_version_scheme_is_restored(empty: Catalog, second: Catalog) -> None:
    product = await empty.product("tool", "ANY")
    await empty.put(product, "1")
    change = {"to": "SEMVER", "step": "PREPARE", "owner": "gone", "leaseUntil": timestamps.now()}
    await empty.database[PRODUCTS].update_one({}, {"$set": {"schemeChange": change}})
    await empty.database[VERIFICATIONS].insert_one(
        {
            "_id": "local/x",
            "tenantId": "local",
            "releaseId": "x",
            "actor": None,
            "owner": "gone",
            "leaseUntil": timestamps.now(),
        }
    )
    file_ = await saved(empty)
    await restored(file_, second)
    # Leases pass.
    later = timestamps.now() + datetime.timedelta(seconds=30)
    await second.database[PRODUCTS].update_one(
        {}, {"$set": {"schemeChange.owner": "new", "schemeChange.leaseUntil": later}}
    )
    await second.database[VERIFICATIONS].update_one({}, {"$set": {"owner": "new"}})
    assert await compared(file_, second) == {}
    assert BACKED_UP.index(PRODUCTS) > BACKED_UP.index(RELEASES)
    await second.database[PRODUCTS].update_one({}, {"$set": {"schemeChange.step": "COPY"}})
    assert (await compared(file_, second))[PRODUCTS].different == 1


async def test_answers_to_idempotency_keys_are_left_out(empty: Catalog) -> None:
    await empty.product("tool", id="tool", _id="local/tool")
    await create(empty, "1", idempotencyKey="k")
    assert await empty.database[REQUESTS].count_documents({}) == 1
    assert REQUESTS not in backup_verification.verify(io.BytesIO(await saved(empty))).documents


async def test_a_lost_snapshot_is_explained(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    await empty.product("tool")
    target, begin = io.BytesIO(), backup.begin

    async def long_ago(database: Any, session: Any) -> Any:
        snapshot = await begin(database, session)
        session._snapshot_time = bson.Timestamp(1, 1)
        return snapshot

    monkeypatch.setattr(backup, "begin", long_ago)
    with pytest.raises(backup.BackupFailed, match="so there is no backup"):
        await backup.write(empty.database, target, "local", secrets=False, progress=quiet)
    with pytest.raises(Damaged):
        backup_verification.verify(io.BytesIO(target.getvalue()))
    too_old = backup.SnapshotLost("Read timestamp is older than the oldest available timestamp.", 239)
    assert "minSnapshotHistoryWindowInSeconds" in str(backup.explained(too_old))


async def test_a_backup_costs_a_command_for_each_collection_and_uses_its_indexes(stocked: Catalog) -> None:
    stocked.commands.clear()
    await saved(stocked, secrets=True)
    assert stocked.commands.reads == {**dict.fromkeys(BACKED_UP, 1), META: 3, COUNTERS: 2}
    for command in stocked.commands.sent:
        if command.get("limit") == 1:
            continue
        explained = await stocked.database.client[stocked.database.name].command(
            {"explain": {name: command[name] for name in ("find", "filter", "sort", "hint") if name in command}}
        )
        stages = str(explained["queryPlanner"]["winningPlan"])
        assert "IXSCAN" in stages, command["find"]
        assert "'SORT'" not in stages, command["find"]


async def test_memory_does_not_grow_with_the_catalog(empty: Catalog, second: Catalog, tmp_path: Path) -> None:
    product = await empty.product("tool")
    note = "n" * 8_000
    for start in range(0, 8_000, 500):
        rows = [
            {"_id": LOCAL.key(f"{at:06}"), "tenantId": "local", "catalogId": "c", "productId": product["id"], "version": str(at), "notes": f"{at}{note}"}
            for at in range(start, start + 500)
        ]  # fmt: skip
        await empty.database[RELEASES].insert_many(rows)  # type: ignore[arg-type]
    size = 8_000 * 8_000
    tracemalloc.start()
    try:
        with (tmp_path / "backup").open("wb") as target:
            await backup.write(empty.database, target, "local", secrets=False, progress=quiet)
        with (tmp_path / "backup").open("rb") as file_:
            verified = backup_verification.verify(file_)
            await restore.restore(second.database, file_, verified, restore.Options(), quiet)
        with (tmp_path / "backup").open("rb") as file_:
            await backup_comparison.compare(second.database, file_, None, quiet)
        assert tracemalloc.get_traced_memory()[1] < size / 2
    finally:
        tracemalloc.stop()
    assert verified.documents[RELEASES] == 8_000
