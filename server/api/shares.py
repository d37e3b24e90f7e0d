"""A fair share of the work for each partner: how many of its calls are worked on at once, and whose
turn is next.

So a partner that calls as fast as it can takes its own share, not that of others, nor of travellers
and gates, whose calls are not counted here. A call within its partner's share costs a counter.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from types import TracebackType
from typing import Self

from server.platform.errors import DomainError, Reason

BUSY_RETRY_SECONDS = 0.5


class CallShares:
    """The calls of partners that are worked on in this process, and those that wait.

    Whoever waits gets its turn when there is room, one partner after the other (round robin), each
    partner's calls in the order in which they came.
    """

    def __init__(
        self, *, in_all: int = 7, per_partner: int = 2, waiting_per_partner: int = 256
    ) -> None:
        self._in_all = in_all
        self._per_partner = per_partner
        self._most_waiting = waiting_per_partner
        self._working: Counter[str] = Counter()
        self._total = 0
        # the partner whose turn is next comes first
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def share(self, partner: str) -> "CallShare":
        """A place among the partner's calls, to be entered."""
        return CallShare(self, partner)

    def working(self, partner: str) -> int:
        """How many of the partner's calls are worked on."""
        return self._working[partner]

    def waiting(self, partner: str) -> int:
        """How many of the partner's calls wait."""
        return len(self._waiting.get(partner, ()))

    def take(self, partner: str) -> bool:
        """Takes a place at once; whether there was one."""
        if self._total >= self._in_all or self._working[partner] >= self._per_partner:
            return False
        self._total += 1
        self._working[partner] += 1
        return True

    async def wait(self, partner: str) -> None:
        """Waits for a place. Raises SERVER_BUSY where too many of the partner's calls wait."""
        queue = self._waiting.setdefault(partner, deque())
        if len(queue) >= self._most_waiting:
            raise DomainError(
                Reason.SERVER_BUSY,
                f"{self._most_waiting} calls of yours wait already; make fewer at once",
                retry_seconds=BUSY_RETRY_SECONDS,
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(partner)  # it had just got its turn
            else:
                self._leave(partner, turn)
            raise

    def _leave(self, partner: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting[partner]
        queue.remove(turn)
        if not queue:
            del self._waiting[partner]
        self._call_next()

    def give_back(self, partner: str) -> None:
        """Gives a place back, to whoever is next."""
        self._total -= 1
        self._working[partner] -= 1
        if not self._working[partner]:
            del self._working[partner]
        self._call_next()

    def _call_next(self) -> None:
        for partner in list(self._waiting):
            queue = self._waiting[partner]
            if queue[0].cancelled():
                continue  # it is about to leave, and to call the next
            if self.take(partner):
                queue.popleft().set_result(None)
                if queue:
                    self._waiting.move_to_end(partner)
                else:
                    del self._waiting[partner]
                return


class CallShare:
    """A call's place, from `async with` on; it may be given back earlier, once."""

    __slots__ = ("_has_place", "_partner", "_shares")

    def __init__(self, shares: CallShares, partner: str) -> None:
        self._shares = shares
        self._partner = partner
        self._has_place = False

    async def __aenter__(self) -> Self:
        if not self._shares.take(self._partner):
            await self._shares.wait(self._partner)
        self._has_place = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()

    def give_back(self) -> None:
        """For a call that is bounded otherwise from now on, such as a large batch by its turn."""
        if self._has_place:
            self._has_place = False
            self._shares.give_back(self._partner)
