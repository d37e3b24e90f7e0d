"""How long the events of the core may keep everything else waiting."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from server.api.transport import completions
from server.api.transport.completions import ROUND_SECONDS, Completions


async def test_events_that_take_long_let_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen red with rounds counted in events alone: in a rush of 10,000 orders the database ended
    transactions that waited for theirs.
    """
    now, handled, turns = 0.0, 0, []

    def takes_long(_: Any) -> None:
        nonlocal now, handled
        now += ROUND_SECONDS / 4
        handled += 1

    def poll(_: float) -> Any:
        return SimpleNamespace(tag=takes_long if handled < 40 else None, completion_type=None)

    monkeypatch.setattr(completions, "perf_counter", lambda: now)
    queue = Completions()
    queue.queue = SimpleNamespace(poll=poll)
    queue._turn.acquire()
    queue._handle()
    while queue._turn.locked():
        turns.append(handled)
        await asyncio.sleep(0)
    assert handled == 40
    assert len(turns) >= 8
