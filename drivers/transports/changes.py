"""Keeps a transport from saying the same thing twice.

What a transport reports is shown to people and logged. It may look at itself, and try again, as
often as it likes; what it then finds unchanged is no news.
"""

from drivers.transport import Report, TransportReport


def only_changes(report: Report) -> Report:
    """Return a Report that leaves out what would only repeat the report before."""
    last: TransportReport | None = None

    def passed_on(new: TransportReport) -> None:
        nonlocal last
        if new != last:
            last = new
            report(new)

    return passed_on
