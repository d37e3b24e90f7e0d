"""Travellers' tickets: reading them with all they were sold under, and the QR codes their owners
show.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Select,
    and_,
    any_,
    bindparam,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.models import departures
from server.catalog.offers import Offer
from server.catalog.operator_cause import operator_cause
from server.catalog.policy import Policy, TicketStart
from server.catalog.policy import PolicyTicket as Standing
from server.catalog.rules import DEFAULT_BOARDING_MINUTES
from server.orders import orders
from server.orders.content import SHARED, OrderItem, Place
from server.orders.models import orders as order_rows
from server.orders.models import ticket_sales
from server.orders.ordered_departures import OrderedDeparture
from server.orders.orders import Order, OwnCode, find
from server.orders.shared_tickets import shown_in
from server.platform.errors import DomainError, not_found
from server.platform.statements import Statement, Transaction, run, run_together, sql_of
from server.tickets import snapshots
from server.tickets.models import entitlements
from server.tickets.models import tickets as ticket_rows
from server.tickets.rules import DIRECT, DIRECT_CODE, DIRECT_PREFIX, Code, Number, why_no_qr

_NUMBERS: ARRAY[int] = ARRAY(BigInteger)
BOARDING = "boarding"
"""The function by which a departure is boarded: once redeemed, the trip was begun."""


class SoldUnder(dict[str, Any]):
    """A snapshot's content. Thousands of tickets may have one: what is parsed of it is kept."""

    @cached_property
    def policy(self) -> Policy:
        """How its tickets are refunded and changed."""
        return Policy.parse(self["policy"])

    @cached_property
    def offers(self) -> dict[str, Offer]:
        """What was parsed of it, by offer_id."""
        return {}


@dataclass(frozen=True, slots=True)
class TravelTicket:
    """A ticket with its order, its place there, and the snapshot it was sold under.

    `uses` are (function_code, remaining_uses, total_uses) by code; `passenger_index` is SHARED for
    a shared entitlement. The columns of its departure are as it is now; all are None for a package.
    """

    order: Order
    snapshot: SoldUnder
    ticket_id: int
    ticket_code: str
    jti: UUID
    state: str
    blocked: bool
    order_id: int
    product_id: int
    snapshot_id: UUID
    valid_from_time: datetime
    valid_until_time: datetime
    customer_type: str
    item_index: int
    passenger_index: int
    seat: str | None
    amount_minor: int
    reference_time: datetime
    changes_made: int
    uses: Sequence[tuple[str, int, int]]
    departure_id: int | None = None
    departure_state: str | None = None
    departure_time: datetime | None = None
    planned_time: datetime | None = None
    waiver_code: str | None = None

    @property
    def departure(self) -> OrderedDeparture | None:
        """Its departure as it is now; None for a package."""
        if self.departure_id is None or self.departure_state is None:
            return None
        assert self.departure_time is not None, "a departure leaves at some time"
        planned_time = self.planned_time or self.departure_time
        return OrderedDeparture(
            self.departure_id, self.departure_state, self.departure_time, planned_time
        )

    @property
    def moved(self) -> timedelta:
        """By how much its departure leaves later than it was sold for; earlier below zero."""
        journey, departure = self.snapshot["offer"]["journey"], self.departure
        if journey is None or departure is None:
            return timedelta()
        sold_for = journey.get("service_time")
        return departure.moved(datetime.fromisoformat(sold_for) if sold_for else None)

    @property
    def operator_cause(self) -> str:
        """What the operator did to its departure, for which refund and change are free; empty if
        nothing.
        """
        if self.departure is None:
            return ""
        return operator_cause(self.departure.state, self.moved, self.policy.move_tolerance_minutes)

    @property
    def is_shared(self) -> bool:
        """Whether it is for a shared entitlement, which is anybody's of the order."""
        return self.passenger_index == SHARED

    @property
    def item(self) -> OrderItem:
        """What it was ordered as."""
        return self.order.content.items[self.item_index]

    @property
    def place(self) -> Place:
        """The place of its item that it is; not of a shared one."""
        return next(each for each in self.item.places if each.passenger == self.passenger_index)

    @property
    def position(self) -> tuple[datetime, int, int]:
        """Where it stands in the list: its order's time, that order, itself."""
        return self.order.create_time, self.order_id, self.ticket_id

    @property
    def offer(self) -> Offer:
        """As it was offered then."""
        offer_id, known = self.item.offer_id, self.snapshot.offers
        if offer_id not in known:
            known[offer_id] = Offer.from_snapshot(offer_id, self.snapshot_id, self.snapshot)
        return known[offer_id]

    @property
    def boarding_time(self) -> datetime | None:
        """When boarding of its departure opens; None for a ticket of none, and for a shared one."""
        if self.item.departure_id is None or self.is_shared:
            return None
        minutes = self.snapshot.get("boarding_minutes", DEFAULT_BOARDING_MINUTES)
        return self.reference_time - timedelta(minutes=minutes)

    @property
    def policy(self) -> Policy:
        """How it is refunded and changed."""
        return self.snapshot.policy

    def shows_code(self, now: datetime) -> bool:
        """Whether its owner's phone shows a rotating code: a function looks at one, and it gets a
        QR.
        """
        functions = {function_code for function_code, _, _ in self.uses}
        asked = {
            each.get("rotating_code", "NONE")
            for each in self.snapshot["entitlements"]
            if each["function_code"] in functions
        }
        return bool(asked - {"NONE"}) and not why_no_qr(
            self.state, blocked=self.blocked, valid_until_time=self.valid_until_time, now=now
        )

    @property
    def rental(self) -> dict[str, Any] | None:
        """The rental it is for, as its snapshot has it; None for all else."""
        rental: dict[str, Any] | None = self.snapshot["offer"].get("rental")
        return rental

    @property
    def start(self) -> TicketStart:
        """What it begins with."""
        if self.rental:
            return TicketStart.PICK_UP
        return (
            TicketStart.DEPARTURE if self.item.departure_id is not None else TicketStart.FIRST_DAY
        )

    @property
    def zone(self) -> tzinfo:
        """Of the city it is used in; UTC if that is not known."""
        name = self.snapshot["offer"].get("time_zone")
        return ZoneInfo(name) if name else UTC

    @property
    def standing(self) -> Standing:
        """As refund and change look at it."""
        change = self.order.content.change
        return Standing(
            state=self.state,
            paid_minor=self.amount_minor,
            remaining_uses=sum(remaining for _, remaining, _ in self.uses),
            total_uses=sum(total for _, _, total in self.uses),
            reference_time=self.reference_time,
            valid_until_time=self.valid_until_time,
            blocked=self.blocked,
            start=self.start,
            refund_percent_cap=change.refund_percent if change else 100,
            zone=self.zone,
            operator_cause=self.operator_cause,
            waiver_code=self.waiver_code or "",
            boarded=any(
                code == BOARDING and remaining < total for code, remaining, total in self.uses
            ),
        )


_COLUMNS = [*TravelTicket.__dataclass_fields__][2:]
"""What a ticket's own row, its sale and its departure say of it."""
_TICKET_ID, _ORDER_ID, _SNAPSHOT_ID = map(_COLUMNS.index, ("ticket_id", "order_id", "snapshot_id"))


def _row(*columns: Any) -> tuple[Any, ...]:
    return columns


# with the ticket in one statement, so that its state and its uses are of one moment
_USE = func.jsonb_build_array(
    entitlements.c.function_code, entitlements.c.remaining_uses, entitlements.c.total_uses
)
_OF_TICKET = func.jsonb_agg(aggregate_order_by(_USE, entitlements.c.function_code))
_USES = (
    select(func.coalesce(_OF_TICKET, text("'[]'")))
    .where(entitlements.c.ticket_id == ticket_rows.c.ticket_id)
    .scalar_subquery()
)
_TICKETS: Select[Any] = (
    select(
        ticket_rows.c.ticket_id,
        ticket_rows.c.ticket_code,
        ticket_rows.c.jti,
        ticket_rows.c.state,
        ticket_rows.c.blocked,
        ticket_rows.c.order_id,
        ticket_rows.c.product_id,
        ticket_rows.c.snapshot_id,
        ticket_rows.c.valid_from_time,
        ticket_rows.c.valid_until_time,
        ticket_rows.c.customer_type,
        ticket_sales.c.item_index,
        ticket_sales.c.passenger_index,
        ticket_sales.c.seat,
        ticket_sales.c.amount_minor,
        ticket_sales.c.reference_time,
        ticket_sales.c.changes_made,
        _USES,
        departures.c.departure_id,
        departures.c.state,
        departures.c.departure_time,
        departures.c.planned_time,
        departures.c.waiver_code,
    )
    .join(ticket_rows, ticket_rows.c.order_id == order_rows.c.order_id)
    .join(ticket_sales, ticket_sales.c.ticket_id == ticket_rows.c.ticket_id)
    .outerjoin(departures, departures.c.departure_id == ticket_sales.c.departure_id)
    .select_from(order_rows)
)

_READ = Statement(
    sql_of(
        _TICKETS.where(ticket_rows.c.ticket_id == any_(bindparam("ids", type_=ARRAY(BigInteger))))
    ),
    _row,
)

# by the index on the order that a chain of changes began with
_CHANGED_INTO = text("""
WITH RECURSIVE chain AS (
  SELECT CAST(:ticket_id AS bigint) AS ticket_id, 0 AS depth
  UNION ALL
  SELECT t.ticket_id, c.depth + 1
  FROM chain c JOIN tickets old ON old.ticket_id = c.ticket_id
  JOIN orders sold ON sold.order_id = old.order_id
  JOIN orders o ON o.first_order_id = coalesce(sold.first_order_id, sold.order_id)
    AND o.changes_ticket_id = c.ticket_id
  JOIN tickets t ON t.order_id = o.order_id)
SELECT ticket_id FROM chain ORDER BY depth
""")


def ticket_number(code: str) -> int | None:
    """The ticket_id that the code of a traveller's ticket spells; None for what is none."""
    parsed = Code.parse(code)
    if parsed is None or (parsed.prefix, parsed.partner_code) != (DIRECT_PREFIX, DIRECT_CODE):
        return None
    return parsed.number(DIRECT)


def ticket_code(ticket_id: int) -> str:
    """The readable form of a traveller's ticket_id, e.g. `DIR-DT-20261121-000001`."""
    return Number.unpack(ticket_id).code(DIRECT_PREFIX, DIRECT_CODE)


async def changed_into(tx: AsyncConnection, ticket_id: int) -> list[int]:
    """The ticket, what it was changed into, what that was, and so on to the one that was not."""
    return list((await tx.execute(_CHANGED_INTO, {"ticket_id": ticket_id})).scalars())


async def get(tx: AsyncConnection, traveller_id: int, code: str) -> TravelTicket:
    """The traveller's own ticket by its code. Raises NOT_FOUND."""
    (found,) = await get_all(tx, [OwnCode(traveller_id, code)])
    if isinstance(found, DomainError):
        raise found
    return found


async def get_all(tx: Transaction, named: Sequence[OwnCode]) -> list[TravelTicket | DomainError]:
    """The travellers' own tickets by their codes, in one round trip; NOT_FOUND for what is none."""
    ids = list({number for _, code in named if (number := ticket_number(code)) is not None})
    rows, sold_in, sold_under = await run_together(
        tx, _READ(ids), orders.of_tickets(ids), snapshots.of_tickets(ids)
    )
    by_order = {order.order_id: order for order in sold_in}
    contents = {sold.snapshot_id: SoldUnder(sold.content) for sold in sold_under}
    found = {
        row[_TICKET_ID]: TravelTicket(by_order[row[_ORDER_ID]], contents[row[_SNAPSHOT_ID]], *row)
        for row in rows
    }
    theirs = [(found.get(ticket_number(code) or 0), owner, code) for owner, code in named]
    return [
        ticket if ticket and ticket.order.traveller_id == owner else not_found("ticket", code)
        for ticket, owner, code in theirs
    ]


async def of_orders(tx: AsyncConnection, order_ids: Collection[int]) -> list[TravelTicket]:
    """All tickets of travellers' orders, in the order of their numbers."""
    query = _TICKETS.where(order_rows.c.order_id == any_(literal(list(order_ids), _NUMBERS)))
    return await _complete(tx, (await tx.execute(query.order_by(ticket_rows.c.ticket_id))).all())


async def of_order(tx: AsyncConnection, order_id: int) -> list[TravelTicket]:
    """All tickets of a traveller's order, in the order of their numbers.

    They are as many as its items have passengers and shared entitlements, some hundreds at the
    most.
    """
    query = _TICKETS.where(order_rows.c.order_id == order_id).order_by(ticket_rows.c.ticket_id)
    return await _complete(tx, (await tx.execute(query)).all())


async def of_family(tx: AsyncConnection, order_id: int) -> list[TravelTicket]:
    """The tickets of a traveller's order that changes none, and all that these were changed into,
    in the order of their numbers.
    """
    query = _TICKETS.where(
        or_(order_rows.c.order_id == order_id, order_rows.c.first_order_id == order_id)
    )
    return await _complete(tx, (await tx.execute(query.order_by(ticket_rows.c.ticket_id))).all())


async def shared_with(tx: AsyncConnection, order: Order) -> list[TravelTicket]:
    """The shared tickets of another order that the order of a change shows as well."""
    query = _TICKETS.where(shown_in(order.order_id), order_rows.c.order_id != order.order_id)
    rows = (await tx.execute(query.order_by(ticket_rows.c.ticket_id))).all()
    return await _complete(tx, rows)


async def page(
    tx: AsyncConnection,
    traveller_id: int,
    *,
    order_code: str,
    state: str,
    after: tuple[datetime, int, int] | None,
    limit: int,
) -> list[TravelTicket]:
    """The traveller's tickets after a `position`, those of the newest order first.

    All, or those that an order shows, or in a state. Raises NOT_FOUND for an order that is not the
    traveller's.
    """
    query = _TICKETS.where(order_rows.c.traveller_id == traveller_id)
    if order_code:
        order = await find(tx, traveller_id, order_code)
        query = query.where(shown_in(order.order_id))
    if state:
        query = query.where(ticket_rows.c.state == state)
    position = order_rows.c.create_time, order_rows.c.order_id
    if after:
        *of_order, ticket_id = after
        query = query.where(
            or_(
                tuple_(*position) < tuple_(*of_order),
                and_(tuple_(*position) == tuple_(*of_order), ticket_rows.c.ticket_id > ticket_id),
            )
        )
    newest_first = (*[column.desc() for column in position], ticket_rows.c.ticket_id)
    rows = (await tx.execute(query.order_by(*newest_first).limit(limit))).all()
    return await _complete(tx, rows)


async def _complete(tx: AsyncConnection, rows: Sequence[Any]) -> list[TravelTicket]:
    if not rows:
        return []
    sold_in = await orders.read(tx, {row.order_id for row in rows})
    sold_under = await run(tx, snapshots.read({row.snapshot_id for row in rows}))
    contents = {sold.snapshot_id: SoldUnder(sold.content) for sold in sold_under}
    return [TravelTicket(sold_in[row.order_id], contents[row.snapshot_id], *row) for row in rows]


async def types_on_board(tx: AsyncConnection, traveller_id: int, departure_id: int) -> set[str]:
    """The customer types of the traveller's tickets of a departure that are good to travel with."""
    query = (
        select(ticket_rows.c.customer_type)
        .join(order_rows, order_rows.c.order_id == ticket_rows.c.order_id)
        .join(ticket_sales, ticket_sales.c.ticket_id == ticket_rows.c.ticket_id)
        .where(
            order_rows.c.traveller_id == traveller_id,
            ticket_sales.c.departure_id == departure_id,
            ticket_rows.c.state == "ACTIVE",
        )
    )
    return set((await tx.execute(query)).scalars())
