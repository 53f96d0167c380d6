"""The reasons for which settings can't be used."""

from pydantic import ValidationError

PREFIX = "RELEASE_CATALOG_"


def reasons(error: ValidationError) -> list[str]:
    """Return the reasons for which settings can't be used, each with the variable and without a value."""
    # An error about several settings together names them itself.
    return [
        "".join(f"{PREFIX}{str(name).upper()}: " for name in part["loc"])
        + part["msg"].removeprefix("Value error, ").rstrip(".")
        for part in error.errors()
    ]
