"""What many tickets cost others: counted in rows and rests, since seconds are the machine's."""

import itertools
from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from server.platform.config import load_settings
from server.platform.database import Database
from server.tickets import generation, listing
from server.tickets.listing import TicketFilter
from tests.support.partner_client import Market, PartnerClient

ZONE = ZoneInfo("Asia/Hong_Kong")
FETCHED = text("""
SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_xact_user_tables
WHERE relname = 'tickets'
""")
COPYING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND starts_with(query, 'COPY')
"""


@pytest.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(), module_database_url)
    yield database
    await database.close()


async def test_a_page_looks_at_a_bounded_number_of_tickets(
    market: Market, client: PartnerClient, db: Database
) -> None:
    """Where none of 25,000 matches as well.

    Seen red: 20,000 rows were read, and numbered, for an empty page.
    """
    batch = await client.batch(25_000)
    await market.sql("VACUUM ANALYZE tickets")
    for wanted, most_rows in (
        (TicketFilter(), 250),
        (TicketFilter(state="PRE_GENERATED"), 5_600),
        (TicketFilter(state="USED"), 10_600),
        (TicketFilter(distributor_id="nobody"), 250),
    ):
        async with db.transaction() as tx:
            before = await tx.scalar(FETCHED)  # a connection counts on until it reports
            page = await listing.list_tickets(tx, 1, wanted, zone=ZONE, after=None, limit=200)
            rows = await tx.scalar(FETCHED) - before
        assert rows <= most_rows, wanted
        assert len(page.tickets) in (0, 200)
    assert batch.quantity == 25_000


async def test_a_large_batch_rests_between_its_chunks(
    market: Market, client: PartnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REST times as long as the chunk took, also at the database, which then has written all of it.

    Seen red: without the sleep, and with the rests in the middle of one COPY for the whole batch,
    which the database may be writing while its caller rests.
    """
    rests: list[tuple[float, int]] = []
    seconds = itertools.cycle((0.0, 0.01, 0.0, 0.5))  # when a chunk begins and ends, by turns

    async def rest(seconds: float) -> None:
        rests.append((seconds, await market.value(COPYING)))

    monkeypatch.setattr(generation, "sleep", rest)
    monkeypatch.setattr(generation, "monotonic", lambda: next(seconds))
    await client.batch(2 * generation.CHUNK_TICKETS + generation.LARGE_BATCH)
    short = 0.01 * generation.REST
    assert rests == [(short, 0), (generation.MAX_REST_SECONDS, 0), (short, 0)]
    rests.clear()
    await client.batch(generation.LARGE_BATCH)
    assert rests == []
