"""WatchOrder: the moves of an order as they happen, from the database, whichever process made them.

All watched orders of a process are asked for in one query twice a second, and only while somebody
watches. Each order's moves are numbered under its row lock, so what is after the last number seen
is all that is new.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Traveller
from server.orders import events, orders
from server.orders.orders import Order
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.loops import Loops, Polling
from server.platform.statements import Statement, run

POLL_SECONDS = 0.5
"""Between two looks."""
RETRY_SECONDS = 1.0
FINAL = frozenset({"COMPLETED", "CANCELLED"})


class Happening(NamedTuple):
    """A move of an order, or of one of its tickets."""

    order_id: int
    sequence: int
    event: str
    state: str
    cancel_reason: str | None
    ticket_id: int | None
    occurred_time: datetime


# LATERAL, so that each order is looked up by key, however many are watched
_NEWS = Statement(
    """
SELECT e.order_id, e.sequence, e.event, e.state, e.cancel_reason, e.ticket_id, e.occurred_time
FROM unnest($1::bigint[], $2::int[]) AS w (order_id, behind)
CROSS JOIN LATERAL (
  SELECT * FROM order_events o WHERE o.order_id = w.order_id AND o.sequence > w.behind) e
ORDER BY e.order_id, e.sequence
""",
    Happening,
)

News = Sequence[Happening] | DomainError


@dataclass(eq=False)
class _Watch:
    """Somebody who watches: after which sequence, and what is still to be sent."""

    order_id: int
    seen: int
    news: asyncio.Queue[News] = field(default_factory=asyncio.Queue)


class Watcher:
    """Everybody who watches an order at this process."""

    def __init__(
        self,
        db: Database,
        loops: Loops | None = None,
    ) -> None:
        self._db = db
        self._loop = (loops or Loops()).add(
            "order-watcher",
            Polling(
                self._poll,
                POLL_SECONDS,
                tolerated=(Exception,),  # those who watch wait on
                wanted=lambda: bool(self._watches),
            ),
        )
        self._is_stopping = False
        self._watches: set[_Watch] = set()

    async def watch(
        self, traveller: Traveller, code: str, *, after_sequence: int
    ) -> AsyncIterator[Happening]:
        """The moves of the traveller's own order after a sequence, until it is final.

        Raises NOT_FOUND; what it returns raises SHUTTING_DOWN when the server stops.
        """
        async with self._db.transaction() as tx:
            order = await orders.find(tx, traveller.traveller_id, code)
            past = await _news(tx, {order.order_id: max(after_sequence, 1)})
        if after_sequence < 1:
            past = [_created(order), *past]
        return self._moves(order, past, after_sequence)

    async def _moves(
        self, order: Order, past: list[Happening], after_sequence: int
    ) -> AsyncIterator[Happening]:
        for happening in past:
            yield happening
        last = past[-1] if past else None
        state = last.state if last else order.state
        if state in FINAL:
            return
        watch = _Watch(order.order_id, max(last.sequence if last else 0, after_sequence))
        self._begin(watch)
        try:
            while state not in FINAL:
                news = await watch.news.get()
                if isinstance(news, DomainError):
                    raise news
                for happening in news:
                    yield happening
                state = news[-1].state
        finally:
            self._watches.discard(watch)

    def _begin(self, watch: _Watch) -> None:
        self._watches.add(watch)
        if self._is_stopping:
            self._end_all()
        else:
            self._loop.start()

    def stop(self) -> None:
        """Ends every watch, with SHUTTING_DOWN, and those that come."""
        self._is_stopping = True
        self._loop.cancel_soon()
        self._end_all()

    def _end_all(self) -> None:
        for watch in self._watches:
            watch.news.put_nowait(
                DomainError(
                    Reason.SHUTTING_DOWN,
                    "the server is stopping; watch again from the last sequence",
                    retry_seconds=RETRY_SECONDS,
                )
            )

    async def _poll(self) -> None:
        watches = list(self._watches)
        seen: dict[int, int] = {}
        for watch in watches:
            known = seen.get(watch.order_id, watch.seen)
            seen[watch.order_id] = min(known, watch.seen)
        if not seen:
            return
        async with self._db.transaction() as tx:
            news = await _news(tx, seen)
        by_order: dict[int, list[Happening]] = {}
        for happening in news:
            by_order.setdefault(happening.order_id, []).append(happening)
        for watch in watches:
            fresh = [h for h in by_order.get(watch.order_id, ()) if h.sequence > watch.seen]
            if fresh:
                watch.seen = fresh[-1].sequence
                watch.news.put_nowait(fresh)


def _created(order: Order) -> Happening:
    return Happening(order.order_id, 1, events.CREATED, "PENDING", None, None, order.create_time)


async def _news(tx: AsyncConnection, seen: dict[int, int]) -> list[Happening]:
    return await run(tx, _NEWS.of_rows([*seen.items()]))
