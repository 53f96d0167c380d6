"""Webhooks: URL, event types, and a cursor, the number of the last event that the webhook is done with.

A webhook sees what its maker could see. Its secret is stored as it is, because it signs, and is never returned
again. A webhook names its maker and the caller who changed it last, and the log has each change: a webhook that
nobody can account for is a leak.
"""

import urllib.parse
from collections.abc import Iterable
from typing import Any

import structlog

from release_catalog import errors
from release_catalog.domain import events as kinds
from release_catalog.domain import ids, webhooks
from release_catalog.domain.caller import READ, SEES_ALL, Caller
from release_catalog.domain.validation import Validator
from release_catalog.domain.webhooks import WebhookDeliveryDocument, WebhookDocument
from release_catalog.errors import Problem
from release_catalog.storage import cursors, event_log, leases, transactions
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import WEBHOOK_DELIVERIES, WEBHOOKS
from release_catalog.storage.database import Collections, Database, Expression, Filter, Stage
from release_catalog.storage.idempotency import Answer, MutationInput
from release_catalog.storage.pagination import Order, PageArgs, PageQuery
from release_catalog.storage.records import MAX_LISTED

MAX_PATTERNS = 100
MAX_COUNTED = 10_000
_log = structlog.get_logger()
_NEWEST_FIRST = Order("DELIVERY", "webhook", {"sequence": int})


def _visible(caller: Caller) -> Filter:
    """Return the condition for webhooks that get nothing beyond what the caller may see."""
    if caller.sees_drafts is True:
        return {"tenantId": caller.tenant}
    more = SEES_ALL if caller.may(READ) else {*SEES_ALL, READ}
    return {"tenantId": caller.tenant, "scopes": {"$nin": sorted(more)}}


async def listed(caller: Caller, database: Database) -> list[WebhookDocument]:
    """Return all webhooks, oldest first."""
    found = database[WEBHOOKS].find(_visible(caller)).sort([("createdAt", 1), ("id", 1)]).hint("created")
    return await cursors.documents(found, MAX_LISTED)


async def one(caller: Caller, database: Database, id_: str) -> WebhookDocument | None:
    """Return the webhook with this id."""
    return await database[WEBHOOKS].find_one({"_id": caller.key(id_), **_visible(caller)})


async def by_ids(
    caller: Caller, database: Collections, ids: Iterable[str], keys: cursors.FieldPaths = None
) -> dict[str, WebhookDocument]:
    """Return `keys` of webhooks by id."""
    match = {"_id": {"$in": [caller.key(id_) for id_ in ids]}, **_visible(caller)}
    found = database[WEBHOOKS].find(match, db.projection(keys, "id")).batch_size(db.ONE_BATCH)
    return {webhook["id"]: webhook for webhook in await cursors.documents(found, None, keys)}


def deliveries(caller: Caller, webhook: WebhookDocument, window: PageArgs) -> PageQuery[WebhookDeliveryDocument]:
    """Return a query for a webhook's deliveries, newest event first."""
    match = {"tenantId": caller.tenant, "webhookId": webhook["id"]}
    return PageQuery(WEBHOOK_DELIVERIES, match, _NEWEST_FIRST, window, descending=True)


async def deliveries_by_ids(
    caller: Caller, database: Collections, ids: Iterable[str], keys: cursors.FieldPaths = None
) -> dict[str, WebhookDeliveryDocument]:
    """Return `keys` of deliveries by id, as far as their webhooks are visible to the caller."""
    key: Expression = {"$concat": [{"$literal": caller.key("")}, "$webhookId"]}
    seen = [{"$match": {"$expr": {"$eq": ["$_id", "$$key"]}, **_visible(caller)}}, {"$project": {"_id": 1}}]
    stages: list[Stage] = [
        {"$match": {"_id": {"$in": ["/".join(caller.key(id_).rsplit("-", 1)) for id_ in ids]}}},
        {"$lookup": {"from": str(WEBHOOKS), "let": {"key": key}, "pipeline": seen, "as": "visible"}},
        {"$match": {"visible": {"$ne": []}}},
        {"$project": db.projection(keys, "webhookId", "sequence")},
    ]
    found = await db.aggregate(database[WEBHOOK_DELIVERIES], stages, keys)
    return {webhooks.delivery_id(delivery): delivery for delivery in found}


def owner(webhook: WebhookDocument) -> Caller:
    """Return the caller with whose permissions a webhook sees events."""
    return Caller(webhook["tenantId"], webhook["createdBy"], frozenset(webhook["scopes"]))


async def create(caller: Caller, database: Database, values: MutationInput, unusable: str | None) -> Answer:
    """Create a webhook for future events; `unusable` is the reason why its URL is refused."""
    checks = Validator(values, "input")
    url, patterns = _url(checks, unusable), _patterns(checks)
    if checks.found:
        return errors.ValidationProblem(violations=checks.found)
    now, id_ = await db.now(database), ids.new()
    webhook: WebhookDocument = {
        "_id": caller.key(id_),
        "id": id_,
        "tenantId": caller.tenant,
        "url": url,
        "events": patterns,
        "active": True,
        "createdAt": now,
        "createdBy": caller.subject,
        "scopes": sorted(caller.scopes),
        "updatedAt": None,
        "updatedBy": None,
        "version": ids.new(),
        "secret": webhooks.new_secret(),
        "formerSecret": None,
        "formerUntil": now,
        "cursor": 0,
        "attempts": 0,
        "nextAttemptAt": now,
        "owner": None,
        "leaseUntil": now,
    }

    async def work(session: Any) -> Answer:
        mine = {"tenantId": caller.tenant}
        if await database[WEBHOOKS].count_documents(mine, limit=MAX_LISTED, session=session) == MAX_LISTED:
            return errors.Conflict(detail=f"The maximum of {MAX_LISTED} webhooks is reached: delete one.")
        webhook["cursor"] = await event_log.head(caller, database)
        await database[WEBHOOKS].insert_one(webhook, session=session)
        return {"webhook": webhook, "secret": webhook["secret"]}

    answer = await transactions.run(database, work)
    if isinstance(answer, dict):
        about = {"scopes": webhook["scopes"], "events": webhook["events"], "host": _host(webhook["url"])}
        _log_change("created", caller, id_, **about)
    return answer


async def update(caller: Caller, database: Database, values: MutationInput, unusable: str | None) -> Answer:
    """Change the given fields, and retry pending webhook deliveries at once."""
    checks = Validator(values, "input")
    change: dict[str, Any] = {"version": ids.new(), "attempts": 0}
    change["updatedBy"] = caller.subject
    if values.get("url") is not None:
        change["url"] = _url(checks, unusable)
    if values.get("events") is not None:
        change["events"] = _patterns(checks)
    if values.get("active") is not None:
        change["active"] = values["active"]
    if checks.found:
        return errors.ValidationProblem(violations=checks.found)
    computed: dict[str, str | Expression] = {"nextAttemptAt": "$$NOW", "updatedAt": "$$NOW"}
    if values.get("rotateSecret"):
        change["secret"] = webhooks.new_secret()
        computed |= {"formerSecret": "$secret", "formerUntil": leases.after(webhooks.OVERLAP)}
    literal = {name: {"$literal": value} for name, value in change.items()}
    pipeline = [{"$set": {**computed, **literal}}]

    async def work(session: Any) -> WebhookDocument | None:
        return await _change(caller, database, values, pipeline, session)

    saved = await transactions.run(database, work)
    if saved is None:
        return _missing(values)
    names = sorted(change.keys() & {"url", "events", "active", "secret"})
    _log_change("changed", caller, saved["id"], fields=names, events=saved["events"], host=_host(saved["url"]))
    return {"webhook": saved, "secret": change.get("secret")}


async def delete(caller: Caller, database: Database, values: MutationInput) -> Answer:
    """Delete a webhook with its secret; nothing more is sent to it."""
    match = {"_id": caller.key(values["id"]), **_visible(caller)}

    async def work(session: Any) -> int:
        return int((await database[WEBHOOKS].delete_one(match, session=session)).deleted_count)

    if not await transactions.run(database, work):
        return _missing(values)
    _log_change("deleted", caller, values["id"])
    return {"deletedId": values["id"]}


async def replay(caller: Caller, database: Database, values: MutationInput) -> Answer:
    """Move a webhook back to an event, never ahead, so that all later events are delivered again."""
    checks = Validator(values, "input")
    after = kinds.sequence(values["after"])
    if after is None:
        checks.refuse("after", "NOT_AN_EVENT", "This is not the id of an event: give one, or 0 for all events.")
    elif reason := await event_log.unkept(caller, database, after):
        checks.refuse("after", "NOT_KEPT", reason[0].upper() + reason[1:])
    if checks.found:
        return errors.ValidationProblem(violations=checks.found)
    again = {"attempts": 0, "nextAttemptAt": "$$NOW", "version": ids.new()}
    change = [{"$set": {"cursor": {"$min": ["$cursor", after]}, **again}}]

    async def work(session: Any) -> WebhookDocument | None:
        return await _change(caller, database, values, change, session)

    webhook = await transactions.run(database, work)
    if webhook is None:
        return _missing(values)
    _log_change("replayed", caller, webhook["id"], after=values["after"])
    queued = await event_log.count(owner(webhook), database, webhook["cursor"], webhook["events"], MAX_COUNTED)
    return {"queued": queued}


async def _change(
    caller: Caller, database: Database, values: MutationInput, change: Any, session: Any
) -> WebhookDocument | None:
    """Change a webhook and return it; None if it does not exist for the caller."""
    match = {"_id": caller.key(values["id"]), **_visible(caller)}
    return await database[WEBHOOKS].find_one_and_update(match, change, return_document=db.AFTER, session=session)


def _log_change(change: str, caller: Caller, id_: str, **details: Any) -> None:
    """Log a change of a webhook and its author."""
    _log.info(f"webhook {change}", webhook=id_, tenant=caller.tenant, by=caller.subject, **details)


def _host(url: str) -> str | None:
    """Return the host of a webhook's URL; the rest often holds a secret, and stays out of the log."""
    return urllib.parse.urlsplit(url).hostname


def _missing(values: MutationInput) -> Problem:
    return errors.NotFound(detail=f"The webhook {values['id']!r} does not exist: check its id.")


def _url(checks: Validator, unusable: str | None) -> str:
    url = checks.url("url")
    if url and unusable and not checks.found:
        checks.refuse("url", "UNUSABLE", unusable)
    return url


def _patterns(checks: Validator) -> list[str]:
    patterns: list[str] = list(dict.fromkeys(checks.fields["events"]))
    if not 1 <= len(patterns) <= MAX_PATTERNS:
        checks.refuse(
            "events",
            "WRONG_LENGTH",
            f"The list is empty or too long: give 1 to {MAX_PATTERNS} event types, or * for all.",
        )
        return patterns
    for at, pattern in enumerate(checks.fields["events"]):
        if not kinds.matching([pattern]):
            message = f"The event type {pattern[:64]!r} does not exist: give {event_log.known()}."
            checks.refuse(f"events[{at}]", "UNKNOWN", message)
    return patterns
