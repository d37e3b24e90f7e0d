"""Holds whose time is over: their orders are cancelled and the stock is given back, by whichever
process comes first.

Every process looks each second, so stock is back within five of its time, also when the process
that held it is gone (DOMAIN, Stock). An order whose row somebody has locked, say to settle its
payment, is passed over and looked at again; so is one of which anything else stays locked (its
stock, what counts for its traveller, where its passengers travel, the ticket it was to change),
when others must not wait for it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import orders
from server.platform import clock
from server.platform.database import Database, unless_locked, wait_for_locks
from server.platform.driver_errors import LockedError
from server.platform.errors import DomainError
from server.platform.loops import Loops, Polling
from server.platform.schedule import Progress, Work
from server.platform.statements import Command, run

LOOK_SECONDS = 1.0
CHUNK_ORDERS = 200
"""Cancelled in one transaction, whose locks others wait for."""
SKIP_LOCKED_ORDERS = 2_000
"""Among so many those are looked for whose stock nobody has locked."""
SHORT_LOCK_SECONDS = 0.1
"""So long these wait for what else is locked; then each is cancelled on its own."""
ACTOR = "system"

log = structlog.get_logger()


class Expiry:
    """Cancels the orders that were not paid in time, from `start` to `stop`, unless the job
    `expire-holds` `is_paused`.
    """

    def __init__(
        self,
        db: Database,
        close_payments: orders.ClosePayments,
        loops: Loops | None = None,
        *,
        is_paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._db = db
        self._close_payments = close_payments
        self._is_paused = is_paused
        self._loop = (loops or Loops()).add(
            "hold-expiry",
            Polling(self._look, LOOK_SECONDS, tolerated=(DomainError,), due=self._due),
        )

    def start(self) -> None:
        """Begins to look."""
        self._loop.start()

    async def stop(self) -> None:
        """Ends it, when the transaction under way is done."""
        await self._loop.end()

    async def run(self) -> int:
        """Cancels all that is due now, in chunks; returns how many. Raises DATABASE_UNAVAILABLE,
        CONFLICT.
        """
        cancelled = 0
        while not self._loop.is_ending:
            try:
                done = await self._cancel(CHUNK_ORDERS)
            except LockedError:
                done = await self._cancel_with_free_stocks()
            cancelled += done
            if done < CHUNK_ORDERS:
                break
        return cancelled

    def _due(self) -> Command[bool] | bool:
        return not self._is_paused() and orders.any_expired(clock.now())

    async def _look(self) -> None:
        if self._is_paused():
            return
        try:
            async with self._db.pipeline() as pipeline, pipeline.autocommit():
                (is_any,) = await run(pipeline, orders.any_expired(clock.now()))
            if not is_any:
                return
            if cancelled := await self.run():
                log.info("holds.expired", orders=cancelled)
        except DomainError:  # the database is away or a race is lost: next time
            raise
        except Exception:  # one order that cannot be cancelled must not keep the others
            log.exception("holds.expiry_failed")
            await self._one_by_one(CHUNK_ORDERS)

    async def _cancel_orders(
        self, tx: AsyncConnection, due: Sequence[orders.Order], now: datetime
    ) -> None:
        await _cancel_due(tx, due, self._close_payments, now=now)

    async def _cancel(self, limit: int) -> int:
        now = clock.now()
        async with self._db.transaction() as tx:
            due = await orders.lock_expired(tx, now=now, limit=limit)
            await self._cancel_orders(tx, due, now)
        return len(due)

    async def _cancel_with_free_stocks(self) -> int:
        now = clock.now()
        try:
            async with self._db.transaction() as tx:
                await wait_for_locks(tx, seconds=SHORT_LOCK_SECONDS)
                due = await self._with_free_stocks(tx, SKIP_LOCKED_ORDERS, now=now)
                await self._cancel_orders(tx, due, now)
            return len(due)
        except LockedError:
            return await self._one_by_one(SKIP_LOCKED_ORDERS)

    async def _with_free_stocks(
        self, tx: AsyncConnection, limit: int, *, now: datetime
    ) -> list[orders.Order]:
        return await orders.with_free_stocks(
            tx, await orders.lock_expired(tx, now=now, limit=limit)
        )

    async def _one_by_one(self, limit: int) -> int:
        """Cancels each of those that are due in a transaction of its own; how many were."""
        now, cancelled = clock.now(), 0
        async with self._db.transaction() as tx:
            due = [order.order_id for order in await self._with_free_stocks(tx, limit, now=now)]
        for order_id in due:
            if self._loop.is_ending:
                break
            try:
                cancelled += await self._cancel_one(order_id, now)
            except LockedError as error:
                log.warning("holds.expiry_failed", order_id=order_id, error=error.message)
            except Exception:  # one order that cannot be cancelled must not keep the others
                log.exception("holds.expiry_failed", order_id=order_id)
        return cancelled

    async def _cancel_one(self, order_id: int, now: datetime) -> int:
        async with self._db.transaction() as tx:
            await wait_for_locks(tx, seconds=SHORT_LOCK_SECONDS)
            order = await orders.lock_order(tx, order_id)
            if order is None or order.state != "PENDING":
                return 0
            await self._cancel_orders(tx, [order], now)
        return 1


def work(close_payments: orders.ClosePayments) -> Work:
    """The work of the job `expire-holds`: what the processes' own looks have passed over.

    What is locked it leaves to the next run.
    """

    async def cancel(tx: AsyncConnection, now: datetime) -> Progress:
        await wait_for_locks(tx, seconds=SHORT_LOCK_SECONDS)
        due = await orders.lock_expired(tx, now=now, limit=CHUNK_ORDERS)
        free = await orders.with_free_stocks(tx, due)
        async with unless_locked(tx) as tried:
            await _cancel_due(tx, free, close_payments, now=now)
        done = len(free) if tried.succeeded else 0
        return Progress(done == CHUNK_ORDERS, done)

    return cancel


async def _cancel_due(
    tx: AsyncConnection,
    due: Sequence[orders.Order],
    close_payments: orders.ClosePayments,
    *,
    now: datetime,
) -> None:
    await orders.cancel(
        tx, due, reason="HOLD_EXPIRED", actor=ACTOR, now=now, close_payments=close_payments
    )
