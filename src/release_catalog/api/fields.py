"""How fields read documents: by name, by a pure function, or as a relation to another document.

A plain field reads the document's key of its own GraphQL name, so no object is built for a document.
"""

from collections.abc import Callable
from typing import Any

import orjson
import strawberry
from strawberry.utils.str_converters import to_camel_case

from release_catalog.plans.context import Info
from release_catalog.store.database import Document

_keys: dict[str, str] = {}


def read(source: Any, name: str) -> Any:
    """Strawberry's default resolver: the value of a document's key, or of a refusal's attribute."""
    if not isinstance(source, dict):
        return getattr(source, name)
    key = _keys.get(name)
    if key is None:
        key = _keys[name] = to_camel_case(name)
    return source[key]


def computed(value: Callable[[Document], Any], description: str, *, name: str | None = None) -> Any:
    """A field that a pure function makes from the document."""

    def resolve(root: strawberry.Parent[Document]) -> Any:
        return value(root)

    return strawberry.field(resolver=resolve, description=description, name=name)


def json_text(description: str, key: str = "metadata") -> Any:
    """A field of free JSON, which documents keep as text so that it comes back to the letter."""
    return computed(lambda document: None if document[key] is None else orjson.loads(document[key]), description)


def one(collection: str, key: str, description: str) -> Any:
    """A relation to the document of `collection` whose id stands under `key`."""

    def resolve(root: strawberry.Parent[Document], info: Info) -> Any:
        return info.context.one(collection, root[key])

    return strawberry.field(resolver=resolve, description=description)
