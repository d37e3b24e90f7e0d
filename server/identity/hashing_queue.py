"""Whose password is hashed next: a bounded queue in which nobody can take another's turn.

Hashing is slow on purpose, so who sends many passwords could keep everybody from logging in. Those
who wait belong to shares: where they have logged in before, or else where they call
from. Shares take turns, whatever waits in each; and those that have logged in from there before
have every second turn, however many others wait.
"""

import asyncio
from collections import OrderedDict, deque
from typing import NamedTuple

from server.platform.errors import DomainError, Reason

SHARE_WAITING = 16
"""Of one share; further ones are asked to come again."""
MOST_WAITING = 64
"""Of all shares of a kind. One that comes then takes the last place of the share with most, not
of one with a single place.
"""
SECONDS_EACH = 0.05
"""About what a password takes, for the hint when to come again."""


class Share(NamedTuple):
    """Who waits. `known`: the same name has logged in from the same place before."""

    key: str
    known: bool = False


OURS = Share("ours", known=True)
"""Passwords that administrators set."""

_Waiting = OrderedDict[str, deque[asyncio.Future[None]]]


class HashingQueue:
    """HashingQueue for `slots` at once. Not for several loops."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: dict[bool, _Waiting] = {True: OrderedDict(), False: OrderedDict()}
        self._next_is_known = True

    async def take(self, share: Share) -> None:
        """Waits for a turn, which `give_back` ends. Raises SERVER_BUSY when too many wait, also
        while it waits.
        """
        if self._free:
            self._free -= 1
            return
        turn = self._join(share)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back()  # it was given at the same moment
            else:
                self._leave(share, turn)
            raise

    def give_back(self) -> None:
        """Gives the turn to whoever is next."""
        for known in (self._next_is_known, not self._next_is_known):
            shares = self._waiting[known]
            while shares:
                key, own = next(iter(shares.items()))
                turn = own.popleft()
                shares.move_to_end(key)
                if not own:
                    del shares[key]
                if not turn.done():  # else it was cancelled, and who waited has not run since
                    self._next_is_known = not known
                    turn.set_result(None)
                    return
        self._free += 1

    def _join(self, share: Share) -> asyncio.Future[None]:
        shares = self._waiting[share.known]
        own = shares.get(share.key)
        count = sum(map(len, shares.values()))
        if own and len(own) >= SHARE_WAITING:
            raise _busy(len(own))
        if count >= MOST_WAITING:
            longest = max(shares.values(), key=len)
            if len(longest) <= len(own or ()) + 1:
                raise _busy(count)
            last = longest.pop()
            if not last.done():  # else it was cancelled, as in `give_back`
                last.set_exception(_busy(count))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        shares.setdefault(share.key, deque()).append(turn)
        return turn

    def _leave(self, share: Share, turn: asyncio.Future[None]) -> None:
        shares = self._waiting[share.known]
        own = shares.get(share.key)
        if own and turn in own:
            own.remove(turn)
            if not own:
                del shares[share.key]


def _busy(waiting: int) -> DomainError:
    return DomainError(
        Reason.SERVER_BUSY,
        f"{waiting} log-ins are waiting; try again later",
        retry_seconds=max(1.0, waiting * SECONDS_EACH),
    )
