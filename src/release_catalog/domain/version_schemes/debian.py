"""DEBIAN: versions as dpkg compares them (deb-version(7))."""

import re

from release_catalog.domain.version_schemes.scheme import VersionScheme, number

_VERSION = re.compile(r"(?:([0-9]++):)?([0-9][A-Za-z0-9.+~:-]*+)", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9.+~]++", re.ASCII)
_PAIR = re.compile(r"([^0-9]*+)([0-9]*+)", re.ASCII)
_MAX_EPOCH = 2**31 - 1
# The end of a text is above `~` and below letters, which stand for themselves; other characters are above these.
_END = "#"
_CHARACTERS = str.maketrans("~+-.:", "!{|}~")


class Debian(VersionScheme):
    """Versions of Debian packages: [epoch:]upstream[-revision]."""

    name = "DEBIAN"
    form = (
        "give [epoch:]upstream[-revision] of letters, digits and . + ~ -, with a digit first, such as "
        "2.36-9+deb12u14 or 1:1.2~rc1"
    )

    def key(self, version: str) -> str | None:
        """Return the key of a version that `dpkg --validate-version` takes."""
        match = _VERSION.fullmatch(version)
        if not match or int(match[1] or "0") > _MAX_EPOCH:
            return None
        upstream, hyphen, revision = match[2].rpartition("-")
        if not hyphen:
            upstream, revision = revision, "0"
        if not match[1] and ":" in upstream:
            return None
        if not upstream or not _REVISION.fullmatch(revision):
            return None
        return number(match[1] or "") + _part(upstream) + _part(revision)


def _part(text: str) -> str:
    """Return the key of an upstream version or a revision: texts and numbers in turn, a missing number being 0."""
    pairs = _PAIR.findall(text)[:-1]  # the last one is empty
    return "".join(f"{letters.translate(_CHARACTERS)}{_END}{number(digits)}" for letters, digits in pairs) + _END
