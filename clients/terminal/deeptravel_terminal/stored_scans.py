"""The scans that a terminal decided by itself, and what it redeemed, as its file keeps them.

Each function is part of a transaction of `store.py`.
"""

import hashlib
import sqlite3
import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from deeptravel_terminal.offline_rules import LocalUse
from deeptravel_terminal.schema import signed

VERDICTS_KEPT = 200
HASH_PREFIX = b"deeptravel offline scan v1\x00"
_NUMBERS = struct.Struct(">qqqiB")
_COLUMNS = (
    "counter, scan_id, qr_token, function_code, quantity, scanned_at, pack_version, previous_hash,"
    " admitted, ticket_code, comment"
)
"""In the order of StoredScan."""


@dataclass(frozen=True)
class StoredScan:
    """A scan as it was written down; `scanned_at` in milliseconds, by the terminal's clock as it
    is. With the QR of an order, or without a QR, it has the ticket's code; without one also why, in
    words.
    """

    counter: int
    scan_id: str
    qr_token: str
    function_code: str
    quantity: int
    scanned_at: int
    pack_version: int
    previous_hash: str
    admitted: bool
    ticket_code: str = ""
    comment: str = ""

    def hash(self) -> str:
        """That which the next scan names: SHA-256 over the prefix, the texts with their lengths in
        front, and the numbers, as the contract's UploadedScan has it.
        """
        texts = self.scan_id, self.qr_token, self.function_code, self.ticket_code
        numbers = self.counter, self.scanned_at, self.pack_version, self.quantity, self.admitted
        said = [self.comment] if self.comment else []
        content = _framed([self.previous_hash, *texts]) + _NUMBERS.pack(*numbers) + _framed(said)
        return hashlib.sha256(HASH_PREFIX + content).hexdigest()


def write(db: sqlite3.Connection, scan: StoredScan) -> None:
    """Writes a scan down."""
    db.execute(
        f"INSERT INTO scans ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        astuple(scan),
    )


def unsent(db: sqlite3.Connection, limit: int, *, by_number: bool, after: int) -> list[StoredScan]:
    """Scans after a counter without a verdict, the oldest first: of a QR, or without one."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM scans WHERE verdict IS NULL"
        " AND (qr_token = '') = ? AND counter > ? ORDER BY counter LIMIT ?",
        (by_number, after, limit),
    )
    return [StoredScan(*row) for row in rows.fetchall()]


def settle(db: sqlite3.Connection, verdicts: Sequence[tuple[int, bytes]]) -> None:
    """Keeps the verdicts of scans, by counter; their QR texts are deleted, and old scans."""
    for counter, verdict in verdicts:
        db.execute(
            "UPDATE scans SET verdict = ?, qr_token = '', comment = '' WHERE counter = ?",
            (verdict, counter),
        )
        db.execute("UPDATE uses SET settled = 1 WHERE counter = ?", (counter,))
    db.execute(
        "DELETE FROM scans WHERE verdict IS NOT NULL AND counter <="
        " (SELECT max(counter) FROM scans) - ?",
        (VERDICTS_KEPT,),
    )


def verdicts(db: sqlite3.Connection) -> list[tuple[int, int, str, bytes]]:
    """Counter, time, function and verdict of the last scans, the newest first."""
    return db.execute(
        "SELECT counter, scanned_at, function_code, coalesce(verdict, x'') FROM scans"
        " ORDER BY counter DESC LIMIT ?",
        (VERDICTS_KEPT,),
    ).fetchall()


def write_use(
    db: sqlite3.Connection,
    number: int,
    use: LocalUse,
    *,
    counter: int | None = None,
    left_after: int | None = None,
) -> None:
    """Notes what was redeemed: of a scan that was written down, or online, after which so many
    uses were left.
    """
    db.execute(
        "INSERT INTO uses (counter, number, function_code, quantity, jti, at, settled,"
        " left_after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (counter, signed(number), *use, int(counter is None), left_after),
    )


def _framed(texts: Sequence[str]) -> bytes:
    parts = [text.encode() for text in texts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
