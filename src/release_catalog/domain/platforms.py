"""Platforms of artifacts: a bare name such as win64, or an os/architecture pair such as linux/amd64."""

from collections.abc import Mapping, Sequence
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


def united(*groups: Sequence[Mapping[str, Any]]) -> list[PlatformDocument]:
    """Return the distinct platforms of the entries in `groups`, in order of first mention."""
    found = (entry["platform"] for group in groups for entry in group if entry["platform"])
    return list({platform["name"]: platform for platform in found}.values())
