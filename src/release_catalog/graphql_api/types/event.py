"""Events, their log and the subscription to them."""

import datetime
from collections.abc import AsyncGenerator
from typing import Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import caller as callers
from release_catalog.domain import events as kinds
from release_catalog.graphql_api import permissions
from release_catalog.graphql_api.fields import computed_field, reference
from release_catalog.graphql_api.types.release import Release
from release_catalog.query_engine.context import Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage import event_log, pagination
from release_catalog.storage.database import Document


def _data(root: strawberry.Parent[Document], info: Info) -> Any:
    return kinds.visible_payload(root, all_=info.context.caller.sees_drafts is True)


@strawberry.type(description="Something that happened to a release.")
class Event:
    id: strawberry.ID = computed_field(
        lambda event: kinds.id_of(event["sequence"]),
        "Also the cursor to resume after. Later events have higher ids.",
        keys=["sequence"],
    )
    type: str = strawberry.field(description="What happened, such as release.published.")
    triggered_at: datetime.datetime = strawberry.field(description="When it happened.")
    release: Release | None = reference("releases", "releaseId", "The release as it is now.")
    actor: str | None = strawberry.field(
        description="Subject of the caller who made the change; null if it is unknown."
    )
    data: JSON = strawberry.field(
        resolver=_data,
        metadata=source_metadata(FieldSource(reads("data", "openWithdrawal"))),
        description="The release as it was then, in the form that webhooks get (S2). A promotion's event also has "
        "its record under promotion, and under ledger the sequence and hash of the ledger's last record, which is "
        "this one: keep the hash elsewhere, and release-catalog ledger verify --head tells whether the ledger was "
        "rewritten.",
    )


async def log(
    info: Info,
    after: strawberry.ID | None = None,
    types: list[str] | None = None,
    release_id: strawberry.ID | None = None,
    first: int | None = 100,
) -> Any:
    """Return the query for the next events."""
    window = pagination.window(first, after, default=100)
    return await event_log.log(info.context.caller, info.context.database, window, types, release_id)


async def _following(
    info: Info,
    after: strawberry.ID | None = None,
    types: list[str] | None = None,
    release_id: strawberry.ID | None = None,
    product_id: strawberry.ID | None = None,
) -> Any:
    # Read before the first event is requested, so that "from now on" means since the operation was sent.
    permissions.check(info.context.caller, callers.READ)
    assert info.context.follow, "this context can't follow events"  # noqa: S101  a mistake of the code that made it
    return await info.context.follow(info.context.caller, after, types, release_id, product_id)


@strawberry.type(description="What can be followed, over WebSocket (graphql-transport-ws) or as event stream.")
class Subscription:
    events: AsyncGenerator[Event, None] = strawberry.subscription(
        resolver=_following,
        description="Events as they are written, from now on; with `after`, an event's id, those that were missed "
        "come first. In order, each at least once. `types` takes release.* for all of a kind. An error says so "
        "where events after the cursor are no longer kept.",
    )
