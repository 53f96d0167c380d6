"""The order of versions, as text that sorts bytewise in that order.

A version becomes one key when its release is stored, so that the database orders by it and an index answers "the
highest". Each scheme has its own keys (see `domain.version_schemes`).
"""

import functools
from typing import Literal

from release_catalog.domain.version_schemes.debian import Debian
from release_catalog.domain.version_schemes.dotted import Dotted
from release_catalog.domain.version_schemes.key_ranges import KeyRanges
from release_catalog.domain.version_schemes.maven import Maven
from release_catalog.domain.version_schemes.natural import Natural
from release_catalog.domain.version_schemes.pep440 import Pep440
from release_catalog.domain.version_schemes.scheme import MAX_CONSTRAINT, MAX_VERSION, VersionScheme
from release_catalog.domain.version_schemes.semver import Semver

Scheme = Literal["DOTTED", "SEMVER", "ANY", "DEBIAN", "PEP440", "MAVEN"]

_ANY = Natural()
_SCHEMES: dict[Scheme, VersionScheme] = {
    "DOTTED": Dotted(),
    "SEMVER": Semver(),
    "ANY": _ANY,
    "DEBIAN": Debian(),
    "PEP440": Pep440(),
    "MAVEN": Maven(),
}
# The mark that begins the keys of versions that do not match their scheme.
_ODD = "!"


def problem(scheme: Scheme, version: str) -> str | None:
    """Return the reason why `version` is invalid in `scheme`, or None."""
    if not 1 <= len(version) <= MAX_VERSION:
        return f"The version has {len(version)} characters: give 1 to {MAX_VERSION}."
    if not _SCHEMES[scheme].is_valid(version):
        return f"{version!r} is not a {scheme} version: {_SCHEMES[scheme].form}."
    return None


# Most releases share a revision, and thousands of releases depend on the most popular versions.
@functools.lru_cache(4_096)
def sort_key(scheme: Scheme, version: str) -> str:
    """Return a text that orders as `version` does among others of `scheme`.

    A version that does not match its scheme (a product may change its scheme) is ordered as in ANY, below all
    versions that do.
    """
    key = _SCHEMES[scheme].key(version)
    return _ODD + _ANY.key(version) if key is None else key


def release_keys(scheme: Scheme, version: str, revision: str) -> dict[str, str]:
    """Return the keys that order a release among those of its product, which has this scheme."""
    return {"versionKey": sort_key(scheme, version), "revisionKey": sort_key("ANY", revision)}


def constraint(scheme: Scheme, text: str) -> list[KeyRanges]:
    """Return the sort keys that a constraint such as `>=1.2,<2` allows.

    Of several answers, the first that any release fits counts. Raise ValueError with the reason if the constraint
    is invalid.
    """
    if len(text) > MAX_CONSTRAINT:
        raise ValueError(
            f"the version constraint has {len(text)} characters: give at most {MAX_CONSTRAINT}. In it, "
            f"{_SCHEMES[scheme].forms}."
        )
    return _SCHEMES[scheme].constraint(text)
