"""The store for every day: InfluxDB 2.x, and what speaks its write API (1.8, VictoriaMetrics).

Uses the official client, but only its synchronous writes of ready-made lines: its batching API
drops what the server refuses, and at exit what it holds. Trying again is the ingester's business.
"""

import json
from pathlib import Path
from typing import Any

from influxdb_client import InfluxDBClient  # type: ignore[attr-defined]
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from cloud_sync.store import Refused, Rejected, StoreError, TooLarge, Unavailable

CONNECT_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 30.0
MAX_REASON = 300
"""Characters of the server's own words that are passed on."""


class InfluxStore:
    """One bucket of one server."""

    def __init__(
        self,
        url: str,
        *,
        bucket: str,
        org: str = "",
        token_file: Path | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """`bucket` is "database/retention-policy" for InfluxDB 1.x; `org` is then not looked at.

        Raises Refused when the token cannot be read.
        """
        self._url, self._bucket, self._org = url, bucket, org
        self._client = InfluxDBClient(
            url,
            token=_token(token_file),
            org=org,
            enable_gzip=True,
            timeout=(CONNECT_TIMEOUT_S * 1000, WRITE_TIMEOUT_S * 1000),
            ssl_ca_cert=str(ca_file) if ca_file else None,
            retries=False,
        )
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)

    def __str__(self) -> str:
        return f"InfluxDB at {self._url}, bucket {self._bucket!r}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()  # type: ignore[no-untyped-call]

    def write(self, lines: bytes) -> None:
        """Return when InfluxDB has all the lines. Raises StoreError."""
        try:
            self._writer.write(self._bucket, self._org, lines)
        except ApiException as problem:
            raise self._meaning(problem) from problem
        except UnicodeDecodeError as problem:
            # The client decodes every answer, and does not expect a proxy's page in Latin-1.
            raise Unavailable(f"{self}: something else answered in its place") from problem
        except (HTTPError, OSError, InfluxDBError) as problem:
            raise Unavailable(
                f"{self} cannot be reached ({problem}): check the address, the network, and "
                "whether the server runs"
            ) from problem

    def _meaning(self, problem: Any) -> StoreError:
        said = f"{self} answered {problem.status}: {_words(problem)}"
        match problem.status:
            case 400 | 422:
                return Rejected(said)
            case 413:
                return TooLarge(said)
            case 408 | 429:
                return Unavailable(said, _retry_after_s(problem))
            case status if status >= 500:
                return Unavailable(said, _retry_after_s(problem))
        return Refused(f"{said}. {self._advice(problem.status)}")

    def _advice(self, status: int) -> str:
        match status:
            case 0:
                return "Check that the CA file vouches for the server, and the clock"
            case 401:
                return "Check the token in the token file"
            case 403:
                return f"Give the token the right to write into {self._bucket!r}"
            case 404:
                return (
                    f"There is no bucket {self._bucket!r}, or no organisation {self._org!r}: "
                    f"create it with `influx bucket create --org {self._org or 'ORG'} --name "
                    f"{self._bucket}` (1.x: CREATE DATABASE), or correct the name"
                )
        return "Check the address: this does not look like InfluxDB's write API"


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise Refused(f"the token for InfluxDB cannot be read from {file}: {problem}") from problem


def _words(problem: Any) -> str:
    """Return what the server says: 2.x says it as "message", 1.x as "error", a proxy as a page."""
    body = problem.body or b""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    try:
        document = json.loads(text)
        text = document.get("message") or document["error"]
    except (ValueError, KeyError, AttributeError):
        text = "" if text.startswith("<") else text
    return " ".join((text or str(problem.reason) or "no reason given").split())[:MAX_REASON]


def _retry_after_s(problem: Any) -> float | None:
    """Return the seconds of Retry-After. A date is not looked at: the clocks may differ."""
    text = (problem.headers or {}).get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
