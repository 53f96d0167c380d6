"""PEP440: versions of Python packages, as the library `packaging` compares them."""

from packaging.specifiers import InvalidSpecifier, Specifier
from packaging.version import InvalidVersion, Version

from release_catalog.domain.version_schemes.key_ranges import (
    PRE_RELEASE_END,
    RELEASE_END,
    KeyRanges,
    Ranges,
    below,
    complement,
    exactly,
    intersection,
    intersections,
)
from release_catalog.domain.version_schemes.scheme import MAX_VERSION, OPERATORS, VersionScheme, number

# The marks after the numbers of a release, in rising order; a further number is above all of them.
_DEV_ONLY = "0"
_PHASES = {"a": "1", "b": "2", "rc": "3"}
_FINAL = "4"
_FURTHER = "5"
_OPERATORS = frozenset(["", "=", "==", "!=", "<", "<=", ">", ">=", "~="])
# Within a phase: without and with a post-release number, and above all of these.
_NO_POST = "0"
_POST = "1"
_AFTER_POSTS = "2"
_DEV = "0"
_NO_DEV = "1"
# Without and with a local version, and above all of these.
_NO_LOCAL = "0"
_LOCAL = "1"
_AFTER_LOCALS = "2"


class Pep440(VersionScheme):
    """Versions of Python packages."""

    name = "PEP440"
    form = (
        "give [N!]N(.N)*[aN|bN|rcN][.postN][.devN][+local] as PEP 440 defines it, such as 1.4, 1.4rc1, 1.4.post1, "
        "1.4.dev3 or 1.4+local"
    )
    forms = f"{OPERATORS}; or ~=1.4, ==1.* and !=1.*"

    def key(self, version: str) -> str | None:
        """Return the key of a version that `packaging` takes."""
        try:
            return _key(Version(version)) if version == version.strip() else None
        except InvalidVersion:
            return None

    def constraint(self, text: str) -> list[KeyRanges]:
        """Return the keys that a constraint allows.

        Pre-releases count if the constraint names one, and otherwise where no release fits.
        """
        specifiers = [self._specifier(clause.strip()) for clause in text.split(",")]
        ranges = intersections([_allowed(specifier) for specifier in specifiers])
        everything = KeyRanges(ranges, ranges)
        if any(specifier.prereleases for specifier in specifiers):
            return [everything]
        return [KeyRanges(ranges, ()), everything]

    def _specifier(self, text: str) -> Specifier:
        version = text.lstrip("<>=!~")
        operator = text[: len(text) - len(version)]
        try:
            if operator in _OPERATORS and len(version.strip()) <= MAX_VERSION:
                return Specifier(("==" if operator in {"", "="} else operator) + version)
        except InvalidSpecifier:
            pass
        raise self._misused(operator, version.strip(), text)

    def _misused(self, operator: str, version: str, text: str) -> ValueError:
        """Return the error for a comparison that `packaging` does not take."""
        number = version.removesuffix(".*")
        if operator not in _OPERATORS or not number[:1].isalnum():
            return self.no_constraint(text)
        if self.key(number) is None or len(number) > MAX_VERSION:
            return self.no_version(number)
        if operator == "~=" and len(Version(number).release) == 1:
            reason = f"~= needs a version of at least two numbers, which {version!r} is not"
        elif number != version:
            reason = f"{text!r} has a .*, which only == and != take, after numbers alone"
        else:
            reason = f"{text!r} has a local version, which only == and != take"
        return ValueError(f"{reason}: {self.forms}.")


def _allowed(specifier: Specifier) -> Ranges:
    """Return the keys that a specifier allows, pre-releases included."""
    operator, text = specifier.operator, specifier.version
    if text.endswith(".*"):
        series = _series(Version(text.removesuffix(".*")).epoch, Version(text.removesuffix(".*")).release)
        return series if operator == "==" else complement(series)
    version = Version(text)
    public = _public(version)
    same = exactly(_key(version)) if version.local else ((public, public + _AFTER_LOCALS),)
    match operator:
        case "~=":
            ranges = intersection(((public, None),), _series(version.epoch, version.release[:-1]))
        case ">=":
            ranges = ((public, None),)
        case ">":
            ranges = ((_above(version), None),)
        case "<":
            ranges = below(_lowest(version))
        case "<=":
            ranges = below(public + _AFTER_LOCALS)
        case "!=":
            ranges = complement(same)
        case _:
            ranges = same
    return ranges


def _series(epoch: int, release: tuple[int, ...]) -> Ranges:
    """Return the keys of `==1.2.*`: of all versions whose numbers begin with these."""
    following = (*release[:-1], release[-1] + 1)
    return ((_numbers(epoch, release) + _DEV_ONLY, _numbers(epoch, following) + _DEV_ONLY),)


def _above(version: Version) -> str:
    """Return where `>1.2` begins: above the local versions and the post-releases of 1.2."""
    if version.dev is None and version.post is None:
        return _phase(version) + _AFTER_POSTS
    return _public(version) + _AFTER_LOCALS


def _lowest(version: Version) -> str:
    """Return where `<1.2` ends: below the pre-releases of 1.2, unless it is one itself."""
    if version.is_prerelease:
        return _public(version)
    if version.post is None:
        return _numbers(version.epoch, version.release) + _DEV_ONLY
    return _phase(version) + _post(version) + _DEV


def _key(version: Version) -> str:
    end = PRE_RELEASE_END if version.is_prerelease else RELEASE_END
    if version.local is None:
        return _public(version) + _NO_LOCAL + end
    return _public(version) + _LOCAL + "".join(map(_local_part, version.local.split("."))) + end


def _public(version: Version) -> str:
    """Return the key of a version without its local part."""
    dev = _NO_DEV if version.dev is None else _DEV + number(str(version.dev))
    return _phase(version) + _post(version) + dev


def _post(version: Version) -> str:
    return _NO_POST if version.post is None else _POST + number(str(version.post))


def _phase(version: Version) -> str:
    """Return the key of the numbers and the pre-release of a version."""
    numbers = _numbers(version.epoch, version.release)
    if version.pre:
        return numbers + _PHASES[version.pre[0]] + number(str(version.pre[1]))
    return numbers + (_DEV_ONLY if version.post is None and version.dev is not None else _FINAL)


def _numbers(epoch: int, release: tuple[int, ...]) -> str:
    """Return the key of an epoch and of a release without the zeros at its end."""
    used = len(release)
    while used and not release[used - 1]:
        used -= 1
    return number(str(epoch)) + "".join(_FURTHER + number(str(part)) for part in release[:used])


def _local_part(part: str) -> str:
    return f"3{number(part)}" if part.isdecimal() else f"2{part}\t"
