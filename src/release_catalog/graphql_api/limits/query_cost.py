"""The maximum cost of an operation, from its document and its arguments, before anything is read.

The price list holds the price of each field of the schema, declared once; below it, prices are multiplied and
added up. Each object that a field answers with costs a point, times the sizes of the pages around it. The list
holds the other prices of a field and the assumed length of its list, for every field that is a list, takes
arguments or reads something. A test fails for a new one that has no price.

These prices are charged before anything is read. They are bounds for fields with pages, and typical for fields
without. `usage.Usage.points` counts the real use, and the caller pays the rest if that is more: objects, bytes,
releases walked and index entries counted.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from release_catalog.graphql_api.limits import bulk_size
from release_catalog.graphql_api.limits.filter_prices import FILTERS, set_names
from release_catalog.storage.dependency_traversal import MAX_NODES
from release_catalog.storage.pagination import MAX_PAGE
from release_catalog.storage.release_filters import NESTED

# A walk reads little of each release: this many of them cost a point.
WALKED_A_POINT = 50
# The arguments that give the number of entries, as a number or as a list, and the maximum that each allows.
SIZE_ARGUMENTS: Mapping[str, int] = MappingProxyType(
    {"first": MAX_PAGE, "last": MAX_PAGE, "maxNodes": MAX_NODES, "nodeIds": MAX_PAGE}
)
# A page without a size, and entries of lists that stand in their documents.
PAGE, FEW = 20, 5
# The price of introspection, whose responses are walked field by field.
INTROSPECTION = 20


@dataclasses.dataclass(frozen=True)
class Price:
    """The price of a field: `points` for itself, and the prices of the `arguments` that are present.

    `entries` is the length of its list if no argument gives it. The fields below an entry come `back` times as
    often. A `walk` costs by its maximum length, whatever is requested of the releases it finds. A `bulk` costs its
    points for each entry of its input.
    """

    points: int = 0
    entries: int | None = None
    arguments: Mapping[str, int] = dataclasses.field(default_factory=dict)
    back: int = 1
    walk: bool = False
    bulk: bool = False


def _each(type_: str, fields: str, price: Price) -> Iterable[tuple[str, Price]]:
    return ((f"{type_}.{field}", price) for field in fields.split())


_ONE = Price()
_FREE = Price()
_PAGE = Price()
_LIST = Price(entries=FEW)
_RELEASES = Price(arguments=FILTERS)
_NAMED = Price(arguments={"nameContains": 50})
# A count goes through the index; a point for each thousand entries is charged afterwards.
_COUNT = Price(points=5)
_FACET = Price(points=5, entries=20)
# The versions of a product are searched from the highest until one fits.
_LATEST = Price(points=1, arguments={"platform": 5, "branch": 2, "constraint": 1})
# Lists without pages, of which a tenant has a few entries; up to a thousand, which then are charged afterwards.
_REGISTRY = Price(points=1, entries=20)

PRICES: Mapping[str, Price] = {
    # One document by its id or name, or nothing that has to be read.
    **dict(_each("Query", "viewer rateLimit catalog release environment promotion pipeline project", _ONE)),
    **dict(_each("Query", "registry baseImage webhook node", _ONE)),
    # As many documents as there are ids.
    "Query.nodes": _PAGE,
    # By its key, it may be one of a hundred catalogs.
    "Query.product": Price(arguments={"key": 2}),
    **dict(_each("Product", "catalog", _ONE)),
    **dict(_each("Release", "catalog product baseImage registry pipeline", _ONE)),
    **dict(_each("Withdrawal", "replacement", _ONE)),
    **dict(_each("ReleaseInEnvironment", "environment promotion", _ONE)),
    **dict(_each("ProductInEnvironment", "environment", _ONE)),
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
    "Query.products": _NAMED,
    **dict(_each("Query", "catalogs pipelines projects registries baseImages", _NAMED)),
    **dict(_each("Query", "promotions", _PAGE)),
    # For callers who do not see all, each event, path and record is checked against its release until a page is
    # full.
    "Query.events": Price(points=5, arguments={"types": 5}),
    **dict(_each("Catalog", "products", _PAGE)),
    **dict(_each("Release", "dependants promotions", _PAGE)),
    **dict(_each("ReleaseLinks", "dependants", _PAGE)),
    **dict(_each("Environment", "contents promotions releases", _PAGE)),
    **dict(_each("Webhook", "deliveries", _PAGE)),
    # The references of a release stand in its document; most have few.
    "Release.dependencies": Price(entries=10),
    "ReleaseLinks.dependencies": Price(entries=10),
    # Parts of a page, which is read once for all of them. Its lists are as long as the page.
    **dict(_each("*Connection", "nodes edges pageInfo", _FREE)),
    **dict(_each("*Connection", "totalCount", _COUNT)),
    "DependencyConnection.totalCount": _FREE,
    # Each facet goes through all documents; a point for each thousand of them is charged afterwards.
    "ReleaseConnection.facets": _COUNT,
    **dict(_each("ReleaseFacets", "status channel packagingType platform product verification", _FACET)),
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
    # The releases that environments hold are read; a point for each five of them is charged afterwards.
    "Product.inEnvironments": Price(points=2, entries=FEW),
    # Lists that stand in the document of their object.
    **dict(_each("Release", "inEnvironments", _LIST)),
    **dict(_each("ProductInEnvironment", "releases", _LIST)),
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
    **dict(_each("Mutation", "createReleases importReleases", Price(points=10, bulk=True))),
    **dict(_each("CreateReleasesPayload", "results", _FREE)),
    **dict(_each("ImportReleasesPayload", "results", _FREE)),
    "Subscription.events": _ONE,
}  # fmt: skip


def find_price(type_: str, field: str) -> Price | None:
    """Return the price of a field; None if it has none."""
    known = PRICES.get(f"{type_}.{field}") or PRICES.get(f"{type_}.*")
    if known is None and type_.endswith("Connection"):
        known = PRICES.get(f"*Connection.{field}")
    return known


_SIZING = {"Int", "ID", "ReleaseFilter", *bulk_size.TYPES}
# Fewer than there are page sizes: no client uses all of them.
MAX_KEPT = 50


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost in points, and the maximum number of objects in a response, as far as it is known beforehand."""

    points: int
    nodes: int


class QueryCost:
    """The costs of a valid document's operations, each computed once for the arguments that it depends on."""

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self._fragments = fragments
        self._sizing: dict[int, list[str]] = {}
        self._known: dict[Any, Cost] = {}

    def of(self, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Cost:
        """Return the cost of an operation; variables need not be checked yet."""
        sizing = self._sizing.get(id(operation))
        if sizing is None:
            sizing = self._sizing[id(operation)] = [
                definition.variable.name.value
                for definition in operation.variable_definitions or ()
                if getattr(get_named(definition.type), "value", None) in _SIZING
            ]
        key = id(operation), *[_deciding(variables.get(name)) for name in sizing]
        cost = self._known.get(key)
        if cost is None:
            if len(self._known) >= MAX_KEPT:
                self._known.clear()
            cost = self._known[key] = _CostVisitor(self._schema, self._fragments, operation, variables).total()
        return cost


def get_named(type_: Any) -> Any:
    """Return the name node of a type in a document, out of its lists."""
    while hasattr(type_, "type"):
        type_ = type_.type
    return type_.name


def _deciding(value: Any) -> Any:
    """Return the part of a variable's value that decides about a price."""
    size = value.get(bulk_size.LIST) if isinstance(value, dict) else value
    return _int(size), *sorted(set_names(value))


def _int(value: Any) -> int | None:
    # Only as far as it tells sizes apart. GraphQL takes 5.0 for 5.
    value = len(value) if isinstance(value, list) else value
    return int(min(max(value, 0), MAX_NODES + 1)) if type(value) in {int, float} else None


@dataclasses.dataclass(frozen=True)
class _Page:
    """The multipliers of a page's entries, in points and in nodes, and the price of the search for them."""

    points: int
    nodes: int
    search: int = 0
    # Whether entries come by ids of their own, so that the way back from each leads to one parent.
    by_ids: bool = False


_BY_IDS = _Page(FEW, FEW, by_ids=True)
_LIST_PAGE = _Page(FEW, FEW)
_ONE_PAGE = _Page(1, 1)


class _CostVisitor:
    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._operation = operation
        self._known: dict[tuple[str, _Page | None], Cost] = {}
        self._defaults = {d.variable.name.value: d.default_value for d in operation.variable_definitions or ()}
        self._given = {name: variables[name] for name in self._defaults if name in variables}

    def total(self) -> Cost:
        operation = self._operation
        root = self._schema.get_root_type(operation.operation)
        cost = self._selection(root, operation.selection_set, None) if root else Cost(0, 0)
        return Cost(max(1, cost.points), cost.nodes)

    def _selection(self, of: GraphQLNamedType, selection_set: SelectionSetNode, page: _Page | None) -> Cost:
        """Return the cost of a selection on one object of a type; `page` is that of its lists, if it is a page."""
        points = nodes = 0
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                cost = self._field(of, node, page)
            elif isinstance(node, FragmentSpreadNode):
                cost = self._fragment(node.name.value, page)
            else:
                condition = getattr(node, "type_condition", None)
                named = self._schema.type_map[condition.name.value] if condition else of
                cost = self._selection(named, node.selection_set, page)  # type: ignore[attr-defined]
            points, nodes = points + cost.points, nodes + cost.nodes
        return Cost(points, nodes)

    def _fragment(self, name: str, page: _Page | None) -> Cost:
        key = name, page
        if key not in self._known:
            fragment = self._fragments[name]
            of = self._schema.type_map[fragment.type_condition.name.value]
            self._known[key] = self._selection(of, fragment.selection_set, page)
        return self._known[key]

    def _field(self, of: GraphQLNamedType, node: FieldNode, page: _Page | None) -> Cost:
        price = find_price(of.name, node.name.value) or Price()
        field = self._schema.get_field(of, node.name.value)  # type: ignore[arg-type]
        search = self._search(price, node)
        own = price.points * (bulk_size.entries(node, self._given, self._defaults) if price.bulk else 1) + search
        if field is None or node.selection_set is None or is_leaf_type(get_named_type(field.type)):
            counted = page.search if page and node.name.value == "totalCount" else 0
            return Cost(own + counted, 0)
        if of.name.startswith("__") or node.name.value in {"__schema", "__type"}:
            inner = self._selection(get_named_type(field.type), node.selection_set, None)
            return Cost(INTROSPECTION + inner.points, inner.nodes)
        sized, is_list = self._page(price, field, node, search), _is_list(field)
        times = (sized or page or _LIST_PAGE) if is_list else _ONE_PAGE
        named = get_named_type(field.type)
        below = _BY_IDS if is_abstract_type(named) else None if is_list else sized
        inner = self._selection(named, node.selection_set, below)
        own += sized.points if price.walk and sized else 0
        back = 1 if page and page.by_ids else price.back
        return Cost(own + times.points * (1 + back * inner.points), times.nodes * (1 + back * inner.nodes))

    def _search(self, price: Price, node: FieldNode) -> int:
        """Return the points of the arguments that are present."""
        if not price.arguments:
            return 0
        names: list[str] = []
        for argument in node.arguments or ():
            name, value = argument.name.value, argument.value
            names += [name, *(f"{name}.{inner}" for inner in self._inside(value))]
        return sum(price.arguments.get(name, 0) for name in names)

    def _inside(self, value: Any) -> list[str]:
        """Return the priced fields of an input object, in the document or in a variable."""
        if isinstance(value, VariableNode):
            known = self._given.get(value.name.value)
            if isinstance(known, dict | list):
                return set_names(known)
            value = self._defaults.get(value.name.value) if value.name.value not in self._given else None
        if isinstance(value, ListValueNode):
            return [name for one in value.values for name in self._inside(one)]
        if not isinstance(value, ObjectValueNode):
            return []
        found = [field.name.value for field in value.fields if not isinstance(field.value, NullValueNode)]
        nested = [field.value for field in value.fields if field.name.value in NESTED]
        return found + [name for one in nested for name in self._inside(one)]

    def _page(self, price: Price, field: GraphQLField, node: FieldNode, search: int) -> _Page | None:
        """Return the page of a field, of the requested size or of its default size."""
        arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
        for argument, most in SIZE_ARGUMENTS.items():
            if argument in field.args and argument in arguments:
                size = self._size(arguments[argument])
                if size is not None:
                    return _page(min(max(size, 1), most), argument, search)
        if price.bulk:
            return _page(bulk_size.entries(node, self._given, self._defaults), "", search)
        if price.entries is not None:
            return _page(price.entries, "", search)
        for argument in SIZE_ARGUMENTS:
            if argument in field.args:
                default = field.args[argument].default_value
                return _page(default if isinstance(default, int) else PAGE, argument, search)
        return None

    def _size(self, node: Any) -> int | None:
        if isinstance(node, VariableNode):
            name = node.name.value
            if name in self._given:
                return _int(self._given[name])
            node = self._defaults.get(name)
        if isinstance(node, IntValueNode):
            # Longer ones are refused later, and not all of them can be read.
            return _int(int(node.value)) if len(node.value) < len(str(MAX_NODES)) + 2 else MAX_NODES
        if isinstance(node, ListValueNode):
            return len(node.values)
        return None


def _page(size: int, argument: str, search: int) -> _Page:
    return _Page(-(-size // WALKED_A_POINT) if argument == "maxNodes" else size, size, search)


def _is_list(field: GraphQLField) -> bool:
    kind = field.type.of_type if is_non_null_type(field.type) else field.type
    return is_list_type(kind)
