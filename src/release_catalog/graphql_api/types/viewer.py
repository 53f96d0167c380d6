"""The caller and the rest of its rate."""

import datetime
from typing import Any

import strawberry

from release_catalog.domain import timestamps
from release_catalog.graphql_api.fields import field
from release_catalog.query_engine.context import Info


@strawberry.type(description="The caller.")
class Viewer:
    subject: str = field("Subject: the user, service account or access token.")
    tenant_id: strawberry.ID = field("Id of the caller's organisation.")
    scopes: list[str] = field("Scopes, such as release:read.")


@strawberry.type(description="The points that the caller may use in an hour, in the process that answers.")
class RateLimit:
    cost: int = field("Points of this operation. Costs that only its execution shows are not counted yet.")
    limit: int = field("Points in an hour.")
    remaining: int = field("Points left, those of this operation taken off.")
    reset_at: datetime.datetime = field("Time at which all points are there again.")


def viewer(info: Info) -> Any:
    """Return the caller."""
    asking = info.context.caller
    return {"subject": asking.subject, "tenantId": asking.tenant, "scopes": sorted(asking.scopes)}


def rate_limit(info: Info) -> Any:
    """Return the rest of the caller's rate; None if no rate is set."""
    standing = info.context.points_left(info.context.caller)
    if standing is None:
        return None
    limit, remaining, seconds = standing
    reset_at = timestamps.now() + datetime.timedelta(seconds=seconds)
    return {"cost": info.context.usage.charged, "limit": limit, "remaining": remaining, "resetAt": reset_at}
