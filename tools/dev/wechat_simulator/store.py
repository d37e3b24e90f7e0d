"""Orders, refunds and notices, in a SQLite file; what was answered is there after a restart."""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    out_trade_no TEXT PRIMARY KEY, prepay_id TEXT UNIQUE NOT NULL, request TEXT NOT NULL,
    total INTEGER NOT NULL, expire_at REAL, state TEXT NOT NULL,
    transaction_id TEXT NOT NULL DEFAULT '', created_at REAL NOT NULL, success_at REAL);
CREATE INDEX IF NOT EXISTS orders_success ON orders (success_at);
CREATE TABLE IF NOT EXISTS refunds (
    out_refund_no TEXT PRIMARY KEY, refund_id TEXT NOT NULL, out_trade_no TEXT NOT NULL,
    request TEXT NOT NULL, refund INTEGER NOT NULL, state TEXT NOT NULL, created_at REAL NOT NULL,
    settle_at REAL NOT NULL, success_at REAL);
CREATE INDEX IF NOT EXISTS refunds_order ON refunds (out_trade_no);
CREATE INDEX IF NOT EXISTS refunds_open ON refunds (settle_at) WHERE state = 'PROCESSING';
CREATE TABLE IF NOT EXISTS abnormal_refunds (
    out_refund_no TEXT PRIMARY KEY, request TEXT NOT NULL, received_account TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notices (
    notice_id TEXT PRIMARY KEY, event_type TEXT NOT NULL, resource TEXT NOT NULL,
    notify_url TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL, created_at REAL NOT NULL, last_answer TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS notices_due ON notices (due_at) WHERE state = 'WAITING';
CREATE TABLE IF NOT EXISTS codes (code TEXT PRIMARY KEY);
"""
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


@dataclass(frozen=True)
class Order:
    """An order as it was registered and what became of it; times in seconds since 1970."""

    out_trade_no: str
    prepay_id: str
    request: dict[str, Any]
    total: int
    expire_at: float | None
    state: str
    transaction_id: str
    created_at: float
    success_at: float | None


@dataclass(frozen=True)
class Refund:
    """A refund as it was asked for and what became of it."""

    out_refund_no: str
    refund_id: str
    out_trade_no: str
    request: dict[str, Any]
    refund: int
    state: str
    created_at: float
    settle_at: float
    success_at: float | None


@dataclass(frozen=True)
class Notice:
    """A notice: WAITING, TAKEN, GIVEN_UP, LOST or HELD."""

    notice_id: str
    event_type: str
    resource: dict[str, Any]
    notify_url: str
    state: str
    attempts: int
    due_at: float
    created_at: float
    last_answer: str


class Store:
    """The simulator's memory. Methods are atomic: the simulator has one thread."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "state.sqlite3", isolation_level=None)
        self._db.row_factory = sqlite3.Row
        # a crash of the process loses nothing; one of the machine may, and a simulator may lose
        # that
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written in the block, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def forget(self) -> None:
        """Nobody has logged in or paid."""
        with self.transaction():
            for (table,) in self._db.execute(TABLES).fetchall():
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of its own

    def use_code(self, code: str) -> bool:
        """Whether a code that works once was not used before."""
        cursor = self._db.execute("INSERT OR IGNORE INTO codes VALUES (?)", (code,))
        return cursor.rowcount == 1

    def add_order(self, request: dict[str, Any], expire_at: float | None) -> Order:
        self._insert(
            "orders",
            out_trade_no=request["out_trade_no"],
            prepay_id=f"wx{time.strftime('%d%H%M%S')}{secrets.token_hex(13)}",
            request=json.dumps(request),
            total=request["amount"]["total"],
            expire_at=expire_at,
            state="NOTPAY",
            created_at=time.time(),
        )
        found = self.order(request["out_trade_no"])
        assert found
        return found

    def order(self, number: str) -> Order | None:
        """By out_trade_no, transaction_id or prepay_id; one whose time is over is CLOSED."""
        sql = (
            "SELECT * FROM orders WHERE out_trade_no = ? OR prepay_id = ?"
            " OR (transaction_id = ? AND transaction_id <> '')"
        )
        row = self._db.execute(sql, (number, number, number)).fetchone()
        if row is None:
            return None
        order = Order(**{**dict(row), "request": json.loads(row["request"])})
        if order.state == "NOTPAY" and order.expire_at and order.expire_at <= time.time():
            self.set_order_state(order.out_trade_no, "CLOSED")
            return self.order(number)
        return order

    def orders(self, limit: int) -> list[Order]:
        """The newest."""
        rows = self._db.execute(
            "SELECT out_trade_no FROM orders ORDER BY created_at DESC LIMIT ?", (limit,)
        ).fetchall()
        return [order for row in rows if (order := self.order(row[0]))]

    def paid_between(self, begin: float, end: float) -> list[Order]:
        rows = self._db.execute(
            "SELECT out_trade_no FROM orders WHERE success_at >= ? AND success_at < ? ORDER BY"
            " success_at",
            (begin, end),
        ).fetchall()
        return [order for row in rows if (order := self.order(row[0]))]

    def set_order_state(self, out_trade_no: str, state: str) -> None:
        self._db.execute(
            "UPDATE orders SET state = ? WHERE out_trade_no = ?", (state, out_trade_no)
        )

    def pay(self, out_trade_no: str) -> None:
        number = f"4200{secrets.randbelow(10**24):024}"
        self._db.execute(
            "UPDATE orders SET state = 'SUCCESS', transaction_id = ?, success_at = ? WHERE"
            " out_trade_no = ?",
            (number, time.time(), out_trade_no),
        )

    def add_refund(self, request: dict[str, Any], out_trade_no: str, settle_at: float) -> Refund:
        self._insert(
            "refunds",
            out_refund_no=request["out_refund_no"],
            refund_id=f"50{secrets.randbelow(10**27):027}",
            out_trade_no=out_trade_no,
            request=json.dumps(request),
            refund=request["amount"]["refund"],
            state="PROCESSING",
            created_at=time.time(),
            settle_at=settle_at,
        )
        found = self.refund(request["out_refund_no"])
        assert found
        return found

    def apply_abnormal(
        self, refund: Refund, request: dict[str, Any], received_account: str, settle_at: float
    ) -> None:
        """An abnormal refund is on its way again, to another account."""
        self._insert(
            "abnormal_refunds",
            out_refund_no=refund.out_refund_no,
            request=json.dumps(request),
            received_account=received_account,
        )
        self._db.execute(
            "UPDATE refunds SET state = 'PROCESSING', settle_at = ? WHERE out_refund_no = ?",
            (settle_at, refund.out_refund_no),
        )

    def withdraw_abnormal(self, out_refund_no: str) -> None:
        """The other account does not take it either: another may be named."""
        self._db.execute("DELETE FROM abnormal_refunds WHERE out_refund_no = ?", (out_refund_no,))

    def abnormal(self, out_refund_no: str) -> tuple[dict[str, Any], str] | None:
        """What was asked for of an abnormal refund, secrets left out, and the account it goes
        to.
        """
        row = self._db.execute(
            "SELECT request, received_account FROM abnormal_refunds WHERE out_refund_no = ?",
            (out_refund_no,),
        ).fetchone()
        return (json.loads(row[0]), row[1]) if row else None

    def refund(self, out_refund_no: str) -> Refund | None:
        return next(iter(self._refunds("out_refund_no = ?", out_refund_no)), None)

    def refund_by_id(self, refund_id: str) -> Refund | None:
        return next(iter(self._refunds("refund_id = ?", refund_id)), None)

    def refunds_of(self, out_trade_no: str) -> list[Refund]:
        return self._refunds("out_trade_no = ?", out_trade_no)

    def refunds_between(self, begin: float, end: float) -> list[Refund]:
        return self._refunds("created_at >= ? AND created_at < ?", begin, end)

    def refunds_due(self, now: float) -> list[Refund]:
        return self._refunds("state = 'PROCESSING' AND settle_at <= ?", now)

    def settle_refund(self, out_refund_no: str, state: str) -> None:
        success_at = time.time() if state == "SUCCESS" else None
        self._db.execute(
            "UPDATE refunds SET state = ?, success_at = ? WHERE out_refund_no = ?",
            (state, success_at, out_refund_no),
        )

    def add_notice(
        self,
        event_type: str,
        resource: dict[str, Any],
        notify_url: str,
        *,
        state: str,
        due_at: float,
    ) -> None:
        self._insert(
            "notices",
            notice_id=f"EV-{secrets.token_hex(16)}",
            event_type=event_type,
            resource=json.dumps(resource),
            notify_url=notify_url,
            state=state,
            due_at=due_at,
            created_at=time.time(),
        )

    def notice(self, notice_id: str) -> Notice | None:
        return next(iter(self._notices("notice_id = ?", notice_id)), None)

    def notices(self, state: str | None = None) -> list[Notice]:
        """All, or those of a state; the newest first."""
        return self._notices("? IN ('', state) ORDER BY created_at DESC, rowid DESC", state or "")

    def notices_due(self, now: float) -> list[Notice]:
        return self._notices("state = 'WAITING' AND due_at <= ? ORDER BY due_at LIMIT 256", now)

    def update_notice(
        self, notice_id: str, *, state: str, attempts: int, due_at: float, last_answer: str
    ) -> None:
        self._db.execute(
            "UPDATE notices SET state = ?, attempts = ?, due_at = ?, last_answer = ? WHERE"
            " notice_id = ?",
            (state, attempts, due_at, last_answer, notice_id),
        )

    def next_due(self, *, refunds: bool) -> float | None:
        """When the next notice is due or, with `refunds`, the next refund."""
        row = self._db.execute(
            "SELECT min(t) FROM (SELECT min(due_at) t FROM notices WHERE state = 'WAITING'"
            " UNION ALL SELECT min(settle_at) FROM refunds WHERE state = 'PROCESSING' AND ?)",
            (refunds,),
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def _insert(self, table: str, **values: Any) -> None:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self._db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 - names are ours
            tuple(values.values()),
        )

    def _refunds(self, where: str, *values: object) -> list[Refund]:
        sql = f"SELECT * FROM refunds WHERE {where}"  # noqa: S608 - written in this file
        rows = self._db.execute(sql, values).fetchall()
        return [Refund(**{**dict(row), "request": json.loads(row["request"])}) for row in rows]

    def _notices(self, where: str, *values: object) -> list[Notice]:
        sql = f"SELECT * FROM notices WHERE {where}"  # noqa: S608 - written in this file
        rows = self._db.execute(sql, values).fetchall()
        return [Notice(**{**dict(row), "resource": json.loads(row["resource"])}) for row in rows]
