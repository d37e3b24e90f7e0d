"""The tables of a terminal's file: one SQLite file with its log, in which a transaction is there as
a whole or not at all, whatever moment the power fails at; `synchronous=FULL` says that what was
written is on the disk before anybody is answered, and what is deleted is overwritten.
"""

import sqlite3
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS terms (
  id INTEGER PRIMARY KEY, generation INTEGER, content BLOB, UNIQUE (generation, content));
CREATE TABLE IF NOT EXISTS departures (
  id INTEGER PRIMARY KEY, generation INTEGER, content BLOB, UNIQUE (generation, content));
CREATE TABLE IF NOT EXISTS tickets (
  generation INTEGER, number INTEGER, terms_id INTEGER, departure_id INTEGER, packed BLOB,
  order_number INTEGER, PRIMARY KEY (generation, number)) WITHOUT ROWID;
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
  number INTEGER PRIMARY KEY, version INTEGER, packed BLOB, terms BLOB, departure BLOB,
  order_number INTEGER);
CREATE TABLE IF NOT EXISTS leases (
  number INTEGER, function_code TEXT, device TEXT, until INTEGER,
  PRIMARY KEY (number, function_code)) WITHOUT ROWID;
"""
"""`generation` is that of a full pack: one in use, and one that is coming. `uses` are what this
terminal redeemed, online too, until a pack that was asked for later has it, or a push; of an answer
that came online `left_after` is what that said is left. `pushed` are tickets that take the place of
the pack's until there is a later one."""
_LATER_COLUMNS = (
    ("uses", "left_after", "INTEGER"),
    ("scans", "ticket_code", "TEXT DEFAULT ''"),
    ("scans", "comment", "TEXT DEFAULT ''"),
    ("tickets", "order_number", "INTEGER"),
    ("pushed", "order_number", "INTEGER"),
)
"""Which the file of an earlier version gets when it is opened."""
_INDEXES = """
CREATE INDEX IF NOT EXISTS tickets_of ON tickets (order_number) WHERE order_number IS NOT NULL;
CREATE INDEX IF NOT EXISTS pushed_of ON pushed (order_number) WHERE order_number IS NOT NULL;
"""
"""Of these."""


def connected(path: Path) -> sqlite3.Connection:
    """The file, with its tables. Raises sqlite3.Error."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        db.execute(f"PRAGMA {pragma}")
    db.executescript(_TABLES)
    for table, column, kind in _LATER_COLUMNS:
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        if column not in columns:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    db.executescript(_INDEXES)
    return db


def wipe(db: sqlite3.Connection) -> None:
    """Overwrites what is in it. Raises sqlite3.Error."""
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        db.execute(f"DELETE FROM {table}")  # noqa: S608 # its own names
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("VACUUM")


def signed(number: int) -> int:
    """SQLite's integers have a sign, a ticket's number has none."""
    return number - (1 << 64) if number >= 1 << 63 else number
