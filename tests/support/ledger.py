"""A world with one of each: orders, tickets, payments and refunds in every state, written by SQL as the server would."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from server.catalog.rules import (
    departure_id,
    departure_stock_id,
    promotion_stock_id,
    stock_id,
)

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
            # of a change of an order's first item; the orders here are changed once
            "first_order_id": columns.get("changes_order_id"),
            "first_item_index": 0 if "changes_order_id" in columns else None,
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
        if state == "PROCESSING":
            self.task("refund.query", f"DT{order_id}R{refund_no}S1")

    def task(self, kind: str, key: str) -> None:
        """One that is open."""
        self.insert(
            "outbox_tasks",
            task_id=uuid4(),
            kind=kind,
            key=key,
            payload={},
            state="OPEN",
            due_time=NOW,
            attempts=0,
            create_time=NOW,
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
    ledger.stock(TRAIN, 4, 7, **of_train)
    ledger.stock(PACKAGE, 0, 1, product_id=106, partner_id=0)
    ledger.stock(PARTNERS, 0, 3, product_id=106, partner_id=1)
    ledger.stock(CAP, 1, 1, partner_id=0, promotion_id=5)
    counts = {TRAIN: 11, PACKAGE: 1}
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
    late: dict[str, Any] = {"moves": ("CANCELLED",), "cancel_reason": "HOLD_EXPIRED"}
    ledger.order(2, "CANCELLED", [ledger.train(0, 1, "01")], **late)
    ledger.payment(2, 100, "PENDING")
    ledger.task("payment.close", "DT2P1")
    ledger.order(3, "CANCELLED", [ledger.train(0, 1, "01")], **late)
    ledger.payment(3, 100, refunded_minor=100)
    ledger.refund(3, 100, "PROCESSING", [], cause="LATE_PAYMENT")


def _paid(ledger: Ledger) -> None:
    """4 has an active ticket, one used and one refunding, 5 all refunded, 6 is a package, used up."""
    places = [ledger.train(n, 3 + n, f"1{n}") for n in range(3)]
    moves = ("PAID", "PAID")
    ledger.order(4, "PAID", places, moves=moves, caps=(CAP,))
    ledger.payment(4, 300, refunded_minor=80)
    for n in range(3):
        ledger.seat(3 + n, f"1{n}", 4)
    ledger.ticket(4, 0, seat=3)
    ledger.ticket(4, 1, "USED", seat=4, used=1)
    ledger.refund(4, 80, "PROCESSING", [(ledger.ticket(4, 2, "REFUNDING", seat=5), 80)])
    refunded: dict[str, Any] = {"moves": ("PAID", "PAID", "CANCELLED"), "cancel_reason": "REFUNDED"}
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
    changed: dict[str, Any] = {"moves": ("PAID", "PAID", "CANCELLED"), "cancel_reason": "REFUNDED"}
    ledger.order(7, "CANCELLED", [ledger.train(0, 1, "01")], **changed)
    ledger.payment(7, 100)
    old = ledger.ticket(7, 0, "CHANGED", seat=1)
    credit: dict[str, Any] = {"changes_ticket_id": old, "changes_order_id": 7, "credit_minor": 100}
    # 130 and a fee of 5
    paid: dict[str, Any] = {"moves": ("PAID",), "amount_minor": 135}
    ledger.order(8, "PAID", [ledger.train(0, 6, "30", 130)], **paid, **credit)
    ledger.payment(8, 35)
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
    places = [ledger.train(0, 9, "41", 120)]
    ledger.order(10, "PENDING", places, **credit)
    ledger.insert("taken_seats", stock_id=TRAIN, seat_index=9, order_id=10)
    # one changes to another class of its departure: the guard stays the ticket's; in this world there is one class
    old = ledger.ticket(11, 0, "CHANGING", seat=11)
    ledger.order(11, "PAID", [ledger.train(0, 11, "43")], moves=("PAID", "PAID"))
    ledger.payment(11, 100)
    ledger.seat(11, "43", 11)
    credit = {"changes_ticket_id": old, "changes_order_id": 11, "credit_minor": 100}
    ledger.order(12, "PENDING", [ledger.train(0, 10, "43", 120)], **credit)
    ledger.insert("taken_seats", stock_id=TRAIN, seat_index=10, order_id=12)


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
    sold: dict[str, Any] = {
        "partner_id": 1,
        "traveller_id": None,
        "content": None,
        "ticket_count": 1,
    }
    ledger.order(20, "PAID", [], **sold)
    for state, order_id in (("ACTIVE", 20), ("PRE_GENERATED", None), ("PRE_GENERATED", None)):
        row = {"partner_id": 1, "batch_id": batch, "order_id": order_id}
        ticket_id = ledger.row_of_ticket(state, kind="train", **row)
        ledger.entitle(ticket_id, TERMS["train"], 0)
