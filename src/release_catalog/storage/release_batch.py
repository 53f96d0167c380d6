"""Releases that one transaction stores together: the documents around them, and their writes, in few commands.

Each release is decided in turn, on what the database holds and on what the releases before it in the batch would
have stored. So the results are those of one request after another. Nothing is written before all are decided.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from release_catalog import errors
from release_catalog.domain import ids, references, release_delivery, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.events import EventDocument
from release_catalog.domain.reference_data import CatalogDocument, ProductDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_delivery import Known
from release_catalog.errors import Problem
from release_catalog.storage import (
    cursors,
    forms,
    reference_lookup,
    search_terms,
    unit_of_work,
    verification_jobs,
    visibility,
)
from release_catalog.storage import database as db
from release_catalog.storage import release_delivery as stored_delivery
from release_catalog.storage.collection_names import (
    CATALOGS,
    PRODUCTS,
    RELEASES,
    CollectionName,
    Stored,
    StoredDocument,
)
from release_catalog.storage.database import Database, Filter, Stage
from release_catalog.storage.unit_of_work import UnitOfWork

# What no two releases of a tenant share.
Identity = tuple[str, str, str, str, str]
_DUPLICATE_KEY = 11000


def identity(release: Mapping[str, Any]) -> Identity:
    """Return the fields of a release, or of a new one without defaults, that no other one shares."""
    return (
        release["catalogId"],
        release["productId"],
        release["version"],
        release.get("revision") or "0",
        release.get("channel") or "stable",
    )


@dataclasses.dataclass
class NewRelease:
    """The writes for one release: it is created, or it replaces `before`."""

    release: ReleaseDocument
    before: ReleaseDocument | None = None
    events: list[EventDocument] = dataclasses.field(default_factory=list)
    # The bytes that it takes.
    size: int = 0
    has_given_id: bool = False
    # Imports may create these, and schedule the verification of files.
    product: ProductDocument | None = None
    catalog: CatalogDocument | None = None
    schedules: bool = False


# The result of one release: its answer, and its writes unless it was refused.
Decision = tuple[dict[str, Any] | Problem, NewRelease | None]


class Batch:
    """The releases of one transaction, and the documents around them.

    It reads `products`, `catalogs` and so on for all releases together before they are decided.
    """

    def __init__(self, turn: UnitOfWork) -> None:
        self.turn = turn
        self.products: dict[str, ProductDocument] = {}
        self.catalogs: dict[str, CatalogDocument] = {}
        # Documents that releases refer to, for each collection by id.
        self.referenced: dict[str, dict[str, StoredDocument]] = {}
        self.delivery = Known({}, {})
        # Releases by identity and by key. A key leads to what remains of a discarded draft, too.
        self.by_identity: dict[Identity, ReleaseDocument] = {}
        self.by_key: dict[str, ReleaseDocument] = {}
        # New products by catalog and key.
        self.new_products: dict[tuple[str, str], ProductDocument] = {}
        # By each reference, the releases that it may lead to, by id.
        self._candidates: dict[str, dict[str, ReleaseDocument]] = {}
        self._new: list[NewRelease] = []

    async def load_deliveries(self, deliveries: Iterable[release_delivery.References]) -> None:
        """Read the pipelines and projects of release deliveries."""
        united = release_delivery.References(frozenset(), frozenset(), frozenset())
        for one in deliveries:
            united = release_delivery.References(
                united.pipelines | one.pipelines, united.names | one.names, united.projects | one.projects
            )
        if any((united.pipelines, united.names, united.projects)):
            turn = self.turn
            self.delivery = await stored_delivery.known(turn.caller, turn.database, united, turn.session)

    async def load_by_id(
        self, collection: CollectionName[Stored], ids_: Iterable[str | None]
    ) -> dict[str, Stored]:
        """Return documents of the tenant by id."""
        keys = [self.turn.caller.key(id_) for id_ in set(ids_) if id_]
        if not keys:
            return {}
        found = self.turn.database[collection].find({"_id": {"$in": keys}}, session=self.turn.session)
        documents: Sequence[Any] = await cursors.documents(found)
        return {document["id"]: document for document in documents}

    async def load_holders(self, identities: Collection[Identity], given_ids: Collection[str | None]) -> None:
        """Read the releases that are in the way of new ones: those with an identity, and those with an id."""
        releases, session = self.turn.database[RELEASES], self.turn.session
        if identities:
            found = releases.find(
                with_identities(self.turn.caller.tenant, identities), unit_of_work.HEAD, session=session
            )
            self.by_identity |= {identity(one): one for one in await cursors.documents(found)}
        keys = [self.turn.caller.key(id_) for id_ in given_ids if id_]
        if keys:
            found = releases.find({"_id": {"$in": keys}}, {"_id": 1, **unit_of_work.HEAD}, session=session)
            held: Sequence[Any] = await cursors.documents(found)
            self.by_key |= {one["_id"]: one for one in held}

    async def load_replaced(self, identities: Collection[Identity]) -> None:
        """Read the whole releases with an identity."""
        match = with_identities(self.turn.caller.tenant, identities)
        found = self.turn.database[RELEASES].find(match, {"terms": 0}, session=self.turn.session)
        self.by_identity = {identity(one): one for one in await cursors.documents(found)}

    async def sizes(self, identities: Collection[Identity]) -> dict[Identity, int]:
        """Return the sizes in bytes of the releases with an identity."""
        shown = {**dict.fromkeys(("catalogId", "productId", "version", "revision", "channel"), 1), "_id": 0}
        stages: list[Stage] = [
            {"$match": with_identities(self.turn.caller.tenant, identities)},
            {"$project": {**shown, "size": {"$bsonSize": "$$ROOT"}}},
        ]
        found: list[Any] = await db.aggregate(
            self.turn.database[RELEASES], stages, frozenset(shown), session=self.turn.session
        )
        return {identity(one): one["size"] for one in found}

    async def load_candidates(self, names: Iterable[str]) -> None:
        """Read the releases that references may lead to."""
        turn = self.turn
        self._candidates = {reference: {} for reference in names}
        for release in await reference_lookup.candidates(turn.caller, turn.database, self._candidates):
            self._add_candidate(release)

    def resolves(self, reference: str) -> bool:
        """Return whether a reference leads to a release that the caller may see."""
        some = list(self._candidates[reference].values())
        found = some[0] if len(some) == 1 else references.resolve_winner(some)
        return found is not None and visibility.sees(self.turn.caller, found)

    def _add_candidate(self, release: ReleaseDocument) -> None:
        for reference in references.reference_keys(release):
            if reference in self._candidates:
                self._candidates[reference][release["id"]] = release

    def in_the_way(self, made: ReleaseDocument) -> Problem | None:
        """Return the problem that another release has the id or the identity of a new one."""
        key = self.turn.caller.key(made["id"])
        if holder := self.by_key.get(key):
            return unit_of_work.id_taken(self.turn.caller, key, holder)
        if other := self.by_identity.get(identity(made)):
            return unit_of_work.identity_taken(other)
        return None

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to store."""
        return not self._new

    def keep(self, new: NewRelease) -> None:
        """Store this later, and decide the next releases as if it were stored already."""
        made = new.release
        self._new.append(new)
        if new.before:
            for reference in references.reference_keys(new.before):
                self._candidates.get(reference, {}).pop(made["id"], None)
        self._add_candidate(made)
        self.by_identity[identity(made)] = self.by_key[self.turn.caller.key(made["id"])] = made
        self.referenced.setdefault(RELEASES, {})[made["id"]] = cast("StoredDocument", made)
        if new.catalog:
            self.catalogs[new.catalog["id"]] = new.catalog
        if new.product:
            self.new_products[new.product["catalogId"], new.product["key"]] = new.product

    def changed(self, before: ReleaseDocument, after: ReleaseDocument, kind: str, *, dry: bool) -> NewRelease:
        """Return the writes for a release that replaces `before`."""
        after["updatedAt"] = timestamps.now()
        if after["name"] != before["name"]:
            after["nameSince"] = after["updatedAt"]
        # The etag that a dry run answers with is the stored one: `ifMatch` takes it.
        after["etag"] = before["etag"] if dry else ids.new()
        return self._with_events(after, before, kind)

    def created(self, made: ReleaseDocument, kind: str, *, has_given_id: bool) -> NewRelease:
        """Return the writes for a new release."""
        new = self._with_events(made, None, kind)
        new.has_given_id = has_given_id
        return new

    def _with_events(self, made: ReleaseDocument, before: ReleaseDocument | None, kind: str) -> NewRelease:
        delivered = release_delivery.event(before["delivery"] if before else None, made["delivery"])
        kinds = [one for one in (kind, delivered) if one]
        events = [unit_of_work.new_event(self.turn.caller, one, made) for one in kinds]
        return NewRelease(made, before, events, unit_of_work.stored_size(made))

    async def store(self) -> None:
        """Write all releases that were kept, with their products, events and jobs."""
        turn = self.turn
        caller, database, session = turn.caller, turn.database, turn.session
        for catalog in {new.catalog["id"]: new.catalog for new in self._new if new.catalog}.values():
            change = {"$setOnInsert": catalog}
            await database[CATALOGS].update_one({"_id": catalog["_id"]}, change, upsert=True, session=session)
        products = [new.product for new in self._new if new.product]
        if products:
            await _insert(database, PRODUCTS, products, session)
        given = {new.release["id"]: new.release for new in self._new if new.has_given_id}
        later = bool(given) and await reference_lookup.are_wanted_by_many(caller, database, given, session)
        # Until then names lead to these. If this process ends before, a migration does the rest.
        await self._store_releases(unsettled=given if later else ())
        if later:
            turn.later.append(functools.partial(_learn_ids, caller, database, list(given.values())))
        elif given:
            await reference_lookup.learn_ids(caller, database, given.values(), session)
        scheduled = {new.release["id"]: new.release for new in self._new if new.schedules}
        await verification_jobs.schedule_all(turn, scheduled.values())
        events = [event for new in self._new for event in new.events]
        await unit_of_work.append_events(caller, database, events, session)

    async def _store_releases(self, unsettled: Collection[str]) -> None:
        """Write the last state of each release, once; references to the `unsettled` are redirected later."""
        turn = self.turn
        first: dict[str, NewRelease] = {}
        for new in self._new:
            first.setdefault(new.release["id"], new)
        last = {new.release["id"]: new.release for new in self._new}
        created = [last[id_] for id_, new in first.items() if new.before is None]
        if created:
            stored: list[Any] = [search_terms.to_stored(turn.caller, made) for made in created]
            for document in stored:
                if document["id"] in unsettled:
                    document[forms.FORM] = forms.UNSETTLED
            await _insert(turn.database, RELEASES, stored, turn.session)
        changes: list[Any] = []
        for id_, new in first.items():
            before, after = new.before, last[id_]
            if before is None:
                continue
            fields = {field: value for field, value in after.items() if value != before.get(field)}
            match = {"_id": turn.caller.key(id_), "etag": before["etag"]}
            changes.append(UpdateOne(match, {"$set": {**fields, **search_terms.derived(after)}}))
        if changes:
            await turn.database[RELEASES].bulk_write(changes, session=turn.session)


async def _learn_ids(caller: Caller, database: Database, made: Sequence[ReleaseDocument]) -> None:
    """Let references by the ids of new releases lead to these, in batches outside of any transaction."""
    keys = [caller.key(release["id"]) for release in made]
    match = {"_id": {"$in": keys}, "tenantId": caller.tenant, forms.FORM: forms.UNSETTLED}
    # If this fails, a migration does it.
    with db.deadline(reference_lookup.REDIRECT_SECONDS), contextlib.suppress(db.Failure):
        await reference_lookup.learn_ids(caller, database, made)
        settled = {"$set": {forms.FORM: forms.current(RELEASES)}}
        await database[RELEASES].update_many(match, settled, hint={"_id": 1})


def with_identities(tenant: str, identities: Iterable[Identity]) -> Filter:
    """Return a condition for the releases that have one of these identities."""
    fields = ("catalogId", "productId", "version", "revision", "channel")
    return {
        "$or": [{"tenantId": tenant, **dict(zip(fields, one, strict=True))} for one in dict.fromkeys(identities)]
    }


async def _insert(
    database: Database, collection: CollectionName[Any], documents: Sequence[Any], session: Any
) -> None:
    """Insert documents; raise DuplicateKeyError for the first that a unique index refuses, as for a single one."""
    try:
        await database[collection].insert_many(documents, session=session)
    except BulkWriteError as error:
        failure = error.details["writeErrors"][0]
        if failure["code"] != _DUPLICATE_KEY:
            raise
        raise DuplicateKeyError(failure["errmsg"], _DUPLICATE_KEY, failure) from error


def too_large(new: NewRelease) -> Problem | None:
    """Return the problem of a release that is larger than a document may be."""
    violations = unit_of_work.check_size(new.size, "input")
    return errors.ValidationProblem(violations=violations) if violations else None
