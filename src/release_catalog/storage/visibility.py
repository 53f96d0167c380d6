"""Visibility: the releases of its tenant that a caller sees (model.md, Visibility)."""

from release_catalog.domain import events
from release_catalog.domain.caller import Caller
from release_catalog.domain.release import ReleaseDocument
from release_catalog.storage.database import Filter, Stage


def visible(caller: Caller) -> Filter:
    """Return the condition that every read of releases begins with."""
    if caller.sees_drafts is True:
        return {"tenantId": caller.tenant}
    if not caller.sees_drafts:
        return {"tenantId": caller.tenant, "status": {"$ne": "DRAFT"}, "private": False}
    # Stated as what is hidden, because no index serves that, so that it never misleads the query planner.
    others = {"productId": {"$ne": caller.sees_drafts}}
    return {"tenantId": caller.tenant, "$nor": [{**others, "status": "DRAFT"}, {**others, "private": True}]}


def sees(caller: Caller, release: ReleaseDocument) -> bool:
    """Return whether a release of the caller's tenant meets the condition of `visible`."""
    return caller.sees_drafts in {True, release["productId"]} or events.is_public(release)


def visible_through(caller: Caller, field: str, product_field: str | None = None) -> list[Stage]:
    """Return stages that drop documents whose release, with its id in `field`, is hidden from the caller.

    A caller bound to a product sees all documents with its id in `product_field`, even of discarded releases.
    """
    if caller.sees_drafts is True:
        return []
    key = {"$concat": [{"$literal": caller.key("")}, f"${field}"]}
    same = {"$expr": {"$eq": ["$_id", "$$key"]}}
    seen = [{"$match": {**same, **visible(caller)}}, {"$project": {"_id": 1}}]
    own = [{product_field: caller.sees_drafts}] if product_field and caller.sees_drafts else []
    return [
        {"$lookup": {"from": "releases", "let": {"key": key}, "pipeline": seen, "as": "visible"}},
        {"$match": {"$or": [{"visible": {"$ne": []}}, *own]}},
        {"$project": {"visible": 0}},
    ]
