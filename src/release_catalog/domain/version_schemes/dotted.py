"""DOTTED: two to four numbers, compared one by one."""

import re

from release_catalog.domain.version_schemes.scheme import VersionScheme, number

_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+){0,3}", re.ASCII)
_NUMBERS = 4
_END = "1"


class Dotted(VersionScheme):
    """Versions of S2, in which a missing number is 0."""

    name = "DOTTED"
    form = "give two to four numbers, such as 1.4 or 1.4.0.2"

    def is_valid(self, version: str) -> bool:
        """Return whether a release may have this version."""
        return "." in version and self.key(version) is not None

    def key(self, version: str) -> str | None:
        """Return the key of one to four numbers; constraints may leave out all but the first."""
        if not _DOTTED.fullmatch(version):
            return None
        numbers = version.split(".")
        return "".join(number(part) for part in numbers + ["0"] * (_NUMBERS - len(numbers))) + _END
