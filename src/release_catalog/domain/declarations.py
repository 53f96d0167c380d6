"""The declaration of a field, in the annotation of its key in the type of a stored document.

The type of a document is a TypedDict whose keys are annotated with a `Field`. The parser of an input, the default,
the rules for updates, the comparison, the search term, the HAL name and the description all follow from it.
"""

import copy
import dataclasses
import enum
import typing
from collections.abc import Mapping
from typing import Any

from release_catalog.domain.validation import FieldParser, FieldParsers


class SetBy(enum.Enum):
    """The requests that set a field."""

    SERVER = "no input gives it"
    CREATION = "given when the document is created, and kept for good"
    UPDATE = "given when the document is created or updated; replacing the document resets it"


class _Required(enum.Enum):
    REQUIRED = "the field has no default"


REQUIRED = _Required.REQUIRED


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a stored document."""

    # For GraphQL clients, and for the inputs that give the field.
    description: str
    # Reads the field of an input; None if no input has it, or if other rules read it.
    parse: FieldParser | None = None
    _: dataclasses.KW_ONLY
    default: Any = None
    set_by: SetBy = SetBy.UPDATE
    # Whether it may still change after publication.
    mutable: bool = False
    # The kind of the search term that holds the field's value.
    term: str | None = None
    # The key in HAL documents (S5).
    hal: str | None = None
    # Whether it is compared when two releases are.
    compared: bool = True


def fields_of(document_type: Any) -> Mapping[str, Field]:
    """Return the declared fields of a document by name, in the order of their declaration."""
    annotations = typing.get_type_hints(document_type, include_extras=True)
    found: dict[str, Field] = {}
    for name, annotation in annotations.items():
        # NotRequired may stand around the annotation.
        inner = (
            typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.NotRequired else annotation
        )
        for declaration in getattr(inner, "__metadata__", ()):
            if isinstance(declaration, Field):
                found[name] = declaration
    return found


def parsers(fields: Mapping[str, Field]) -> FieldParsers:
    """Return the parsers of the fields that inputs give."""
    return {name: field.parse for name, field in fields.items() if field.parse}


def descriptions(fields: Mapping[str, Field]) -> Mapping[str, str]:
    """Return the descriptions of the fields by name."""
    return {name: field.description for name, field in fields.items()}


def defaults(fields: Mapping[str, Field], *set_by: SetBy) -> dict[str, Any]:
    """Return the defaults of the fields set by `set_by`, each a new object."""
    return {
        name: copy.deepcopy(field.default) if isinstance(field.default, list | dict) else field.default
        for name, field in fields.items()
        if field.set_by in set_by and field.default is not REQUIRED
    }
