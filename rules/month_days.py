"""A time of the year that comes each year, from one day to another: "03-01" to "11-30"."""

from datetime import date, datetime


def require_month_day(name: str, text: str) -> None:
    """Raise ValueError unless it is a month and a day."""
    try:
        is_day = f"{datetime.strptime(f'2024-{text}', '%Y-%m-%d'):%m-%d}" == text  # noqa: DTZ007
    except ValueError:
        is_day = False
    if not is_day:
        raise ValueError(f'{name} {text!r} is no month and day such as "06-01"')


def is_within(day: date, first: str, last: str) -> bool:
    """Whether the day is from the first to the last one; over the new year if that is before."""
    written = f"{day:%m-%d}"
    if first <= last:
        return first <= written <= last
    return written >= first or written <= last
