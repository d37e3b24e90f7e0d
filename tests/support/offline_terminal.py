"""A terminal that writes scans down while it has no network, and uploads them later."""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deeptravel.redemption.v1 import offline_pb2

from server.api import convert
from tests.support.gate import Terminal

VERDICT = convert.enum_names(offline_pb2.OfflineVerdict)
LIABLE = convert.enum_names(offline_pb2.Liability)


def hash_of(scan: offline_pb2.OfflineScan) -> str:
    """As the contract has it."""
    hashed = b"deeptravel offline scan v1\x00"
    texts = scan.scan_id, scan.qr_token, scan.function_code, scan.ticket_code
    for text in (scan.previous_hash, *texts):
        hashed += struct.pack(">I", len(text.encode())) + text.encode()
    at = scan.scanned_time.ToMilliseconds() if scan.HasField("scanned_time") else 0
    numbers = scan.counter, at, scan.pack_version, scan.quantity, scan.admitted
    hashed += struct.pack(">qqqiB", *numbers)
    if comment := scan.comment.encode():
        hashed += struct.pack(">I", len(comment)) + comment
    return hashlib.sha256(hashed).hexdigest()


@dataclass
class OfflineTerminal:
    """Its scans, chained."""

    terminal: Terminal
    scans: list[offline_pb2.OfflineScan] = field(default_factory=list)

    def scan(
        self, token: str, function_code: str = "ferry", *, at: datetime | None = None, **fields: Any
    ) -> offline_pb2.OfflineScan:
        """Writes a scan down that it has admitted, unless `admitted` says otherwise."""
        now = at or datetime.now(UTC)
        scan = offline_pb2.OfflineScan(
            scan_id=fields.pop("scan_id", f"{self.terminal.device}-{len(self.scans)}"),
            qr_token=token,
            function_code=function_code,
            scanned_time=convert.timestamp(now),
            counter=len(self.scans) + 1,
            pack_version=fields.pop("pack_version", int(now.timestamp() * 1000) - 60_000),
            previous_hash=hash_of(self.scans[-1]) if self.scans else "",
            admitted=fields.pop("admitted", True),
            **fields,
        )
        self.scans.append(scan)
        return scan

    async def upload(
        self, scans: Iterable[offline_pb2.OfflineScan] | None = None
    ) -> offline_pb2.UploadScansResponse:
        """Uploads these, or all that it has."""
        request = offline_pb2.UploadScansRequest(scans=self.scans if scans is None else scans)
        response: offline_pb2.UploadScansResponse = await self.terminal.call("UploadScans", request)
        return response

    async def verdicts(self, *scans: offline_pb2.OfflineScan) -> list[str]:
        """What became of these, or of all."""
        response = await self.upload(scans or None)
        return [VERDICT[scan.verdict] for scan in response.scans]
