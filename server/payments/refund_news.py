"""News of refunds, taken in together: WeChat's answers when it is asked, and its notices.

When a departure is cancelled thousands come at once. Those of different refunds share a
transaction, each decided on its own; of one refund the second comes with the next. A refund that is
to be CLOSED, or whose tickets share something with others, locks more than that, and is taken in
alone, as is what is no refund of ours. What somebody else has locked holds up none but its own
news. If the transaction fails, all are taken in alone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.payments import refund_outcomes, refund_rules, refunds
from server.payments.refund_outcomes import Consequences, News
from server.payments.refunds import Locked
from server.platform import outbox
from server.platform.batching import Batcher, Work
from server.platform.database import Database
from server.platform.driver_errors import LockedError
from server.platform.errors import DomainError
from server.platform.metrics import REFUND_BATCH, REFUND_QUEUE
from server.platform.outbox import NewTask, Task
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Command, run, run_together
from server.stock import holds

BATCH = 128
"""News taken in in one transaction."""
WORKERS = 2
"""Such transactions at once."""
MOST_ALONE = 4
"""News taken in at once that need a transaction, and a connection, each."""
FIRST_QUERY = timedelta(minutes=1)
"""A notice is waited for so long before WeChat is asked."""

log = structlog.get_logger()


class _Unit(NamedTuple):
    """News, and the task that brings it."""

    task: Task
    news: News

    @property
    def refund(self) -> tuple[int, int] | None:
        """Order and number of the refund; None for a number that is not ours."""
        named = refund_rules.refund_part(self.news.out_refund_no)
        return named[:2] if named else None


@dataclass(slots=True)
class _Facts:
    """The refunds that there are, None for those that somebody else has locked; the leases that are
    held; and what is decided, by refund.

    `free_stocks` are the stocks that nobody else has locked, None where that was not asked.
    """

    locked: dict[tuple[int, int], Locked | None]
    leased: set[UUID]
    now: datetime
    free_stocks: set[int] | None = None
    decided: dict[tuple[int, int], Consequences] = field(default_factory=dict)
    units: list[_Unit] = field(default_factory=list)


class RefundNews:
    """Takes in news of refunds, in one process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._workers: Batcher[_Unit, _Facts, bool] = Batcher(
            db,
            Work(self._read, self._decide, self._write),
            batch=BATCH,
            workers=WORKERS,
            queue=REFUND_QUEUE,
            batches=REFUND_BATCH,
        )
        self._alone = asyncio.Semaphore(MOST_ALONE)

    async def take_in(self, task: Task, news: News) -> None:
        """Takes in what WeChat says, and ends the task in the same transaction.

        Raises CONFLICT while a row of the refund is locked, and DATABASE_UNAVAILABLE, which leaves
        the outcome unknown.
        """
        unit = _Unit(task, news)
        try:
            is_taken_in = await self._workers.submit(unit)
        except DomainError:
            raise
        except Exception:  # one of its batch is to blame: taken in alone it fails alone
            log.exception("refund_news.failed", out_refund_no=news.out_refund_no)
            is_taken_in = False
        if is_taken_in:
            task.is_settled = True
            return
        async with self._alone:
            await self._db.in_transaction(partial(self._take_in_alone, unit))

    async def _take_in_alone(self, unit: _Unit, tx: AsyncConnection) -> None:
        now = unit.task.now()
        number, outcome, is_notice = unit.news
        state = await refund_outcomes.settle_part(tx, number, outcome, now=now, is_notice=is_notice)
        await run(tx, outbox.enqueue(*_next_query(unit, state, now), now=now))
        await unit.task.done(tx)

    async def _read(
        self, tx: PipelineConnection, units: Sequence[_Unit], *, skip_locked: bool
    ) -> _Facts:
        """Locks the refunds, and reads what is known of them; those of which somebody else has
        something locked are passed over, and with `skip_locked` those whose stock is.
        """
        named = {unit.refund for unit in units if unit.refund}
        locked = await refunds.lock_all(tx, named, skip_locked=True)
        takes = [take for each in locked.values() if each for take in each.order.takes]
        leased, free = await run_together(
            tx,
            outbox.lock_leases([unit.task for unit in units]),
            holds.lock_free(takes) if skip_locked and takes else None,
        )
        # after the locks, which may have taken a while
        facts = _Facts(locked, set(leased), units[0].task.now())
        if skip_locked:
            facts.free_stocks = set(free)
        return facts

    def _decide(self, unit: _Unit, facts: _Facts) -> bool:
        """Whether it is taken in with the others; if not it is to be alone.

        Raises LockedError if somebody else has locked something of it, or if it is the second of
        its refund.
        """
        key = unit.refund
        if key is None or key not in facts.locked or unit.task.task_id not in facts.leased:
            return False
        locked = facts.locked[key]
        if locked is None or key in facts.decided:
            raise LockedError
        if locked.shared:
            return False
        stocks = holds.all_stocks(locked.order.takes)
        if facts.free_stocks is not None and not facts.free_stocks.issuperset(stocks):
            raise LockedError
        follows = refund_outcomes.consequences(unit.news, locked, now=facts.now)
        if follows.locked and follows.locked.state == "CLOSED":
            return False
        facts.decided[key] = follows
        facts.units.append(unit)
        return True

    async def _write(self, tx: PipelineConnection, facts: _Facts) -> Sequence[Command[Any] | None]:
        """Writes what is decided, so that what does not add up is found before the commit."""
        if not facts.units:
            return ()
        decided = list(facts.decided.values())
        await refund_outcomes.write(tx, decided, now=facts.now)
        queries = [
            query
            for unit, follows in zip(facts.units, decided, strict=True)
            for query in _next_query(unit, follows.state, facts.now)
        ]
        return (
            outbox.enqueue(*queries, now=facts.now),
            outbox.done_together([unit.task for unit in facts.units]),
        )


def _next_query(unit: _Unit, state: str | None, now: datetime) -> list[NewTask]:
    """WeChat is asked later, if it was asked now and is at it yet."""
    if unit.news.is_notice or state != "PROCESSING":
        return []
    return [NewTask(refunds.QUERY, unit.news.out_refund_no, {}, now + FIRST_QUERY)]
