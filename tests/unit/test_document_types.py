"""Types of stored documents: they have the fields that inputs give."""

from typing import Any, get_args, get_type_hints

import pytest

from release_catalog.domain import reference_data
from release_catalog.storage import collection_names
from release_catalog.storage.collection_names import CollectionName

# The fields that no input gives.
SET_BY_SERVER = {"_id", "id", "tenantId"}
MORE = {"catalogs": {"createdAt"}, "products": {"catalogId", "schemeChange"}}
TYPES: dict[str, Any] = {
    collection: get_args(kind)[0]
    for name, kind in collection_names.__annotations__.items()
    if isinstance(collection := getattr(collection_names, name), CollectionName)
}


@pytest.mark.parametrize("collection", reference_data._READERS)
def test_reference_data_has_the_fields_that_inputs_give(collection: str) -> None:
    given = reference_data.defaults(collection).keys()
    assert given | SET_BY_SERVER | MORE.get(collection, set()) == get_type_hints(TYPES[collection]).keys()
