"""Delivering releases (S4)."""

from typing import Any

from release_catalog.domain import delivery
from release_catalog.domain.caller import Caller
from release_catalog.store.database import Database


async def known(caller: Caller, database: Database, wanted: delivery.Wanted, session: Any) -> delivery.Known:
    """The pipelines and projects that the rules of a delivery have to look at."""
    keys = [caller.key(id_) for id_ in wanted.pipelines]
    match = {"tenantId": caller.tenant, "$or": [{"_id": {"$in": keys}}, {"name": {"$in": list(wanted.names)}}]}
    pipelines = database.pipelines.find(match, session=session)
    keys = [caller.key(id_) for id_ in wanted.projects]
    projects = database.projects.find({"_id": {"$in": keys}}, session=session)
    return delivery.Known(
        pipelines={pipeline["id"]: pipeline async for pipeline in pipelines},
        projects={project["id"]: project async for project in projects},
    )
