"""Webhooks: their events, and the outcome of their webhook deliveries."""

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import strawberry

from release_catalog.domain import events
from release_catalog.domain import webhooks as domain
from release_catalog.domain.caller import WEBHOOK, Caller
from release_catalog.domain.webhooks import WebhookDocument
from release_catalog.files import address_guard
from release_catalog.files.verifier import Fetcher
from release_catalog.graphql_api.connection import ConnectionWithoutCount
from release_catalog.graphql_api.enums import WebhookDeliveryStatus
from release_catalog.graphql_api.fields import (
    After,
    Before,
    First,
    Id,
    Last,
    computed_field,
    field,
    optional_field,
)
from release_catalog.graphql_api.mutation import mutation
from release_catalog.graphql_api.types.node import Node, node_id, node_id_of
from release_catalog.query_engine.context import Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage import pagination, webhooks
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import Answer
from release_catalog.storage.pagination import DEFAULT_PAGE
from release_catalog.webhooks import sender

ID = strawberry.ID


@strawberry.type(description="Delivery of an event to a webhook.")
class WebhookDelivery(Node):
    node_id: ID = node_id_of("WebhookDelivery", domain.delivery_id, "webhookId", "sequence")
    id: ID = computed_field(domain.delivery_id, "Unique identifier.", keys=["webhookId", "sequence"])
    event_id: ID = computed_field(
        lambda it: events.id_of(it["sequence"]), "Id of the event, as in the header webhook-id.", keys=["sequence"]
    )
    status: WebhookDeliveryStatus = field("Status.")
    attempts: int = field("Number of attempts, over all replays.")
    response_status: int | None = field("HTTP status of the last response. Null without a response.")
    error: str | None = field("Error of the last attempt. Null if it succeeded.")
    next_attempt_at: datetime.datetime | None = field("Time of the next attempt. Null if none follows.")
    delivered_at: datetime.datetime | None = field("Time when the receiver accepted the event. Null before it.")


def _deliveries(
    root: strawberry.Parent[WebhookDocument],
    info: Info,
    first: First = DEFAULT_PAGE,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    return webhooks.deliveries(info.context.caller, root, pagination.window(first, after, last, before))


@strawberry.type(
    description="A webhook: a URL that gets events by POST, in order, each at least once. It gets the events "
    "of releases that its creator could see; createdBy, scopes and updatedBy show who let that "
    "data leave the catalog."
)
class Webhook(Node):
    node_id: strawberry.ID = node_id("Webhook")
    id: ID = field("Unique identifier.")
    url: str = field("URL that events are sent to by POST.")
    events: list[str] = field("Event types to send. release.* matches all types of that kind, and * all types.")
    active: bool = field(
        "Whether events are sent. Events of an inactive webhook wait in the event log, and are sent "
        "later if the log still keeps them."
    )
    created_at: datetime.datetime = field("Time of the creation. Only later events are sent.")
    created_by: str = field(
        "Subject of the caller who created the webhook: token:<id of an access token>, "
        "account:<name>, or the sub of a JWT."
    )
    scopes: list[str] = field(
        "Scopes of the creator at the time of creation. They decide which releases the webhook sees, "
        "even after the creator's credentials have expired."
    )
    updated_at: datetime.datetime | None = computed_field(
        lambda it: it.get("updatedAt"),
        "Time of the last change, of the URL for example. Null if it never changed.",
        keys=["updatedAt"],
    )
    updated_by: str | None = computed_field(
        lambda it: it.get("updatedBy"),
        "Subject of the caller who made the last change. Null if there was none.",
        keys=["updatedBy"],
    )
    deliveries: ConnectionWithoutCount[WebhookDelivery] = strawberry.field(
        resolver=_deliveries,
        metadata=source_metadata(FieldSource(reads("id"))),
        description="Deliveries of events to the webhook, newest event first.",
    )


async def one(info: Info, id: Id) -> Any:  # noqa: A002  the contract's name
    """Return a webhook by its id."""
    return await webhooks.one(info.context.caller, info.context.database, id)


@strawberry.input(description="A webhook to create.")
class CreateWebhookInput:
    url: str = field(
        "URL that events are sent to by POST. It must be https with a public address, unless an "
        "operator allows others."
    )
    events: list[str] = field(
        "Event types to send, 1 to 100. release.* matches all types of that kind, and * all types."
    )


@strawberry.input(
    description="A change of a webhook. Absent and null fields stay as they are. Waiting events are sent at "
    "once, whatever the change."
)
class UpdateWebhookInput:
    id: ID = field("Id of the webhook.")
    url: str | None = optional_field("New URL, under the rules of createWebhook.")
    events: list[str] | None = optional_field("New list of event types, 1 to 100.")
    active: bool | None = optional_field("Whether events are sent.")
    rotate_secret: bool | None = optional_field(
        "Whether to create a new secret. The previous one also signs for 24 hours, unless it is rotated again."
    )


@strawberry.input(description="A webhook to delete.")
class DeleteWebhookInput:
    id: ID = field("Id of the webhook.")


@strawberry.input(description="A webhook, and the point in the event log to replay events from.")
class ReplayWebhookInput:
    id: ID = field("Id of the webhook.")
    after: ID = field("Id of the event before the first one to send. Use 0 for all events.")


_WEBHOOK = (Webhook | None, "The webhook after the mutation. Null if there is a problem.")
_SECRET = "Secret that signs the messages (Standard Webhooks), shown only once."  # noqa: S105  a description


def _judged(verb: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    """Pass a verb the reason for which nothing can be sent to the URL of its input."""

    async def judged(caller: Caller, database: Database, files: Fetcher | None, values: Any) -> Answer:
        unusable = sender.url_rejection_reason(
            values.get("url"), files.allowed if files else address_guard.Allowed()
        )
        return await verb(caller, database, values, unusable)

    return judged


@strawberry.type
class WebhookMutations:
    create_webhook = mutation(
        CreateWebhookInput,
        _judged(webhooks.create),
        {"webhook": _WEBHOOK, "secret": (str | None, _SECRET)},
        "Creates a webhook, which sends events to a URL from now on. It sees the releases that its "
        "creator may see.",
        scope=WEBHOOK,
        fetches=True,
    )
    update_webhook = mutation(
        UpdateWebhookInput,
        _judged(webhooks.update),
        {"webhook": _WEBHOOK, "secret": (str | None, f"{_SECRET} Null unless it was rotated.")},
        "Changes a webhook, pauses or resumes it, or creates a new secret.",
        scope=WEBHOOK,
        fetches=True,
    )
    delete_webhook = mutation(
        DeleteWebhookInput,
        webhooks.delete,
        {"deleted_id": (ID | None, "Id of the deleted webhook. Null if there is a problem.")},
        "Deletes a webhook. No more events are sent.",
        scope=WEBHOOK,
    )
    replay_webhook = mutation(
        ReplayWebhookInput,
        webhooks.replay,
        {"queued": (int, "Number of events that are sent again or for the first time, counted up to 10,000.")},
        "Sends all events after an event id to a webhook again.",
        scope=WEBHOOK,
    )
