"""What happened: the log of events."""

import datetime
from typing import Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.api.fields import computed, one
from release_catalog.api.release import Release
from release_catalog.domain import events as kinds
from release_catalog.plans.context import Info
from release_catalog.plans.how import How, only, told
from release_catalog.store import events, pages
from release_catalog.store.database import Document


def _data(root: strawberry.Parent[Document], info: Info) -> Any:
    return kinds.seen(root, all_=info.context.caller.sees_drafts is True)


@strawberry.type(description="Something that happened to a release.")
class Event:
    id: strawberry.ID = computed(
        lambda event: kinds.id_of(event["sequence"]),
        "Also the cursor to resume after. Later events have higher ids.",
        keys=["sequence"],
    )
    type: str = strawberry.field(description="What happened, such as release.published.")
    triggered_at: datetime.datetime = strawberry.field(description="When it happened.")
    release: Release | None = one("releases", "releaseId", "The release as it is now.")
    data: JSON = strawberry.field(
        resolver=_data,
        metadata=told(How(only("data", "openWithdrawal"))),
        description="The release as it was then, in the form that webhooks get (S2).",
    )


async def log(
    info: Info,
    after: strawberry.ID | None = None,
    types: list[str] | None = None,
    release_id: strawberry.ID | None = None,
    first: int | None = 100,
) -> Any:
    """The question which events follow."""
    window = pages.window(first, after, default=100)
    return await events.log(info.context.caller, info.context.database, window, types, release_id)
