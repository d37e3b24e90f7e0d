"""What attempts became of is written, each once."""

import asyncio
from collections.abc import Sequence
from unittest.mock import Mock

from server.platform.dispatch import Dispatch


async def test_an_attempt_under_way_while_others_are_written_is_written_too() -> None:
    """Seen red when an attempt held, while it was made, the list that was written meanwhile."""
    written: list[str] = []
    ends: dict[str, asyncio.Event] = {}
    both = asyncio.Event()

    async def attempt(name: str) -> str:
        ends[name] = asyncio.Event()
        if len(ends) == 2:
            both.set()
        await ends[name].wait()
        return name

    async def settle(outcomes: Sequence[str]) -> None:
        written.extend(outcomes)
        ends["later"].set()

    async def look() -> None:
        """Nothing more is due."""

    dispatch: Dispatch[str] = Dispatch(
        *(Mock(), "test", look, settle),
        outcomes="written",
        due=lambda: False,
        channels=(),
        loops=None,
    )
    dispatch.start()
    for name in ("first", "later"):
        dispatch.begin(attempt(name))
    await both.wait()
    ends["first"].set()
    await ends["later"].wait()
    await dispatch.stop()
    assert written == ["first", "later"]
