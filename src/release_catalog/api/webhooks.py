"""Webhooks: who is told of which events, and what became of that."""

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import strawberry

from release_catalog.api.connection import Uncounted
from release_catalog.api.enums import WebhookDeliveryStatus
from release_catalog.api.fields import computed, maybe, plain
from release_catalog.api.inputs import PROBLEM, mutation
from release_catalog.api.problem import Problem
from release_catalog.domain import events
from release_catalog.domain.caller import WEBHOOK, Caller
from release_catalog.events import posting
from release_catalog.files import guard
from release_catalog.files.hashing import Fetcher
from release_catalog.plans.context import Info
from release_catalog.plans.how import How, only, told
from release_catalog.store import pages, webhooks
from release_catalog.store.database import Database, Document

ID = strawberry.ID


@strawberry.type(description="What became of telling a webhook of an event.")
class WebhookDelivery:
    id: ID = computed(
        lambda it: f"{it['webhookId']}-{events.id_of(it['sequence'])}",
        "Unique identifier.",
        keys=["webhookId", "sequence"],
    )
    event_id: ID = computed(
        lambda it: events.id_of(it["sequence"]), "The event, as in the header webhook-id.", keys=["sequence"]
    )
    status: WebhookDeliveryStatus = plain("How it stands.")
    attempts: int = plain("How often it was tried, over all replays.")
    response_status: int | None = plain("The status of the last answer, if there was one.")
    error: str | None = plain("What was wrong with the last attempt.")
    next_attempt_at: datetime.datetime | None = plain("When it is tried again.")
    delivered_at: datetime.datetime | None = plain("When the receiver took it.")


def _deliveries(
    root: strawberry.Parent[Document], info: Info, first: int | None = 20, after: str | None = None
) -> Any:
    return webhooks.deliveries(info.context.caller, root, pages.window(first, after))


@strawberry.type(
    description="Somebody who is told of events, in order, each at least once. It is told what its maker could "
    "see: createdBy, scopes and updatedBy show who let that data leave the catalog."
)
class Webhook:
    id: ID = plain("Unique identifier.")
    url: str = plain("Where events are sent to by POST.")
    events: list[str] = plain("Event types, where release.* matches all of a kind, and * everything.")
    active: bool = plain(
        "Whether events are sent; what happens meanwhile is sent later, as far as it is still kept."
    )
    created_at: datetime.datetime = plain("When it was made; it is told what came later.")
    created_by: str = plain(
        "Subject of the caller who made it: token:<id of an access token>, account:<name>, or the sub of a JWT."
    )
    scopes: list[str] = plain(
        "Scopes of its maker when they made it: it is told of the releases that these may see, also after the "
        "maker's credentials have ended."
    )
    updated_at: datetime.datetime | None = computed(
        lambda it: it.get("updatedAt"),
        "When it was last changed, its URL for example; null where it never was.",
        keys=["updatedAt"],
    )
    updated_by: str | None = computed(
        lambda it: it.get("updatedBy"), "Subject of the caller who changed it last.", keys=["updatedBy"]
    )
    deliveries: Uncounted[WebhookDelivery] = strawberry.field(
        resolver=_deliveries,
        metadata=told(How(only("id"))),
        description="What became of each event that it was sent, the newest event first.",
    )


async def one(info: Info, id: ID) -> Any:  # noqa: A002  the contract's name
    """A webhook by its id."""
    return await webhooks.one(info.context.caller, info.context.database, id)


@strawberry.input(description="Somebody to tell of events.")
class CreateWebhookInput:
    url: str = plain("Where to send events by POST: https, at a public address unless an operator allows another.")
    events: list[str] = plain("1 to 100 event types, where release.* matches all of a kind, and * everything.")


@strawberry.input(description="What to change of a webhook. Whatever is given, what waits is tried at once.")
class UpdateWebhookInput:
    id: ID = plain("The webhook.")
    url: str | None = maybe("Where to send events from now on.")
    events: list[str] | None = maybe("1 to 100 event types.")
    active: bool | None = maybe("Whether to send events.")
    rotate_secret: bool | None = maybe(
        "Make a new secret. For 24 hours the one before it signs too, unless it is rotated again."
    )


@strawberry.input(description="A webhook to delete.")
class DeleteWebhookInput:
    id: ID = plain("The webhook.")


@strawberry.input(description="From where to tell a webhook everything again.")
class ReplayWebhookInput:
    id: ID = plain("The webhook.")
    after: ID = plain("The id of the event before the first one to send; 0 lies before them all.")


_SECRET = "What its messages are signed with (Standard Webhooks): shown this once."  # noqa: S105  a description


@strawberry.type(description="What became of making a webhook.")
class CreateWebhookPayload:
    webhook: Webhook | None = plain("The webhook; null where there is a problem.")
    secret: str | None = plain(_SECRET)
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of changing a webhook.")
class UpdateWebhookPayload:
    webhook: Webhook | None = plain("The webhook; null where there is a problem.")
    secret: str | None = plain(f"Where it was rotated: {_SECRET[0].lower()}{_SECRET[1:]}")
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of deleting a webhook.")
class DeleteWebhookPayload:
    deleted_id: ID | None = plain("The webhook that is gone; null where there is a problem.")
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of replaying events.")
class ReplayWebhookPayload:
    queued: int = plain("How many events are sent again or for the first time, counted up to 10,000.")
    problem: Problem | None = plain(PROBLEM)


def _judged(verb: Callable[..., Awaitable[webhooks.Answer]]) -> Callable[..., Awaitable[webhooks.Answer]]:
    """Tells a verb why nothing can be sent to the URL that it is given."""

    async def judged(caller: Caller, database: Database, files: Fetcher | None, given: Any) -> webhooks.Answer:
        unusable = posting.unusable(given.get("url"), files.allowed if files else guard.Allowed())
        return await verb(caller, database, given, unusable)

    return judged


@strawberry.type
class Webhooks:
    create_webhook: CreateWebhookPayload = mutation(
        CreateWebhookInput,
        _judged(webhooks.create),
        {"webhook": None, "secret": None},
        "Has events sent to a URL from now on. The webhook sees what its maker may see, and names its maker.",
        scope=WEBHOOK,
        fetches=True,
    )
    update_webhook: UpdateWebhookPayload = mutation(
        UpdateWebhookInput,
        _judged(webhooks.update),
        {"webhook": None, "secret": None},
        "Changes a webhook, switches it off or on, or gives it a new secret.",
        scope=WEBHOOK,
        fetches=True,
    )
    delete_webhook: DeleteWebhookPayload = mutation(
        DeleteWebhookInput,
        webhooks.delete,
        {"deletedId": None},
        "Deletes a webhook: nothing more is sent.",
        scope=WEBHOOK,
    )
    replay_webhook: ReplayWebhookPayload = mutation(
        ReplayWebhookInput,
        webhooks.replay,
        {"queued": 0},
        "Replays every event after a cursor to one webhook.",
        scope=WEBHOOK,
    )
