"""A database of the server before: changes learn which order their chain began with."""

from typing import Any

from alembic import command
from sqlalchemy import Connection, NullPool, create_engine, text

from server.operations import schema
from tests.support.every_state import every_state

FIRST = text(
    "SELECT order_id, first_order_id, first_item_index FROM orders"
    " WHERE changes_order_id IS NOT NULL ORDER BY 1"
)
VALIDITY = text("SELECT ticket_id, valid_from_time, valid_until_time FROM tickets ORDER BY 1")


def _migrate(connection: Connection, what: Any, revision: str) -> None:
    config = schema._config()
    config.attributes["connection"] = connection
    what(config, revision)
    connection.commit()


async def test_down_and_up_again_with_changes(database_url: str, redis_url: str) -> None:
    """What the migration works out of the changes is what the server wrote; validities stay as
    they follow from these.
    """
    await every_state(database_url, redis_url)
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        before = [connection.execute(query).all() for query in (FIRST, VALIDITY)]
        connection.commit()
        _migrate(connection, command.downgrade, "0009")
        _migrate(connection, command.upgrade, "head")
        assert [connection.execute(query).all() for query in (FIRST, VALIDITY)] == before
    assert len(before[0]) > 1
