"""Lists of releases in pages."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from release_catalog.graphql_api.connection import Connection
from release_catalog.graphql_api.fields import batched_field, field
from release_catalog.query_engine.context import Context
from release_catalog.query_engine.field_source import reads
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.pagination import PageQuery

if TYPE_CHECKING:
    from release_catalog.graphql_api.types.release import Release

_Release = Annotated["Release", strawberry.lazy("release_catalog.graphql_api.types.release")]


@strawberry.type(description="A value and the number of releases that have it.")
class FacetCount:
    value: str = field("The value, as a filter takes it.")
    count: int = field("Number of releases.")


def _facet(description: str) -> Any:
    return field(f"{description} The 50 most frequent values, the most frequent first.")


@strawberry.type(
    description="Frequent values of releases. Of more than 100,000 releases, only 100,000 are counted."
)
class ReleaseFacets:
    status: list[FacetCount] = _facet("Lifecycle statuses.")
    channel: list[FacetCount] = _facet("Channels.")
    packaging_type: list[FacetCount] = _facet("Packaging formats.")
    platform: list[FacetCount] = _facet("Platforms of the release, its files and its images, in lowercase.")
    product: list[FacetCount] = _facet("Ids of products.")
    verification: list[FacetCount] = _facet("Verification results of files; a release counts once for each.")
    approximate: bool = field("Whether there are more than 100,000 releases, so that the counts are too low.")


async def _facets(
    context: Context, questions: Sequence[PageQuery[Any]], paths: FieldPaths
) -> list[dict[str, Any]]:
    found = await context.facets.load_many(questions, paths)
    return [{**one.counts, "approximate": one.is_approximate} for one in found]


@strawberry.type(description="A page of a list of releases. Cursors stay valid when entries are added or removed.")
class ReleaseConnection(Connection[_Release]):
    facets: ReleaseFacets = batched_field(
        _facets,
        "Frequent values among all releases that the filter matches, not only those of the page. Only requested "
        "facets are counted.",
        reads(),
    )
