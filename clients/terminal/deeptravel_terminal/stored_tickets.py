"""The tickets of a venue's pack as a terminal's file keeps them, with what is pushed and leased.

Each function is part of a transaction of `store.py`.
"""

import sqlite3
import struct
from typing import Any

from deeptravel import redemption

from deeptravel_terminal.offline_rules import CODE_MASK, Known, Lease, LocalUse
from deeptravel_terminal.packs import PackTicket, tickets_of
from deeptravel_terminal.schema import signed

_IN_USE = "(SELECT value FROM kept WHERE name = 'generation')"


def write(db: sqlite3.Connection, made: redemption.PackTickets, generation: int) -> None:
    """Tickets of a chunk, each in the place of the one with its number. Raises PackError."""
    _write_leases(db, made)
    terms = [_shared(db, "terms", generation, each) for each in made.terms]
    departures = [_shared(db, "departures", generation, each) for each in made.departures]
    db.executemany(
        "INSERT OR REPLACE INTO tickets (generation, number, terms_id, departure_id, packed,"
        " order_number) VALUES (?, ?, ?, ?, ?, ?)",
        (
            (
                generation,
                signed(each.number),
                terms[each.terms_index],
                departures[each.departure_index - 1] if each.departure_index else None,
                each.packed(),
                _order_number(each),
            )
            for each in tickets_of(made)
        ),
    )


def drop_all_but(db: sqlite3.Connection, generation: int) -> None:
    """What a full pack replaces, or what was begun and is not to be completed."""
    for table in ("tickets", "terms", "departures"):
        db.execute(f"DELETE FROM {table} WHERE generation <> ?", (generation,))


def push(db: sqlite3.Connection, pushed: redemption.PushedTickets) -> None:
    """Tickets that take the place of the pack's. Raises PackError."""
    made = pushed.tickets
    for ticket in tickets_of(made):
        terms, departure = made.terms[ticket.terms_index], b""
        if ticket.departure_index:
            departure = made.departures[ticket.departure_index - 1].SerializeToString()
        db.execute(
            "INSERT OR REPLACE INTO pushed (number, version, packed, terms, departure,"
            " order_number) VALUES (?, ?, ?, ?, ?, ?)",
            (
                signed(ticket.number),
                pushed.push_version,
                ticket.packed(),
                terms.SerializeToString(),
                departure,
                _order_number(ticket),
            ),
        )
        _drop_uses(db, ticket, terms)
    _write_leases(db, made)


def settle(db: sqlite3.Connection, version: int, settled: int) -> None:
    """Drops what a complete pack has: uses up to `settled`, and what was pushed before it."""
    db.execute("DELETE FROM uses WHERE settled AND id <= ?", (settled,))
    db.execute("DELETE FROM pushed WHERE version < ?", (version,))


def drop_pushed_uses(db: sqlite3.Connection, number: int) -> None:
    """Of a ticket those that what was pushed of it has."""
    known = db.execute("SELECT packed, terms FROM pushed WHERE number = ?", (signed(number),))
    if row := known.fetchone():
        terms = redemption.PackTerms.FromString(row[1])
        _drop_uses(db, PackTicket.unpacked(number, row[0]), terms)


def known(db: sqlite3.Connection, number: int, device: str) -> Known | None:
    """A ticket with what this terminal redeemed of it and others have leased; None if there is
    none.
    """
    row = _row(db, signed(number))
    if row is None:
        return None
    uses = db.execute(
        "SELECT function_code, quantity, jti, at FROM uses WHERE number = ?", (signed(number),)
    ).fetchall()
    leased = db.execute(
        "SELECT function_code, device, until FROM leases WHERE number = ? AND device <> ?",
        (signed(number), device),
    ).fetchall()
    departure = redemption.PackDeparture.FromString(row[2]) if row[2] else None
    terms = redemption.PackTerms.FromString(row[1])
    local = [LocalUse(*use) for use in uses]
    elsewhere = {function: Lease(*lease) for function, *lease in leased}
    return Known(PackTicket.unpacked(number, row[0]), terms, departure, local, elsewhere)


def numbers_like(db: sqlite3.Connection, low: int) -> list[int]:
    """Numbers of tickets with these bits of CODE_MASK: of each seller one at the most."""
    rows = db.execute(
        "SELECT number FROM pushed WHERE number & ? = ? UNION SELECT number FROM tickets"
        f" WHERE generation = {_IN_USE} AND number & ? = ?",
        (CODE_MASK, low, CODE_MASK, low),
    )
    return [row[0] % (1 << 64) for row in rows.fetchall()]


def numbers_of(db: sqlite3.Connection, order_number: int) -> list[int]:
    """Numbers of an order's tickets, in their order."""
    rows = db.execute(
        "SELECT number FROM pushed WHERE order_number = ? UNION SELECT number FROM tickets"
        f" WHERE generation = {_IN_USE} AND order_number = ?",
        (signed(order_number), signed(order_number)),
    )
    return sorted(row[0] % (1 << 64) for row in rows.fetchall())


def orders_like(db: sqlite3.Connection, low: int) -> list[int]:
    """Numbers of orders, as `numbers_like`."""
    rows = db.execute(
        "SELECT order_number FROM pushed WHERE order_number & ? = ? UNION SELECT order_number"
        f" FROM tickets WHERE generation = {_IN_USE} AND order_number & ? = ?",
        (CODE_MASK, low, CODE_MASK, low),
    )
    return [row[0] % (1 << 64) for row in rows.fetchall()]


def own_leases(db: sqlite3.Connection, device: str, now: int) -> tuple[int, int]:
    """How many functions of tickets the terminal has leased, and until when, the first that ends;
    in milliseconds, 0 for none.
    """
    row = db.execute(
        "SELECT count(*), coalesce(min(until), 0) FROM leases WHERE device = ? AND until > ?",
        (device, now),
    ).fetchone()
    return int(row[0]), int(row[1])


def _order_number(ticket: PackTicket) -> int | None:
    return signed(ticket.order.number) if ticket.order else None


def _row(db: sqlite3.Connection, number: int) -> Any:
    """Ticket, terms and departure, as they are kept; None if there is none."""
    row = db.execute(
        "SELECT packed, terms, departure FROM pushed WHERE number = ?", (number,)
    ).fetchone()
    if row:
        return row
    return db.execute(
        "SELECT t.packed, e.content, d.content FROM tickets t"
        " JOIN terms e ON e.id = t.terms_id LEFT JOIN departures d ON d.id = t.departure_id"
        f" WHERE t.generation = {_IN_USE} AND t.number = ?",
        (number,),
    ).fetchone()


def _write_leases(db: sqlite3.Connection, made: redemption.PackTickets) -> None:
    """Those of a chunk's tickets, in the place of what they had."""
    if made.count and db.execute("SELECT count(*) FROM leases").fetchone()[0]:
        numbers = struct.unpack(f">{made.count}Q", made.ticket_ids)
        db.executemany("DELETE FROM leases WHERE number = ?", [(signed(each),) for each in numbers])
    db.executemany(
        "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)",
        [
            (signed(each.ticket_id), each.function_code, each.terminal_device_id, each.until_time)
            for each in made.leases
        ],
    )


def _drop_uses(db: sqlite3.Connection, ticket: PackTicket, terms: redemption.PackTerms) -> None:
    """Those that what is pushed has: no more is left than was after them."""
    for function, uses in zip(terms.functions, ticket.uses, strict=True):
        db.execute(
            "DELETE FROM uses WHERE number = ? AND function_code = ? AND left_after >= ?",
            (signed(ticket.number), function.function_code, uses.left),
        )


def _shared(
    db: sqlite3.Connection,
    table: str,
    generation: int,
    what: "redemption.PackTerms | redemption.PackDeparture",
) -> int:
    content = what.SerializeToString(deterministic=True)
    db.execute(
        f"INSERT OR IGNORE INTO {table} (generation, content) VALUES (?, ?)",
        (generation, content),
    )
    found = db.execute(
        f"SELECT id FROM {table} WHERE generation = ? AND content = ?",
        (generation, content),
    )
    return int(found.fetchone()[0])
