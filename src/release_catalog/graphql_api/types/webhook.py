"""Webhooks: their events, and the outcome of their webhook deliveries."""

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import strawberry

from release_catalog.domain import events
from release_catalog.domain.caller import WEBHOOK, Caller
from release_catalog.files import address_guard
from release_catalog.files.verifier import Fetcher
from release_catalog.graphql_api.connection import ConnectionWithoutCount
from release_catalog.graphql_api.enums import WebhookDeliveryStatus
from release_catalog.graphql_api.fields import computed_field, field, optional_field
from release_catalog.graphql_api.mutation import mutation
from release_catalog.query_engine.context import Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage import pagination, webhooks
from release_catalog.storage.database import Database, Document
from release_catalog.webhooks import sender

ID = strawberry.ID


@strawberry.type(description="What became of telling a webhook of an event.")
class WebhookDelivery:
    id: ID = computed_field(
        lambda it: f"{it['webhookId']}-{events.id_of(it['sequence'])}",
        "Unique identifier.",
        keys=["webhookId", "sequence"],
    )
    event_id: ID = computed_field(
        lambda it: events.id_of(it["sequence"]), "The event, as in the header webhook-id.", keys=["sequence"]
    )
    status: WebhookDeliveryStatus = field("How it stands.")
    attempts: int = field("How often it was tried, over all replays.")
    response_status: int | None = field("The status of the last answer, if there was one.")
    error: str | None = field("What was wrong with the last attempt.")
    next_attempt_at: datetime.datetime | None = field("When it is tried again.")
    delivered_at: datetime.datetime | None = field("When the receiver took it.")


def _deliveries(
    root: strawberry.Parent[Document], info: Info, first: int | None = 20, after: str | None = None
) -> Any:
    return webhooks.deliveries(info.context.caller, root, pagination.window(first, after))


@strawberry.type(
    description="Somebody who is told of events, in order, each at least once. It is told what its maker could "
    "see: createdBy, scopes and updatedBy show who let that data leave the catalog."
)
class Webhook:
    id: ID = field("Unique identifier.")
    url: str = field("Where events are sent to by POST.")
    events: list[str] = field("Event types, where release.* matches all of a kind, and * everything.")
    active: bool = field(
        "Whether events are sent; what happens meanwhile is sent later, as far as it is still kept."
    )
    created_at: datetime.datetime = field("When it was made; it is told what came later.")
    created_by: str = field(
        "Subject of the caller who made it: token:<id of an access token>, account:<name>, or the sub of a JWT."
    )
    scopes: list[str] = field(
        "Scopes of its maker when they made it: it is told of the releases that these may see, also after the "
        "maker's credentials have ended."
    )
    updated_at: datetime.datetime | None = computed_field(
        lambda it: it.get("updatedAt"),
        "When it was last changed, its URL for example; null where it never was.",
        keys=["updatedAt"],
    )
    updated_by: str | None = computed_field(
        lambda it: it.get("updatedBy"), "Subject of the caller who changed it last.", keys=["updatedBy"]
    )
    deliveries: ConnectionWithoutCount[WebhookDelivery] = strawberry.field(
        resolver=_deliveries,
        metadata=source_metadata(FieldSource(reads("id"))),
        description="What became of each event that it was sent, the newest event first.",
    )


async def one(info: Info, id: ID) -> Any:  # noqa: A002  the contract's name
    """Return a webhook by its id."""
    return await webhooks.one(info.context.caller, info.context.database, id)


@strawberry.input(description="Somebody to tell of events.")
class CreateWebhookInput:
    url: str = field("Where to send events by POST: https, at a public address unless an operator allows another.")
    events: list[str] = field("1 to 100 event types, where release.* matches all of a kind, and * everything.")


@strawberry.input(description="What to change of a webhook. Whatever is given, what waits is tried at once.")
class UpdateWebhookInput:
    id: ID = field("The webhook.")
    url: str | None = optional_field("Where to send events from now on.")
    events: list[str] | None = optional_field("1 to 100 event types.")
    active: bool | None = optional_field("Whether to send events.")
    rotate_secret: bool | None = optional_field(
        "Make a new secret. For 24 hours the one before it signs too, unless it is rotated again."
    )


@strawberry.input(description="A webhook to delete.")
class DeleteWebhookInput:
    id: ID = field("The webhook.")


@strawberry.input(description="From where to tell a webhook everything again.")
class ReplayWebhookInput:
    id: ID = field("The webhook.")
    after: ID = field("The id of the event before the first one to send; 0 lies before them all.")


_WEBHOOK = (Webhook | None, "The webhook as it is now. Null if there is a problem.")
_SECRET = "Secret that signs the messages (Standard Webhooks), shown only once."  # noqa: S105  a description


def _judged(verb: Callable[..., Awaitable[webhooks.Answer]]) -> Callable[..., Awaitable[webhooks.Answer]]:
    """Pass a verb the reason for which nothing can be sent to the URL of its input."""

    async def judged(caller: Caller, database: Database, files: Fetcher | None, values: Any) -> webhooks.Answer:
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
        "Has events sent to a URL from now on. The webhook sees what its maker may see, and names its maker.",
        scope=WEBHOOK,
        fetches=True,
    )
    update_webhook = mutation(
        UpdateWebhookInput,
        _judged(webhooks.update),
        {"webhook": _WEBHOOK, "secret": (str | None, f"{_SECRET} Null unless it was rotated.")},
        "Changes a webhook, switches it off or on, or gives it a new secret.",
        scope=WEBHOOK,
        fetches=True,
    )
    delete_webhook = mutation(
        DeleteWebhookInput,
        webhooks.delete,
        {"deleted_id": (ID | None, "Id of the deleted webhook. Null if there is a problem.")},
        "Deletes a webhook: nothing more is sent.",
        scope=WEBHOOK,
    )
    replay_webhook = mutation(
        ReplayWebhookInput,
        webhooks.replay,
        {"queued": (int, "Number of events that are sent again or for the first time, counted up to 10,000.")},
        "Replays every event after a cursor to one webhook.",
        scope=WEBHOOK,
    )
