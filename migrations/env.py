"""Alembic's entry: runs the migrations over the connection that server.operations.schema hands
in.
"""

from alembic import context
from sqlalchemy import text

from server.operations.schema import metadata

MIGRATION_LOCK = 0x44545401  # advisory; any number that nobody else uses

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    compare_type=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    context.run_migrations()
