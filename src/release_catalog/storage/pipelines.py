"""Pipelines of several queries, run together as one command for each collection."""

from collections.abc import Sequence
from typing import Any

from release_catalog.storage import database as db
from release_catalog.storage.collection_names import CollectionName
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import Collections, Stage

# MongoDB takes 1,000 stages in a pipeline.
QUESTIONS_A_COMMAND = 400


async def run_together(
    database: Collections,
    pipelines: Sequence[tuple[CollectionName[Any], list[Stage] | None]],
    keys: FieldPaths,
    **options: Any,
) -> list[list[Any]]:
    """Run pipelines together, each in its collection; None finds nothing."""
    found: list[list[Any]] = [[] for _ in pipelines]
    by_collection: dict[CollectionName[Any], list[list[Stage]]] = {}
    for index, (collection, stages) in enumerate(pipelines):
        if stages is not None:
            marked = [*stages, {"$set": {"question": index}}]
            by_collection.setdefault(collection, []).append(marked)
    for name, parts in by_collection.items():
        for start in range(0, len(parts), QUESTIONS_A_COMMAND):
            first, *others = parts[start : start + QUESTIONS_A_COMMAND]
            unions = [{"$unionWith": {"coll": name, "pipeline": stages}} for stages in others]
            for document in await db.aggregate(database[name], [*first, *unions], keys, **options):
                found[document.pop("question")].append(document)
    return found
