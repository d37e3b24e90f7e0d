"""Refunds: money asked back, of which payments it comes, and what becomes of the tickets when it
settles.

A refund has a part for each payment it draws on; each part is one refund at WeChat, asked for by
the outbox under one stable number until it settles (DOMAIN, Refund and change). Locks come in the
order tickets, orders, payments, stocks. When the last of an item's tickets is given back, what they
shared ends with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Select, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import completion, events, orders, shared_tickets
from server.orders.orders import Order
from server.orders.shared_tickets import Shared
from server.payments import refund_rules, refund_sources
from server.payments import rules as payment_rules
from server.payments.payments import record_incident
from server.payments.refund_models import refund_parts, refunds
from server.payments.refund_sources import Paid
from server.platform import outbox
from server.platform.errors import DomainError, Reason
from server.platform.statements import Statement, run, run_together
from server.stock import holds
from server.tickets import tickets, validity

SEND, QUERY = "refund.send", "refund.query"
"""Kinds of outbox tasks: WeChat is asked for the money; WeChat is asked what became of it. Their
key is out_refund_no.
"""

SYSTEM = "system"
FINAL = frozenset({"SUCCEEDED", "CLOSED"})
"""The states of a refund, and of a part, that are not left."""

ASKED_BY_TRAVELLER = frozenset({"TRAVELLER", "CHANGE"})
"""Causes of refunds that are refused if WeChat does not give them; any other is owed, and an
administrator's then.
"""
REFUNDS_USED_UP = "REFUNDS_USED_UP"
"""Why a refund, or a change that gives something back, is refused."""
TO_MERCHANT = "MERCHANT_BANK_CARD"
"""Where WeChat may send an ABNORMAL refund instead: to our own account, from where the traveller
is yet to get it.
"""

NOTHING_KEPT: dict[str, str | int] = {
    "percent": 100,
    "minutes_before": 0,
    "fee_per_ticket_minor": 0,
}
"""Facts of the rule by which all comes back, whenever that is."""

Cause = Literal["TRAVELLER", "LATE_PAYMENT", "CHANGE", "ADMINISTRATOR", "DEPARTURE_CANCELLED"]


@dataclass(frozen=True, slots=True)
class TicketRefund:
    """What one ticket gives back, by which rule of policy.RULES; `state` is the one it had before.

    Amount, fee and party discount are together what was paid, see policy.RefundOffer.
    """

    ticket_id: int
    paid_minor: int
    amount_minor: int
    fee_minor: int
    percent: int
    rule: str
    facts: dict[str, str | int] = field(default_factory=dict)
    state: str = "ACTIVE"
    party_discount_minor: int = 0


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund."""

    order_id: int
    refund_no: int
    state: str
    cause: str
    tickets: tuple[TicketRefund, ...]
    amount_minor: int
    currency_code: str
    create_time: datetime
    settle_time: datetime | None


@dataclass(frozen=True, slots=True)
class Part:
    """What a refund gives back of one payment: WeChat's refund; the columns of
    models.refund_parts.
    """

    payment_order_id: int
    payment_attempt: int
    out_refund_no: str
    amount_minor: int
    state: str
    asked_count: int = 0
    provider_refund_id: str = ""
    provider_state: str = ""
    provider_create_time: datetime | None = None
    provider_success_time: datetime | None = None
    abnormal_account: str = ""
    abnormal_request: str = ""

    @property
    def out_trade_no(self) -> str:
        """Our number of the payment."""
        return payment_rules.out_trade_no(self.payment_order_id, self.payment_attempt)


class _Created(NamedTuple):
    order_id: int
    refund_no: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Money of an order to be asked back, with the tickets for which; if there is no amount, what
    they give back.
    """

    order_id: int
    cause: Cause
    tickets: Sequence[TicketRefund]
    amount_minor: int | None = None

    @property
    def total_minor(self) -> int:
        """The amount."""
        if self.amount_minor is not None:
            return self.amount_minor
        return sum(ticket.amount_minor for ticket in self.tickets)


_REFUNDS: Select[Any] = select(*[refunds.c[name] for name in Refund.__dataclass_fields__])
_PARTS: Select[Any] = select(*[refund_parts.c[name] for name in Part.__dataclass_fields__])

_CREATE = Statement(
    """
INSERT INTO refunds (order_id, refund_no, state, cause, tickets, amount_minor, currency_code,
  create_time)
SELECT o.order_id,
  1 + COALESCE((SELECT max(refund_no) FROM refunds r WHERE r.order_id = o.order_id), 0),
  'PROCESSING', v.cause, v.tickets::jsonb, v.amount_minor, o.currency_code, $1::timestamptz
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[])
  AS v (order_id, cause, tickets, amount_minor)
JOIN orders o ON o.order_id = v.order_id
RETURNING order_id, refund_no
""",
    _Created,
)


def refund_code(order_id: int, refund_no: int) -> str:
    """What people call a refund, e.g. `ORD-DT-20261121-000001-R1`."""
    return f"{orders.order_code(order_id)}-R{refund_no}"


def refund_number(code: str) -> tuple[int, int] | None:
    """Order and number of a refund by what people call it; None for what is none."""
    order_code, _, number = code.rpartition("-R")
    order_id = orders.order_number(order_code)
    if order_id is None or not (number.isascii() and number.isdecimal() and len(number) <= 5):
        return None
    return order_id, int(number)


async def read(tx: AsyncConnection, order_id: int, refund_no: int) -> Refund:
    """A refund that there is."""
    found = await tx.execute(_REFUNDS.where(*_this(order_id, refund_no)))
    return _refund(found.one())


async def find(tx: AsyncConnection, order_id: int, refund_no: int) -> Refund | None:
    """A refund, if there is one."""
    row = (await tx.execute(_REFUNDS.where(*_this(order_id, refund_no)))).one_or_none()
    return _refund(row) if row else None


async def of_numbers(tx: AsyncConnection, named: Sequence[tuple[int, int]]) -> list[Refund]:
    """Refunds, each named as (order_id, refund_no), in the order of these."""
    key = refunds.c.order_id, refunds.c.refund_no
    rows = await tx.execute(_REFUNDS.where(tuple_(*key).in_(named)).order_by(*key))
    return [_refund(row) for row in rows]


async def of_order(tx: AsyncConnection, order_id: int, *, after: int, limit: int) -> list[Refund]:
    """Up to `limit` of an order's refunds after a number, the oldest first."""
    query = _REFUNDS.where(refunds.c.order_id == order_id, refunds.c.refund_no > after)
    rows = await tx.execute(query.order_by(refunds.c.refund_no).limit(limit))
    return [_refund(row) for row in rows]


async def of_state(
    tx: AsyncConnection,
    state: str,
    *,
    before: tuple[datetime, int, int] | None,
    limit: int,
) -> list[Refund]:
    """Up to `limit` refunds in a state, asked for before (create_time, order_id, refund_no), the
    newest first.
    """
    position = refunds.c.create_time, refunds.c.order_id, refunds.c.refund_no
    query = _REFUNDS.where(refunds.c.state == state) if state else _REFUNDS
    if before:
        query = query.where(tuple_(*position) < tuple_(*before))
    newest_first = [column.desc() for column in position]
    return [_refund(row) for row in await tx.execute(query.order_by(*newest_first).limit(limit))]


async def parts_of(
    tx: AsyncConnection, named: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], list[Part]]:
    """The parts of refunds, each as (order_id, refund_no), in the order of their numbers."""
    key = refund_parts.c.order_id, refund_parts.c.refund_no
    query = _PARTS.add_columns(*key).where(tuple_(*key).in_(named))
    found: dict[tuple[int, int], list[Part]] = {each: [] for each in named}
    for *part, order_id, refund_no in await tx.execute(
        query.order_by(*key, refund_parts.c.part_no)
    ):
        found[order_id, refund_no].append(Part(*part))
    return found


async def ask(
    tx: AsyncConnection,
    *,
    order_id: int,
    cause: Cause,
    tickets: Sequence[TicketRefund],
    amount_minor: int,
    payments_newest_first: Sequence[Paid],
    now: datetime,
) -> int:
    """Asks for money back, in the transaction of the caller, who has locked the order; the refund's
    number in the order.

    The tickets, which are REFUNDING by now, become REFUNDED when it settles; at once if nothing is
    to be given back by WeChat, as of what was paid on account. What WeChat gives back no more,
    since it has as many refunds of the payment as it takes on, is refused if the traveller asks; if
    we have to give it back it is ABNORMAL at once, for an administrator. Raises REFUND_REFUSED for
    that, ValueError if the payments have too little left.
    """
    asked = Asked(order_id, cause, tickets, amount_minor)
    (refund_no,) = await _ask(tx, [(asked, payments_newest_first)], now=now)
    return refund_no


async def ask_all(tx: AsyncConnection, asked: Sequence[Asked], *, now: datetime) -> dict[int, int]:
    """`ask` for orders that are locked, of whatever payments paid for their tickets; each order
    once. By order, the number of its refund.
    """
    paid = await refund_sources.payments_of_all(tx, [each.order_id for each in asked])
    drawn: set[tuple[int, int]] = set()
    together: list[Asked] = []
    alone: list[Asked] = []
    for each in asked:
        names = {(source.order_id, source.attempt) for source in paid[each.order_id]}
        # what another order draws on too has less left by then
        (alone if names & drawn else together).append(each)
        drawn |= names
    numbers = await _ask(tx, [(each, paid[each.order_id]) for each in together], now=now)
    for each in alone:
        sources = await refund_sources.payments_of(tx, each.order_id)
        numbers += await _ask(tx, [(each, sources)], now=now)
    orders_asked = [each.order_id for each in (*together, *alone)]
    return dict(zip(orders_asked, numbers, strict=True))


async def _ask(
    tx: AsyncConnection, asked: Sequence[tuple[Asked, Sequence[Paid]]], *, now: datetime
) -> list[int]:
    """Asks for refunds that draw on different payments; their numbers."""
    if not asked:
        return []
    rows, shared_out = [], []
    for each, paid in asked:
        shares = refund_rules.share_out(each.total_minor, [source.source for source in paid])
        if each.cause in ASKED_BY_TRAVELLER and any(shares.by_hand):
            raise used_up()
        shared_out.append(shares)
        content = orjson.dumps([asdict(ticket) for ticket in each.tickets]).decode()
        rows.append((each.order_id, each.cause, content, each.total_minor))
    numbers = {row.order_id: row.refund_no for row in await run(tx, _CREATE.of_rows(rows, now))}
    draws, parts, unsettled = [], [], []
    for (each, paid), shares in zip(asked, shared_out, strict=True):
        refund_no = numbers[each.order_id]
        of_this = [
            (source, share, is_asked)
            for is_asked, amounts in ((1, shares.by_wechat), (0, shares.by_hand))
            for source, share in zip(paid, amounts, strict=True)
            if share and not source.is_on_account
        ]
        draws += [(s.order_id, s.attempt, share, is_asked) for s, share, is_asked in of_this]
        parts += [
            Part(
                source.order_id,
                source.attempt,
                refund_rules.out_refund_no(each.order_id, refund_no, part_no),
                share,
                "PROCESSING" if is_asked else "ABNORMAL",
                is_asked,
            )
            for part_no, (source, share, is_asked) in enumerate(of_this, start=1)
        ]
        by_hand = any(shares.by_hand)
        if by_hand or not of_this:
            unsettled.append((each.order_id, refund_no, by_hand))
    await refund_sources.draw(tx, draws, now=now)
    await _add_parts(tx, parts, now=now)
    for order_id, refund_no, by_hand in unsettled:
        await conclude(tx, order_id, refund_no, actor=SYSTEM, now=now, is_abnormal_news=by_hand)
    return [numbers[each.order_id] for each, _ in asked]


async def refund_whole_payment(
    tx: AsyncConnection, order_id: int, attempt: int, cause: Cause, *, now: datetime
) -> int:
    """Asks for all that is left of one payment, as of one that came too late; the caller has locked
    the order.

    Gives the refund's number in the order.
    """
    found = [
        paid for paid in await refund_sources.payments_of(tx, order_id) if paid.order_id == order_id
    ]
    (paid,) = [paid for paid in found if paid.attempt == attempt]
    return await ask(
        tx,
        order_id=order_id,
        cause=cause,
        tickets=(),
        amount_minor=paid.left_minor,
        payments_newest_first=[paid],
        now=now,
    )


@dataclass(frozen=True, slots=True)
class Locked:
    """A refund whose tickets and order are locked, and so is what the tickets share, with its
    order.
    """

    refund: Refund
    order: Order
    parts: list[Part]
    shared: list[Shared]


async def lock(tx: AsyncConnection, order_id: int, refund_no: int) -> Locked | None:
    """A refund, its tickets and its order locked; None for one there is not."""
    returned = await tx.scalar(select(refunds.c.tickets).where(*_this(order_id, refund_no)))
    if returned is None:
        return None
    shared = await shared_tickets.lock(tx, [ticket["ticket_id"] for ticket in returned])
    locked = await orders.lock_orders(tx, {order_id, *(each.order_id for each in shared)})
    order = locked.get(order_id)
    assert order is not None, "a refund is of a traveller's order"
    parts = await parts_of(tx, [(order_id, refund_no)])
    found = parts[order_id, refund_no]
    return Locked(await read(tx, order_id, refund_no), order, found, shared)


async def lock_part(tx: AsyncConnection, out_refund_no: str) -> tuple[Locked | None, Part | None]:
    """The refund that a number is of, and the part, whose number may be another by now; None for
    what does not exist.
    """
    named = refund_rules.refund_part(out_refund_no)
    locked = await lock(tx, named.order_id, named.refund_no) if named else None
    if locked is None or named is None or not 0 < named.part_no <= len(locked.parts):
        return None, None
    part = locked.parts[named.part_no - 1]
    current = refund_rules.refund_part(part.out_refund_no)
    assert current is not None
    return (locked, part) if named.attempt <= current.attempt else (None, None)


async def conclude(
    tx: AsyncConnection,
    order_id: int,
    refund_no: int,
    *,
    actor: str,
    now: datetime,
    is_abnormal_news: bool = False,
) -> None:
    """Brings a refund to the state its parts say; a part that has become ABNORMAL is an
    incident, which names all that are.
    """
    locked = await lock(tx, order_id, refund_no)
    assert locked is not None, "it was locked before"
    refund = locked.refund
    state = refund_rules.refund_state(part.state for part in locked.parts)
    if state != refund.state:
        await _enter(tx, locked, state, actor=actor, now=now)
    if is_abnormal_news:
        await _report_abnormal(tx, locked, now=now)


async def _report_abnormal(tx: AsyncConnection, locked: Locked, *, now: datetime) -> None:
    """What is left to be given back, and what WeChat may give back yet."""
    refund = locked.refund
    left = [part for part in locked.parts if part.state == "ABNORMAL"]
    facts = {
        "refund_id": refund_code(refund.order_id, refund.refund_no),
        "left_minor": sum(part.amount_minor for part in left),
        "currency_code": refund.currency_code,
        "parts": [named(part) for part in left],
        "processing": [named(part) for part in locked.parts if part.state == "PROCESSING"],
        "time": now,
    }
    await report(tx, "REFUND_ABNORMAL", refund.order_id, facts, now=now)


def named(part: Part) -> dict[str, Any]:
    """A part as incidents name it."""
    return {
        "out_trade_no": part.out_trade_no,
        "out_refund_no": part.out_refund_no,
        "amount_minor": part.amount_minor,
    }


async def _enter(
    tx: AsyncConnection, locked: Locked, state: str, *, actor: str, now: datetime
) -> None:
    refund, order = locked.refund, locked.order
    settle_time = now if state in FINAL else None
    await tx.execute(
        update(refunds)
        .where(*_this(refund.order_id, refund.refund_no))
        .values(state=state, settle_time=settle_time)
    )
    if state == "CLOSED":
        back = [(p.payment_order_id, p.payment_attempt, -p.amount_minor, 0) for p in locked.parts]
        moves = []
        for before in ("ACTIVE", "PARTIALLY_REDEEMED"):
            ids = [ticket.ticket_id for ticket in refund.tickets if ticket.state == before]
            await tickets.move(
                tx, ids, ("REFUNDING",), before, action="restored", actor=actor, now=now
            )
            moves += [_event(order, events.TICKET_RESTORED, actor, ticket_id) for ticket_id in ids]
        await events.record(tx, moves, now=now)
        await refund_sources.draw(tx, back, now=now)
    elif state == "SUCCEEDED":
        ids = [ticket.ticket_id for ticket in refund.tickets]
        moved = await tickets.move(
            tx, ids, ("REFUNDING",), "REFUNDED", action="refunded", actor=actor, now=now
        )
        assert len(moved) == len(ids), "nobody moves a ticket that is REFUNDING but its refund"
        moves = [_event(order, events.TICKET_REFUNDED, actor, ticket_id) for ticket_id in ids]
        if refund.amount_minor:
            moves.append(_event(order, events.PAYMENT_REFUNDED, actor))
        await events.record(tx, moves, now=now)
        if set(ids) - {each.ticket_id for each in locked.shared}:
            await _end_shared(tx, locked, actor=actor, now=now)
        if ids:
            await completion.withdraw(tx, order, ids, actor=actor, now=now)


async def _end_shared(tx: AsyncConnection, locked: Locked, *, actor: str, now: datetime) -> None:
    """What the tickets of a refund shared lasts as long as the latest of those that are left, or
    ends with the last.

    It has no price of its own, so there is nothing to give back for it; one that was redeemed in
    part is EXPIRED.
    """
    over = await shared_tickets.left_over(tx, locked.shared)
    await shared_tickets.follow(tx, locked.shared, actor=actor, now=now)
    if not over:
        return
    (order,) = (await orders.lock_orders(tx, {each.order_id for each in over})).values()
    await holds.lock(tx, holds.all_stocks([*locked.order.takes, *order.takes]))
    ids = [each.ticket_id for each in over]
    await validity.end(tx, ids, actor=actor, now=now)
    moved = await tickets.move(
        tx, ids, ("ACTIVE",), "REFUNDING", action="refunding", actor=actor, now=now
    )
    if not moved:
        await run_together(tx, *completion.complete({order.order_id: actor}, now=now))
        return
    moves = [_event(order, events.TICKET_REFUNDING, actor, number) for number in sorted(moved)]
    await events.record(tx, moves, now=now)
    nothing = [
        TicketRefund(number, 0, 0, 0, 100, "FREE", dict(NOTHING_KEPT)) for number in sorted(moved)
    ]
    await ask(
        tx,
        order_id=order.order_id,
        cause="TRAVELLER",
        tickets=nothing,
        amount_minor=0,
        payments_newest_first=(),
        now=now,
    )


def _event(order: Order, event: str, actor: str, ticket_id: int | None = None) -> events.Move:
    return events.Move(order.order_id, event, actor, ticket_id=ticket_id)


async def _add_parts(tx: AsyncConnection, parts: Sequence[Part], *, now: datetime) -> None:
    if not parts:
        return
    rows = []
    for part in parts:
        named = refund_rules.refund_part(part.out_refund_no)
        assert named is not None
        key = dict(zip(("order_id", "refund_no", "part_no"), named[:3], strict=True))
        rows.append(asdict(part) | key | {"update_time": now})
    await tx.execute(insert(refund_parts), rows)
    asked = [part.out_refund_no for part in parts if part.state == "PROCESSING"]
    await ask_wechat(tx, asked, now=now)


async def ask_wechat(tx: AsyncConnection, out_refund_nos: Iterable[str], *, now: datetime) -> None:
    """Has the outbox ask WeChat for the money of parts."""
    asks = [outbox.NewTask(SEND, number, {}, now) for number in out_refund_nos]
    await run(tx, outbox.enqueue(*asks, now=now))


async def move_part(
    tx: AsyncConnection, part: Part, state: str, *, now: datetime, **others: Any
) -> None:
    """Moves a part whose refund is locked; `others` are columns of it."""
    values = {"state": state, "update_time": now, **others}
    await tx.execute(update(refund_parts).where(*_is(part)).values(values))


def _is(part: Part) -> list[ColumnElement[bool]]:
    key = refund_rules.refund_part(part.out_refund_no)
    assert key is not None
    columns = refund_parts.c.order_id, refund_parts.c.refund_no, refund_parts.c.part_no
    return [column == value for column, value in zip(columns, key[:3], strict=True)]


def _this(order_id: int, refund_no: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return refunds.c.order_id == order_id, refunds.c.refund_no == refund_no


def _refund(row: Any) -> Refund:
    order_id, refund_no, state, cause, given_back, *rest = row
    tickets_back = tuple([TicketRefund(**ticket) for ticket in given_back])
    return Refund(order_id, refund_no, state, cause, tickets_back, *rest)


async def report(
    tx: AsyncConnection, kind: str, order_id: int | None, facts: dict[str, Any], *, now: datetime
) -> None:
    """An incident; times in the facts become text."""
    facts = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in facts.items()
    }
    await record_incident(tx, kind, order_id, facts, now=now)


def used_up() -> DomainError:
    """REFUND_REFUSED for what WeChat gives back no more: it has as many refunds of the payment
    as it takes on.
    """
    return DomainError(
        Reason.REFUND_REFUSED,
        f"WeChat takes on {refund_rules.MOST_REFUNDS} refunds of a payment, and has had them all",
        ticket_code="",
        why=REFUNDS_USED_UP,
    )
