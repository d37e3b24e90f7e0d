"""Tasks of the outbox: orders and tickets follow what the operator did to their departure
(CancelDeparture, MoveDeparture).

The order of the steps is what makes them complete. After the commit that cancels a departure
nothing new is taken of its stocks. Orders that wait for their payment are locked one after the
other, which waits for whoever settles one: each is cancelled, or has its tickets by then. Only then
are tickets looked for, so none is missed; and whoever settles an order under its lock sees the
departure as it is now. Killed anywhere, the task runs again when its lease is over, and does what
is left: some orders are a transaction, in which is seen what was done before. If one of them cannot
follow, each is a transaction of its own.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales import departure_orders, disruptions
from server.aftersales.departure_orders import AffectedDeparture
from server.aftersales.sweeping import Sweeper
from server.catalog.departures import CANCELLED, FOLLOW_CANCELLATION
from server.catalog.timetables import FOLLOW_MOVE
from server.orders import orders
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.faults import fault_text
from server.platform.outbox import Postpone, Task
from server.platform.schedule import About, Job
from server.platform.task_worker import TaskKind

CHUNK_ORDERS = 100
"""Orders looked for at once, and cancelled in one transaction."""
FOLLOW_AT_ONCE = 50
"""Orders that follow in one transaction, whose locks others wait for."""
RUN_SECONDS = 10.0
"""After so long a run ends and the next begins, so that the lease of a process that died is soon
over.
"""
LOOK_AGAIN = timedelta(minutes=5)
"""A ticket of a cancelled departure may come back: unblocked, a refund closed, a change not
paid, a scan reversed.
"""
COMES_BACK = timedelta(days=1)
"""So long after the departure's time it is looked for, and as long as a ticket is not final, but
not above LOOKED_FOR.
"""
LOOKED_FOR = timedelta(days=30)
SWEEP_CADENCE = timedelta(minutes=30)
MOST_ATTEMPTS = 100
"""Failing for half a day; then it is a dead letter, for an administrator."""

log = structlog.get_logger()

Find = Callable[[AsyncConnection, int], Awaitable[Any]]
Follow = Callable[[AsyncConnection, Sequence[int]], Awaitable[None]]


class _Steps(NamedTuple):
    """How to find orders after one, and to have some follow in a transaction."""

    find: Find
    follow: Follow


def jobs(_: Settings) -> list[Job]:
    """What is done by the clock."""
    return [
        Job(
            "sweep-stuck",
            SWEEP_CADENCE,
            Sweeper().work,
            about=About(
                "Looks for what does not go on by itself: finishes what the rules say how to, and"
                " notes the rest (ListStuck).",
                "查找卡住的订单、票券、支付与任务：能按规则完成的予以完成，其余记录待处理（ListStuck）。",
            ),
        )
    ]


def kinds(db: Database) -> dict[str, TaskKind]:
    """The kinds of tasks, by name."""
    departures = DepartureTasks(db)
    return {
        FOLLOW_CANCELLATION: TaskKind(
            departures.follow_cancellation,
            max_attempts=MOST_ATTEMPTS,
            about=About(
                "Has orders follow a cancelled departure: what waits for payment is cancelled, what"
                " was sold given back or left to the travellers' choice. Each departure stays open"
                " until its tickets are final.",
                "处理已取消班次的订单：取消待支付订单，已售票券退款或等待旅客选择。"
                "每个班次在其票券全部终结前保持未完成。",
            ),
        ),
        FOLLOW_MOVE: TaskKind(
            departures.follow_move,
            max_attempts=MOST_ATTEMPTS,
            about=About(
                "Has sold tickets follow a departure whose time was moved.",
                "将已售票券更新为改点班次的新时间。",
            ),
        ),
    }


class DepartureTasks:
    """The handlers of departure.cancelled and departure.moved."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def follow_cancellation(self, task: Task) -> Postpone | None:
        """Cancels what waits for a cancelled departure, and refunds what was sold, now or when
        it would have left.
        """
        departure = await self._read(task)
        if departure is None or departure.state != CANCELLED or departure.refunds is None:
            return None
        number, began = departure.departure_id, monotonic()
        failed = await self._cancel_waiting(number, task)
        await self._db.in_transaction(lambda tx: disruptions.add_tickets(tx, number))
        refunds_now = departure.refunds_now(task.now())

        async def find(tx: AsyncConnection, after: int) -> Any:
            return await departure_orders.concerned(
                tx, number, refunds_now=refunds_now, after=after, limit=CHUNK_ORDERS
            )

        async def follow(tx: AsyncConnection, order_ids: Sequence[int]) -> None:
            await departure_orders.follow_cancellation(tx, order_ids, departure, now=task.now())

        if not await self._each(number, _Steps(find, follow), began, failed=failed):
            return Postpone(task.now())
        return await self._when_again(departure, task.now())

    async def follow_move(self, task: Task) -> Postpone | None:
        """Brings the times of sold tickets to where their departure is now."""
        departure = await self._read(task)
        if departure is None:
            return None
        number, began = departure.departure_id, monotonic()
        await self._wait_for_settlements(number)
        await self._db.in_transaction(lambda tx: disruptions.add_tickets(tx, number))

        async def find(tx: AsyncConnection, after: int) -> Any:
            return await departure_orders.with_other_times(
                tx, number, after=after, limit=CHUNK_ORDERS
            )

        async def follow(tx: AsyncConnection, order_ids: Sequence[int]) -> None:
            await departure_orders.follow_move(tx, order_ids, number, now=task.now())

        done = await self._each(number, _Steps(find, follow), began)
        return None if done else Postpone(task.now())

    async def _read(self, task: Task) -> AffectedDeparture | None:
        async with self._db.transaction() as tx:
            return await departure_orders.read(tx, int(task.key))

    async def _cancel_waiting(self, departure_id: int, task: Task) -> int:
        """Cancels what waits, together or, if that fails, one by one; how many could not be."""
        after, failed = 0, 0
        while True:
            async with self._db.transaction() as tx:
                found = await departure_orders.waiting(
                    tx, departure_id, after=after, limit=CHUNK_ORDERS
                )
            if not found:
                break

            async def cancel(*order_ids: int) -> None:
                now = task.now()
                await self._db.in_transaction(
                    lambda tx: departure_orders.cancel_waiting(tx, order_ids, now=now)
                )

            if not await _tried(cancel, *found):
                failed += [await _tried(cancel, order_id) for order_id in found].count(False)
            after = found[-1]
        return failed

    async def _wait_for_settlements(self, departure_id: int) -> None:
        """Waits for whoever settles an order and may have read the old time; who comes behind
        reads the new one.
        """
        after = 0
        while True:
            async with self._db.transaction() as tx:
                found = await departure_orders.waiting(
                    tx, departure_id, after=after, limit=CHUNK_ORDERS
                )
            if not found:
                return
            for order_id in found:
                async with self._db.transaction() as tx:
                    await orders.lock_order(tx, order_id)
            after = found[-1]

    async def _each(
        self, departure_id: int, steps: _Steps, began: float, *, failed: int = 0
    ) -> bool:
        """Has all orders that are found follow, some together or, if that fails, one by one; False
        if the time of the run was not enough.

        One that cannot does not keep the others: the run fails in the end, also for those that
        `failed` before, and it goes on until one more could, however long they took.
        """
        after = 0
        while True:
            async with self._db.transaction() as tx:
                found = await steps.find(tx, after)
            for first in range(0, len(found), FOLLOW_AT_ONCE):
                chunk = found[first : first + FOLLOW_AT_ONCE]
                could_not = await self._follow(departure_id, steps.follow, chunk)
                failed += could_not
                if could_not < len(chunk) and monotonic() - began > RUN_SECONDS:
                    return False
            if not found:
                break
            after = found[-1]
        if failed:
            raise DomainError(
                Reason.INTERNAL, f"{failed} orders could not follow; the log says why"
            )
        return True

    async def _follow(self, departure_id: int, follow: Follow, chunk: Sequence[int]) -> int:
        """Has orders follow together or, if that fails, one by one, which the report notes; how
        many could not.
        """

        async def some(*order_ids: int) -> None:
            async def work(tx: AsyncConnection) -> None:
                await follow(tx, order_ids)
                await disruptions.note_failure(tx, departure_id, order_ids, None)

            await self._db.in_transaction(work)

        if await _tried(some, *chunk):
            return 0
        failed = 0
        for order_id in chunk:
            why = await _why_not(some, order_id)
            if why is not None:
                failed += 1
                await self._db.in_transaction(
                    lambda tx, one=order_id, text=why: disruptions.note_failure(  # type: ignore[misc]
                        tx, departure_id, [one], text
                    )
                )
        return failed

    async def _when_again(self, departure: AffectedDeparture, now: datetime) -> Postpone | None:
        if not departure.refunds_now(now):
            return Postpone(departure.departure_time)
        async with self._db.transaction() as tx:
            is_open = await departure_orders.count_open(tx, departure.departure_id)
        late = departure_orders.delay(departure, now)
        if late < COMES_BACK or (is_open and late < LOOKED_FOR):
            return Postpone(now + LOOK_AGAIN)
        return None


async def _tried(work: Callable[..., Awaitable[None]], *order_ids: int) -> bool:
    """Whether work on orders succeeded; why not is logged. Raises DATABASE_UNAVAILABLE."""
    return await _why_not(work, *order_ids) is None


async def _why_not(work: Callable[..., Awaitable[None]], *order_ids: int) -> str | None:
    """Why work on orders failed, which is logged; None if it succeeded. Raises
    DATABASE_UNAVAILABLE.
    """
    try:
        await work(*order_ids)
    except DomainError as error:
        if error.reason == Reason.DATABASE_UNAVAILABLE:
            raise
        log.warning("departure.order_failed", order_ids=order_ids, error=error.message)
        return f"{error.reason}: {error.message}"
    except Exception as error:  # one order that cannot follow must not keep the others
        log.exception("departure.order_failed", order_ids=order_ids)
        return fault_text(error)
    return None
