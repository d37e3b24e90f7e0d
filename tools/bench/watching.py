"""What PostgreSQL does while a benchmark runs: what its sessions wait for, what it writes, and
which updates stay on their page.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

SAMPLE_SECONDS = 0.05

_WAITS = """
SELECT coalesce(wait_event_type || ' ' || wait_event, 'runs'),
  left(regexp_replace(query, '\\s+', ' ', 'g'), 60)
FROM pg_stat_activity
WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_WRITTEN = """
SELECT wal_bytes::bigint, wal_fpi, (SELECT num_timed + num_requested FROM pg_stat_checkpointer)
FROM pg_stat_wal
"""
_UPDATES = """
SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del FROM pg_stat_user_tables
"""


class Written(NamedTuple):
    """What was written since the database began to count: bytes of the log, whole pages in it,
    checkpoints; and by table the rows inserted, updated, updated in place, deleted.
    """

    wal_bytes: int
    pages: int
    checkpoints: int
    tables: Mapping[str, Sequence[int]]

    @classmethod
    async def now(cls, pg: psycopg.AsyncConnection[Any]) -> "Written":
        """As of now, or a second ago: each session says what it did when it has nothing to do."""
        row = await (await pg.execute(_WRITTEN.encode())).fetchone()
        assert row
        tables = await (await pg.execute(_UPDATES.encode())).fetchall()
        log, pages, checkpoints = row
        counts = {name: numbers for name, *numbers in tables}
        return cls(log, pages, checkpoints, counts)

    def since(self, before: "Written", units: int) -> list[str]:
        """Lines about what was written since, for each of so many units."""
        log, pages = self.wal_bytes - before.wal_bytes, self.pages - before.pages
        checkpoints = self.checkpoints - before.checkpoints
        lines = [f"log: {log / units:,.0f} bytes, {pages / units:.2f} pages; {checkpoints=}"]
        for name, counts in sorted(self.tables.items()):
            was = before.tables.get(name, (0, 0, 0, 0))
            inserted, updated, in_place, deleted = (
                (now - then) / units for now, then in zip(counts, was, strict=True)
            )
            if max(inserted, updated, deleted) >= 0.02:
                lines.append(
                    f"{name}: {inserted:.2f} inserted, {updated:.2f} updated, of which"
                    f" {in_place:.2f} in place, {deleted:.2f} deleted"
                )
        return lines


class Waits:
    """Samples what sessions that are at work wait for, twenty times a second."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._seen: Counter[tuple[str, str]] = Counter()
        self._looks = 0

    async def sample(self) -> None:
        """Samples until it is cancelled."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as pg:
            while True:
                self._seen.update(await (await pg.execute(_WAITS.encode())).fetchall())
                self._looks += 1
                await asyncio.sleep(SAMPLE_SECONDS)

    def lines(self, limit: int = 14) -> list[str]:
        """What was seen most: sessions at once, what they wait for, their statement."""
        return [
            f"{count / max(1, self._looks):.3f} sessions: {wait} | {query}"
            for (wait, query), count in self._seen.most_common(limit)
        ]
