"""Search terms: the strings that a release is found by, kept in its document's `terms` for that index.

A term is `<kind>:<value>`. `is:` holds the references that may lead to the release and `needs:` those that it
makes, so its dependencies are one lookup of terms, its dependants another, and a reference to a release that does
not exist yet resolves by itself later. `wants:` holds those by an id that does not exist yet. `in:` holds the
environments that hold something of it, and `word:` the words that a search finds it by.
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict

from release_catalog.domain import platforms, references, search_words, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.references import DependencyDocument
from release_catalog.domain.release import FIELDS, ReleaseDocument
from release_catalog.storage.database import Filter

# The fields that a search looks in, and the kind of their words.
SEARCHED: Final = ("name", "productName", "description", "notes")
WORD = "word:"
# Kinds whose value is a field of the release.
PLAIN = {field.term: name for name, field in FIELDS.items() if field.term}
# Those of them that form 4 of releases added.
LATER = {kind: PLAIN[kind] for kind in ("image", "registry", "pipeline", "creator")}
# Prefixes of an ISO date: century, decade, year, month and day.
_SPANS = (2, 3, 4, 7, 10)


class DerivedFields(TypedDict):
    """The stored fields for finding and ordering a release, which follow every change."""

    terms: list[str]
    # The times to order by, NEVER instead of none.
    releasedKey: datetime.datetime
    publishedKey: datetime.datetime
    # The platforms that it is found by, in lower case.
    platformKeys: list[str]


class StoredReleaseDocument(ReleaseDocument, DerivedFields):
    """A release as it is stored."""

    _id: str


def to_stored(caller: Caller, release: ReleaseDocument) -> StoredReleaseDocument:
    """Return `release` as it is stored: with its key, its terms, and a time to order by."""
    return {**release, "_id": caller.key(release["id"]), **derived(release)}


def derived(release: ReleaseDocument) -> DerivedFields:
    """Return the fields that follow from `release`."""
    keys = platforms.search_keys(release)
    return {
        "terms": [*search_terms(release), *platform_terms(keys), *_later_terms(release)],
        "releasedKey": release["releasedAt"] or timestamps.NEVER,
        "publishedKey": release["publishedAt"] or timestamps.NEVER,
        "platformKeys": keys,
    }


def platform_terms(keys: Iterable[str]) -> list[str]:
    """Return the terms of platforms."""
    return [f"platform:{key}" for key in keys]


def word_terms(release: ReleaseDocument) -> list[str]:
    """Return the terms of the words by which a search finds the release, which are its last ones."""
    texts = [release[name] for name in SEARCHED]
    return [f"{WORD}{word}" for word in search_words.words(text for text in texts if text)]


def with_later_terms(release: StoredReleaseDocument) -> list[str]:
    """Return the terms of a release that was stored before it had those of `LATER`, environments and words."""
    later = (*(f"{kind}:" for kind in LATER), environment_term(""), WORD)
    return [*(term for term in release["terms"] if not term.startswith(later)), *_later_terms(release)]


def _later_terms(release: ReleaseDocument) -> list[str]:
    environments = [environment_term(holding["environment"]) for holding in release["environments"]]
    return [*_plain(release, LATER), *environments, *word_terms(release)]


def _plain(release: Mapping[str, Any], fields: Mapping[str, str]) -> list[str]:
    return [f"{kind}:{value}" for kind, field in fields.items() if (value := release[field]) is not None]


def environment_term(environment: str) -> str:
    """Return the term of the releases of which an environment holds something."""
    return f"in:{environment}"


def search_terms(release: ReleaseDocument) -> list[str]:
    """Return the terms of a release except for its platforms and those of `LATER`, without repetitions."""
    found = _plain(release, {kind: field for kind, field in PLAIN.items() if kind not in LATER})
    found += [f"is:{reference}" for reference in references.reference_keys(release)[: 1 + release["resolvesName"]]]
    found += [term for dependency in release["dependencies"] for term in reference_terms(dependency)]
    found += [f"sha256:{artifact['sha256']}" for artifact in release["artifacts"]]
    if release["delivery"]:
        found.append(f"delivery:{release['delivery']['status']}")
    if day := release["endOfLifeAt"]:
        found += [f"eol:{day[:span]}" for span in _SPANS]
    return list(dict.fromkeys(found))


def reference_terms(dependency: DependencyDocument) -> list[str]:
    """Return the terms of a dependency: the reference that counts, and the id that does not exist yet."""
    found = [f"needs:{dependency['reference']}"]
    if dependency.get("missing") and dependency["releaseId"]:
        found.append(f"wants:{references.by_id(dependency['releaseId'])}")
    return found


def ends_before(day: datetime.date) -> list[str]:
    """Return terms of which a release has exactly one if its end of life is before `day`.

    Whole centuries, then the decades of the last century, its last decade's years, months and days: at most 158
    terms, each an equality for the index where a range would have to be sorted.
    """
    text = day.isoformat()
    found = [f"eol:{century:02d}" for century in range(int(text[:2]))]
    found += [f"eol:{text[:2]}{digit}" for digit in range(int(text[2]))]
    found += [f"eol:{text[:3]}{digit}" for digit in range(int(text[3]))]
    found += [f"eol:{text[:5]}{month:02d}" for month in range(1, day.month)]
    return found + [f"eol:{text[:8]}{number:02d}" for number in range(1, day.day)]


def resolves_any(references_: Iterable[str]) -> Filter:
    """Return a condition for the releases that any of `references_` may lead to."""
    return {"terms": {"$in": [f"is:{reference}" for reference in references_]}}
