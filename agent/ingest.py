"""The command behind `satomori ingest`: the cloud side, from arguments to a running ingester.

It runs on the server, not on a gateway, and so has no configuration file: a unit file with these
arguments is all there is. Secrets come from files only, because arguments can be read by everybody
on the machine.
"""

import argparse
import logging
import signal
import sys
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent import clock
from cloud_sync.broker import Broker
from cloud_sync.store import StoreError
from cloud_sync.topics import PARTITIONS

if TYPE_CHECKING:
    from cloud_sync.influx import InfluxStore
    from cloud_sync.sqlite_store import SqliteStore

PORTS = {"mqtt": 1883, "mqtts": 8883}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `run` needs."""
    add = parser.add_argument
    add("--mqtt", type=mqtt_url, required=True, metavar="URL", help="mqtts://HOST[:8883]")
    add("--mqtt-user", metavar="NAME")
    add("--mqtt-password-file", type=Path, metavar="FILE")
    add("--mqtt-protocol", choices=["auto", "5", "3.1.1"], default="auto", help="version of MQTT")
    add("--ca-file", type=Path, metavar="FILE", help="PEM: who vouches for the broker")
    add("--cert-file", type=Path, metavar="FILE", help="PEM: our certificate for the broker")
    add("--key-file", type=Path, metavar="FILE", help="PEM: its key")
    add_store_arguments(parser)
    add("--partitions", type=_partitions, default=range(PARTITIONS), metavar="0-63")
    add("--trust-clock", action="store_true", help="tell gateways the time even without NTP")
    add("--set-aside", type=Path, required=True, metavar="FOLDER", help="for what no store takes")


def add_store_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `opened_store` needs."""
    add = parser.add_argument
    store = parser.add_mutually_exclusive_group(required=True)
    store.add_argument("--influx", metavar="URL", help="InfluxDB's address; needs --bucket")
    store.add_argument("--sqlite", type=Path, metavar="FILE", help="a SQLite file instead")
    add("--org", default="", help="organisation in InfluxDB 2.x")
    add("--bucket", help='bucket, or "database/retention-policy" for InfluxDB 1.x')
    add("--token-file", type=Path, metavar="FILE", help="the token for InfluxDB")
    add("--influx-ca-file", type=Path, metavar="FILE", help="PEM: who vouches for InfluxDB")


def run(args: argparse.Namespace) -> int:
    """Ingest until SIGTERM or SIGINT. Returns the exit status: 2 for settings that cannot be."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    if not store_is_complete(args):
        return 2
    try:
        store = opened_store(args)
    except StoreError as problem:
        print(problem, file=sys.stderr)
        return 2
    from cloud_sync.ingester import Ingester  # noqa: PLC0415  # as in opened_store

    stop = Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda _signum, _frame: stop.set())
    machine = clock.System()
    with closing(store):
        Ingester(
            store,
            _broker(args),
            set_aside=args.set_aside,
            now=clock.now,
            is_clock_right=lambda: args.trust_clock or machine.synchronised(),
            partitions=args.partitions,
        ).run(stop)
    return 0


def store_is_complete(args: argparse.Namespace) -> bool:
    """Whether all is said that the store needs; what is missing is then on stderr."""
    if args.influx and not args.bucket:
        print("--influx needs --bucket: which bucket to write to", file=sys.stderr)
        return False
    return True


def opened_store(args: argparse.Namespace) -> "InfluxStore | SqliteStore":
    """Return the store that the arguments name. Raises StoreError."""
    # The gateway's commands read these arguments, too, and do without 13 MB of InfluxDB client.
    if args.sqlite:
        from cloud_sync.sqlite_store import SqliteStore  # noqa: PLC0415

        return SqliteStore(args.sqlite)
    from cloud_sync.influx import InfluxStore  # noqa: PLC0415

    return InfluxStore(
        args.influx,
        bucket=args.bucket,
        org=args.org,
        token_file=args.token_file,
        ca_file=args.influx_ca_file,
    )


def _broker(args: argparse.Namespace) -> Broker:
    scheme, host, port = args.mqtt
    return Broker(
        host,
        port,
        tls=scheme == "mqtts",
        ca_file=args.ca_file,
        cert_file=args.cert_file,
        key_file=args.key_file,
        username=args.mqtt_user,
        password_file=args.mqtt_password_file,
        protocol=args.mqtt_protocol,
    )


def mqtt_url(text: str) -> tuple[str, str, int]:
    url = urlsplit(text)
    if url.scheme not in PORTS or not url.hostname or url.username or url.path.strip("/"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not like mqtts://HOST:8883 or mqtt://HOST:1883 (the user goes into "
            "--mqtt-user, the password into a file)"
        )
    return url.scheme, url.hostname, url.port or PORTS[url.scheme]


def _partitions(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        partitions = range(int(first), int(last or first) + 1)
    except ValueError:
        partitions = range(0)
    if not partitions or partitions[0] < 0 or partitions[-1] >= PARTITIONS:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0-{PARTITIONS - 1}")
    return partitions
