"""Events, their log and the subscription to them."""

import datetime
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import caller as callers
from release_catalog.domain import events as kinds
from release_catalog.domain.events import EventDocument
from release_catalog.errors import InvalidArgument
from release_catalog.graphql_api import permissions
from release_catalog.graphql_api.fields import First, Last, argument, computed_field, reference
from release_catalog.graphql_api.types.node import Node, node_id_of
from release_catalog.graphql_api.types.release import Release
from release_catalog.query_engine.context import Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage import event_log, pagination
from release_catalog.storage.collection_names import RELEASES
from release_catalog.storage.pagination import LONG_PAGE

_Types = Annotated[
    list[str] | None,
    argument("Event types. release.* matches all types of that kind, and * all types. Null matches all."),
]
_OfRelease = Annotated[strawberry.ID | None, argument("Id of the release. Null matches all.")]


def _data(root: strawberry.Parent[EventDocument], info: Info) -> Any:
    return kinds.visible_payload(root, all_=info.context.caller.sees_drafts is True)


@strawberry.type(description="An event in the life of a release, such as its publication or a promotion of it.")
class Event(Node):
    node_id: strawberry.ID = node_id_of("Event", lambda event: kinds.id_of(event["sequence"]), "sequence")
    id: strawberry.ID = computed_field(
        lambda event: kinds.id_of(event["sequence"]),
        "Unique identifier, and the cursor to resume after. Later events have higher ids.",
        keys=["sequence"],
    )
    type: str = strawberry.field(description="Event type, such as release.published. docs/codes.md lists all.")
    triggered_at: datetime.datetime = strawberry.field(description="Time of the event.")
    release: Release | None = reference(
        RELEASES, "releaseId", "Release in its current state. Null if it is hidden from the caller."
    )
    actor: str | None = strawberry.field(
        description="Subject of the caller who made the change. Null if it is unknown."
    )
    data: JSON = strawberry.field(
        resolver=_data,
        metadata=source_metadata(FieldSource(reads("data", "openWithdrawal"))),
        description="Release at the time of the event, in the format that webhooks get (S2). An event of a "
        "promotion also has its record under promotion, and the sequence and hash of that record "
        "under ledger. Keep the hash elsewhere: release-catalog ledger verify --head checks that the "
        "ledger was not rewritten.",
    )


async def log(
    info: Info,
    after: Annotated[strawberry.ID | None, argument("Id of the event before the first one to return.")] = None,
    types: _Types = None,
    release_id: _OfRelease = None,
    first: First = LONG_PAGE,
    last: Last = None,
    before: Annotated[
        strawberry.ID | None, argument("Id of the event that follows the page. Needs `last`.")
    ] = None,
) -> Any:
    """Return the query for a page of the event log."""
    window = pagination.window(first, after, last, before, LONG_PAGE)
    return await event_log.log(info.context.caller, info.context.database, window, types, release_id)


async def _following(
    info: Info,
    after: Annotated[strawberry.ID | None, argument("Id of the event before the first one to return.")] = None,
    types: _Types = None,
    release_id: _OfRelease = None,
    product_id: Annotated[
        strawberry.ID | None, argument("Id of the product whose releases to follow. Null matches all.")
    ] = None,
) -> Any:
    context = info.context
    # Read before the first event is requested, so that "from now on" means since the operation was sent.
    permissions.check(context.caller, callers.READ)
    assert context.follow, "this context can't follow events"  # noqa: S101  a mistake of the code that made it
    try:
        context.followed = await context.follow(
            context.caller, context.resume_after or after, types, release_id, product_id
        )
    except InvalidArgument as error:
        if error.argument == "after" and context.resume_after:
            raise InvalidArgument("Last-Event-ID", error.reason) from error
        raise
    return context.followed


@strawberry.type(
    description="Subscriptions, over WebSocket (graphql-transport-ws), server-sent events or multipart responses."
)
class Subscription:
    events: AsyncGenerator[Event, None] = strawberry.subscription(
        resolver=_following,
        description="New events, in order, each at least once. With `after`, missed events come first. An error "
        "tells if events after the cursor are no longer kept. Over server-sent events, the header Last-Event-ID "
        "takes the place of `after`.",
    )
