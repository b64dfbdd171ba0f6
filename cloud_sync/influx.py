"""The store for every day: InfluxDB 2.x, and what speaks its write API (1.8, VictoriaMetrics).

Uses the official client, but only its plain request of ready-made lines: its batching API drops
what the server refuses, and at exit what it holds. Trying again is the ingester's business.
"""

import json
import re
import zlib
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from influxdb_client import InfluxDBClient, WriteService  # type: ignore[attr-defined]
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from cloud_sync.store import Refused, Rejected, StoreError, TooLarge, Unavailable

CONNECT_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 30.0
MAX_REASON = 300
"""Characters of the server's own words that are passed on."""

ABOUT_SETTINGS: Final = re.compile(
    r"(?!.*(partial write|unable to parse)).*"
    r"(\borg(ID|anization)?\b|\bbucket(ID)?\b|\bprecision\b|database is required)",
    re.DOTALL,
)
"""What InfluxDB says with 400 when it has not come to look at the lines: they are not at fault."""

BEYOND_RETENTION: Final = re.compile(r"points beyond retention policy dropped=(\d+)")


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
            timeout=(CONNECT_TIMEOUT_S * 1000, WRITE_TIMEOUT_S * 1000),
            ssl_ca_cert=str(ca_file) if ca_file else None,
            retries=False,
        )
        self._service = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]

    def __str__(self) -> str:
        return f"InfluxDB at {self._url}, bucket {self._bucket!r}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()  # type: ignore[no-untyped-call]

    def write(self, lines: bytes) -> None:
        """Return when InfluxDB has all the lines. Raises StoreError."""
        try:
            self._service.post_write(  # type: ignore[no-untyped-call]
                self._org,
                self._bucket,
                _packed(lines),
                precision="ns",
                content_encoding="gzip",
                content_type="text/plain; charset=utf-8",
            )
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
        words = _words(problem)
        said = f"{self} answered {problem.status}: {words}"
        match problem.status:
            case 400 | 422 if _blames_the_lines(problem):
                beyond = BEYOND_RETENTION.search(words)
                return Rejected(said, all_of=int(beyond[1]) if beyond else None)
            case 413:
                return TooLarge(said)
            case 408 | 429:
                return Unavailable(said, _retry_after_s(problem))
            case status if status >= 500 and "retention policy not found" not in words:
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
            case 404 | 500:
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


def _packed(lines: bytes) -> bytes:
    # Level 1: a quarter larger than level 9 and eight times cheaper.
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(lines) + packer.flush()


def _blames_the_lines(problem: Any) -> bool:
    """Whether this 400 or 422 is InfluxDB's word about lines; a proxy may say 400 for anything."""
    said = _document(problem)
    return bool(said) and not ABOUT_SETTINGS.match(said)


def _document(problem: Any) -> str:
    """Return what InfluxDB says: 2.x says it as "message", 1.x as "error". "" if it is not JSON."""
    try:
        document = json.loads(_body(problem))
        return str(document.get("message") or document["error"])
    except (ValueError, KeyError, AttributeError):
        return ""


def _body(problem: Any) -> str:
    body = problem.body or b""
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body)


def _words(problem: Any) -> str:
    """Return what the server says; of a proxy's page, only the reason in its first line."""
    text = _document(problem) or _body(problem)
    text = "" if text.startswith("<") else text
    text = text or str(problem.reason or "no reason given")
    return _shortened(" ".join(text.split()))


def _shortened(words: str) -> str:
    # The end of a partial write says how many points it is about.
    return words if len(words) <= MAX_REASON else f"{words[: MAX_REASON - 30]} … {words[-27:]}"


def _retry_after_s(problem: Any) -> float | None:
    """Return the seconds of Retry-After.

    A date there is compared with the server's own Date, because the clocks may differ.
    """
    headers = problem.headers or {}
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdigit() and len(text) < 9:
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())
