"""Projections: the dotted paths to read of documents."""

# None stands for whole documents, an empty set for their existence alone.
FieldPaths = frozenset[str] | None

NONE: FieldPaths = frozenset()
ALL: FieldPaths = None


def union(*some: FieldPaths) -> FieldPaths:
    """Return the union of several projections."""
    return None if None in some else frozenset().union(*(keys for keys in some if keys is not None))


def subpaths(keys: FieldPaths, key: str) -> FieldPaths:
    """Return the part of `keys` in the document under `key`, as paths within it."""
    if keys is None or key in keys:
        return None
    return frozenset(path.removeprefix(f"{key}.") for path in keys if path.startswith(f"{key}."))


def prefixed(keys: FieldPaths, key: str) -> FieldPaths:
    """Return the paths that lead to `keys` of the document under `key`."""
    return frozenset(f"{key}.{path}" for path in keys) if keys else frozenset({key})


def without(keys: FieldPaths, key: str) -> FieldPaths:
    """Return the part of `keys` that is not below `key`."""
    return None if keys is None else frozenset(path for path in keys if path.partition(".")[0] != key)
