"""Files of a release."""


def extension(name: str) -> str | None:
    """What follows the last dot of a file name; None where nothing does, as in .profile or README."""
    stem, dot, end = name.rpartition(".")
    return end if stem and dot and end else None
