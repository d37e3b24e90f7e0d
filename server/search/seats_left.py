"""How much is left of stocks, read from the truth for each search, but for all that ask at once
in one statement.
"""

import asyncio
import contextlib
from collections.abc import Collection
from typing import NamedTuple

from server.platform.database import Database
from server.platform.loops import Loops
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Statement, run

MAX_AT_ONCE = 20_000
"""Stocks in one statement, unless a single search asks for more."""
KEEP_SECONDS = 0.1
"""So long the connection is kept for the next search: to take one from the pool costs more than
the statement does.
"""


class StockLeft(NamedTuple):
    """How much is left of a stock."""

    stock_id: int
    left: int


_LEFT = Statement(
    "SELECT stock_id, total - held - sold FROM stocks WHERE stock_id = ANY($1::bigint[])", StockLeft
)


class _Asked(NamedTuple):
    stock_ids: Collection[int]
    answer: asyncio.Future[dict[int, int]]


class SeatsLeft:
    """Reads stocks. Whoever asks gets what a statement read that began after the question."""

    def __init__(self, db: Database, loops: Loops | None = None) -> None:
        self._db = db
        self._loop = (loops or Loops()).add("seats-left", self._run)
        self._waiting: list[_Asked] = []
        self._more = asyncio.Event()

    async def stop(self) -> None:
        """Gives the connection back."""
        await self._loop.cancel()

    async def of(self, stock_ids: Collection[int]) -> dict[int, int]:
        """What is left by stock, without those that there are not. Raises DATABASE_UNAVAILABLE."""
        if not stock_ids:
            return {}
        answer: asyncio.Future[dict[int, int]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(stock_ids, answer))
        self._more.set()
        self._loop.start()
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            try:
                async with self._db.pipeline() as pipeline:
                    while not pipeline.is_lost and await self._asked():
                        await self._read(pipeline)
            except Exception as error:  # noqa: BLE001 - those who wait get it
                _fail(self._take(), error)

    async def _asked(self) -> bool:
        """Whether somebody waits, within KEEP_SECONDS."""
        if not self._waiting:
            self._more.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEP_SECONDS):
                    await self._more.wait()
        return bool(self._waiting)

    async def _read(self, pipeline: PipelineConnection) -> None:
        asked = self._take()
        wanted: set[int] = set()
        for each in asked:
            wanted.update(each.stock_ids)
        try:
            async with pipeline.autocommit():
                left = {row.stock_id: row.left for row in await run(pipeline, _LEFT(wanted))}
        except Exception as error:  # noqa: BLE001 - those who wait get it
            _fail(asked, error)
            return
        for each in asked:
            if not each.answer.done():
                each.answer.set_result(left)

    def _take(self) -> list[_Asked]:
        taken: list[_Asked] = []
        stocks = 0
        for each in self._waiting:
            stocks += len(each.stock_ids)
            if taken and stocks > MAX_AT_ONCE:
                break
            taken.append(each)
        del self._waiting[: len(taken)]
        return taken


def _fail(asked: list[_Asked], error: Exception) -> None:
    for each in asked:
        if not each.answer.done():
            each.answer.set_exception(error)
