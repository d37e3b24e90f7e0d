"""What a terminal keeps on its disk: its venue's pack, and the scans it decided by it.

No names are in a pack, and no signing key. QR texts are kept from the scan until its verdict alone.
`schema.py` has the tables, `stored_tickets.py` and `stored_scans.py` what is read and written of
them; here are the transactions.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from deeptravel import redemption

from deeptravel_terminal import schema, stored_scans, stored_tickets
from deeptravel_terminal.offline_rules import Known, LocalUse, number_of_code
from deeptravel_terminal.packs import PackError, verified, verified_push
from deeptravel_terminal.stored_scans import StoredScan

PACKED_FORM = 3  # of tickets; a file with an earlier one asks for all of them anew


class StoreError(Exception):
    """The disk is full, or cannot be read or written; nothing of the call was kept."""


class OtherServerError(Exception):
    """The server signs packs by another key than at the first log-in."""


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
            self._db = schema.connected(path)
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

    def wipe(self) -> None:
        """Overwrites and deletes everything."""
        with _as_store_error():
            schema.wipe(self._db)
            self.close()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)

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
                stored_tickets.drop_all_but(self._db, generation)
            into = generation + chunk.is_full
            stored_tickets.write(self._db, chunk.tickets, into)
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
            stored_tickets.push(self._db, pushed)

    def known(self, number: int) -> Known | None:
        """A ticket of the pack; None if it has none of that number."""
        with self._transaction():
            return stored_tickets.known(self._db, number, self.device)

    def own_leases(self, now: int) -> tuple[int, int]:
        """How many functions of tickets this terminal has leased, and until when, the first that
        ends; in milliseconds, 0 for none.
        """
        with self._transaction():
            return stored_tickets.own_leases(self._db, self.device, now)

    def numbered(self, code: str) -> int | None:
        """The number of the pack's ticket with this printed code; None if it has none."""
        with self._transaction():
            for number in stored_tickets.numbers_like(self._db, number_of_code(code)):
                known = stored_tickets.known(self._db, number, self.device)
                if known and known.code == code:
                    return number
        return None

    def of_order(self, order_number: int) -> list[Known]:
        """The pack's tickets of an order, by number."""
        with self._transaction():
            numbers = stored_tickets.numbers_of(self._db, order_number)
            found = [stored_tickets.known(self._db, each, self.device) for each in numbers]
        return [each for each in found if each]

    def order_numbered(self, code: str) -> int | None:
        """The number of the order with this printed code, as `numbered`."""
        with self._transaction():
            orders = stored_tickets.orders_like(self._db, number_of_code(code))
        for number in orders:
            if any(each.order_code == code for each in self.of_order(number)):
                return number
        return None

    # scans

    def write_scan(self, scan: StoredScan, number: int, use: LocalUse) -> StoredScan:
        """As `write_scans`, of one."""
        (written,) = self.write_scans([(scan, number, use)])
        return written

    def write_scans(
        self, scans: Sequence[tuple[StoredScan, int, LocalUse]]
    ) -> Sequence[StoredScan]:
        """Writes scans down, durably, all or none, each with the number of its ticket and what it
        uses if it is admitted; with their counters and the hashes of those before.
        """
        made = []
        with self._transaction():
            counter, last_hash = int(self._get("counter", 0)), str(self._get("last_hash", ""))
            last_time = int(self._get("last_time", 0))
            for scan, number, use in scans:
                counter += 1
                written = replace(scan, counter=counter, previous_hash=last_hash)
                stored_scans.write(self._db, written)
                if scan.admitted:
                    stored_scans.write_use(self._db, number, use, counter=counter)
                last_hash, last_time = written.hash(), max(use.at, last_time)
                made.append(written)
            self._put("counter", counter)
            self._put("last_hash", last_hash)
            self._put("last_time", last_time)
        return made

    def note_online(self, number: int, use: LocalUse, left: int) -> None:
        """Notes what was redeemed online, after which so many uses were left, unless what was
        pushed has it.
        """
        with self._transaction():
            stored_scans.write_use(self._db, number, use, left_after=left)
            stored_tickets.drop_pushed_uses(self._db, number)

    def unsent(self, limit: int, *, by_number: bool = False, after: int = 0) -> list[StoredScan]:
        """Scans after a counter without a verdict, the oldest first: of a QR, or without one."""
        with self._transaction():
            return stored_scans.unsent(self._db, limit, by_number=by_number, after=after)

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
            stored_scans.settle(self._db, verdicts)

    def verdicts(self) -> list[tuple[int, int, str, bytes]]:
        """Counter, time, function and verdict of the last scans, the newest first, for somebody
        who looks at them.
        """
        with self._transaction():
            self._put("conflicts", 0)
            return stored_scans.verdicts(self._db)

    def settled_uses(self) -> int:
        """The last of the uses that the server knows: a pack asked for from now on has them."""
        with self._transaction():
            return int(self._one("SELECT coalesce(max(id), 0) FROM uses WHERE settled"))

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

    def _complete(
        self, chunk: redemption.PackChunk, generation: int, now: int, settled: int
    ) -> None:
        self._put("generation", generation)
        stored_tickets.drop_all_but(self._db, generation)
        self._put("configuration", chunk.configuration.SerializeToString())
        self._put("complete_version", chunk.pack_version)
        server = chunk.configuration.server_time.ToMilliseconds()
        self._put("clock_offset", server - now)
        self._put("last_time", server)
        stored_tickets.settle(self._db, chunk.pack_version, settled)


@contextlib.contextmanager
def _as_store_error() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(str(error)) from error
