"""Every invariant holds over a world with one of each, and is broken by a row that is not as it should be."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import make_url
from typer.testing import CliRunner

from server.__main__ import app
from server.catalog.rules import (
    departure_id,
    departure_stock_id,
    promotion_stock_id,
    stock_id,
)
from server.invariants import EXAMPLES, INVARIANTS
from tests.support.invariants import assert_invariants, broken

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEPARTURE = departure_id(7, date(2026, 12, 1))
TRAIN, PACKAGE = departure_stock_id(DEPARTURE, 1, 0), stock_id(106, 0)
CAP = promotion_stock_id(5)
PARTNERS = stock_id(106, 1)
TRAVELLER = 9
TERMS: dict[str, list[dict[str, Any]]] = {
    "train": [{"function_code": "train", "total_uses": 1, "use_mode": "ONCE_PER_QR"}],
    "package": [
        {"function_code": "gift", "total_uses": 2, "use_mode": "MULTI_USE"},
        {"function_code": "lounge", "total_uses": 4, "use_mode": "MULTI_USE", "shared": True},
    ],
}


class Ledger:
    """Writes rows as the server would, by SQL."""

    def __init__(self, pg: psycopg.Connection[Any]) -> None:
        self.pg = pg
        self.tickets = 0
        self.snapshots: dict[str, UUID] = {}

    def insert(self, table: str, **columns: Any) -> None:
        names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
        values = [Jsonb(v) if isinstance(v, dict | list) else v for v in columns.values()]
        self.pg.execute(f"INSERT INTO {table} ({names}) VALUES ({places})".encode(), values)

    def stock(self, number: int, held: int, sold: int, **subject: Any) -> None:
        counts = {"total": 100, "held": held, "sold": sold, "update_time": NOW}
        self.insert("stocks", stock_id=number, **subject, **counts)

    def train(
        self, passenger: int, seat: int, document: str, amount_minor: int = 100
    ) -> dict[str, Any]:
        """A place on the train."""
        return {
            "passenger": passenger,
            "customer_type": "ADULT",
            "amount_minor": amount_minor,
            "seat_index": seat,
            "seat": f"1{seat}",
            "document": document,
        }

    def order(
        self,
        number: int,
        state: str,
        places: list[dict[str, Any]],
        *,
        kind: str = "train",
        moves: tuple[str, ...] = (),
        caps: tuple[int, ...] = (),
        **columns: Any,
    ) -> None:
        """An order of one item, with the states it moved to since it was made."""
        amount = sum(place["amount_minor"] for place in places)
        content = {
            "items": [
                {
                    "offer_id": kind,
                    "snapshot_id": str(self.snapshots[kind]),
                    "stock_id": TRAIN if kind == "train" else PACKAGE,
                    "departure_id": DEPARTURE if kind == "train" else None,
                    "price": {},
                    "places": places,
                }
            ],
            "capped_stock_ids": list(caps),
        }
        row = {
            "order_id": number,
            "order_code": f"ORD-{number}",
            "partner_id": 0,
            "state": state,
            "sequence": len(moves) + 1,
            "jti": uuid4(),
            "customer_type": "",
            "customer_name": "",
            "ticket_count": len(places),
            "payment_reference": "",
            "amount_minor": amount,
            "currency_code": "HKD",
            "traveller_id": TRAVELLER,
            "content": content,
            "hold_expire_time": NOW,
            "pay_time": NOW if "PAID" in moves or state in ("PAID", "COMPLETED") else None,
            "create_time": NOW,
        }
        self.insert("orders", **row | columns)
        for sequence, move in enumerate(moves, 2):
            reason = columns.get("cancel_reason") if move == "CANCELLED" else None
            self.insert(
                "order_events",
                order_id=number,
                sequence=sequence,
                event="moved",
                state=move,
                cancel_reason=reason,
                actor="test",
                occurred_time=NOW,
            )

    def ticket(
        self,
        order_id: int,
        passenger: int,
        state: str = "ACTIVE",
        *,
        kind: str = "train",
        seat: int | None = None,
        amount_minor: int = 100,
        used: int = 0,
    ) -> int:
        """A ticket of the order's only item."""
        ticket_id = self.row_of_ticket(state, kind=kind, order_id=order_id, partner_id=0)
        terms = [each for each in TERMS[kind] if each.get("shared", False) == (passenger < 0)]
        self.entitle(ticket_id, terms, used)
        self.insert(
            "ticket_sales",
            ticket_id=ticket_id,
            order_id=order_id,
            item_index=0,
            passenger_index=passenger,
            stock_id=TRAIN if kind == "train" else PACKAGE,
            departure_id=DEPARTURE if kind == "train" else None,
            seat_index=seat,
            amount_minor=amount_minor,
            reference_time=NOW,
            changes_made=0,
        )
        return ticket_id

    def row_of_ticket(self, state: str, *, kind: str, **columns: Any) -> int:
        self.tickets += 1
        self.insert(
            "tickets",
            ticket_id=self.tickets,
            ticket_code=f"T-{self.tickets}",
            jti=UUID(int=self.tickets),
            state=state,
            product_id=106,
            distributor_id="",
            snapshot_id=self.snapshots[kind],
            valid_from_time=NOW,
            valid_until_time=NOW + timedelta(days=30),
            create_time=NOW,
            update_time=NOW,
            **columns,
        )
        if state not in ("ACTIVE", "PARTIALLY_REDEEMED", "USED", "PRE_GENERATED"):
            self.insert(
                "ticket_events",
                ticket_id=self.tickets,
                event_id=1,
                action="moved",
                state=state,
                actor="test",
                occurred_time=NOW,
            )
        return self.tickets

    def entitle(self, ticket_id: int, terms: list[dict[str, Any]], used: int) -> None:
        for each in terms:
            self.insert(
                "entitlements",
                ticket_id=ticket_id,
                function_code=each["function_code"],
                total_uses=each["total_uses"],
                remaining_uses=each["total_uses"] - used,
            )
            if used:
                self.redeem(ticket_id, each["function_code"], used, guard=each["use_mode"])

    def redeem(self, ticket_id: int, function_code: str, quantity: int, *, guard: str) -> None:
        place = {"venue_code": "PIER", "terminal_device_id": "T-1"}
        self.insert(
            "redemption_events",
            ticket_id=ticket_id,
            event_id=77,
            ticket_code=f"T-{ticket_id}",
            jti=UUID(int=ticket_id),
            function_code=function_code,
            result="SUCCESS",
            quantity=quantity,
            merchant_code="M",
            operator="olga",
            occurred_time=NOW,
            **place,
        )
        if guard == "ONCE_PER_QR":
            self.insert(
                "redemption_guards",
                ticket_id=ticket_id,
                jti=UUID(int=ticket_id),
                function_code=function_code,
                event_id=77,
                redeemed_time=NOW,
                **place,
            )

    def payment(
        self,
        order_id: int,
        amount_minor: int,
        state: str = "SUCCEEDED",
        *,
        attempt: int = 1,
        refunded_minor: int = 0,
    ) -> None:
        self.insert(
            "payments",
            order_id=order_id,
            attempt=attempt,
            out_trade_no=f"DT{order_id}P{attempt}",
            state=state,
            amount_minor=amount_minor,
            currency_code="HKD",
            openid="o",
            expire_time=NOW,
            transaction_id=f"42-{order_id}-{attempt}" if state == "SUCCEEDED" else "",
            success_time=NOW if state == "SUCCEEDED" else None,
            refunded_minor=refunded_minor,
            create_time=NOW,
            update_time=NOW,
        )

    def refund(
        self,
        order_id: int,
        amount_minor: int,
        state: str,
        tickets: list[tuple[int, int]],
        *,
        refund_no: int = 1,
        cause: str = "TRAVELLER",
        attempt: int = 1,
        paid_by: int | None = None,
    ) -> None:
        """A refund of one part, out of the payment of `paid_by`, this order's if none."""
        self.insert(
            "refunds",
            order_id=order_id,
            refund_no=refund_no,
            state=state,
            cause=cause,
            tickets=[{"ticket_id": number, "amount_minor": amount} for number, amount in tickets],
            amount_minor=amount_minor,
            currency_code="HKD",
            create_time=NOW,
            settle_time=NOW if state in ("SUCCEEDED", "CLOSED") else None,
        )
        self.insert(
            "refund_parts",
            order_id=order_id,
            refund_no=refund_no,
            part_no=1,
            payment_order_id=paid_by or order_id,
            payment_attempt=attempt,
            out_refund_no=f"DT{order_id}R{refund_no}S1",
            amount_minor=amount_minor,
            state=state,
            update_time=NOW,
        )

    def seat(self, seat: int, document: str, order_id: int) -> None:
        self.insert("taken_seats", stock_id=TRAIN, seat_index=seat, order_id=order_id)
        hashed = bytes.fromhex(document)
        self.insert(
            "travel_guards", departure_id=DEPARTURE, document_hash=hashed, order_id=order_id
        )


def fill(ledger: Ledger) -> None:
    """Orders 1 to 9 of one traveller, and a batch of a partner with its order 20."""
    pg = ledger.pg
    pg.execute(
        "INSERT INTO products (product_id, kind, display_name_en, display_name_zh, currency_code, fares, entitlements,"
        " validity_days, blackout_dates, state, create_time, update_time)"
        " VALUES (106, 'PACKAGE', '', '', 'HKD', '[]', '[]', 30, '{}', 'ACTIVE', now(), now())"
    )
    for kind, terms in TERMS.items():
        ledger.snapshots[kind] = uuid4()
        content = {"entitlements": terms}
        ledger.insert(
            "snapshots",
            snapshot_id=ledger.snapshots[kind],
            product_id=106,
            content=content,
            create_time=NOW,
        )
    of_train = {"product_id": 106, "partner_id": 0, "departure_id": DEPARTURE, "fare_class": "2"}
    ledger.stock(TRAIN, 4, 6, **of_train)
    ledger.stock(PACKAGE, 0, 1, product_id=106, partner_id=0)
    ledger.stock(PARTNERS, 0, 3, product_id=106, partner_id=1)
    ledger.stock(CAP, 1, 1, partner_id=0, promotion_id=5)
    counts = {TRAIN: 10, PACKAGE: 1}
    for stock, quantity in counts.items():
        ledger.insert("traveller_quotas", stock_id=stock, traveller_id=TRAVELLER, quantity=quantity)
    _unpaid(ledger)
    _paid(ledger)
    _changed(ledger)
    _partners(ledger)


def _unpaid(ledger: Ledger) -> None:
    """1 waits for its payment, 2 was cancelled, 3 too, and then paid: that goes back."""
    places = [ledger.train(0, 1, "01"), ledger.train(1, 2, "02")]
    ledger.order(1, "PENDING", places, caps=(CAP,))
    ledger.seat(1, "01", 1)
    ledger.seat(2, "02", 1)
    ledger.payment(1, 200, "PENDING")
    late = {"moves": ("CANCELLED",), "cancel_reason": "HOLD_EXPIRED"}
    ledger.order(2, "CANCELLED", [ledger.train(0, 1, "01")], **late)
    ledger.payment(2, 100, "CLOSED")
    ledger.order(3, "CANCELLED", [ledger.train(0, 1, "01")], **late)
    ledger.payment(3, 100, refunded_minor=100)
    ledger.refund(3, 100, "PROCESSING", [], cause="LATE_PAYMENT")


def _paid(ledger: Ledger) -> None:
    """4 has an active ticket, one used and one refunding, 5 all refunded, 6 is a package, used up."""
    places = [ledger.train(n, 3 + n, f"1{n}") for n in range(3)]
    moves = ("PAID", "PAID")
    ledger.order(4, "PAID", places, moves=moves, caps=(CAP,))
    ledger.payment(4, 300, refunded_minor=80)
    for n, state in enumerate(("ACTIVE", "USED", "REFUNDING")):
        ticket_id = ledger.ticket(4, n, state, seat=3 + n, used=int(state == "USED"))
        ledger.seat(3 + n, f"1{n}", 4)
    ledger.refund(4, 80, "PROCESSING", [(ticket_id, 80)])
    refunded = {"moves": ("PAID", "PAID", "CANCELLED"), "cancel_reason": "REFUNDED"}
    ledger.order(5, "CANCELLED", [ledger.train(0, 1, "01")], **refunded)
    ledger.payment(5, 100, refunded_minor=90)
    ledger.refund(5, 90, "SUCCEEDED", [(ledger.ticket(5, 0, "REFUNDED", seat=1), 90)])
    package = {"passenger": 0, "customer_type": "ADULT", "amount_minor": 500}
    ledger.order(6, "COMPLETED", [package], kind="package", moves=("PAID", "COMPLETED"))
    ledger.payment(6, 500)
    ledger.payment(6, 500, attempt=2, refunded_minor=500)
    ledger.refund(6, 500, "SUCCEEDED", [], cause="LATE_PAYMENT", attempt=2)
    ledger.ticket(6, 0, "USED", kind="package", used=2, amount_minor=500)
    ledger.ticket(6, -1, "USED", kind="package", used=4, amount_minor=0)


def _changed(ledger: Ledger) -> None:
    """The ticket of 7 became that of 8; of the two tickets of 9 one waits to become that of 10."""
    changed = {"moves": ("PAID", "PAID", "CANCELLED"), "cancel_reason": "REFUNDED"}
    ledger.order(7, "CANCELLED", [ledger.train(0, 1, "01")], **changed)
    ledger.payment(7, 100)
    old = ledger.ticket(7, 0, "CHANGED", seat=1)
    credit = {"changes_ticket_id": old, "changes_order_id": 7, "credit_minor": 100}
    ledger.order(8, "PAID", [ledger.train(0, 6, "30", 130)], moves=("PAID",), **credit)
    ledger.payment(8, 30)
    ledger.ticket(8, 0, seat=6, amount_minor=130)
    ledger.seat(6, "30", 8)
    places = [ledger.train(0, 7, "40"), ledger.train(1, 8, "41")]
    ledger.order(9, "PAID", places, moves=("PAID", "PAID"))
    ledger.payment(9, 200)
    ledger.ticket(9, 0, seat=7)
    changing = ledger.ticket(9, 1, "CHANGING", seat=8)
    ledger.seat(7, "40", 9)
    ledger.seat(8, "41", 9)
    credit = {"changes_ticket_id": changing, "changes_order_id": 9, "credit_minor": 100}
    places = [ledger.train(0, 9, "42", 120)]
    ledger.order(10, "PENDING", places, **credit)
    ledger.seat(9, "42", 10)
    # one place waits beside it, so that held is 4
    ledger.order(11, "PENDING", [ledger.train(0, 10, "43")])
    ledger.seat(10, "43", 11)


def _partners(ledger: Ledger) -> None:
    """A batch of three, one of them sold in order 20."""
    batch = uuid4()
    ledger.insert(
        "batches",
        batch_id=batch,
        partner_id=1,
        product_id=106,
        distributor_id="",
        snapshot_id=ledger.snapshots["train"],
        first_ticket_id=ledger.tickets + 1,
        quantity=3,
        create_time=NOW,
    )
    sold = {"partner_id": 1, "traveller_id": None, "content": None, "ticket_count": 1}
    ledger.order(20, "PAID", [], **sold)
    for state, order_id in (("ACTIVE", 20), ("PRE_GENERATED", None), ("PRE_GENERATED", None)):
        row = {"partner_id": 1, "batch_id": batch, "order_id": order_id}
        ticket_id = ledger.row_of_ticket(state, kind="train", **row)
        ledger.entitle(ticket_id, TERMS["train"], 0)


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    plain = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as pg:
        ledger = Ledger(pg)
        fill(ledger)
        assert_invariants(database_url)
        yield ledger


TICKET = "SELECT ticket_id FROM tickets WHERE state = '{}' AND order_id = {}"
CORRUPTIONS = [
    ("stock", f"UPDATE stocks SET held = held + 1 WHERE stock_id = {TRAIN}"),
    ("stock", f"UPDATE stocks SET sold = sold - 1 WHERE stock_id = {PACKAGE}"),
    ("stock", f"UPDATE stocks SET sold = sold + 1 WHERE stock_id = {PARTNERS}"),
    ("stock", f"UPDATE stocks SET sold = 0 WHERE stock_id = {CAP}"),
    ("stock", f"DELETE FROM stocks WHERE stock_id = {PARTNERS}"),
    (
        "oversell",
        "ALTER TABLE stocks DROP CONSTRAINT ck_stocks_no_oversell; UPDATE stocks SET total = 1",
    ),
    ("seats", "DELETE FROM taken_seats WHERE seat_index = 4"),
    ("seats", f"INSERT INTO taken_seats VALUES ({TRAIN}, 99, 4)"),
    ("seats", "UPDATE taken_seats SET order_id = 4 WHERE seat_index = 1"),
    ("one-seat-one-ticket", "UPDATE ticket_sales SET seat_index = 3 WHERE seat_index = 4"),
    ("travel-guards", "DELETE FROM travel_guards WHERE order_id = 1"),
    ("travel-guards", f"INSERT INTO travel_guards VALUES ({DEPARTURE}, 'x', 4)"),
    ("traveller-quotas", "UPDATE traveller_quotas SET quantity = quantity - 1"),
    ("traveller-quotas", "INSERT INTO traveller_quotas VALUES (1, 9, 1)"),
    ("batches", "UPDATE batches SET quantity = 4"),
    ("batches", "DELETE FROM batches"),
    ("refunded-of-payments", "UPDATE payments SET refunded_minor = 81 WHERE order_id = 4"),
    ("refunded-of-payments", "UPDATE refund_parts SET state = 'CLOSED' WHERE order_id = 5"),
    ("refunded-of-payments", "DELETE FROM payments WHERE order_id = 3"),
    ("refund-parts", "UPDATE refund_parts SET amount_minor = 1 WHERE order_id = 4"),
    ("refund-parts", "UPDATE refund_parts SET state = 'SUCCEEDED' WHERE order_id = 4"),
    ("refund-parts", "DELETE FROM refund_parts WHERE order_id = 5"),
    ("refund-of-tickets", "UPDATE refunds SET amount_minor = 79 WHERE order_id = 4"),
    ("refund-of-tickets", "UPDATE ticket_sales SET amount_minor = 79 WHERE order_id = 4"),
    (
        "refund-of-tickets",
        "INSERT INTO refunds SELECT order_id, 2, 'SUCCEEDED', cause, tickets, amount_minor, currency_code, now(), now()"
        " FROM refunds WHERE order_id = 5",
    ),
    ("paid-in-full", "UPDATE payments SET amount_minor = 301 WHERE order_id = 4"),
    ("paid-in-full", "UPDATE refunds SET cause = 'ADMINISTRATOR' WHERE order_id = 6"),
    (
        "paid-in-full",
        "UPDATE payments SET state = 'SUCCEEDED', success_time = now() WHERE order_id = 1",
    ),
    ("paid-in-full", "DELETE FROM payments WHERE order_id = 8"),
    ("paid-in-full", "UPDATE payments SET order_id = 12 WHERE order_id = 2"),
    ("one-transaction-one-payment", "UPDATE payments SET transaction_id = 'same'"),
    ("prices", "UPDATE orders SET amount_minor = 199 WHERE order_id = 1"),
    ("prices", "UPDATE ticket_sales SET amount_minor = 99 WHERE order_id = 4"),
    ("tickets-of-orders", "DELETE FROM ticket_sales WHERE order_id = 6 AND passenger_index < 0"),
    ("tickets-of-orders", "UPDATE ticket_sales SET order_id = 1 WHERE order_id = 8"),
    ("tickets-of-orders", "UPDATE ticket_sales SET passenger_index = 0 WHERE order_id = 4"),
    ("sales-of-tickets", "DELETE FROM ticket_sales WHERE order_id = 6"),
    ("sales-of-tickets", "DELETE FROM tickets WHERE order_id = 4"),
    ("sales-of-tickets", "UPDATE orders SET ticket_count = 2 WHERE order_id = 20"),
    ("order-states", "UPDATE orders SET state = 'COMPLETED' WHERE order_id = 4"),
    ("order-states", "UPDATE orders SET state = 'PAID', cancel_reason = NULL WHERE order_id = 7"),
    ("order-states", "UPDATE orders SET cancel_reason = 'TRAVELLER' WHERE order_id = 5"),
    ("order-states", "UPDATE orders SET pay_time = NULL WHERE order_id = 4"),
    ("order-states", "UPDATE orders SET pay_time = now() WHERE order_id = 2"),
    ("order-events", "UPDATE orders SET sequence = 7 WHERE order_id = 4"),
    ("order-events", "DELETE FROM order_events WHERE order_id = 2"),
    (
        "order-events",
        "UPDATE order_events SET sequence = 9 WHERE (order_id, sequence) = (4, 3)",
    ),
    ("order-events", "UPDATE order_events SET state = 'PAID' WHERE order_id = 2"),
    ("refunding", "UPDATE tickets SET state = 'ACTIVE' WHERE state = 'REFUNDING'"),
    ("refunding", "UPDATE tickets SET state = 'REFUNDING' WHERE state = 'REFUNDED'"),
    ("refunding", "DELETE FROM refunds WHERE order_id = 5"),
    ("changing", "UPDATE tickets SET state = 'ACTIVE' WHERE state = 'CHANGING'"),
    ("changing", "UPDATE tickets SET state = 'ACTIVE' WHERE state = 'CHANGED'"),
    ("changing", "UPDATE tickets SET state = 'CHANGED' WHERE order_id = 8"),
    ("changing", "DELETE FROM ticket_sales WHERE order_id = 8"),
    ("entitlements", "UPDATE entitlements SET total_uses = total_uses + 1"),
    ("entitlements", "DELETE FROM entitlements WHERE function_code = 'lounge'"),
    ("entitlements", "UPDATE snapshots SET content = '{\"entitlements\": []}'"),
    (
        "uses",
        "UPDATE entitlements SET remaining_uses = 0 WHERE ticket_id = (SELECT max(ticket_id) FROM tickets)",
    ),
    ("uses", "UPDATE tickets SET state = 'USED' WHERE order_id = 20"),
    ("uses", "DELETE FROM redemption_events"),
    ("redemption-guards", "DELETE FROM redemption_guards"),
    ("redemption-guards", "UPDATE redemption_guards SET event_id = 78"),
    ("ticket-events", "DELETE FROM ticket_events WHERE state = 'REFUNDED'"),
]


@pytest.mark.parametrize(("name", "statement"), CORRUPTIONS)
def test_a_wrong_row_breaks_it(
    ledger: Ledger, database_url: str, name: str, statement: str
) -> None:
    ledger.pg.execute(statement.encode())
    found = {result.invariant.name: result for result in broken(database_url)}
    assert name in found
    assert all(subject and text for subject, text in found[name].examples)


def test_each_is_shown_to_break() -> None:
    assert {name for name, _ in CORRUPTIONS} == {each.name for each in INVARIANTS}
    assert len({each.name for each in INVARIANTS}) == len(INVARIANTS)


def test_examples_are_few(ledger: Ledger, database_url: str) -> None:
    ledger.pg.execute("DELETE FROM taken_seats")
    (result,) = broken(database_url)
    assert (len(result.examples), result.more) == (EXAMPLES, True)
    assert result.text.endswith("…")


def test_an_empty_database(database_url: str) -> None:
    assert_invariants(database_url)


def test_all_see_one_snapshot(ledger: Ledger, database_url: str) -> None:
    """What is committed while they are examined is seen by all of them or none."""
    from server.invariants import examine

    plain = make_url(database_url).set(drivername="postgresql")
    url = plain.render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as other:
        results = examine(other)
        first = next(results)
        ledger.pg.execute("DELETE FROM entitlements; DELETE FROM tickets")
        assert first.holds
        assert all(result.holds for result in results)


def test_doctor(
    ledger: Ledger, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`deeptravel doctor --invariants`, for people and as JSON, and its exit code."""
    monkeypatch.setenv("DEEPTRAVEL_DATABASE_URL", database_url)
    monkeypatch.setenv("DEEPTRAVEL_REDIS_URL", redis_url)
    run = CliRunner().invoke
    clean = run(app, ["doctor", "--invariants"])
    assert clean.exit_code == 0
    assert all(each.name in clean.output for each in INVARIANTS)
    ledger.pg.execute("UPDATE orders SET sequence = 7 WHERE order_id = 4")
    wrong = run(app, ["doctor", "--invariants", "--json"])
    assert wrong.exit_code == 1
    findings = {each["subject"]: each for each in json.loads(wrong.output)}
    assert findings.keys() == {each.name for each in INVARIANTS}
    (found,) = (each for each in findings.values() if each["verdict"] != "ok")
    assert found["subject"] == "order-events"
    assert "ORD-4: sequence 7" in found["found"]
    assert found["remedy"]
