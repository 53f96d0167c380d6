"""Platforms of artifacts: a bare name such as win64, or an os/architecture pair such as linux/amd64."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict


class PlatformDocument(TypedDict):
    """A platform; a bare name has neither an operating system nor an architecture."""

    name: str
    osFamily: str | None
    architecture: str | None


def parsed(name: str | None) -> PlatformDocument | None:
    """Return a platform as documents store it; S5 has the pair, S1 and S2 the bare name."""
    if not name:
        return None
    family, slash, architecture = name.partition("/")
    pair = bool(slash and family and architecture)
    return {
        "name": name,
        "osFamily": family if pair else None,
        "architecture": architecture if pair else None,
    }


def key(platform: PlatformDocument | None) -> str | None:
    """Return the key of a platform, in which letter case does not count; None for all platforms."""
    return platform["name"].casefold() if platform else None


def search_keys(release: Mapping[str, Any]) -> list[str]:
    """Return the keys of the platforms by which a release is found: its own and those of its files and images.

    A pair is also found by its operating system and by its architecture.
    """
    found = [*release["platforms"], *united(release["artifacts"], release["dockerImages"])]
    names = (name for p in found for name in (p["name"], p["osFamily"], p["architecture"]) if name)
    return list(dict.fromkeys(name.casefold() for name in names))


def united(*groups: Sequence[Mapping[str, Any]]) -> list[PlatformDocument]:
    """Return the distinct platforms of the entries in `groups`, in order of first mention."""
    found = (entry["platform"] for group in groups for entry in group if entry["platform"])
    return distinct(found)


def distinct(found: Iterable[PlatformDocument]) -> list[PlatformDocument]:
    """Return each of the platforms once, as it was first written."""
    platforms: dict[str | None, PlatformDocument] = {}
    for platform in found:
        platforms.setdefault(key(platform), platform)
    return list(platforms.values())
