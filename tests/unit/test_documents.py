"""The cache of documents, which frees dropped documents completely."""

import gc
import weakref
from typing import Any

from graphql import Token

from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http.documents import DocumentStore

TEXT = """query ($id: ID!, $all: Boolean! = true) { release(id: $id) {
  name createdAt artifacts { name } _links { self { href } } product @include(if: $all) { key }
  dependants { nodes { id catalog { name } } pageInfo { endCursor } } } }"""


async def test_dropped_documents_are_freed_at_once() -> None:
    def tokens() -> int:
        return sum(type(each) is Token for each in gc.get_objects())

    documents, variables = DocumentStore(schema._schema), {"id": "1", "all": True}
    gc.collect()
    gc.disable()  # what leads in circles would stay until a full collection, which a server puts off for long
    try:
        before = tokens()
        document: Any = await documents.meant({"query": TEXT})
        plan = document.plan(document.operation(None), variables)
        [selection] = plan.fields.values()
        gone = [weakref.ref(each) for each in (document, selection, selection.columns[0].child.make)]
        documents.kept._values.clear()
        del document, plan, selection
        assert [each() for each in gone] == [None, None, None]
        gc.collect(0)  # validation's own, which is young
        assert tokens() == before
    finally:
        gc.enable()
