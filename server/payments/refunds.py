"""Refunds: money asked back, of which payments it comes, and what becomes of the tickets when it
settles.

A refund has a part for each payment it draws on; each part is one refund at WeChat, asked for by
the outbox under one stable number until it settles (DOMAIN, Refund and change). Locks come in the
order tickets, orders, payments, stocks. When the last of an item's tickets is given back, what they
shared ends with it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

import orjson
from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import completion, events, orders, shared_tickets
from server.orders.orders import Order
from server.orders.shared_tickets import Shared
from server.payments import refund_parts, refund_rules, refund_sources
from server.payments.payments import record_incident
from server.payments.refund_models import refunds
from server.payments.refund_parts import Part
from server.payments.refund_sources import Paid
from server.platform import outbox
from server.platform.errors import DomainError, Reason
from server.platform.statements import Command, Statement, Transaction, run, run_together
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
_READ = Statement(
    f"""
SELECT {", ".join(f"r.{name}" for name in Refund.__dataclass_fields__)}
FROM unnest($1::bigint[], $2::int[]) AS v (order_id, refund_no)
JOIN refunds r ON r.order_id = v.order_id AND r.refund_no = v.refund_no
ORDER BY r.order_id, r.refund_no
""",  # noqa: S608 - names of columns
    lambda *row: _refund(row),
)
_MOVE = Statement("""
UPDATE refunds r SET state = $1, settle_time = $2::timestamptz
FROM unnest($3::bigint[], $4::int[]) AS v (order_id, refund_no)
WHERE r.order_id = v.order_id AND r.refund_no = v.refund_no
""")

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


async def read(tx: Transaction, order_id: int, refund_no: int) -> Refund:
    """A refund that there is."""
    (refund,) = await run(tx, of_numbers([(order_id, refund_no)]))
    return refund


async def find(tx: Transaction, order_id: int, refund_no: int) -> Refund | None:
    """A refund, if there is one."""
    found = await run(tx, of_numbers([(order_id, refund_no)]))
    return found[0] if found else None


def of_numbers(named: Sequence[tuple[int, int]]) -> Command[Refund] | None:
    """Refunds, each named as (order_id, refund_no), in the order of these."""
    return _READ.of_rows(named)


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


async def ask(
    tx: Transaction,
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
    tx: Transaction, asked: Sequence[tuple[Asked, Sequence[Paid]]], *, now: datetime
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
        locked = await lock(tx, order_id, refund_no)
        assert locked is not None, "it was just made"
        await conclude(tx, [locked], actor=SYSTEM, now=now)
        if by_hand:
            await report_abnormal(tx, locked, now=now)
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
    parts: Sequence[Part]
    shared: Sequence[Shared]

    @property
    def state(self) -> str:
        """What its parts say."""
        return refund_rules.refund_state(part.state for part in self.parts)

    def part(self, out_refund_no: str) -> Part | None:
        """The part that a number is of, whose number may be another by now."""
        named = refund_rules.refund_part(out_refund_no)
        if named is None or not 0 < named.part_no <= len(self.parts):
            return None
        part = self.parts[named.part_no - 1]
        current = refund_rules.refund_part(part.out_refund_no)
        assert current is not None, "made by ourselves"
        return part if named.attempt <= current.attempt else None

    def with_part(self, part: Part) -> "Locked":
        """With what one of its parts is now."""
        named = refund_rules.refund_part(part.out_refund_no)
        assert named is not None, "made by ourselves"
        parts = [*self.parts]
        parts[named.part_no - 1] = part
        return replace(self, parts=parts)


async def lock(tx: Transaction, order_id: int, refund_no: int) -> Locked | None:
    """A refund, its tickets and its order locked; None for one there is not."""
    return (await lock_all(tx, [(order_id, refund_no)])).get((order_id, refund_no))


async def lock_all(
    tx: Transaction, named: Collection[tuple[int, int]], *, skip_locked: bool = False
) -> dict[tuple[int, int], Locked | None]:
    """`lock` of those of the refunds (order_id, refund_no) that there are; with `skip_locked` None
    for those of which somebody else has something locked.
    """
    keys = sorted(set(named))
    tickets_of = {
        (each.order_id, each.refund_no): [ticket.ticket_id for ticket in each.tickets]
        for each in await run(tx, of_numbers(keys))  # which tickets never changes
    }
    wanted = {ticket_id for ids in tickets_of.values() for ticket_id in ids}
    shared_by: dict[int, list[Shared]] = {}
    for ticket_id, one in await run(tx, shared_tickets.shared_by(wanted)):
        shared_by.setdefault(ticket_id, []).append(one)
    shared_of = {
        key: sorted({one for ticket_id in ids for one in shared_by.get(ticket_id, ())})
        for key, ids in tickets_of.items()
    }
    shared = {one for of_one in shared_of.values() for one in of_one}
    order_ids = sorted({*(key[0] for key in tickets_of), *(one.order_id for one in shared)})
    free, orders_locked, parts, found = await run_together(
        tx,
        tickets.lock({*wanted, *(one.ticket_id for one in shared)}, skip_locked=skip_locked),
        orders.lock(order_ids, skip_locked=skip_locked),
        refund_parts.read(keys),
        of_numbers(keys),
    )
    known = {order.order_id: order for order in orders_locked}
    parts_of = refund_parts.by_refund(tickets_of, parts)
    locked: dict[tuple[int, int], Locked | None] = {}
    for refund in found:
        key = refund.order_id, refund.refund_no
        needed = {*tickets_of[key], *(one.ticket_id for one in shared_of[key])}
        is_free = known.keys() >= {key[0], *(one.order_id for one in shared_of[key])}
        if not skip_locked:
            assert is_free, "a refund is of a traveller's order"
        is_free = is_free and needed.issubset(free)
        locked[key] = (
            Locked(refund, known[key[0]], parts_of[key], shared_of[key]) if is_free else None
        )
    return locked


async def move_parts(
    tx: Transaction, locked: Locked, parts: Sequence[Part], *, actor: str, now: datetime
) -> None:
    """Writes what parts of a refund are now, and brings it to the state that they say."""
    await run(tx, refund_parts.move(parts, now=now))
    for part in parts:
        locked = locked.with_part(part)
    await conclude(tx, [locked], actor=actor, now=now)


async def conclude(tx: Transaction, locked: Sequence[Locked], *, actor: str, now: datetime) -> None:
    """Brings refunds to the states that their parts say, which are written.

    Of several none has shared tickets, and none is to be CLOSED: these lock more, in an order of
    their own.
    """
    changed: dict[str, list[Locked]] = {}
    for each in locked:
        if each.state != each.refund.state:
            changed.setdefault(each.state, []).append(each)
    for state, of_state in changed.items():
        rows = [(each.refund.order_id, each.refund.refund_no) for each in of_state]
        await run(tx, _MOVE.of_rows(rows, state, now if state in FINAL else None))
    assert len(locked) == 1 or "CLOSED" not in changed, "it locks payments"
    for each in changed.get("CLOSED", ()):
        await _restore(tx, each, actor=actor, now=now)
    if succeeded := changed.get("SUCCEEDED"):
        await _give_back(tx, succeeded, actor=actor, now=now)


async def report_abnormal(tx: Transaction, locked: Locked, *, now: datetime) -> None:
    """An incident, since a part has become ABNORMAL: what is left to be given back, and what WeChat
    may give back yet.
    """
    refund = locked.refund
    left = [part for part in locked.parts if part.state == "ABNORMAL"]
    processing = [part for part in locked.parts if part.state == "PROCESSING"]
    facts = {
        "refund_id": refund_code(refund.order_id, refund.refund_no),
        "left_minor": sum(part.amount_minor for part in left),
        "currency_code": refund.currency_code,
        "parts": [refund_parts.named(part) for part in left],
        "processing": [refund_parts.named(part) for part in processing],
        "time": now,
    }
    await report(tx, "REFUND_ABNORMAL", refund.order_id, facts, now=now)


async def _restore(tx: Transaction, locked: Locked, *, actor: str, now: datetime) -> None:
    """The tickets of a refund that is CLOSED are as before."""
    moves = []
    for before in ("ACTIVE", "PARTIALLY_REDEEMED"):
        ids = [ticket.ticket_id for ticket in locked.refund.tickets if ticket.state == before]
        await tickets.move(tx, ids, ("REFUNDING",), before, action="restored", actor=actor, now=now)
        moves += [_event(locked.order, events.TICKET_RESTORED, actor, each) for each in ids]
    await events.record(tx, moves, now=now)
    back = [(p.payment_order_id, p.payment_attempt, -p.amount_minor, 0) for p in locked.parts]
    await refund_sources.draw(tx, back, now=now)


async def _give_back(
    tx: Transaction, succeeded: Sequence[Locked], *, actor: str, now: datetime
) -> None:
    """The tickets of refunds that have SUCCEEDED are REFUNDED, and what they took is free again."""
    ids = [ticket.ticket_id for each in succeeded for ticket in each.refund.tickets]
    moved = await tickets.move(
        tx, ids, ("REFUNDING",), "REFUNDED", action="refunded", actor=actor, now=now
    )
    assert len(moved) == len(ids), "nobody moves a ticket that is REFUNDING but its refund"
    moves = []
    for each in succeeded:
        moves += [
            _event(each.order, events.TICKET_REFUNDED, actor, ticket.ticket_id)
            for ticket in each.refund.tickets
        ]
        if each.refund.amount_minor:
            moves.append(_event(each.order, events.PAYMENT_REFUNDED, actor))
    await events.record(tx, moves, now=now)
    sharing = [each for each in succeeded if each.shared]
    assert not sharing or len(succeeded) == 1, "they lock stocks more than once"
    for each in sharing:
        own = {ticket.ticket_id for ticket in each.refund.tickets}
        if own - {one.ticket_id for one in each.shared}:
            await _end_shared(tx, each, actor=actor, now=now)
    if ids:
        withdrawn = [each.order for each in succeeded if each.refund.tickets]
        await completion.withdraw(tx, withdrawn, ids, actor=actor, now=now)


async def _end_shared(tx: Transaction, locked: Locked, *, actor: str, now: datetime) -> None:
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


async def _add_parts(tx: Transaction, parts: Sequence[Part], *, now: datetime) -> None:
    await run(tx, refund_parts.add(parts, now=now))
    asked = [part.out_refund_no for part in parts if part.state == "PROCESSING"]
    await ask_wechat(tx, asked, now=now)


async def ask_wechat(tx: Transaction, out_refund_nos: Iterable[str], *, now: datetime) -> None:
    """Has the outbox ask WeChat for the money of parts."""
    asks = [outbox.NewTask(SEND, number, {}, now) for number in out_refund_nos]
    await run(tx, outbox.enqueue(*asks, now=now))


def _refund(row: Any) -> Refund:
    order_id, refund_no, state, cause, given_back, *rest = row
    tickets_back = tuple([TicketRefund(**ticket) for ticket in given_back])
    return Refund(order_id, refund_no, state, cause, tickets_back, *rest)


async def report(
    tx: Transaction, kind: str, order_id: int | None, facts: dict[str, Any], *, now: datetime
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
