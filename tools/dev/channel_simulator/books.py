"""What the vendors know of us, in a SQLite file: what was pushed, bookings, tokens, requests. What
was answered is there after a restart.
"""

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS pushed (
    vendor TEXT, kind TEXT, item TEXT, location TEXT, day TEXT, entry TEXT NOT NULL,
    pushes INTEGER NOT NULL, PRIMARY KEY (vendor, kind, item, location, day));
CREATE TABLE IF NOT EXISTS bookings (
    vendor TEXT, id TEXT, status TEXT NOT NULL, content TEXT NOT NULL, created TEXT NOT NULL,
    number TEXT NOT NULL DEFAULT '', confirms INTEGER NOT NULL DEFAULT 0,
    cancellation TEXT NOT NULL DEFAULT '', PRIMARY KEY (vendor, id));
CREATE TABLE IF NOT EXISTS tokens (vendor TEXT, token TEXT, until REAL, PRIMARY KEY (token));
CREATE TABLE IF NOT EXISTS requests (
    vendor TEXT, operation TEXT, status INTEGER, fault TEXT, at REAL);
"""
WORDS = {
    "ctrip": {
        "new": "NEW",
        "confirmed": "CONFIRMED",
        "modified": "MODIFIED",
        "cancelled": "CANCELLED",
    },
    "booking_com": {
        "new": "new",
        "confirmed": "confirmed",
        "modified": "modified",
        "cancelled": "cancelled",
    },
    "expedia": {
        "new": "Pending",
        "confirmed": "Confirmed",
        "modified": "Modified",
        "cancelled": "Cancelled",
    },
}
"""States of a booking. Seed 003 has those of new ones; the others are the simulator's."""


@dataclass(frozen=True)
class Entry:
    """What was pushed last of an item, at a location, on a day; both empty for static data."""

    item: str
    location: str
    day: str
    content: dict[str, Any]


class Books:
    """The file. All is committed before it is answered."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "books.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # what a crash of the machine loses is a toy's
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def forget(self) -> None:
        """Forgets everything but keys."""
        for table in ("pushed", "bookings", "tokens", "requests"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - of the list above

    def push(self, vendor: str, kind: str, entries: Iterable[Entry]) -> None:
        """Takes entries; each replaces the one before it."""
        rows = [
            (vendor, kind, e.item, e.location, e.day, json.dumps(e.content, default=str))
            for e in entries
        ]
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT INTO pushed VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET"
            " entry = excluded.entry, pushes = pushes + 1",
            rows,
        )
        self._db.execute("COMMIT")

    def pushed(self, vendor: str, kind: str) -> list[Entry]:
        """The last entries of STATIC, PRICES or AVAILABILITY."""
        found = self._db.execute(
            "SELECT item, location, day, entry FROM pushed WHERE vendor = ? AND kind = ?"
            " ORDER BY item, location, day",
            (vendor, kind),
        )
        return [Entry(i, place, d, json.loads(content)) for i, place, d, content in found]

    def book(self, vendor: str, content: dict[str, Any], at: float) -> None:
        """A customer has booked; `content` has an id."""
        created = datetime.fromtimestamp(at, UTC).isoformat()
        self._db.execute(
            "INSERT INTO bookings (vendor, id, status, content, created) VALUES (?, ?, ?, ?, ?)",
            (vendor, str(content["id"]), "new", json.dumps(content), created),
        )

    def change(self, vendor: str, booking_id: str, content: dict[str, Any]) -> None:
        """A customer has changed a booking, or cancelled it by a `status`."""
        (row,) = self._db.execute(
            "SELECT content FROM bookings WHERE vendor = ? AND id = ?", (vendor, booking_id)
        ).fetchall()
        status = content.pop("status", "modified")
        fresh = json.dumps({**json.loads(row[0]), **content})
        self._db.execute(
            "UPDATE bookings SET content = ?, status = ? WHERE vendor = ? AND id = ?",
            (fresh, status, vendor, booking_id),
        )

    def bookings(self, vendor: str, first: str, last: str, status: str) -> list[dict[str, Any]]:
        """As they are listed: made on these days (UTC), in a status or in any."""
        words = WORDS[vendor]
        found = self._db.execute(
            "SELECT content, status FROM bookings WHERE vendor = ?"
            " AND substr(created, 1, 10) BETWEEN ? AND ? ORDER BY created, id",
            (vendor, first, last),
        )
        listed = [{**json.loads(content), "status": words[state]} for content, state in found]
        return [each for each in listed if status in ("", each["status"])]

    def confirm(self, vendor: str, booking_id: str, number: str) -> str:
        """Confirms a booking; a text says why not. Another number for one that is confirmed is
        refused, as a vendor's would be.
        """
        found = self._booking(vendor, booking_id)
        if found is None:
            return "no such booking"
        status, before = found
        if status == "cancelled":
            return "the booking is cancelled"
        if status == "confirmed" and before != number:
            return "the booking has another confirmation number"
        self._db.execute(
            "UPDATE bookings SET status = 'confirmed', number = ?, confirms = confirms + 1"
            " WHERE vendor = ? AND id = ?",
            (number, vendor, booking_id),
        )
        return ""

    def cancel(self, vendor: str, booking_id: str, why: dict[str, Any]) -> str:
        """Cancels a booking; a text says why not."""
        if self._booking(vendor, booking_id) is None:
            return "no such booking"
        self._db.execute(
            "UPDATE bookings SET status = 'cancelled', cancellation = ?"
            " WHERE vendor = ? AND id = ?",
            (json.dumps(why), vendor, booking_id),
        )
        return ""

    def all_bookings(self, vendor: str) -> list[dict[str, Any]]:
        """All of a vendor, with what became of them, for whoever compares."""
        found = self._db.execute(
            "SELECT id, status, number, confirms, cancellation FROM bookings WHERE vendor = ?"
            " ORDER BY created, id",
            (vendor,),
        )
        names = ("id", "status", "number", "confirms", "cancellation")
        return [dict(zip(names, row, strict=True)) for row in found]

    def issue(self, vendor: str, token: str, until: float) -> None:
        """Keeps a token."""
        self._db.execute("INSERT INTO tokens VALUES (?, ?, ?)", (vendor, token, until))

    def token_is_good(self, vendor: str, token: str, now: float) -> bool:
        """Whether it was issued and is not over."""
        found = self._db.execute(
            "SELECT until FROM tokens WHERE vendor = ? AND token = ?", (vendor, token)
        ).fetchone()
        return found is not None and now < found[0]

    def revoke_tokens(self, vendor: str) -> None:
        """Ends all tokens of a vendor."""
        self._db.execute("DELETE FROM tokens WHERE vendor = ?", (vendor,))

    def note(self, vendor: str, operation: str, status: int, fault: str) -> None:
        """Keeps that there was a request."""
        row = (vendor, operation, status, fault, time.time())
        self._db.execute("INSERT INTO requests VALUES (?, ?, ?, ?, ?)", row)

    def requests(self, vendor: str) -> list[dict[str, Any]]:
        """All requests of a vendor, the oldest first; `fault` says why one was not good."""
        found = self._db.execute(
            "SELECT operation, status, fault FROM requests WHERE vendor = ? ORDER BY rowid",
            (vendor,),
        )
        return [dict(zip(("operation", "status", "fault"), row, strict=True)) for row in found]

    def recent(self, vendor: str, since: float) -> int:
        """How many requests there were since."""
        found = self._db.execute(
            "SELECT count(*) FROM requests WHERE vendor = ? AND at > ? AND status <> 429",
            (vendor, since),
        ).fetchone()
        return int(found[0])

    def _booking(self, vendor: str, booking_id: str) -> tuple[str, str] | None:
        found = self._db.execute(
            "SELECT status, number FROM bookings WHERE vendor = ? AND id = ?",
            (vendor, booking_id),
        ).fetchone()
        return (str(found[0]), str(found[1])) if found else None
