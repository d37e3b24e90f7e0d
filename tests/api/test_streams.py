"""A stream is cut off where it waits when its rights are gone, and else left alone."""

import asyncio

import pytest

from server.api import streams
from server.api.streams import StreamRights


class GoneError(Exception):
    """The rights are gone."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RECHECK_SECONDS", 0.01)


class Rights:
    """Somebody's rights: known without asking, or not, and whether they hold."""

    def __init__(self, *, known: bool = True) -> None:
        self.known, self.hold, self.asked = known, True, 0

    def remembered(self) -> bool:
        if self.known and not self.hold:
            raise GoneError
        return self.known

    async def recheck(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if not self.hold:
            raise GoneError


@pytest.mark.parametrize("known", [True, False])
async def test_it_is_cut_off_where_it_waits(known: bool) -> None:
    rights, ended = Rights(known=known), False

    async def serve() -> None:
        nonlocal ended
        async with StreamRights().hold(rights.remembered, rights.recheck):
            try:
                await asyncio.Event().wait()
            finally:
                ended = True

    serving = asyncio.create_task(serve())
    await asyncio.sleep(0.05)
    assert not serving.done()
    rights.hold = False
    async with asyncio.timeout(5):
        with pytest.raises(GoneError):
            await serving
    assert ended
    assert bool(rights.asked) != known


async def test_the_task_goes_on_afterwards() -> None:
    """To answer the caller: nothing of the cut is left in it."""
    rights = Rights()
    rights.hold = False

    async def serve() -> str:
        with pytest.raises(GoneError):
            async with StreamRights().hold(rights.remembered, rights.recheck):
                await asyncio.sleep(60)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return "answered"

    assert await asyncio.create_task(serve()) == "answered"


async def test_who_leaves_gets_no_refusal_of_rights() -> None:
    rights = Rights()
    all_of = StreamRights()

    async def serve() -> None:
        async with all_of.hold(rights.remembered, rights.recheck):
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await asyncio.sleep(0.05)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_one_that_ends_at_the_same_moment_has_ended() -> None:
    rights, all_of = Rights(), StreamRights()

    async def serve() -> str:
        async with all_of.hold(rights.remembered, rights.recheck):
            await asyncio.sleep(0.03)
            rights.hold = False
            for stream in all_of._open:
                stream.look()
        await asyncio.sleep(0.03)
        return "ended"

    assert await asyncio.create_task(serve()) == "ended"


async def test_nobody_looks_when_nothing_streams() -> None:
    rights, all_of = Rights(), StreamRights()
    async with all_of.hold(rights.remembered, rights.recheck):
        await asyncio.sleep(0)
    looking = [task for task in asyncio.all_tasks() if task.get_name() == "stream-rights"]
    async with asyncio.timeout(5):
        await asyncio.gather(*looking)
    async with all_of.hold(rights.remembered, rights.recheck):
        assert all_of._loop._task not in looking
