"""Clock and time formats: UTC with millisecond precision."""

import datetime
import re

UTC = datetime.UTC
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
# A leap second comes after the last minute of a day in UTC, whatever the offset.
_LAST_MINUTE = (23, 59)
_LEAP = re.compile(r"(?<=[Tt]\d\d:\d\d):60", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
# Sorts before every real time: documents without one come last when the newest come first.
NEVER = datetime.datetime(1, 1, 1, tzinfo=UTC)
MILLISECOND = datetime.timedelta(milliseconds=1)


def now() -> datetime.datetime:
    """Return the current time, truncated to the millisecond precision of the database."""
    return truncate_to_millis(datetime.datetime.now(UTC))


def truncate_to_millis(instant: datetime.datetime) -> datetime.datetime:
    """Return `instant` in UTC, truncated to milliseconds."""
    utc = instant.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def parse(text: str) -> datetime.datetime:
    """Parse an RFC 3339 timestamp with any offset; raise ValueError with the reason if it is invalid.

    A leap second counts as the second before.
    """
    try:
        # fromisoformat also takes bare dates, week dates and times without an offset, but no lowercase letters.
        before = _LEAP.sub(":59", text)
        instant = datetime.datetime.fromisoformat(before.upper()) if _RFC_3339.fullmatch(text) else None
        utc = instant and truncate_to_millis(instant)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range: give a year from 1 to 9999.") from error
    except ValueError:
        utc = None
    if utc is None or (before != text and (utc.hour, utc.minute) != _LAST_MINUTE):
        raise ValueError(f"{text!r} is not an RFC 3339 timestamp: give one such as 2026-03-01T09:30:00Z.")
    return utc


def parse_date(text: str) -> datetime.date:
    """Parse an ISO 8601 date, or the UTC date of an RFC 3339 timestamp; raise ValueError with the reason."""
    try:
        return datetime.date.fromisoformat(text) if _DATE.fullmatch(text) else parse(text).date()
    except ValueError:
        raise ValueError(f"{text!r} is not a date: give one such as 2026-03-01.") from None


def format_rfc3339(instant: datetime.datetime) -> str:
    """Format a UTC timestamp as RFC 3339 with a Z; the fraction appears only if there is one."""
    text = instant.isoformat(timespec="milliseconds" if instant.microsecond else "seconds")
    return text.removesuffix("+00:00") + "Z"


def milliseconds(instant: datetime.datetime) -> int:
    """Return milliseconds since 1970-01-01T00:00:00Z; a timestamp without time zone counts as UTC."""
    since = EPOCH if instant.tzinfo else EPOCH.replace(tzinfo=None)
    return (instant - since) // datetime.timedelta(milliseconds=1)


def from_milliseconds(value: int) -> datetime.datetime:
    """Return the inverse of `milliseconds`; raise OverflowError outside the years 1 to 9999."""
    return EPOCH + datetime.timedelta(milliseconds=value)


def parse_rfc3339_or_millis(text: str) -> datetime.datetime:
    """Parse a timestamp in RFC 3339 or epoch milliseconds (S3); raise ValueError with the reason."""
    if not (text.isascii() and text.removeprefix("-").isdecimal()):
        return parse(text)
    try:
        return from_milliseconds(int(text))
    except (OverflowError, ValueError) as error:
        raise ValueError(
            f"{text[:40]} milliseconds are out of range: give a time in the years 1 to 9999."
        ) from error
