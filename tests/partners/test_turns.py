"""Whose turn it is to make a large batch."""

import asyncio

from server.partners.turns import Turns


async def test_one_partner_does_not_take_all_turns() -> None:
    """However many it asks for. Seen red: with one semaphore for all, partner 2 was the last to
    begin.
    """
    turns, begun = Turns(at_once=2), []
    ends = [asyncio.Event() for _ in range(6)]

    async def batch(number: int, partner_id: int) -> None:
        async with turns.turn(partner_id):
            begun.append(number)
            await ends[number].wait()

    async def settled() -> list[int]:
        for _ in range(20):
            await asyncio.sleep(0)
        return begun

    made = [asyncio.create_task(batch(number, 1)) for number in range(4)]
    assert await settled() == [0]
    made.append(asyncio.create_task(batch(4, 2)))
    assert await settled() == [0, 4]
    made.append(asyncio.create_task(batch(5, 3)))
    assert await settled() == [0, 4]
    made[1].cancel()  # one that waits no more takes no turn
    ends[4].set()
    assert await settled() == [0, 4, 5]
    ends[0].set()
    assert await settled() == [0, 4, 5, 2]
    for end in ends:
        end.set()
    await asyncio.gather(*made, return_exceptions=True)
    assert begun == [0, 4, 5, 2, 3]
    assert not turns._partners
