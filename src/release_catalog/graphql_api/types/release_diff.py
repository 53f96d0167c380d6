"""Two releases side by side."""

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.domain import release_diff
from release_catalog.graphql_api.enums import ChangeKind
from release_catalog.graphql_api.fields import batched_field, computed_field, field
from release_catalog.graphql_api.types.release import Release
from release_catalog.query_engine.completion import json_fragment
from release_catalog.query_engine.context import Context
from release_catalog.query_engine.field_source import reads
from release_catalog.storage.cursors import FieldPaths


@strawberry.type(description="A field that differs between two releases.")
class FieldChange:
    path: str = field("Field name, such as version or baseImageId.")
    before: JSON | None = field("Value in the first release.")
    after: JSON | None = field("Value in the second release.")


@strawberry.type(description="A file, image or dependency that differs between two releases.")
class ItemChange:
    kind: ChangeKind = field("Kind of difference.")
    key: str = field("Name by which entries of both releases are matched.")
    before: JSON | None = field("Entry in the first release. Null if it was added.")
    after: JSON | None = field("Entry in the second release. Null if it was removed.")


def _written(of: Callable[[Any, Any], Any], before: Any, after: Any) -> list[dict[str, Any]]:
    """Return changes with their values as JSON text: writing that would hold the event loop as well."""
    return [
        {**change, "before": json_fragment(change["before"]), "after": json_fragment(change["after"])}
        for change in of(before, after)
    ]


def _changes(of: Callable[[Any, Any], Any], description: str) -> Any:
    """Declare a list of changes, computed once for each pair, and aside: releases may hold 12 MB of free JSON."""

    async def many(context: Context, pairs: Sequence[dict[Any, Any]], _: FieldPaths) -> Any:
        for pair in pairs:
            if of not in pair:
                work = functools.partial(_written, of, pair["from"], pair["to"])
                pair[of] = asyncio.ensure_future(context.run_aside(work))
        return [await pair[of] for pair in pairs]

    return batched_field(many, description, reads())


@strawberry.type(description="Differences between two releases.")
class ReleaseComparison:
    from_: Release = computed_field(lambda pair: pair["from"], "First release of the comparison.", name="from")
    to: Release = field("Second release of the comparison.")
    fields: list[FieldChange] = _changes(release_diff.fields, "Fields with different values.")
    artifacts: list[ItemChange] = _changes(release_diff.artifacts, "Files that were added, removed or changed.")
    docker_images: list[ItemChange] = _changes(release_diff.images, "Images that were added, removed or changed.")
    dependencies: list[ItemChange] = _changes(
        release_diff.dependencies, "References that were added, removed or changed."
    )
