"""Validation of cron expressions with five fields, or with Quartz's six or seven (S4 rule 11)."""

import datetime
import re

from cronsim import CronSim, CronSimError

_ANY_DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_MONTHS = dict(zip("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), range(1, 13), strict=True))
_DAYS = dict(zip("SUN MON TUE WED THU FRI SAT".split(), range(1, 8), strict=True))
# The name of each field, its lowest and highest value, the longest step that Quartz takes, names of values.
_QUARTZ: tuple[tuple[str, int, int, int, dict[str, int]], ...] = (
    ("seconds", 0, 59, 59, {}),
    ("minutes", 0, 59, 59, {}),
    ("hours", 0, 23, 23, {}),
    ("day of month", 1, 31, 31, {}),
    ("month", 1, 12, 12, _MONTHS),
    ("day of week", 1, 7, 7, _DAYS),
    ("year", 1970, 2099, 129, {}),
)
_DAY_OF_MONTH, _DAY_OF_WEEK, _YEAR = 3, 5, 6
# All values, one value, or a range; then a step.
_SPAN = re.compile(r"(?:\*|([0-9]{1,4}|[A-Z]{3})(?:-([0-9]{1,4}|[A-Z]{3}))?)?(?:/([0-9]{1,3}))?")
# The last day, up to 30 days before it, or the weekday nearest to it or to a given day.
_FROM_THE_END = re.compile(r"L(?:-(?:[0-9]|[12][0-9]|30))?W?|(?:[1-9]|[12][0-9]|3[01])W")
# Saturday, or the last or nth given weekday of the month.
_ONE_OF_THE_MONTH = re.compile(r"L|(?:[1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(?:L|#[1-5])")


def check(expression: str) -> None:
    """Raise ValueError with the reason unless a scheduler takes `expression`."""
    # Of white space, schedulers know what ASCII has.
    fields = expression.upper().split() if expression.isascii() else []
    if len(fields) == 5:  # noqa: PLR2004  minutes to day of week
        _check_unix(expression)
    elif len(fields) in {_YEAR, _YEAR + 1}:
        _check_quartz(fields)
    else:
        raise ValueError(f"it has {len(fields)} fields; give five, or Quartz's six or seven.")


def _check_unix(expression: str) -> None:
    try:
        CronSim(expression, _ANY_DAY)
    except CronSimError as error:
        raise ValueError(f"{error}.".lower()) from error


def _check_quartz(fields: list[str]) -> None:
    for number, field in enumerate(fields):
        if field == "?" and number in {_DAY_OF_MONTH, _DAY_OF_WEEK}:
            continue
        entries = field.split(",")
        if not all(_fits(entry, number) for entry in entries) or (number == _DAY_OF_WEEK and _mixed(entries)):
            raise ValueError(f"{field!r} is not a valid {_QUARTZ[number][0]} in Quartz.")
    # Quartz can't combine the two fields: one of them must be '?'.
    if (fields[_DAY_OF_MONTH] == "?") == (fields[_DAY_OF_WEEK] == "?"):
        raise ValueError("with six or seven fields, exactly one of day of month and day of week must be '?'.")


def _fits(entry: str, number: int) -> bool:
    if number == _DAY_OF_MONTH and _FROM_THE_END.fullmatch(entry):
        return True
    if number == _DAY_OF_WEEK and _ONE_OF_THE_MONTH.fullmatch(entry):
        return True
    match = _SPAN.fullmatch(entry) if entry else None
    if not match:
        return False
    _, low, high, longest, names = _QUARTZ[number]
    first, last, step = match.groups()
    ends = [names.get(end) or (int(end) if end.isdecimal() else -1) for end in (first, last) if end is not None]
    # A range may wrap around, as in FRI-MON, except a range of years.
    return (
        all(low <= end <= high for end in ends)
        and (step is None or 1 <= int(step) <= longest)
        and not (number == _YEAR and ends != sorted(ends))
    )


def _mixed(entries: list[str]) -> bool:
    """Return whether a list of weekdays contains a last or an nth one, which Quartz takes only alone."""
    last = any(entry.endswith("L") for entry in entries)
    return (last and len(entries) > 1) or sum("#" in entry for entry in entries) > 1
