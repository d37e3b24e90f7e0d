"""How a booking of a channel moves, and ends: its order is cancelled, or given back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Unpack

from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales.refund_requests import RefundHandler, give_all_back
from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.channels import booking_rules as rules
from server.channels import bookings
from server.channels.asking import get_booking
from server.channels.booking_seals import StoredBooking
from server.channels.due import BOOK, ask_for
from server.channels.facts import CancellationReason
from server.identity.callers import Traveller
from server.orders import orders
from server.orders.orders import Order
from server.payments import payments
from server.payments.refunds import TicketRefund
from server.platform.errors import DomainError, Reason, invalid
from server.platform.statements import run
from server.platform.texts import read_comment


class BookingMovedError(Exception):
    """The booking is not as it was read any more: it is looked at again."""


def actor_of(booking: StoredBooking) -> str:
    """Who acts for a booking's customer, in the audit trail."""
    return f"channel:{booking.channel_code}"


async def move(
    tx: AsyncConnection, before: StoredBooking, after: StoredBooking, *, now: datetime
) -> StoredBooking:
    """Moves a booking. Raises BookingMovedError."""
    if not await run(tx, bookings.move(before, after, now=now)):
        raise BookingMovedError
    return after._replace(update_time=now)


async def locked_order(tx: AsyncConnection, booking: StoredBooking) -> Order:
    """The order of a booking, locked."""
    order = await orders.lock_order(tx, booking.order_id or 0)
    assert order is not None, "a booking's order is there"
    return order


async def cancel_pending(
    tx: AsyncConnection,
    order: Order,
    reason: orders.CancelReason,
    booking: StoredBooking,
    *,
    now: datetime,
) -> None:
    """Cancels the locked order, which is PENDING."""
    await orders.cancel(
        tx,
        [order],
        reason=reason,
        actor=actor_of(booking),
        now=now,
        close_payments=payments.close_waiting,
    )


async def request_cancellation(
    tx: AsyncConnection,
    channel_code: str,
    booking_id: str,
    reason: str,
    comment: str,
    **by: Unpack[By],
) -> StoredBooking:
    """Has a CONFIRMED booking cancelled at the channel, or one rejected of which there is no order;
    a repeat changes nothing. Raises NOT_FOUND, INVALID_FIELD.
    """
    booking = await get_booking(tx, channel_code, booking_id)
    if reason not in set(CancellationReason):
        raise invalid("reason", f"is none of {', '.join(CancellationReason)}")
    becomes = {rules.CONFIRMED: rules.CANCEL_PENDING, rules.RECEIVED: rules.REJECT_PENDING}
    if booking.state in becomes.values() or booking.state in rules.FINAL:
        return booking
    if booking.state not in becomes:
        raise invalid("booking_id", f"is of one that is {booking.state}; wait, or have it mapped")
    asked = booking._replace(
        state=becomes[booking.state],
        cancel_reason=reason,
        cancel_comment=read_comment(comment)[: bookings.LONGEST_FAULT],
        fault="",
    )
    moved = await move(tx, booking, asked, now=by["now"])
    shown = {"state": booking.state}, {"state": asked.state, "reason": reason, "comment": comment}
    change = AuditedChange(by["actor"], "cancel", "channel_booking", booking.name, *shown)
    await run(tx, audit(change, now=by["now"]))
    await ask_for(tx, BOOK, booking.name, now=by["now"])
    return moved


async def end(
    tx: AsyncConnection,
    booking: StoredBooking,
    refund_handler: RefundHandler,
    *,
    now: datetime,
) -> StoredBooking:
    """Gives back the order of a booking that is cancelled at the vendor: whole if it was never
    confirmed or we cancel it, else as its policy says. Raises BookingMovedError.
    """
    was_rejected = booking.state == rules.REJECT_PENDING
    ended = booking._replace(
        state=rules.REJECTED if was_rejected else rules.CANCELLED, is_asked=False, fault=""
    )
    if booking.order_id is not None:
        ended = await _give_back(tx, booking, ended, refund_handler, now=now)
    return await move(tx, booking, ended, now=now)


async def _give_back(
    tx: AsyncConnection,
    booking: StoredBooking,
    ended: StoredBooking,
    refund_handler: RefundHandler,
    *,
    now: datetime,
) -> StoredBooking:
    assert booking.order_id is not None, "it has one"
    order = (await orders.read(tx, [booking.order_id]))[booking.order_id]
    if order.state == "PENDING":
        locked = await locked_order(tx, booking)
        if locked.state != "PENDING":
            raise BookingMovedError
        await cancel_pending(tx, locked, "TRAVELLER", booking, now=now)
        return ended
    if order.state == "CANCELLED":
        return ended
    if booking.confirm_time is None or booking.cancel_reason:
        await give_all_back(tx, order.order_id, actor_of(booking), now=now)
        return ended
    try:
        back = await _refunded(tx, order, refund_handler, now=now)
    except DomainError as error:
        if error.reason is not Reason.REFUND_REFUSED:
            raise
        why = f"nothing is given back, and its tickets stay: {error}"
        return ended._replace(fee_minor=booking.total_minor, fault=why)
    fee = rules.kept_of(
        booking.total_minor,
        paid_minor=sum(each.paid_minor for each in back),
        back_minor=sum(each.amount_minor for each in back),
    )
    return ended._replace(fee_minor=fee)


async def _refunded(
    tx: AsyncConnection, order: Order, refund_handler: RefundHandler, *, now: datetime
) -> Sequence[TicketRefund]:
    """What its tickets give back by their policy. Raises REFUND_REFUSED."""
    traveller = Traveller(order.traveller_id)
    quote = await refund_handler.quote(tx, traveller, order.order_code, (), now=now)
    await refund_handler.request(tx, traveller, order.order_code, quote.text, now=now)
    return quote.tickets
