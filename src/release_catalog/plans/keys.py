"""Which parts of documents are read: the dotted paths that a projection names."""

# None stands for whole documents, an empty set for their existence alone.
Keys = frozenset[str] | None

NOTHING: Keys = frozenset()
WHOLE: Keys = None


def union(*some: Keys) -> Keys:
    """What any of them needs."""
    return None if None in some else frozenset().union(*(keys for keys in some if keys is not None))


def under(keys: Keys, key: str) -> Keys:
    """What of `keys` lies in the document under `key`, as paths within it."""
    if keys is None or key in keys:
        return None
    return frozenset(path.removeprefix(f"{key}.") for path in keys if path.startswith(f"{key}."))


def within(keys: Keys, key: str) -> Keys:
    """The paths that lead to `keys` of the document under `key`."""
    return frozenset(f"{key}.{path}" for path in keys) if keys else frozenset({key})


def beside(keys: Keys, key: str) -> Keys:
    """What of `keys` does not lie under `key`."""
    return None if keys is None else frozenset(path for path in keys if path.partition(".")[0] != key)
