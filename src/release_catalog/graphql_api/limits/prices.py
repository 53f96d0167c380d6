"""The price list: the price of each field of the schema, declared once.

Each object that a field answers with costs a point, times the sizes of the pages around it. This list holds the
other prices of a field and the assumed length of its list, for every field that is a list, takes arguments or
reads something. A test fails for a new one that has no price.

These prices are charged before anything is read. They are bounds for fields with pages, and typical for fields
without. `usage.Usage.points` counts the real use, and the caller pays the rest if that is more: objects, bytes,
releases walked and index entries counted.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from release_catalog.storage.dependency_traversal import MAX_NODES
from release_catalog.storage.pagination import MAX_PAGE

# A walk reads little of each release: this many of them cost a point.
WALKED_A_POINT = 50
# The arguments that give the number of entries, and the maximum that each allows.
SIZE_ARGUMENTS: Mapping[str, int] = MappingProxyType({"first": MAX_PAGE, "last": MAX_PAGE, "maxNodes": MAX_NODES})
# A page without a size, and entries of lists that stand in their documents.
PAGE, FEW = 20, 5
# The price of introspection, whose responses are walked field by field.
INTROSPECTION = 20


@dataclasses.dataclass(frozen=True)
class Price:
    """The price of a field: `points` for itself, and the prices of the `arguments` that are present.

    `entries` is the length of its list if no argument gives it. The fields below an entry come `back` times as
    often. A `walk` costs by its maximum length, whatever is requested of the releases it finds.
    """

    points: int = 0
    entries: int | None = None
    arguments: Mapping[str, int] = dataclasses.field(default_factory=dict)
    back: int = 1
    walk: bool = False


def _each(type_: str, fields: str, price: Price) -> Iterable[tuple[str, Price]]:
    return ((f"{type_}.{field}", price) for field in fields.split())


# An index finds few entries for the other filters. These are judged entry by entry until a page is full, and text
# within a name costs most of all.
_FILTERS = {
    f"filter.{name}": points
    for names, points in (
        ("nameContains", 100),
        ("endOfLifeBefore ids", 10),
        ("channel packagingType platform verification revision trial private status", 5),
        ("releasedFrom releasedBefore dependsOnId", 5),
    )
    for name in names.split()
}
_ONE = Price()
_FREE = Price()
_PAGE = Price()
_LIST = Price(entries=FEW)
_RELEASES = Price(arguments=_FILTERS)
# A count goes through the index; a point for each thousand entries is charged afterwards.
_COUNT = Price(points=5)
# The versions of a product are searched from the highest until one fits.
_LATEST = Price(points=1, arguments={"platform": 5, "branch": 2, "constraint": 1})
# Lists without pages, of which a tenant has a few entries; up to a thousand, which then are charged afterwards.
_REGISTRY = Price(points=1, entries=20)

PRICES: Mapping[str, Price] = {
    # One document by its id or name, or nothing that has to be read.
    **dict(_each("Query", "viewer catalog release environment promotion pipeline project registry", _ONE)),
    **dict(_each("Query", "baseImage webhook", _ONE)),
    # By its key, it may be one of a hundred catalogs.
    "Query.product": Price(arguments={"key": 2}),
    **dict(_each("Product", "catalog", _ONE)),
    **dict(_each("Release", "catalog product baseImage registry pipeline", _ONE)),
    **dict(_each("Withdrawal", "replacement", _ONE)),
    **dict(_each("Delivery", "pipeline", _ONE)),
    **dict(_each("DeliveryProject", "project stream buildEnvironment", _ONE)),
    **dict(_each("DependencyEdge", "node reference", _ONE)),
    **dict(_each("Promotion", "release", _ONE)),
    **dict(_each("EnvironmentContent", "release promotion", _ONE)),
    **dict(_each("Event", "release", _ONE)),
    **dict(_each("ReleaseLinks", "product", _ONE)),
    # From a file back to the release that holds it: its fields may come for each of a thousand.
    "Artifact.release": Price(back=1_000),
    # The highest version.
    **dict(_each("Query", "latestRelease", _LATEST)),
    **dict(_each("Product", "latestRelease", _LATEST)),
    **dict(_each("Release", "latestRelease", Price(points=1))),
    **dict(_each("ReleaseLinks", "latestRelease", Price(points=1))),
    # Pages: as many entries as are requested.
    "Query.releases": _RELEASES,
    "Catalog.releases": _RELEASES,
    "Product.releases": _RELEASES,
    "Query.products": Price(arguments={"nameContains": 50}),
    **dict(_each("Query", "catalogs promotions", _PAGE)),
    # For callers who do not see all, each event, path and record is checked against its release until a page is
    # full.
    "Query.events": Price(points=5, arguments={"types": 5}),
    **dict(_each("Catalog", "products", _PAGE)),
    **dict(_each("Release", "dependants promotions", _PAGE)),
    **dict(_each("ReleaseLinks", "dependants", _PAGE)),
    **dict(_each("Environment", "contents promotions", _PAGE)),
    **dict(_each("Webhook", "deliveries", _PAGE)),
    # The references of a release stand in its document; most have few.
    "Release.dependencies": Price(entries=10),
    "ReleaseLinks.dependencies": Price(entries=10),
    # Parts of a page, which is read once for all of them. Its lists are as long as the page.
    **dict(_each("*Connection", "nodes edges pageInfo", _FREE)),
    **dict(_each("*Connection", "totalCount", _COUNT)),
    "DependencyConnection.totalCount": _FREE,
    # Walks.
    "Release.dependencyGraph": Price(walk=True),
    **dict(_each("DependencyGraph", "nodes edges unresolved cycles", _FREE)),
    "Release.dependencyPaths": Price(points=MAX_NODES // WALKED_A_POINT),
    "DependencyPath.releases": Price(entries=11),
    # Two whole releases side by side, and one as a document.
    "Query.compareReleases": Price(points=10),
    **dict(_each("ReleaseComparison", "fields artifacts dockerImages dependencies", Price(points=5, entries=FEW))),
    "Query.exportRelease": Price(points=10),
    # Lists without pages.
    **dict(_each("Query", "environments webhooks accessTokens", _REGISTRY)),
    "Pipeline.executions": Price(points=5, entries=100),
    # Lists that stand in the document of their object.
    **dict(_each("Release", "platforms artifacts dockerImages platformReleaseMetadata customizations", _LIST)),
    **dict(_each("PlatformReleaseMetadata", "releaseMetadata", _LIST)),
    **dict(_each("Pipeline", "properties", _LIST)),
    **dict(_each("Delivery", "projects properties", _LIST)),
    **dict(_each("Project", "streams buildEnvironments properties", _LIST)),
    **dict(_each("CmsDetails", "overriddenEnvironmentConfigurations", _LIST)),
    **dict(_each("Promotion", "artifacts checkedWebhooks", _LIST)),
    **dict(_each("ValidationProblem", "violations", _LIST)),
    **dict(_each("ImportReleasePayload", "warnings", _LIST)),
    **dict(_each("VerifyArtifactsPayload", "warnings", _LIST)),
    # Free JSON: large values are charged by their bytes.
    **dict(_each("Release", "metadata", _FREE)),
    **dict(_each("Artifact", "metadata", _FREE)),
    **dict(_each("DockerImage", "metadata", _FREE)),
    **dict(_each("FieldChange", "before after", _FREE)),
    **dict(_each("ItemChange", "before after", _FREE)),
    **dict(_each("Event", "data", _FREE)),
    # A transaction, for which the other writers of the tenant wait.
    **dict(_each("Mutation", "*", Price(points=10))),
    "Subscription.events": _ONE,
}  # fmt: skip


def find_price(type_: str, field: str) -> Price | None:
    """Return the price of a field; None if it has none."""
    known = PRICES.get(f"{type_}.{field}") or PRICES.get(f"{type_}.*")
    if known is None and type_.endswith("Connection"):
        known = PRICES.get(f"*Connection.{field}")
    return known
