"""The queries for documents of any type by their node ids, with one read of each collection."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import strawberry

from release_catalog.domain import caller, node_ids
from release_catalog.domain.node_ids import NodeKey
from release_catalog.errors import InvalidArgument, PermissionProblem
from release_catalog.graphql_api import permissions
from release_catalog.graphql_api.fields import argument
from release_catalog.graphql_api.types import artifact
from release_catalog.query_engine.context import Context, Info
from release_catalog.query_engine.field_source import TYPE_KEY, FieldSource, source_metadata
from release_catalog.storage import collection_names as names
from release_catalog.storage.collection_names import CollectionName
from release_catalog.storage.cursors import NONE, FieldPaths, union

MAX_NODES = 100


@dataclasses.dataclass(frozen=True)
class _Kind:
    """The documents of a type: their collection, and the scope that a caller needs to see them."""

    collection: CollectionName[Any]
    scope: str = caller.READ


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "Release": _Kind(names.RELEASES),
        "Artifact": _Kind(names.RELEASES),
        "Catalog": _Kind(names.CATALOGS),
        "Product": _Kind(names.PRODUCTS),
        "Pipeline": _Kind(names.PIPELINES),
        "Project": _Kind(names.PROJECTS),
        "Registry": _Kind(names.REGISTRIES),
        "BaseImage": _Kind(names.BASE_IMAGES),
        "Environment": _Kind(names.ENVIRONMENTS),
        "Promotion": _Kind(names.PROMOTIONS),
        "Event": _Kind(names.EVENTS),
        "EnvironmentContent": _Kind(names.CONTENTS),
        "Webhook": _Kind(names.WEBHOOKS, caller.WEBHOOK),
        "WebhookDelivery": _Kind(names.WEBHOOK_DELIVERIES, caller.WEBHOOK),
        "AccessToken": _Kind(names.TOKENS, caller.ADMIN),
    }
)
# The types whose documents are a part of their release.
_IN_RELEASES = frozenset({"Artifact"})

# A document with its type, an error to show in its place, or None.
_Found = dict[str, Any] | PermissionProblem | None


def _projections(by_type: Mapping[str, FieldPaths]) -> Mapping[CollectionName[Any], FieldPaths]:
    """Return the paths to read of each collection, for those requested of each type."""
    found: dict[CollectionName[Any], FieldPaths] = {}
    for type_, paths in by_type.items():
        read = artifact.keys(union(paths, frozenset({"id"}))) if type_ in _IN_RELEASES else paths
        collection = _KINDS[type_].collection
        found[collection] = union(found.get(collection, NONE), read)
    return found


METADATA = source_metadata(FieldSource(lambda _: NONE, by_type=_projections))


async def node(info: Info, node_id: Annotated[strawberry.ID, argument("Node id of the document.")]) -> Any:
    """Return the document with a node id; raise PermissionProblem if the caller lacks the scope of its type."""
    [found] = await _load(info.context, [node_id])
    if isinstance(found, PermissionProblem):
        raise found
    return found


async def nodes(
    info: Info,
    node_ids: Annotated[list[strawberry.ID], argument("Node ids, at most 100. They may repeat.")],
) -> Any:
    """Return the documents with several node ids, in their order."""
    if len(node_ids) > MAX_NODES:
        raise InvalidArgument("nodeIds", f"the list has {len(node_ids)} ids: give at most {MAX_NODES}.")
    return await _load(info.context, node_ids)


async def _load(context: Context, ids: Sequence[str]) -> list[_Found]:
    """Return the document of each node id; None without one, and for one that is hidden from the caller."""
    found: dict[NodeKey, _Found] = {}
    by_collection: dict[CollectionName[Any], list[NodeKey]] = {}
    keys = [node_ids.decode(id_, _IN_RELEASES) for id_ in ids]
    for key in dict.fromkeys(keys):
        kind = _KINDS.get(key.type) if key else None
        if key is None or kind is None:
            continue
        try:
            permissions.check(context.caller, kind.scope)
        except PermissionProblem as error:
            found[key] = error
        else:
            by_collection.setdefault(kind.collection, []).append(key)
    reads = [_read(context, collection, some) for collection, some in by_collection.items()]
    for documents in await asyncio.gather(*reads):
        found |= documents
    return [found.get(key) if key else None for key in keys]


async def _read(
    context: Context, collection: CollectionName[Any], keys: Sequence[NodeKey]
) -> dict[NodeKey, _Found]:
    ids = [key.id if key.release_id is None else key.release_id for key in keys]
    documents = dict(zip(ids, await context.visible(collection, ids), strict=True))
    # Each release may have a thousand files, and a hundred keys may be files of one release.
    holders = [
        release for id_ in {key.release_id for key in keys if key.release_id} if (release := documents[id_])
    ]
    files = {(release["id"], file["id"]): file for release in holders for file in artifact.of(release)}
    found: dict[NodeKey, _Found] = {}
    for key in keys:
        document = documents[key.id] if key.release_id is None else files.get((key.release_id, key.id))
        found[key] = {**document, TYPE_KEY: key.type} if document else None
    return found
