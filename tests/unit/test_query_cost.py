"""The price list names every field that is a list, takes arguments or reads something."""

from collections.abc import Iterator

import pytest
from graphql import (
    GraphQLField,
    get_named_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

from release_catalog.graphql_api.limits import query_cost
from release_catalog.graphql_api.schema import schema
from release_catalog.query_engine.field_source import SOURCE

TYPES = schema._schema.type_map
# The filters that an index finds few entries for.
SELECTIVE = set(
    "catalogId productId productKey name version branch tag author deliveryStatus createdFrom createdBefore "
    "artifactSha256 baseImageId registryId pipelineId".split()
)


def fields() -> Iterator[tuple[str, str, GraphQLField]]:
    for type_ in TYPES.values():
        if is_object_type(type_) and not type_.name.startswith("__"):
            yield from ((type_.name, name, field) for name, field in type_.fields.items())


def needs_price(field: GraphQLField) -> bool:
    """Whether its work is not bounded by the point of its object."""
    kind = field.type.of_type if is_non_null_type(field.type) else field.type
    named = get_named_type(field.type)
    definition = field.extensions["strawberry-definition"]
    how = definition.metadata.get(SOURCE)
    is_pure = definition.base_resolver is None or bool(how and how.value)
    is_long = is_list_type(kind) and (not is_leaf_type(named) or named.name == "JSON")
    return is_long or bool(field.args) or named.name == "JSON" or not is_pure


PRICED = [(type_, name) for type_, name, field in fields() if needs_price(field)]


@pytest.mark.parametrize(("type_", "name"), PRICED, ids=[".".join(pair) for pair in PRICED])
def test_every_list_and_every_field_that_reads_has_a_price(type_: str, name: str) -> None:
    assert query_cost.find_price(type_, name) is not None, f"give {type_}.{name} a price in query_cost.py"


def test_the_price_list_names_nothing_else() -> None:
    known = {f"{type_}.{name}" for type_, name, _ in fields()}
    for named in query_cost.PRICES:
        assert "*" in named or named in known, named


def test_every_list_has_a_length() -> None:
    """From an argument, from the price list, or from the page that it is part of."""
    for type_, name, field in fields():
        kind = field.type.of_type if is_non_null_type(field.type) else field.type
        price = query_cost.find_price(type_, name)
        if is_list_type(kind) and price and not is_leaf_type(get_named_type(kind)):
            sized = price.entries is not None or not query_cost.SIZE_ARGUMENTS.keys().isdisjoint(field.args)
            of_bulk = type_ in {"CreateReleasesPayload", "ImportReleasesPayload"}
            assert sized or type_.endswith("Connection") or of_bulk or type_ == "DependencyGraph", (
                f"{type_}.{name}"
            )


def test_every_priced_argument_exists() -> None:
    for named, price in query_cost.PRICES.items():
        type_, _, name = named.partition(".")
        for argument in price.arguments:
            of, _, inner = argument.partition(".")
            found = TYPES[type_].fields[name].args[of].type  # type: ignore[attr-defined]
            assert not inner or inner in get_named_type(found).fields


def test_every_filter_has_a_price_or_an_index() -> None:
    filter_ = TYPES["ReleaseFilter"]
    assert is_input_object_type(filter_)
    priced = {name.removeprefix("filter.") for name in query_cost.PRICES["Query.releases"].arguments}
    assert filter_.fields.keys() == priced | SELECTIVE
    assert not priced & SELECTIVE
