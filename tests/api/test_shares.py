"""Whose turn it is where calls of partners wait: a fair share for each, one after the other."""

import asyncio

import pytest

from server.api.shares import CallShare, CallShares
from server.platform.errors import DomainError, Reason


async def settled() -> None:
    """Whoever could go on has."""
    for _ in range(5):
        await asyncio.sleep(0)


class Calls:
    """Calls that are worked on until they are let go, and the order in which they began."""

    def __init__(self, shares: CallShares) -> None:
        self.shares = shares
        self.began: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def make(self, *names: str) -> None:
        """Makes calls; the letter of a name is its partner."""
        for name in names:
            self.ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._work(name))

    async def _work(self, name: str) -> None:
        async with self.shares.share(name[0]):
            self.began.append(name)
            await self.ends[name].wait()

    async def end(self, *names: str) -> None:
        """Ends calls, one after the other."""
        for name in names:
            self.ends[name].set()
            await settled()

    async def all_ended(self) -> None:
        """Nobody works or waits any more."""
        for end in self.ends.values():
            end.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        for partner in "ABC":
            assert (self.shares.working(partner), self.shares.waiting(partner)) == (0, 0)


async def test_a_partner_takes_no_more_than_its_share() -> None:
    calls = Calls(CallShares(in_all=5, per_partner=3, waiting_per_partner=10))
    calls.make("A1", "A2", "A3", "A4", "A5", "B1")
    await settled()
    assert calls.began == ["A1", "A2", "A3", "B1"]
    await calls.end("A2")
    assert calls.began[4:] == ["A4"]
    await calls.all_ended()


async def test_those_who_wait_take_turns_by_partner() -> None:
    """However many one has waiting, another's call is the next but one at the latest.

    Seen red: without `move_to_end` A, whose call waited first, had every turn.
    """
    calls = Calls(CallShares(in_all=3, per_partner=3, waiting_per_partner=10))
    calls.make("A1", "A2", "A3", "A4", "A5", "A6", "A7", "B1", "B2", "C1")
    await settled()
    await calls.end("A1", "A2", "A3", "A4", "B1", "C1")
    assert calls.began == ["A1", "A2", "A3", "A4", "B1", "C1", "A5", "B2", "A6"]
    await calls.all_ended()


async def test_cancelled_calls_leave_their_place() -> None:
    """Those that wait, and one that has just got its turn: the next has it then.

    Seen red: without `give_back` in `wait` the place of the latter was lost for good.
    """
    calls = Calls(CallShares(in_all=1, per_partner=1, waiting_per_partner=2))
    calls.make("A1", "B1", "B2", "C1")
    await settled()
    calls.tasks["B1"].cancel()
    await settled()
    assert calls.shares.waiting("B") == 1
    calls.ends["A1"].set()
    await asyncio.sleep(0)  # A1 has ended, and B2 its turn
    calls.tasks["B2"].cancel()
    await settled()
    assert calls.began == ["A1", "C1"]
    await calls.all_ended()


async def test_too_many_wait() -> None:
    """Only the partner whose calls they are is refused."""
    calls = Calls(CallShares(in_all=1, per_partner=1, waiting_per_partner=2))
    calls.make("A1", "A2", "A3")
    await settled()
    with pytest.raises(DomainError) as refused:
        async with calls.shares.share("A"):
            pass
    assert refused.value.reason == Reason.SERVER_BUSY
    assert refused.value.retry_seconds
    calls.make("B1")
    await settled()
    assert calls.shares.waiting("B") == 1
    await calls.all_ended()


async def test_given_back_once() -> None:
    shares = CallShares(in_all=2, per_partner=1, waiting_per_partner=2)
    async with shares.share("A") as share:
        assert isinstance(share, CallShare)
        share.give_back()
        share.give_back()
        assert shares.working("A") == 0
    assert shares.take("A")
    assert not shares.take("A")


async def test_a_turn_that_comes_to_one_who_is_leaving_goes_to_the_next() -> None:
    """Seen red: who left did not call the next, who waited for ever with nobody at work."""
    shares = CallShares(in_all=1, per_partner=1)
    assert shares.take("A")
    leaving = asyncio.create_task(shares.wait("A"))
    waiting = asyncio.create_task(shares.wait("A"))
    await asyncio.sleep(0)  # both begin
    assert shares.waiting("A") == 2
    leaving.cancel()  # its future is cancelled, and it has not yet run again
    shares.give_back("A")
    await asyncio.wait_for(waiting, 5)
    assert leaving.cancelled()
    assert shares.working("A") == 1
