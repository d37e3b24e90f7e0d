"""How much is left of stocks, read from the truth for each search, but for all that ask at once
in one statement.
"""

from collections.abc import Collection, Sequence

from server.platform.pipeline import PipelineConnection
from server.platform.reading import ReadBatcher, Readers
from server.platform.statements import run
from server.stock import holds

MAX_AT_ONCE = 20_000
"""Stocks in one statement, and those of one search more."""


class SeatsLeft:
    """Reads stocks. Whoever asks gets what a statement read that began after the question."""

    def __init__(self, readers: Readers) -> None:
        self._reads = ReadBatcher(readers, _read, kind="seats left", limit=MAX_AT_ONCE, size=len)

    async def of(self, stock_ids: Collection[int]) -> dict[int, int]:
        """What is left by stock, without those that there are not. Raises DATABASE_UNAVAILABLE."""
        return await self._reads.submit(stock_ids) if stock_ids else {}


async def _read(tx: PipelineConnection, asked: Sequence[Collection[int]]) -> list[dict[int, int]]:
    wanted = {stock_id for stock_ids in asked for stock_id in stock_ids}
    left = {row.stock_id: row.left for row in await run(tx, holds.left(wanted))}
    return [left] * len(asked)
