"""Queries made up from the schema: any fields, fragments, aliases, arguments and directives, good and bad."""

import dataclasses
import json
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from hypothesis import strategies as st

from release_catalog.domain import node_ids
from release_catalog.graphql_api.schema import schema

TYPES = schema._schema.type_map
QUERY = schema._schema.query_type
ARGO = "64455e6bd3c480fd58546c75"
IDS = [ARGO, "13607", "default", "nobody", "5e1f0c3a9b7d4e2f8a6c0003", "DEV"]
TEXTS = [
    "libc6",
    "git",
    "catalina",
    "1.0.0",
    "QA",
    "bookworm",
    "stable",
    "linux/amd64",
    ">=1",
    "1684477329586",
    "x",
    "",
]
# Most queries ask for little and do so rightly, or nothing but errors would be compared.
SIZES = [1, 2, 3, 4] * 5 + [0, 101]
VALUES: dict[str, list[str]] = {
    "Boolean": ["true", "false", "$yes", "$no"],
    "Int": [str(size) for size in SIZES],
    "DateTime": ['"2023-06-10T00:00:00Z"', '"2023-06-10T02:00:00.5+02:00"'],
    "Date": ['"2023-06-10"'],
    "ID": [f'"{id_}"' for id_ in IDS],
    "String": [f'"{text}"' for text in TEXTS],
}


@dataclasses.dataclass
class Asked:
    """A document with its variables."""

    draw: Any
    fragments: list[str] = dataclasses.field(default_factory=list)
    names: int = 0

    def selection(self, kind: GraphQLObjectType, depth: int) -> str:
        """Return a selection of a type."""
        some = list(kind.fields) if depth else [n for n, f in kind.fields.items() if is_leaf_type(_bare(f.type))]
        some.append("__typename")
        chosen = self.draw(st.lists(st.sampled_from(some), min_size=1, max_size=5 if depth < 3 else 3))
        return " ".join(self.part(kind, name, depth) for name in chosen)

    def part(self, kind: GraphQLObjectType, name: str, depth: int) -> str:
        """A field, bare or in a fragment."""
        field = self.field(kind, name, depth)
        form = self.draw(st.sampled_from(["bare"] * 8 + ["typed", "untyped", "named", "twice"]))
        if form == "typed":
            return f"... on {kind.name} {self.steered()} {{ {field} }}"
        if form == "untyped":
            return f"... {self.steered()} {{ {field} }}"
        if form == "bare":
            return field
        self.names += 1
        self.fragments.append(f"fragment F{self.names} on {kind.name} {{ {field} }}")
        return f"...F{self.names} {self.steered()}" + (f" ...F{self.names}" if form == "twice" else "")

    def field(self, kind: GraphQLObjectType, name: str, depth: int) -> str:
        """A field with its arguments and what is asked of its value."""
        self.names += 1
        alias = self.draw(st.sampled_from(["", "", f"a{self.names}: "]))
        if name == "__typename":
            return f"{alias}__typename {self.steered()}"
        field = kind.fields[name]
        given = [f"{n}: {self.value(a, name)}" for n, a in field.args.items() if self.gives(n, a)]
        if given:
            alias = f"a{self.names}: "
        arguments = f"({', '.join(given)})" if given else ""
        named = _bare(field.type)
        inner = f"{{ {self.selection(named, depth - 1)} }}" if isinstance(named, GraphQLObjectType) else ""
        if isinstance(named, GraphQLInterfaceType):
            # Fields of two types would contradict each other.
            some = self.draw(st.sampled_from(schema._schema.get_possible_types(named)))
            inner = f"{{ __typename nodeId ... on {some.name} {{ {self.selection(some, depth)} }} }}"
        return f"{alias}{name}{arguments} {self.steered()} {inner}"

    def gives(self, name: str, argument: GraphQLArgument) -> bool:
        """Whether an argument is given: those always that keep the answer small."""
        if name in {"first", "maxNodes", "maxDepth", "maxLength", "id"} or is_non_null_type(argument.type):
            return True
        rarely = name in {"after", "before", "last", "constraint"}
        return bool(self.draw(st.integers(0, 30 if rarely else 8)) == 0)

    def value(self, argument: Any, of: str = "") -> str:
        """A literal for an argument of the field `of`, or for an input field."""
        kind = argument.type
        if of == "nodes":
            some = self.draw(st.lists(st.sampled_from([*NODE_IDS, "x"]), max_size=4))
            return f"[{', '.join(map(json.dumps, some))}]"
        if of in KNOWN and self.draw(st.integers(0, 9)):
            return f'"{self.draw(st.sampled_from(KNOWN[of]))}"'
        if is_list_type(getattr(kind, "of_type", kind) if is_non_null_type(kind) else kind):
            return f"[{self.literal(_bare(kind))}]"
        return self.literal(_bare(kind))

    def literal(self, kind: GraphQLNamedType) -> str:
        if isinstance(kind, GraphQLEnumType):
            return str(self.draw(st.sampled_from(list(kind.values))))
        if isinstance(kind, GraphQLInputObjectType):
            names = self.draw(st.lists(st.sampled_from(list(kind.fields)), max_size=2, unique=True))
            return f"{{ {', '.join(f'{n}: {self.value(kind.fields[n])}' for n in names)} }}"
        return str(self.draw(st.sampled_from(VALUES[kind.name])))

    def steered(self) -> str:
        """A directive, now and then."""
        return str(
            self.draw(st.sampled_from([""] * 9 + ["@skip(if: $no)", "@include(if: $yes)", "@skip(if: $yes)"]))
        )


NODE_IDS = [
    node_ids.encode(*key)
    for key in (
        ("Release", ARGO), ("Release", "13607"), ("Product", "5e1f0c3a9b7d4e2f8a6c0003"), ("Catalog", "default"),
        ("Pipeline", "12345"), ("Project", "10000"), ("Event", "0000000000000001"), ("Environment", "nobody"),
    )
]  # fmt: skip
# What most arguments of some fields are, so that most of these find something.
KNOWN = {
    "release": [ARGO, "13607"],
    "product": ["5e1f0c3a9b7d4e2f8a6c0003"],
    "environment": ["QA", "PROD"],
    "catalog": ["default", "d16c7f4d-b38a-405b-a1ca-3ac0a79418c1"],
    "pipeline": ["12345", "94bd3a9b-ddfd-4b7e-ac56-200b8a73484d"],
    "project": ["10000"],
    "registry": ["549cfa79-352c-4555-9d28-4442de551829"],
    "baseImage": ["d16c7f4d-b38a-405b-a1ca-3ac0a79418c1"],
    "node": NODE_IDS,
}


def _bare(kind: Any) -> Any:
    return get_named_type(kind)


@st.composite
def queries(draw: Any) -> str:
    """A document; its variables are `yes` and `no`, both optional."""
    asked = Asked(draw)
    assert QUERY
    roots = draw(st.lists(st.sampled_from(list(QUERY.fields)), min_size=1, max_size=3))
    fields = " ".join(asked.part(QUERY, name, draw(st.integers(1, 5))) for name in roots)
    both = "both: __typename @skip(if: $no) @include(if: $yes)"
    return "\n".join(
        [f"query($yes: Boolean = true, $no: Boolean = false) {{ {both} {fields} }}", *asked.fragments]
    )
