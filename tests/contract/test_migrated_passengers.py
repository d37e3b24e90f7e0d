"""A database of the release before: its orders say when they travel, and what counts is counted
anew, as by the server.
"""

from typing import Any

from alembic import command
from sqlalchemy import create_engine, text

from server.operations import schema
from tests.support.every_state import every_state

BEFORE = "0006"
COUNTED = (
    "SELECT quota_id, traveller_id, quantity FROM traveller_quotas"
    " WHERE quota_id & (1::bigint << 61) = 0"
)
BUSY = "SELECT document_hash, journeys::text FROM document_journeys"
SPANS = """
SELECT order_id, jsonb_strip_nulls(content -> 'items'),
  jsonb_strip_nulls(coalesce(nullif(content -> 'replaces', 'null'), '{}') - 'span')
FROM orders WHERE traveller_id IS NOT NULL
"""
STRIP = """
UPDATE orders o SET content = jsonb_set(content - 'replaces', '{items}', (
  SELECT jsonb_agg(i.item - 'span' ORDER BY i.position)
  FROM jsonb_array_elements(o.content -> 'items') WITH ORDINALITY AS i (item, position)))
WHERE o.traveller_id IS NOT NULL
"""


async def test_what_was_sold_before_counts_as_what_is_sold_now(
    database_url: str, redis_url: str
) -> None:
    """Every state of an order, taken back to the tables of before and brought up again."""
    await every_state(database_url, redis_url)
    engine = create_engine(database_url)

    def read() -> list[list[Any]]:
        with engine.begin() as connection:
            found = [connection.execute(text(query)).all() for query in (COUNTED, BUSY, SPANS)]
        return [sorted(map(repr, rows)) for rows in found]

    before = read()
    assert all(len(rows) > 10 for rows in before)
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, BEFORE)
        by_stock = connection.execute(
            text("SELECT count(*) FROM traveller_quotas q JOIN stocks USING (stock_id)")
        )
        assert by_stock.scalar_one() > 10
        connection.execute(text(STRIP))
    schema.migrate(database_url)
    after = read()
    engine.dispose()
    assert after[0] == before[0]
    assert after[1] == before[1]
    assert after[2] == before[2]


async def test_the_server_of_before_can_read_changes_that_were_made_since(
    database_url: str, redis_url: str
) -> None:
    """It reads when the ticket travelled that is changed. Seen red: those made since did not say
    so.
    """
    await every_state(database_url, redis_url)
    engine = create_engine(database_url)
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0012")
        replaced = (
            "SELECT content -> 'replaces' FROM orders WHERE jsonb_typeof(content -> 'replaces') ="
            " 'object'"
        )
        found = connection.execute(text(replaced)).scalars().all()
    engine.dispose()
    assert len(found) > 5
    for each in found:
        assert (each["span"] is None) == (each["departure_id"] is None)
    assert any(each["span"] for each in found)
