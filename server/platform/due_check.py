"""Asks the database, for all loops of a process in one round trip, which of them have something to
do: each would look by itself else, most of the time in vain.

A loop takes part by `due` of its `Polling`. It looks when the answer is yes, and as ever when it is
woken. Where no answer can be had all of them look, and each meets by itself what is wrong.
"""

import time

from server.platform.database import Database
from server.platform.loops import Loop, Loops, Polling
from server.platform.statements import Command, run_all

TICK_SECONDS = 0.25
"""How often it asks, for each loop not oftener than that would look."""


class DueCheck:
    """Asks from `start` to `stop`."""

    def __init__(self, db: Database, loops: Loops) -> None:
        self._db = db
        self._loops = loops
        self._loop = loops.add(
            "due-check", Polling(self._ask, TICK_SECONDS, tolerated=(Exception,))
        )

    def start(self) -> None:
        """Begins to ask; until then each loop looks by itself."""
        self._loops.are_checked = True
        self._loop.start()

    async def stop(self) -> None:
        """Ends it."""
        await self._loop.end()

    async def _ask(self) -> None:
        asked: dict[Loop, Command[bool]] = {}
        for loop, is_due in self._loops.due(time.monotonic()).items():
            if isinstance(is_due, Command):
                asked[loop] = is_due
            else:
                loop.wake()
        if not asked:
            return
        try:
            async with self._db.pipeline() as pipeline, pipeline.autocommit():
                answers = await run_all(pipeline, [*asked.values()])
        except Exception:
            for loop in asked:
                loop.wake()
            raise
        for loop, (is_due,) in zip(asked, answers, strict=True):
            if is_due:
                loop.wake()
