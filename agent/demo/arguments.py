"""What `satomori demo` can be told."""

import argparse
from pathlib import Path

from agent.ingest import mqtt_url


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the demonstration."""
    add = parser.add_argument
    add("--seconds", type=_seconds, default=60.0, help="how long it lasts (20 to 3600; 60)")
    add("--mqtt", type=mqtt_url, metavar="URL", help="a real broker, mqtt://HOST:1883")
    add("--influx", metavar="URL", help="a real InfluxDB; needs --bucket")
    add("--org", default="", help="organisation in InfluxDB 2.x")
    add("--bucket", default="", help='bucket, or "database/retention-policy" for InfluxDB 1.x')
    add("--token-file", type=Path, metavar="FILE", help="the token for InfluxDB")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 20 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 20 and 3600")
    return seconds
