"""Migrations: stored documents get today's form, in bounded batches, while older and newer processes serve.

A migration takes documents from one form to the next (see `storage.forms`). Only the documents tell what is left
to do: each write is conditional on the form, so a migration continues after any interruption in any process, and a
repeated batch changes nothing. A process holds a lease while it migrates. The lease only saves work: two processes
at once would store the same. Older processes may write documents of an older form at any time, so servers look for
such documents again from time to time.
"""

import asyncio
import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import bson
import structlog
from pymongo import UpdateMany, UpdateOne

from release_catalog.domain import ids
from release_catalog.storage import database as db
from release_catalog.storage import forms, leases, migration_fills, outages, search_terms
from release_catalog.storage.collection_names import CONTENTS, EVENTS, MIGRATION_STATE, RELEASES, CollectionName
from release_catalog.storage.database import Database, Stage
from release_catalog.storage.migration_fills import Known
from release_catalog.storage.workers import Workers

# The maximum size of a batch: of its documents, and of what is read of them.
BATCH, MAX_BATCH_BYTES = 500, 4 << 20
# Much longer than a batch takes.
LEASE = datetime.timedelta(seconds=30)
# The interval at which servers look for documents of an older form.
LOOK_SECONDS = 600.0
# The pause between two batches is at least this long, and as long as the batch took.
_PAUSE_SECONDS = 0.02
_RETRY_SECONDS = 1.0
_DOCUMENTS_A_REPORT = 10_000

_log = structlog.get_logger()

# Takes documents of a collection, and returns the known values.
Fill = Callable[[Database, Sequence[Any]], Awaitable[Known]]


@dataclasses.dataclass(frozen=True)
class Migration:
    """A step of a collection's documents from the form before `form` to `form`.

    Added fields get the values of `fill`, otherwise their defaults; a field that a document has keeps its value.
    `fill` gets the projection `reads` of fields that never change: an older process may change others at any time.

    The fields `replaces` get the values of `fill` even if a document has them, unless a field of `unchanged` has
    changed meanwhile. If `fill` then returns other values, the document is migrated again.
    """

    collection: CollectionName[Any]
    form: int
    fill: Fill | None = None
    reads: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    replaces: Sequence[str] = ()
    unchanged: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Return the name, which identifies the migration in the database and in the log."""
        return f"{self.collection}-{self.form}"


# Gets "started", "in progress" or "finished", the migration, and the number of documents that it migrated.
Report = Callable[[str, Migration, int], object]


async def pending(database: Database, limit: int | None = None) -> dict[str, int]:
    """Return the number of documents that each unfinished migration has left, by its name, in their order.

    With `limit`, counting ends there.
    """
    options: dict[str, Any] = {} if limit is None else {"limit": limit}
    found = {
        migration.name: await database[migration.collection].count_documents(
            forms.older(migration.form), **options
        )
        for migration in MIGRATIONS
    }
    return {name: count for name, count in found.items() if count}


async def run(database: Database, over: asyncio.Event, report: Report) -> None:
    """Run all migrations once, in order; return early if another process has done so, or when `over` is set.

    Documents that older processes write meanwhile may be left.
    """
    is_waiting = False
    while not over.is_set() and await collections_pending(database):
        owner = await take_lease(database)
        if owner is None:
            if not is_waiting:
                _log.warning("another process migrates documents: waiting for it")
            is_waiting = True
            await _rest(over, _RETRY_SECONDS)
            continue
        try:
            for migration in MIGRATIONS:
                if not await _run(database, migration, owner, over, report):
                    break
            else:
                return
        finally:
            with contextlib.suppress(db.Failure):  # then the lease ends by itself
                await release_lease(database, owner)


@contextlib.asynccontextmanager
async def run_in_background(
    database: Database, ending: asyncio.Event | None = None, workers: Workers | None = None
) -> AsyncIterator[None]:
    """Keep all documents in today's form while the context lasts, or until it is `ending`."""
    over = asyncio.Event()
    worker = (workers or Workers()).start("migrations", _keep_current(database, over))
    try:
        with db.when(ending, over.set):
            yield
    finally:
        over.set()
        await db.end(worker)


async def _keep_current(database: Database, over: asyncio.Event) -> None:
    retry = _RETRY_SECONDS
    while not over.is_set():
        seconds = LOOK_SECONDS
        try:
            await run(database, over, _log_step)
            retry = _RETRY_SECONDS
        except db.Failure as error:
            _log.warning("migration failed", reason=outages.reason(error))
            # It may also lack a right, which no retry gives it.
            seconds, retry = retry, min(2 * retry, LOOK_SECONDS)
        except Exception:  # noqa: BLE001  the server serves without it, and the next attempt may succeed
            _log.exception("migration failed")
        await _rest(over, seconds)


def _log_step(step: str, migration: Migration, documents: int) -> None:
    _log.info(f"migration {step}", migration=migration.name, documents=documents)


async def _rest(over: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), seconds)


@db.bounded
async def collections_pending(database: Database) -> int:
    """Return the number of collections in which a document has an older form, which costs one command."""
    looks: dict[str, list[Stage]] = {
        name: [{"$match": forms.older(forms.current(name))}, {"$limit": 1}, {"$project": {"_id": 1}}]
        for name in forms.FORMS
    }
    unions: list[Stage] = [{"$unionWith": {"coll": name, "pipeline": look}} for name, look in looks.items()]
    # Unions follow a collection of which nothing is taken.
    stages = [{"$match": {"_id": None}}, *unions]
    return len(await db.aggregate(database[MIGRATION_STATE], stages, frozenset()))


async def _run(database: Database, migration: Migration, owner: str, over: asyncio.Event, report: Report) -> bool:
    """Migrate until no document is left; return False if the lease is lost, or `over` is set."""
    clock, migrated, reported = asyncio.get_running_loop().time, 0, 0
    began, more = False, True
    while more:
        at = clock()
        if over.is_set() or not await renew_lease(database, owner):
            return False
        batch = await _migrate_batch(database, migration)
        if not began:
            if not batch.found:
                return True
            began = True
            report("started", migration, 0)
        migrated, more = migrated + batch.changed, batch.is_full
        await _save_progress(database, migration, batch.changed, ended=not more)
        if migrated >= reported + _DOCUMENTS_A_REPORT:
            reported = migrated
            report("in progress", migration, migrated)
        if more:
            await _rest(over, max(_PAUSE_SECONDS, clock() - at))
    report("finished", migration, migrated)
    return True


class _Batch(NamedTuple):
    """The number of documents that a batch found and changed; if it is full, there may be more."""

    found: int
    changed: int
    is_full: bool


@db.bounded
async def _migrate_batch(database: Database, migration: Migration) -> _Batch:
    """Give the next documents the form of a migration."""
    collection, before = database[migration.collection], {forms.FORM: migration.form - 1 or None}
    found: list[Any] = []
    size = 0
    cursor = collection.find(before, {"_id": 1, **migration.reads}).limit(BATCH).batch_size(BATCH)
    try:
        async for document in cursor:
            found.append(document)
            size += len(bson.encode(document))
            if size > MAX_BATCH_BYTES:
                break
    finally:
        await cursor.close()
    if not found:
        return _Batch(0, 0, is_full=False)
    known = await _known(database, migration, found)
    fields = forms.added_by(migration.collection, migration.form)
    ids_ = [document["_id"] for document in found if document["_id"] not in known]
    # The other index would lead through all older documents.
    index = {"_id": 1}
    rest = UpdateMany({"_id": {"$in": ids_}, **before}, _change(migration, fields), hint=index)
    changes: list[Any] = [rest] if ids_ else []
    read = {document["_id"]: document for document in found}
    for id_, values in known.items():
        filled = [(path, values.get(path[0], default)) for path, default in fields]
        replaced = {name: values[name] for name in migration.replaces if name in values}
        match = {"_id": id_, **before, **{name: read[id_].get(name) for name in migration.unchanged}}
        changes.append(UpdateOne(match, _change(migration, filled, replaced), hint=index))
    done = await collection.bulk_write(changes, ordered=False)
    if migration.fill and migration.replaces:
        await _take_back(database, migration, found, known)
    return _Batch(len(found), done.modified_count, len(found) == BATCH or size > MAX_BATCH_BYTES)


async def _known(database: Database, migration: Migration, found: Sequence[Any]) -> Known:
    """Return the known values of documents; a broken document has none, and the others keep theirs."""
    if migration.fill is None:
        return {}
    try:
        return await migration.fill(database, found)
    except db.Failure:
        raise
    except Exception:  # noqa: BLE001  one broken document must not hold up the others
        if len(found) == 1:
            about = {"migration": migration.name, "document": found[0]["_id"]}
            _log.exception("broken document migrated without its known values", **about)
            return {}
    half = len(found) // 2
    some = [await _known(database, migration, part) for part in (found[:half], found[half:])]
    return {id_: values for known in some for id_, values in known.items()}


def _change(
    migration: Migration, fields: Iterable[forms.Added], replaced: Mapping[str, Any] = MappingProxyType({})
) -> list[Stage]:
    values = {name: {"$literal": value} for name, value in replaced.items()}
    return [{"$set": {**forms.completion(fields), **values, forms.FORM: migration.form}}]


async def _take_back(database: Database, migration: Migration, found: Sequence[Any], known: Known) -> None:
    """Return documents to their older form if what `fill` has read elsewhere was changed meanwhile."""
    again = await _known(database, migration, found)
    names = migration.replaces
    changed = [
        id_
        for id_, values in known.items()
        if any(values.get(name) != again.get(id_, values).get(name) for name in names)
    ]
    if changed:
        older = {"$set": {forms.FORM: migration.form - 1}} if migration.form > 1 else {"$unset": {forms.FORM: ""}}
        match = {"_id": {"$in": changed}, forms.FORM: migration.form}
        await database[migration.collection].update_many(match, older)


@db.bounded
async def _save_progress(database: Database, migration: Migration, documents: int, *, ended: bool) -> None:
    progress = {
        "startedAt": {"$ifNull": ["$startedAt", "$$NOW"]},
        "endedAt": "$$NOW" if ended else None,
        "documents": {"$add": [{"$ifNull": ["$documents", 0]}, documents]},
        forms.FORM: forms.current(MIGRATION_STATE),
    }
    await database[MIGRATION_STATE].update_one({"_id": migration.name}, [{"$set": progress}], upsert=True)


@db.bounded
async def take_lease(database: Database) -> str | None:
    """Return the new owner of the lease, or None if another process has it."""
    owner, is_over = ids.new(), {"$lte": ["$leaseUntil", "$$NOW"]}
    lease = {"owner": owner, "leaseUntil": leases.after(LEASE), forms.FORM: forms.current(MIGRATION_STATE)}
    change = [{"$set": {name: {"$cond": [is_over, value, f"${name}"]} for name, value in lease.items()}}]
    held = await db.upsert(database[MIGRATION_STATE], {"_id": "lease"}, change)
    return owner if held["owner"] == owner else None


@db.bounded
async def renew_lease(database: Database, owner: str) -> bool:
    """Renew the lease; return False if another process has it."""
    until = [{"$set": {"leaseUntil": leases.after(LEASE)}}]
    return bool(
        (await database[MIGRATION_STATE].update_one({"_id": "lease", "owner": owner}, until)).matched_count
    )


@db.bounded
async def release_lease(database: Database, owner: str) -> None:
    """Release the lease."""
    over = [{"$set": {"owner": None, "leaseUntil": "$$NOW"}}]
    await database[MIGRATION_STATE].update_one({"_id": "lease", "owner": owner}, over)


_OF_ACTORS = {"type": 1, "data": {"$cond": [{"$in": ["$type", list(migration_fills.ACTORS)]}, "$data", None]}}
# Migrations that fill fields with known values; those of all other forms store defaults.
_FILLING = (
    Migration(EVENTS, 1, migration_fills.actors, _OF_ACTORS),
    Migration(EVENTS, 2, migration_fills.changed_releases, {"tenantId": 1, "releaseId": 1, "type": 1}),
    Migration(
        RELEASES,
        1,
        migration_fills.authors_and_keys,
        dict.fromkeys(("id", "tenantId", "productId", "version", "revision"), 1),
        replaces=("versionKey", "revisionKey", "createdBy", "publishedBy"),
        unchanged=("revision",),
    ),
    Migration(
        RELEASES,
        2,
        migration_fills.edges,
        dict.fromkeys(
            ("id", "tenantId", "catalogId", "name", "version", "status", "dependencies", "terms", "etag"), 1
        ),
        replaces=("terms", "dependencies", "resolvesName", "nameSince"),
        unchanged=("etag",),
    ),
    Migration(
        RELEASES,
        3,
        migration_fills.platform_keys,
        dict.fromkeys(("platforms", "artifacts.platform", "dockerImages.platform", "terms", "etag"), 1),
        replaces=("terms", "platformKeys"),
        unchanged=("etag",),
    ),
    Migration(CONTENTS, 2, migration_fills.content_times, {"tenantId": 1, "promotionId": 1}),
    Migration(
        RELEASES,
        4,
        migration_fills.environments_and_words,
        dict.fromkeys(
            (
                *("id", "tenantId", "productId", *search_terms.SEARCHED, *search_terms.LATER.values()),
                *("publishedAt", "terms", "etag"),
            ),
            1,
        ),
        replaces=("terms", "environments", "productName", "publishedKey"),
        unchanged=("etag",),
    ),
)
_KEYS = {(migration.collection, migration.form) for migration in _FILLING}
_PLAIN = [
    Migration(name, form)
    for name in forms.FORMS
    for form in range(1, forms.current(name) + 1)
    if (name, form) not in _KEYS
]
# In the order in which they run: by form, but all of events first, because those of releases need their results.
MIGRATIONS: Sequence[Migration] = sorted(
    (*_PLAIN, *_FILLING), key=lambda migration: (migration.collection != EVENTS, migration.form)
)
