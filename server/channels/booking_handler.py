"""A booking of a channel, step by step (booking_rules.py): each step is one transaction, or one
call to the vendor between two, so that whoever goes on after a process died knows what was begun.

That a confirmation or cancellation goes out is written down before. If its answer is lost the
booking is read back from the vendor's list; only what that says decides whether it goes out again,
and not before an answer could no longer have come: a process that died may have left a call at the
vendor that is carried out later.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from server.aftersales.refund_requests import RefundHandler
from server.audit.records import REVOKED
from server.channels import booking_rules as rules
from server.channels import bookings
from server.channels.allotment_orders import AllotmentOrders
from server.channels.booked_offers import BookingFaultError, NotSoldError
from server.channels.booking_ends import BookingMovedError, end, move
from server.channels.booking_orders import BookingOrders
from server.channels.booking_rules import BookingStep
from server.channels.booking_seals import StoredBooking
from server.channels.channel_records import CHANNELS, account_hash
from server.channels.connecting import ChannelClients, OpenedChannel
from server.channels.facts import (
    BookingState,
    Capability,
    ChannelCallError,
    FailureKind,
    UnmappedError,
)
from server.channels.http_pool import ANSWER_SECONDS
from server.channels.pushing import wait_seconds
from server.platform.database import Database
from server.platform.metrics import CHANNEL_BOOKINGS
from server.platform.outbox import Postpone, Task
from server.platform.statements import run

MOST_STEPS = 12
"""Of one run; then others have their turn."""
AFTER_REFUSAL = timedelta(minutes=15)
"""What a vendor refuses, or has no more, is looked at again so much later."""
CALL_SECONDS = ANSWER_SECONDS + 3
"""Of a confirmation or cancellation, with its token."""
OUTCOME_WITHIN = timedelta(seconds=CALL_SECONDS + 2)
"""What a call does shows in the vendor's list so long after it was written down."""

log = structlog.get_logger()


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Raises ChannelCallError for a call that takes longer than its effect is waited for."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            yield
    except TimeoutError:
        kind, why = FailureKind.UNKNOWN_OUTCOME, f"it took longer than {CALL_SECONDS:.0f} s"
        raise ChannelCallError(kind, why) from None


Act = Callable[[OpenedChannel, StoredBooking, Task], Awaitable[Postpone | None]]


class BookingHandler:
    """Takes bookings from step to step."""

    def __init__(
        self,
        db: Database,
        clients: ChannelClients,
        made: BookingOrders,
        allotted: AllotmentOrders,
        refund_handler: RefundHandler,
    ) -> None:
        self._db = db
        self._clients = clients
        self._orders = made
        self._allotted = allotted
        self._refunds = refund_handler
        self._acts: dict[BookingStep, Act] = {
            BookingStep.RESERVE: self._reserve,
            BookingStep.PAY: self._pay,
            BookingStep.CONFIRM: self._confirm,
            BookingStep.NOTE_CONFIRMED: self._note_confirmed,
            BookingStep.READ_BACK: self._read_back,
            BookingStep.CHANGE: self._change,
            BookingStep.CANCEL_THERE: self._cancel_there,
            BookingStep.END: self._end,
            BookingStep.RECONSIDER: self._reconsider,
        }

    async def book(self, task: Task) -> Postpone | None:
        """Does what is to be done with a booking, until nothing is, or something is needed that
        is not there.
        """
        code, _, booking_id = task.key.partition(":")
        channel = await self._clients.active(code)
        for _ in range(MOST_STEPS):
            async with self._db.transaction() as tx:
                found = await run(tx, bookings.read(code, booking_id))
            step = rules.next_step(found[0].facts) if found else BookingStep.NOTHING
            if step is BookingStep.NOTHING or channel is None:
                await self._db.in_transaction(task.done)
                return None
            try:
                await self._refuse_second(channel, found[0])
                if postponed := await self._acts[step](channel, found[0], task):
                    return postponed
            except BookingMovedError:
                continue
            except (BookingFaultError, UnmappedError) as error:
                await self._report(found[0], str(error), task)
                await self._db.in_transaction(task.done)  # the next fetch asks for it again
                return None
        return Postpone(task.now())

    async def _refuse_second(self, channel: OpenedChannel, booking: StoredBooking) -> None:
        """Raises BookingFaultError for a booking that another channel of the same account has sold:
        that one was paused or disconnected, and this one connected in its place.
        """
        if booking.order_id is not None:
            return
        seals = self._clients.seals
        async with self._db.transaction() as tx:
            others = await run(
                tx, bookings.sold_elsewhere(booking.channel_code, booking.booking_id)
            )
            if not others:
                return
            account = await account_hash(tx, seals, channel.record)
            for code in others:
                other = await CHANNELS.get(tx, code)
                if await account_hash(tx, seals, other) == account:
                    verb = "connect" if other.state == REVOKED else "resume"
                    raise BookingFaultError(
                        f"channel {code} of the same account has an order of it; pause this channel"
                        f" and {verb} {code}, which goes on with it"
                    )

    async def _reserve(
        self, channel: OpenedChannel, booking: StoredBooking, task: Task
    ) -> Postpone | None:
        try:
            if partner := await self._seller(channel, booking):
                await self._allotted.reserve(booking, partner, now=task.now())
            else:
                await self._orders.reserve(booking, now=task.now())
        except NotSoldError as error:
            if not rules.may_reject(booking.facts):
                raise BookingFaultError(f"it is sold there, and not here: {error}") from None
            if Capability.CANCEL not in channel.vendor.capabilities:
                raise BookingFaultError(f"nobody can reject it: {error}") from None
            rejected = booking._replace(
                state=rules.REJECT_PENDING, cancel_reason=error.reason, cancel_comment=str(error)
            )
            await self._move(booking, rejected, task)
        return None

    async def _seller(self, channel: OpenedChannel, booking: StoredBooking) -> str:
        """The partner whose own order is behind a booking; empty if that is ours."""
        partner = channel.record.partner_code
        return "" if not partner or await self._orders.is_ours(booking) else partner

    async def _pay(self, _: OpenedChannel, booking: StoredBooking, task: Task) -> None:
        await self._orders.pay(booking, now=task.now())

    async def _change(self, channel: OpenedChannel, booking: StoredBooking, task: Task) -> None:
        if partner := await self._seller(channel, booking):
            await self._allotted.change(booking, partner, now=task.now())
        elif channel.record.partner_code:
            raise BookingFaultError("a car of a partner's is not changed; cancel, and book anew")
        else:
            await self._orders.change(booking, now=task.now())

    async def _end(self, channel: OpenedChannel, booking: StoredBooking, task: Task) -> None:
        if partner := await self._seller(channel, booking):
            ended = await self._allotted.end(booking, partner, now=task.now())
        else:
            ended = await self._db.in_transaction(
                lambda tx: end(tx, booking, self._refunds, now=task.now())
            )
        CHANNEL_BOOKINGS.labels(ended.channel_code, ended.state).inc()

    async def _reconsider(self, _: OpenedChannel, booking: StoredBooking, task: Task) -> None:
        again = booking._replace(
            state=rules.RECEIVED, cancel_reason="", cancel_comment="", is_asked=False
        )
        await self._move(booking, again, task)

    async def _note_confirmed(self, _: OpenedChannel, booking: StoredBooking, task: Task) -> None:
        confirmed = booking._replace(
            state=rules.CONFIRMED,
            vendor_state=BookingState.CONFIRMED,
            is_asked=False,
            confirm_time=booking.confirm_time or task.now(),
            fault="",
        )
        await self._move(booking, confirmed, task)
        CHANNEL_BOOKINGS.labels(booking.channel_code, rules.CONFIRMED).inc()

    async def _confirm(
        self, channel: OpenedChannel, booking: StoredBooking, task: Task
    ) -> Postpone | None:
        asked = await self._move(booking, booking._replace(is_asked=True), task)
        try:
            async with _in_time():
                await channel.client.confirm(asked.booking_id, asked.confirmation_number)
        except ChannelCallError as error:
            return await self._not_done(asked, error, task)
        await self._note_confirmed(channel, asked, task)
        return None

    async def _cancel_there(
        self, channel: OpenedChannel, booking: StoredBooking, task: Task
    ) -> Postpone | None:
        asked = await self._move(booking, booking._replace(is_asked=True), task)
        number = f"CNCL-{asked.confirmation_number or asked.booking_id}"
        try:
            async with _in_time():
                await channel.client.cancel(asked.booking_id, asked.cancellation, number)
        except ChannelCallError as error:
            return await self._not_done(asked, error, task)
        except UnmappedError:
            await self._move(asked, asked._replace(is_asked=False), task)
            raise
        gone = asked._replace(vendor_state=BookingState.CANCELLED, is_asked=False, fault="")
        await self._move(asked, gone, task)
        return None

    async def _not_done(
        self, asked: StoredBooking, error: ChannelCallError, task: Task
    ) -> Postpone | None:
        """After a call that failed: whether it is read back at once, or sent again later."""
        if error.kind is FailureKind.UNKNOWN_OUTCOME:
            return None
        if error.kind is FailureKind.REFUSED:
            await self._report(asked, str(error), task)
            return None
        await self._move(asked, asked._replace(is_asked=False), task)
        return Postpone(task.now() + timedelta(seconds=wait_seconds(error)))

    async def _read_back(
        self, channel: OpenedChannel, booking: StoredBooking, task: Task
    ) -> Postpone | None:
        try:
            read = await channel.client.bookings(booking.first_day, booking.last_day, None)
        except ChannelCallError as error:
            return Postpone(task.now() + timedelta(seconds=wait_seconds(error)))
        found = [each for each in read.bookings if each.booking_id == booking.booking_id]
        if not found:
            why = read.faults.get(booking.booking_id, "it is not on the vendor's list any more")
            await self._report(booking, why, task)
            return Postpone(task.now() + AFTER_REFUSAL)
        known = booking._replace(vendor_state=found[0].state, is_asked=False)
        is_to_be_sent = rules.next_step(known.facts) in (
            BookingStep.CONFIRM,
            BookingStep.CANCEL_THERE,
        )
        shown = booking.update_time + OUTCOME_WITHIN
        if is_to_be_sent and not booking.fault and task.now() < shown:
            return Postpone(shown)
        await self._move(booking, known, task)
        return Postpone(task.now() + AFTER_REFUSAL) if is_to_be_sent and booking.fault else None

    async def _report(self, booking: StoredBooking, why: str, task: Task) -> None:
        """Keeps why a booking does not go on, for an administrator."""
        why = why[: bookings.LONGEST_FAULT]
        if booking.fault == why:
            return
        await self._move(booking, booking._replace(fault=why), task)
        log.error(
            "channel.booking_fault",
            channel=booking.channel_code,
            booking=booking.booking_id,
            why=why,
        )

    async def _move(self, before: StoredBooking, after: StoredBooking, task: Task) -> StoredBooking:
        return await self._db.in_transaction(lambda tx: move(tx, before, after, now=task.now()))
