"""Two releases side by side."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import strawberry
from strawberry.scalars import JSON

from release_catalog.api.enums import ChangeKind
from release_catalog.api.fields import computed, fetched, plain
from release_catalog.api.release import Release
from release_catalog.domain import comparison
from release_catalog.plans.context import Context
from release_catalog.plans.how import only
from release_catalog.plans.keys import Keys


@strawberry.type(description="A field that differs.")
class FieldChange:
    path: str = plain("Name of the field, such as version or baseImageId.")
    before: JSON | None = plain("What the first release has.")
    after: JSON | None = plain("What the second release has.")


@strawberry.type(description="A file, image or dependency that came, went or changed.")
class ItemChange:
    kind: ChangeKind = plain("What happened to it.")
    key: str = plain("Its name, by which the two releases are matched.")
    before: JSON | None = plain("What it is in the first release.")
    after: JSON | None = plain("What it is in the second release.")


def _changes(of: Callable[[Any, Any], Any], description: str) -> Any:
    """A list of changes, worked out once for each pair, and aside: releases may hold 12 MB of free JSON."""

    async def many(_: Context, pairs: Sequence[dict[Any, Any]], __: Keys) -> Any:
        found = []
        for pair in pairs:
            if of not in pair:
                pair[of] = await asyncio.to_thread(of, pair["from"], pair["to"])
            found.append(pair[of])
        return found

    return fetched(many, description, only())


@strawberry.type(description="What changed from one release to another.")
class ReleaseComparison:
    from_: Release = computed(lambda pair: pair["from"], "The first release.", name="from")
    to: Release = plain("The second release.")
    fields: list[FieldChange] = _changes(comparison.fields, "Fields that differ.")
    artifacts: list[ItemChange] = _changes(comparison.artifacts, "Files that came, went or changed.")
    docker_images: list[ItemChange] = _changes(comparison.images, "Images that came, went or changed.")
    dependencies: list[ItemChange] = _changes(comparison.dependencies, "References that came, went or changed.")
