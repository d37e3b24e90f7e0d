"""What a terminal keeps on its disk: its venue's pack, and the scans it decided by it.

One SQLite file with its log, in which a transaction is there as a whole or not at all, whatever
moment the power fails at; `synchronous=FULL` says that a scan is written before it is answered. No
names are in a pack, and no signing key. QR texts are kept from the scan until its verdict alone,
and what is deleted is overwritten.
"""

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from deeptravel import redemption

from deeptravel_terminal.offline_rules import CODE_MASK, Known, Lease, LocalUse, number_of_code
from deeptravel_terminal.packs import (
    PackError,
    PackTicket,
    tickets_of,
    verified,
    verified_push,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS terms (
  id INTEGER PRIMARY KEY, generation INTEGER, content BLOB, UNIQUE (generation, content));
CREATE TABLE IF NOT EXISTS departures (
  id INTEGER PRIMARY KEY, generation INTEGER, content BLOB, UNIQUE (generation, content));
CREATE TABLE IF NOT EXISTS tickets (
  generation INTEGER, number INTEGER, terms_id INTEGER, departure_id INTEGER, packed BLOB,
  PRIMARY KEY (generation, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scans (
  counter INTEGER PRIMARY KEY, scan_id TEXT, qr_token TEXT, function_code TEXT, quantity INTEGER,
  scanned_at INTEGER, pack_version INTEGER, previous_hash TEXT, admitted INTEGER, verdict BLOB,
  ticket_code TEXT DEFAULT '', comment TEXT DEFAULT '');
CREATE INDEX IF NOT EXISTS unsent ON scans (counter) WHERE verdict IS NULL;
CREATE TABLE IF NOT EXISTS uses (
  id INTEGER PRIMARY KEY, counter INTEGER, number INTEGER, function_code TEXT, quantity INTEGER,
  jti BLOB, at INTEGER, settled INTEGER, left_after INTEGER);
CREATE INDEX IF NOT EXISTS uses_of ON uses (number);
CREATE INDEX IF NOT EXISTS uses_of_scan ON uses (counter) WHERE counter IS NOT NULL;
CREATE TABLE IF NOT EXISTS pushed (
  number INTEGER PRIMARY KEY, version INTEGER, packed BLOB, terms BLOB, departure BLOB);
CREATE TABLE IF NOT EXISTS leases (
  number INTEGER, function_code TEXT, device TEXT, until INTEGER,
  PRIMARY KEY (number, function_code)) WITHOUT ROWID;
"""
"""`generation` is that of a full pack: one in use, and one that is coming. `uses` are what this
terminal redeemed, online too, until a pack that was asked for later has it, or a push; of an answer
that came online `left_after` is what that said is left. `pushed` are tickets that take the place of
the pack's until there is a later one."""
LATER_COLUMNS = (
    ("uses", "left_after", "INTEGER"),
    ("scans", "ticket_code", "TEXT DEFAULT ''"),
    ("scans", "comment", "TEXT DEFAULT ''"),
)
"""Which the file of an earlier version gets when it is opened."""
PACKED_FORM = 2  # of tickets; a file with an earlier one asks for all of them anew
VERDICTS_KEPT = 200
HASH_PREFIX = b"deeptravel offline scan v1\x00"
_NUMBERS = struct.Struct(">qqqiB")
SCAN_COLUMNS = (
    "counter, scan_id, qr_token, function_code, quantity, scanned_at, pack_version, previous_hash,"
    " admitted, ticket_code, comment"
)
"""In the order of StoredScan."""


class StoreError(Exception):
    """The disk is full, or cannot be read or written; nothing of the call was kept."""


class OtherServerError(Exception):
    """The server signs packs by another key than at the first log-in."""


@dataclass(frozen=True)
class StoredScan:
    """A scan as it was written down; `scanned_at` in milliseconds, by the terminal's clock as it
    is. Without a QR it has the ticket's code, and why in words.
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


@dataclass(frozen=True)
class PackState:
    """The pack that is in use; `clock_offset` is what is to be added to the terminal's clock, in
    milliseconds.
    """

    version: int
    venue_code: str
    clock_offset: int
    configuration: redemption.PackConfiguration


class Standing(NamedTuple):
    """What was noted of the terminal.

    Attributes:
        barred: whether the server refused it or its operator when it was asked last.
        departure_id: that of the last session, 0 for all.
        last_time: when the last scan was written down or the last pack came; corrected, in
            milliseconds.
    """

    barred: bool
    departure_id: int
    last_time: int


class Store:
    """A terminal's file. Threads may share it; each call is one transaction.

    Args:
        path: of the file; made for this user alone if it is not there. One program has it at a
            time: what was wiped under another one's feet would be lost, with its scans.
        device: the terminal. The file of another is refused.

    Raises:
        StoreError: of this and every other method.
    """

    def __init__(self, path: Path, device: str) -> None:
        self.path, self.device = path, device
        self._lock = threading.Lock()
        self._pack: PackState | None = None
        with _as_store_error():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._held = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(SCHEMA)
            for table, column, kind in LATER_COLUMNS:
                columns = [row[1] for row in self._db.execute(f"PRAGMA table_info({table})")]
                if column not in columns:
                    self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        with self._transaction():
            known = self._get("device", "")
            if known not in {"", device}:
                raise StoreError(f"{path} is of terminal {known}: clear it with --wipe")
            self._put("device", device)
            if self._get("packed_form", 0) != PACKED_FORM:
                self._put("packed_form", PACKED_FORM)
                self._put("cursor", "")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise StoreError(f"another program has {path} open: end it first") from None

    def close(self) -> None:
        """Closes the file."""
        self._db.close()
        os.close(self._held)

    # the server

    def trust(self, verify_key: bytes) -> None:
        """Keeps the key of the first log-in. Raises OtherServerError for another one."""
        with self._transaction():
            known = self._get("verify_key", b"")
            if known and known != verify_key:
                raise OtherServerError
            self._put("verify_key", verify_key)

    def bar(self, *, barred: bool) -> None:
        """Notes what the server said of the log-in: without one nothing is decided here."""
        with self._transaction():
            self._put("barred", int(barred))

    def standing(self) -> Standing:
        """What the decision of a scan begins with."""
        with self._transaction():
            return Standing(
                bool(self._get("barred", 0)),
                int(self._get("departure_id", 0)),
                int(self._get("last_time", 0)),
            )

    def note_session(self, departure_id: int, typed: str = "") -> None:
        """Notes which departure the session admits, 0 for all, and how the operator wrote it."""
        with self._transaction():
            self._put("departure_id", departure_id)
            self._put("departure", typed)

    @property
    def departure(self) -> str:
        """The departure of the last session, as it was typed."""
        with self._transaction():
            return str(self._get("departure", ""))

    # the pack

    @property
    def cursor(self) -> str:
        """To go on from."""
        with self._transaction():
            return str(self._get("cursor", ""))

    def pack(self) -> PackState | None:
        """The pack in use, the same object until another is complete; None if none ever was."""
        with self._transaction():
            content = self._get("configuration", b"") if self._pack is None else b""
            if content:
                self._pack = PackState(
                    int(self._get("complete_version", 0)),
                    str(self._get("venue_code", "")),
                    int(self._get("clock_offset", 0)),
                    redemption.PackConfiguration.FromString(content),
                )
            return self._pack

    def take(self, response: redemption.GetVenuePackResponse, now: int, settled: int) -> bool:
        """Stores a chunk; whether the pack is complete with it.

        Args:
            response: the chunk as it came.
            now: by the terminal's clock, in milliseconds.
            settled: `settled_uses` when the pack was asked for: a complete pack has those.

        Raises:
            PackError: it is not of the server or for this terminal, or is older.
        """
        with self._transaction():
            chunk = verified(response, self._get("verify_key", b""), self.device)
            if chunk.pack_version < int(self._get("version", 0)):
                raise PackError("the pack is older than the one that is kept")
            if self._get("venue_code", chunk.venue_code) != chunk.venue_code:
                raise PackError(f"the pack is of venue {chunk.venue_code}: clear the terminal")
            generation = int(self._get("generation", 0))
            if chunk.pack_version != int(self._get("version", 0)):
                self._drop_all_but(generation)
            into = generation + chunk.is_full
            self._write(chunk.tickets, into)
            self._put("cursor", chunk.cursor)
            self._put("version", chunk.pack_version)
            self._put("venue_code", chunk.venue_code)
            if chunk.is_last:
                self._complete(chunk, into, now, settled)
        if chunk.is_last:
            with self._lock:
                self._pack = None
        return chunk.is_last

    def push(self, push: redemption.PackPush) -> None:
        """Stores tickets that are pushed; those of before the pack are dropped.

        Raises:
            PackError: they are not of the server or for this venue.
        """
        with self._transaction():
            pushed = verified_push(push, self._get("verify_key", b""))
            version = int(self._get("complete_version", 0))
            if not version or pushed.push_version < version:
                return
            if pushed.venue_code != self._get("venue_code", ""):
                raise PackError(f"what is pushed is of venue {pushed.venue_code}")
            for ticket in tickets_of(pushed.tickets):
                self._put_pushed(ticket, pushed)
            self._put_leases(pushed.tickets)

    def known(self, number: int) -> Known | None:
        """A ticket of the pack; None if it has none of that number."""
        with self._transaction():
            row = self._known(_signed(number))
            if row is None:
                return None
            uses = self._db.execute(
                "SELECT function_code, quantity, jti, at FROM uses WHERE number = ?",
                (_signed(number),),
            ).fetchall()
            leased = self._db.execute(
                "SELECT function_code, device, until FROM leases WHERE number = ? AND device <> ?",
                (_signed(number), self.device),
            ).fetchall()
        departure = redemption.PackDeparture.FromString(row[2]) if row[2] else None
        terms = redemption.PackTerms.FromString(row[1])
        local = [LocalUse(*use) for use in uses]
        elsewhere = {row[0]: Lease(*row[1:]) for row in leased}
        return Known(PackTicket.unpacked(number, row[0]), terms, departure, local, elsewhere)

    def own_leases(self, now: int) -> tuple[int, int]:
        """How many functions of tickets this terminal has leased, and until when, the first that
        ends; in milliseconds, 0 for none.
        """
        with self._transaction():
            row = self._db.execute(
                "SELECT count(*), coalesce(min(until), 0) FROM leases"
                " WHERE device = ? AND until > ?",
                (self.device, now),
            ).fetchone()
        return int(row[0]), int(row[1])

    def numbered(self, code: str) -> int | None:
        """The number of the pack's ticket with this printed code; None if it has none."""
        low = number_of_code(code)
        with self._transaction():
            rows = self._db.execute(
                "SELECT number FROM pushed WHERE number & ? = ? UNION SELECT number FROM tickets"
                " WHERE generation = (SELECT value FROM kept WHERE name = 'generation')"
                " AND number & ? = ?",
                (CODE_MASK, low, CODE_MASK, low),
            ).fetchall()
        numbers = [row[0] % (1 << 64) for row in rows]
        known = [each for each in map(self.known, numbers) if each and each.code == code]
        return known[0].ticket.number if known else None

    # scans

    def write_scan(self, scan: StoredScan, number: int, use: LocalUse) -> StoredScan:
        """Writes a scan down, durably, and what it uses if it is admitted; with its counter and
        the hash of the one before.
        """
        with self._transaction():
            counter = int(self._get("counter", 0)) + 1
            written = replace(scan, counter=counter, previous_hash=self._get("last_hash", ""))
            self._db.execute(
                f"INSERT INTO scans ({SCAN_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                astuple(written),
            )
            if scan.admitted:
                self._use(counter, number, use, settled=False)
            self._put("counter", counter)
            self._put("last_hash", written.hash())
            self._put("last_time", max(use.at, int(self._get("last_time", 0))))
            return written

    def note_online(self, number: int, use: LocalUse, left: int) -> None:
        """Notes what was redeemed online, after which so many uses were left, unless what was
        pushed has it.
        """
        with self._transaction():
            self._use(None, number, use, settled=True, left_after=left)
            known = self._db.execute(
                "SELECT packed, terms FROM pushed WHERE number = ?", (_signed(number),)
            ).fetchone()
            if known:
                terms = redemption.PackTerms.FromString(known[1])
                self._drop_uses(PackTicket.unpacked(number, known[0]), terms)

    def unsent(self, limit: int, *, by_number: bool = False) -> list[StoredScan]:
        """Scans without a verdict, the oldest first: those of a QR, or those without one."""
        with self._transaction():
            rows = self._db.execute(
                f"SELECT {SCAN_COLUMNS} FROM scans WHERE verdict IS NULL"  # noqa: S608
                " AND (ticket_code <> '') = ? ORDER BY counter LIMIT ?",
                (by_number, limit),
            ).fetchall()
        return [StoredScan(*row) for row in rows]

    def unsent_count(self) -> int:
        """How many scans have no verdict."""
        with self._transaction():
            return int(self._one("SELECT count(*) FROM scans WHERE verdict IS NULL"))

    def conflicts(self) -> int:
        """How many conflicts nobody has looked at."""
        with self._transaction():
            return int(self._get("conflicts", 0))

    def settle(self, verdicts: Sequence[tuple[int, bytes]], conflicts: int = 0) -> None:
        """Keeps the verdicts of scans, by counter, of which so many are conflicts; their QR texts
        are deleted.
        """
        with self._transaction():
            self._put("conflicts", int(self._get("conflicts", 0)) + conflicts)
            for counter, verdict in verdicts:
                self._db.execute(
                    "UPDATE scans SET verdict = ?, qr_token = '', comment = '' WHERE counter = ?",
                    (verdict, counter),
                )
                self._db.execute("UPDATE uses SET settled = 1 WHERE counter = ?", (counter,))
            self._db.execute(
                "DELETE FROM scans WHERE verdict IS NOT NULL AND counter <="
                " (SELECT max(counter) FROM scans) - ?",
                (VERDICTS_KEPT,),
            )

    def verdicts(self) -> list[tuple[int, int, str, bytes]]:
        """Counter, time, function and verdict of the last scans, the newest first, for somebody
        who looks at them.
        """
        with self._transaction():
            self._put("conflicts", 0)
            return self._db.execute(
                "SELECT counter, scanned_at, function_code, coalesce(verdict, x'') FROM scans"
                " ORDER BY counter DESC LIMIT ?",
                (VERDICTS_KEPT,),
            ).fetchall()

    def settled_uses(self) -> int:
        """The last of the uses that the server knows: a pack asked for from now on has them."""
        with self._transaction():
            return int(self._one("SELECT coalesce(max(id), 0) FROM uses WHERE settled"))

    def wipe(self) -> None:
        """Overwrites and deletes everything."""
        with _as_store_error():
            for (table,) in self._db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 # its own names
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.execute("VACUUM")
            self.close()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    # below

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, _as_store_error():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # a full disk ends it by itself
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _get(self, name: str, default: "bytes | int | str") -> Any:
        row = self._db.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return default if row is None else row[0]

    def _put(self, name: str, value: "bytes | int | str") -> None:
        self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, value))

    def _one(self, statement: str) -> Any:
        return self._db.execute(statement).fetchone()[0]

    def _use(
        self,
        counter: int | None,
        number: int,
        use: LocalUse,
        *,
        settled: bool,
        left_after: int | None = None,
    ) -> None:
        self._db.execute(
            "INSERT INTO uses (counter, number, function_code, quantity, jti, at, settled,"
            " left_after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (counter, _signed(number), *use, int(settled), left_after),
        )

    def _known(self, number: int) -> Any:
        """Ticket, terms and departure, as they are kept; None if there is none."""
        row = self._db.execute(
            "SELECT packed, terms, departure FROM pushed WHERE number = ?", (number,)
        ).fetchone()
        if row:
            return row
        return self._db.execute(
            "SELECT t.packed, e.content, d.content FROM tickets t"
            " JOIN terms e ON e.id = t.terms_id LEFT JOIN departures d ON d.id = t.departure_id"
            " WHERE t.generation = (SELECT value FROM kept WHERE name = 'generation')"
            " AND t.number = ?",
            (number,),
        ).fetchone()

    def _put_leases(self, made: redemption.PackTickets) -> None:
        """Those of a chunk's tickets, in the place of what they had."""
        if made.count and self._one("SELECT count(*) FROM leases"):
            numbers = struct.unpack(f">{made.count}Q", made.ticket_ids)
            self._db.executemany(
                "DELETE FROM leases WHERE number = ?", [(_signed(each),) for each in numbers]
            )
        self._db.executemany(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)",
            [
                (
                    _signed(each.ticket_id),
                    each.function_code,
                    each.terminal_device_id,
                    each.until_time,
                )
                for each in made.leases
            ],
        )

    def _put_pushed(self, ticket: PackTicket, pushed: redemption.PushedTickets) -> None:
        terms = pushed.tickets.terms[ticket.terms_index]
        departure = b""
        if ticket.departure_index:
            departure = pushed.tickets.departures[ticket.departure_index - 1].SerializeToString()
        number = _signed(ticket.number)
        self._db.execute(
            "INSERT OR REPLACE INTO pushed VALUES (?, ?, ?, ?, ?)",
            (number, pushed.push_version, ticket.packed(), terms.SerializeToString(), departure),
        )
        self._drop_uses(ticket, terms)

    def _drop_uses(self, ticket: PackTicket, terms: redemption.PackTerms) -> None:
        """Those that what is pushed has: no more is left than was after them."""
        for function, uses in zip(terms.functions, ticket.uses, strict=True):
            self._db.execute(
                "DELETE FROM uses WHERE number = ? AND function_code = ? AND left_after >= ?",
                (_signed(ticket.number), function.function_code, uses.left),
            )

    def _write(self, tickets: redemption.PackTickets, generation: int) -> None:
        self._put_leases(tickets)
        terms = [self._shared("terms", generation, each) for each in tickets.terms]
        departures = [self._shared("departures", generation, each) for each in tickets.departures]
        self._db.executemany(
            "INSERT OR REPLACE INTO tickets VALUES (?, ?, ?, ?, ?)",
            (
                (
                    generation,
                    _signed(each.number),
                    terms[each.terms_index],
                    departures[each.departure_index - 1] if each.departure_index else None,
                    each.packed(),
                )
                for each in tickets_of(tickets)
            ),
        )

    def _shared(
        self, table: str, generation: int, what: "redemption.PackTerms | redemption.PackDeparture"
    ) -> int:
        content = what.SerializeToString(deterministic=True)
        self._db.execute(
            f"INSERT OR IGNORE INTO {table} (generation, content) VALUES (?, ?)",  # noqa: S608
            (generation, content),
        )
        found = self._db.execute(
            f"SELECT id FROM {table} WHERE generation = ? AND content = ?",  # noqa: S608
            (generation, content),
        )
        return int(found.fetchone()[0])

    def _complete(
        self, chunk: redemption.PackChunk, generation: int, now: int, settled: int
    ) -> None:
        self._put("generation", generation)
        self._drop_all_but(generation)
        self._put("configuration", chunk.configuration.SerializeToString())
        self._put("complete_version", chunk.pack_version)
        server = chunk.configuration.server_time.ToMilliseconds()
        self._put("clock_offset", server - now)
        self._put("last_time", server)
        self._db.execute("DELETE FROM uses WHERE settled AND id <= ?", (settled,))
        self._db.execute("DELETE FROM pushed WHERE version < ?", (chunk.pack_version,))

    def _drop_all_but(self, generation: int) -> None:
        for table in ("tickets", "terms", "departures"):
            self._db.execute(f"DELETE FROM {table} WHERE generation <> ?", (generation,))  # noqa: S608


@contextlib.contextmanager
def _as_store_error() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(str(error)) from error


def _framed(texts: Sequence[str]) -> bytes:
    parts = [text.encode() for text in texts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _signed(number: int) -> int:
    """SQLite's integers have a sign, a ticket's number has none."""
    return number - (1 << 64) if number >= 1 << 63 else number
