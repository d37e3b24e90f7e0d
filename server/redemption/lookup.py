"""Looking at QR codes and orders, taking redemptions back, and reading what was redeemed."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Row,
    exists,
    false,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Caller, Operator, Partner
from server.orders.models import orders
from server.orders.rules import rotations_of_order_qr
from server.orders.shared_tickets import shown_in
from server.parties.models import partners
from server.platform.errors import invalid, not_found
from server.platform.pipeline import PipelineConnection
from server.platform.reading import ReadBatcher, Readers
from server.redemption import rules, sessions, statements, sums
from server.redemption.details import Details, details
from server.redemption.forged_codes import without_forged
from server.redemption.models import redemption_events
from server.redemption.opened_tokens import code_shown
from server.redemption.redeem import Redeemer, remaining
from server.redemption.token_refusals import INVALID_TOKEN, compromised_token, expired_token
from server.tickets import qr, rotating_codes
from server.tickets.models import entitlements, tickets
from server.tickets.rotating_codes import CodeShown
from server.tickets.rotating_keys import RotatingKeys
from server.tickets.rules import (
    DIRECT,
    DIRECT_CODE,
    DIRECT_PREFIX,
    ORDER_PREFIX,
    PARTNER_PREFIX,
    Code,
    Number,
)

MAX_SUMMARY_DAYS = 31


@dataclass(frozen=True, slots=True)
class TicketView:
    """A ticket as an operator sees it; `remaining` is (function_code, uses left) by function code.

    `refusal` says why no function of it could be redeemed now.
    """

    ticket_code: str
    is_direct: bool
    state: str
    customer_type: str | None
    customer_name: str | None
    remaining: tuple[tuple[str, int], ...]
    details: Details
    refusal: rules.Refusal | None


@dataclass(frozen=True, slots=True)
class Look:
    """What a QR is; `refusal` says why no function of it could be redeemed, `ticket` is absent
    if it is unknown.
    """

    jti: UUID | None
    ticket: TicketView | None
    refusal: rules.Refusal | None


@dataclass(frozen=True, slots=True)
class OrderView:
    """A page of an order's tickets, or why its QR is no good; `next_after` is where the next
    page begins, if there is.
    """

    order_code: str
    ticket_count: int
    tickets: tuple[TicketView, ...]
    refusal: rules.Refusal | None = None
    next_after: int | None = None


class LookUnit(NamedTuple):
    """A look at a QR: its token and the rotating code behind it, who looks, and when, in the time
    zone whose days count, see `days_of`.
    """

    token: str
    code: str
    caller: Caller
    now: datetime


class QrLooks:
    """Looks at QR codes (DOMAIN, Redemption 1): those that come together are read for together."""

    def __init__(self, readers: Readers, redeemer: Redeemer, rotating_keys: RotatingKeys) -> None:
        self._redeemer = redeemer
        self._rotating_keys = rotating_keys
        self._snapshots = statements.SnapshotCache()
        self._reads = ReadBatcher(readers, self._read, kind="looks")

    def submit(self, text: str, *, caller: Caller, now: datetime) -> asyncio.Future[Look]:
        """Queues a look; the future gives what the QR is. Raises (in the future)
        DATABASE_UNAVAILABLE.

        Another partner's ticket is none to a partner. `now` is in the time zone whose days count,
        see `days_of`.
        """
        return self._reads.submit(LookUnit(*rotating_codes.split(text), caller, now))

    async def _read(self, tx: PipelineConnection, units: Sequence[LookUnit]) -> list[Look]:
        opened = await self._redeemer.open_all((unit.token, unit.now) for unit in units)
        tokens = [unit.token for unit in units]
        opened = await without_forged(tx, zip(tokens, opened, strict=True))
        claims = [each.claims for each in opened if not isinstance(each, qr.Invalid)]
        looked = await statements.look(
            tx,
            self._snapshots,
            ticket_ids=_numbers(claims, qr.QrKind.TICKET),
            order_ids=_numbers(claims, qr.QrKind.ORDER),
        )
        return [
            _look(unit, each, looked, self._shown(unit, each))
            for unit, each in zip(units, opened, strict=True)
        ]

    def _shown(self, unit: LookUnit, opened: qr.Opened) -> CodeShown:
        if isinstance(opened, qr.Invalid):
            return CodeShown.NO_CODE
        return code_shown(unit.code, opened.claims, self._rotating_keys, unit.now)


def _numbers(claims: Iterable[qr.Claims], kind: qr.QrKind) -> list[int]:
    return list({each.number for each in claims if each.kind is kind})


def _look(unit: LookUnit, opened: qr.Opened, looked: statements.Looked, shown: CodeShown) -> Look:
    """What a QR is, by what was read of its ticket or order."""
    if isinstance(opened, qr.Invalid):
        return Look(None, None, INVALID_TOKEN)
    claims, caller = opened.claims, unit.caller
    if isinstance(opened, qr.Compromised):
        return _look_at_compromised(unit, claims, looked, shown)
    expired = expired_token(claims, unit.now) if isinstance(opened, qr.Expired) else None
    if claims.kind is qr.QrKind.ORDER:
        no_ticket = _look_at_order(claims, caller, looked.orders.get(claims.number))
        return Look(claims.jti, None, expired or no_ticket)
    seen = looked.tickets.get(claims.number)
    if seen is None or (isinstance(caller, Partner) and seen.partner_id != caller.partner_id):
        return Look(claims.jti, None, expired or rules.Refusal("TICKET_NOT_FOUND", "ticket"))
    view = _view(seen, claims.jti, caller, unit.now)
    allowed = caller.function_codes if isinstance(caller, Operator) else None
    refusal = view.refusal or rules.no_code(seen.ticket, allowed, shown, unit.now)
    return Look(claims.jti, replace(view, refusal=refusal), expired or refusal)


def _look_at_compromised(
    unit: LookUnit, claims: qr.Claims, looked: statements.Looked, shown: CodeShown
) -> Look:
    """What a QR under a compromised key is, to whom it is one: that which its ticket or order has,
    or a forgery.
    """
    look = _look(unit, qr.Valid(claims), looked, shown)
    refusal = compromised_token(look.refusal)
    if refusal is INVALID_TOKEN:
        return Look(None, None, refusal)
    return replace(look, refusal=refusal)


def _look_at_order(
    claims: qr.Claims, caller: Caller, order: statements.OrderQrRow | None
) -> rules.Refusal:
    """An order's QR is no ticket's, and may be superseded. Another partner's order is none to a
    partner.
    """
    if isinstance(caller, Partner) and Number.unpack(claims.number).partner_id != caller.partner_id:
        return rules.Refusal("TICKET_NOT_FOUND", "ticket")
    if order is None:
        return rules.Refusal("TICKET_NOT_FOUND", "ticket")
    issued_after = rotations_of_order_qr(order.jti, claims.jti)
    refusal = rules.order_qr_standing(issued_after, None)
    return refusal or rules.Refusal("TICKET_NOT_FOUND", "ticket_code")


async def look_up_order(
    tx: AsyncConnection,
    snapshots: statements.SnapshotCache,
    *,
    scanned: tuple[str, qr.Opened] | None,
    order_code: str,
    now: datetime,
    caller: Caller,
    after: int,
    limit: int,
) -> OrderView:
    """Up to `limit` tickets of an order with numbers above `after`, by its QR, the QR of one of
    them (`scanned`: the token, and what it was opened as), or its code.

    By its code alone it is there only for administrators and for operators who may redeem a
    function in it: codes can be counted up, and its tickets have names (DOMAIN, Redemption 8).
    `now` is in the time zone whose days count, see `days_of`. Raises INVALID_FIELD unless exactly
    one is given, NOT_FOUND for an unknown code.
    """
    if (scanned is None) == (not order_code):
        raise invalid("encrypted_data", "send either encrypted_data or order_id")
    issued_after = None
    if scanned is None:
        order_id = await _number(tx, order_code, ORDER_PREFIX)
    else:
        (opened,) = await without_forged(tx, [scanned])
        shown = await _order_of_token(tx, opened, now)
        if isinstance(shown, rules.Refusal):
            return OrderView("", 0, (), shown)
        order_id, issued_after = shown
    wanted = select(orders.c.order_id, orders.c.order_code, orders.c.ticket_count)
    wanted = wanted.where(orders.c.order_id == order_id)
    if scanned is None and isinstance(caller, Operator):
        wanted = wanted.where(_redeems_in(order_id, caller))
    order = (await tx.execute(wanted)).one_or_none()
    if order is None:
        raise not_found("order", order_code)
    query = select(tickets.c.ticket_id).where(shown_in(order.order_id), tickets.c.ticket_id > after)
    query = query.order_by(tickets.c.ticket_id).limit(limit + 1)
    found = list((await tx.execute(query)).scalars())
    ids = found[:limit]
    looked = await statements.look(tx, snapshots, ticket_ids=ids)
    # an order's QR stands for the QRs of its tickets that are valid now
    views = [
        _view(each, each.ticket.jti, caller, now, issued_after) for each in looked.tickets.values()
    ]
    # an order that changes a ticket shows what that shared, too; one that waits for payment has
    # none yet
    count = select(func.count()).select_from(tickets).where(shown_in(order.order_id))
    ticket_count = max(order.ticket_count, (await tx.execute(count)).scalar_one())
    next_after = ids[-1] if len(found) > limit else None
    return OrderView(order.order_code, ticket_count, tuple(views), next_after=next_after)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which redemption events; None or empty takes all."""

    merchant_code: str = ""
    jti: UUID | None = None
    ticket_code: str = ""
    terminal_device_id: str = ""
    operator: str = ""
    result: str = ""
    time_from: datetime | None = None
    time_until: datetime | None = None


async def list_events(
    tx: AsyncConnection,
    wanted: EventFilter,
    *,
    caller: Caller,
    after: tuple[datetime, int, int] | None,
    limit: int,
) -> list[Row[Any]]:
    """The next `limit` events after (time, event_id, ticket_id), newest first; operators see their
    own merchant's.

    Raises INVALID_FIELD if an administrator names neither merchant, ticket nor jti: no index serves
    that.
    """
    events = redemption_events.c
    merchant = caller.merchant_code if isinstance(caller, Operator) else wanted.merchant_code
    if not (merchant or wanted.jti or wanted.ticket_code):
        raise invalid("merchant_code", "is required unless ticket_code or jti is given")
    conditions: list[ColumnElement[bool]] = []
    if wanted.ticket_code:
        ticket_id = await ticket_number(tx, wanted.ticket_code)
        conditions.append(events.ticket_id == (-1 if ticket_id is None else ticket_id))
    for column, value in (
        (events.merchant_code, merchant),
        (events.jti, wanted.jti),
        (events.terminal_device_id, wanted.terminal_device_id),
        (events.operator, wanted.operator),
        (events.result, wanted.result),
    ):
        if value:
            conditions.append(column == value)
    if wanted.time_from:
        conditions.append(events.occurred_time >= wanted.time_from)
    if wanted.time_until:
        conditions.append(events.occurred_time < wanted.time_until)
    # event_id is unique only within a ticket
    position = events.occurred_time, events.event_id, events.ticket_id
    if after:
        conditions.append(tuple_(*position) < tuple_(*map(literal, after)))
    newest_first = [column.desc() for column in position]
    query = select(redemption_events).where(*conditions).order_by(*newest_first).limit(limit)
    return list((await tx.execute(query)).all())


def days_of(caller: Caller, zone: ZoneInfo) -> ZoneInfo:
    """Whose days count for a caller: those of an operator's venue, else those of the platform,
    `zone`.
    """
    return ZoneInfo(caller.venue_time_zone) if isinstance(caller, Operator) else zone


@dataclass(frozen=True, slots=True)
class SummaryFilter:
    """What is counted, by DAY, TERMINAL, OPERATOR, VENUE or empty; without times today until
    now.
    """

    merchant_code: str
    group_by: str
    time_from: datetime | None
    time_until: datetime | None


async def summarize(
    tx: AsyncConnection,
    wanted: SummaryFilter,
    *,
    caller: Caller,
    now: datetime,
    zone: ZoneInfo,
) -> list[sums.Row]:
    """Counts of events and uses by function, result, reason and `group_by`, see `days_of`.

    Raises INVALID_FIELD for a span that is empty or above MAX_SUMMARY_DAYS, or an administrator
    without merchant.
    """
    days = days_of(caller, zone)
    time_from = wanted.time_from or datetime.combine(now.astimezone(days), time(), days)
    time_until = wanted.time_until or now
    if not timedelta() < time_until - time_from <= timedelta(days=MAX_SUMMARY_DAYS):
        raise invalid("time_until", f"must be after time_from, by {MAX_SUMMARY_DAYS} days at most")
    merchant = caller.merchant_code if isinstance(caller, Operator) else wanted.merchant_code
    if not merchant:
        raise invalid("merchant_code", "is required")
    return await sums.read(
        tx,
        merchant,
        group_by=wanted.group_by,
        time_from=time_from,
        time_until=time_until,
        zone=days,
    )


def _view(
    seen: statements.Seen,
    jti: UUID,
    caller: Caller,
    local: datetime,
    issued_after: int | None = None,
) -> TicketView:
    """A ticket under the QR with that jti, as the caller sees it at the `local` time.

    `issued_after` is of the order's QR that was shown, see rules.order_qr_standing; None without
    one.
    """
    ticket = seen.ticket
    admits = sessions.admits(caller) if isinstance(caller, Operator) else None
    sandbox_id = caller.partner_id if isinstance(caller, Partner) and caller.is_test else 0
    superseded = None if issued_after is None else rules.order_qr_standing(issued_after, ticket)
    return TicketView(
        ticket_code=ticket.ticket_code,
        is_direct=seen.partner_id == DIRECT,
        state=ticket.state,
        customer_type=seen.customer_type,
        customer_name=seen.customer_name,
        remaining=remaining(ticket),
        details=details(ticket),
        refusal=superseded
        or rules.mode(ticket, sandbox_id)
        or rules.standing(ticket, jti, local)
        or rules.wrong_departure(ticket, admits, local)
        or rules.validity(ticket, local),
    )


def _redeems_in(order_id: int | None, caller: Operator) -> ColumnElement[bool]:
    """Whether a ticket that the order shows entitles to something that the caller may redeem."""
    if order_id is None:
        return false()
    return exists(
        select(tickets.c.ticket_id)
        .join(entitlements, entitlements.c.ticket_id == tickets.c.ticket_id)
        .where(
            shown_in(order_id),
            entitlements.c.function_code.in_(caller.function_codes),
        )
    )


async def ticket_number(tx: AsyncConnection, code: str) -> int | None:
    """The number that the code of a ticket spells; None if it is no code of ours. There need not
    be such a ticket.
    """
    return await _number(tx, code, PARTNER_PREFIX, DIRECT_PREFIX)


async def _number(tx: AsyncConnection, text: str, *prefixes: str) -> int | None:
    """The number of a code that begins so; None if it is none of ours."""
    code = Code.parse(text)
    if code is None or code.prefix not in prefixes:
        return None
    if code.partner_code == DIRECT_CODE:
        return code.number(DIRECT)
    query = select(partners.c.partner_id).where(partners.c.partner_code == code.partner_code)
    partner_id = await tx.scalar(query)
    return None if partner_id is None else code.number(partner_id)


async def _order_of_token(
    tx: AsyncConnection, opened: qr.Opened, local: datetime
) -> tuple[int, int | None] | rules.Refusal:
    """The order a token leads to, or why it leads to none.

    With an order's own also how many rotations of its tickets it was issued after.
    """
    if isinstance(opened, qr.Invalid):
        return INVALID_TOKEN
    claims = opened.claims
    if isinstance(opened, qr.Compromised):
        found = await _order_of_token(tx, qr.Valid(claims), local)
        return compromised_token(found if isinstance(found, rules.Refusal) else None)
    if isinstance(opened, qr.Expired):
        return expired_token(claims, local)
    if claims.kind is qr.QrKind.TICKET:
        query = select(tickets.c.jti, tickets.c.order_id, tickets.c.state)
        row = (await tx.execute(query.where(tickets.c.ticket_id == claims.number))).one_or_none()
    else:
        query = select(orders.c.jti, orders.c.order_id, orders.c.state)
        row = (await tx.execute(query.where(orders.c.order_id == claims.number))).one_or_none()
    if row is None:
        return rules.Refusal("TICKET_NOT_FOUND", "ticket")
    if claims.kind is qr.QrKind.ORDER:
        issued_after = rotations_of_order_qr(row.jti, claims.jti)
        return rules.order_qr_standing(issued_after, None) or (row.order_id, issued_after)
    if row.jti != claims.jti:
        return rules.Refusal("QR_SUPERSEDED", "jti")
    if row.order_id is None:
        return rules.Refusal("TICKET_NOT_ACTIVE", "state", {"state": row.state})
    return row.order_id, None
