"""The parts of every version scheme: valid versions, sort keys, and constraints by comparison."""

import abc
import re
from typing import ClassVar

from release_catalog.domain.version_schemes.key_ranges import KeyRanges, Ranges, compared, intersections

MAX_VERSION = 64
MAX_CONSTRAINT = 256
OPERATORS = "give >=, >, <=, <, = or != with a version, several separated by commas, such as '>=1.2,<2'"

# Versions of a constraint begin with a letter or a digit, and have none of the marks of other schemes' ranges.
_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<|=)?\s*+([^\W_][^\s<>=!,^*|()\[\]]*+)")
_X_RANGE = re.compile(r"v?(?:[0-9]++\.)*+[xX](?:\.[xX])*+", re.ASCII)


class VersionScheme(abc.ABC):
    """The rules of one scheme for its versions and their order."""

    name: ClassVar[str]
    # The form of a version, and the forms of a constraint, for people.
    form: ClassVar[str]
    forms: ClassVar[str] = OPERATORS

    @abc.abstractmethod
    def key(self, version: str) -> str | None:
        """Return a text that orders as `version` does among others, or None if it is no version of the scheme."""

    def is_valid(self, version: str) -> bool:
        """Return whether a release may have this version."""
        return self.key(version) is not None

    def constraint(self, text: str) -> list[KeyRanges]:
        """Return the keys that a constraint allows; of several, the first counts that any release fits.

        Raise ValueError with the reason if the constraint is invalid.
        """
        allowed = intersections([self.clause(clause.strip()) for clause in text.split(",")])
        return [KeyRanges(allowed, allowed)]

    def clause(self, text: str) -> Ranges:
        """Return the keys that one comparison allows."""
        match = _CLAUSE.fullmatch(text)
        if not match or _X_RANGE.fullmatch(text):
            raise self.no_constraint(text)
        return self.compared(match[1] or "=", match[2])

    def compared(self, operator: str, version: str) -> Ranges:
        """Return the keys that compare to `version` by one of the six operators."""
        return compared(operator, self.known_key(version))

    def known_key(self, version: str) -> str:
        """Return the key of a version in a constraint."""
        key = self.key(version) if len(version) <= MAX_VERSION else None
        if key is None:
            raise self.no_version(version)
        return key

    def no_version(self, version: str) -> ValueError:
        """Return the error for a version in a constraint that the scheme does not take."""
        if len(version) > MAX_VERSION:
            reason = f"a version in the constraint has {len(version)} characters: give at most {MAX_VERSION}"
        else:
            reason = f"{version!r} is no {self.name} version: {self.form}"
        return ValueError(f"{reason}. In a constraint, {self.forms}.")

    def no_constraint(self, text: str) -> ValueError:
        """Return the error for a part of a constraint that has none of the scheme's forms."""
        reason = f"{text!r} is not a version constraint" if text else "a part of the version constraint is empty"
        return ValueError(f"{reason} for {self.name}: {self.forms}.")


def number(digits: str) -> str:
    """Return a text that orders as the number does: how many digits it has, and these."""
    digits = digits.lstrip("0")
    return f"{len(digits):02d}{digits}"
