"""The schema of the database: all tables of all slices, and the migrations that make them."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

import server.catalog.models
import server.changes
import server.idempotency
import server.identity.models
import server.redemption.models
import server.ticketing.models
import server.tickets.models  # noqa: F401
from server.db import metadata

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"

__all__ = ["is_current", "metadata", "migrate"]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def migrate(url: str) -> None:
    """Brings the database to the newest schema; two processes at once do it one after the other."""
    config = _config()
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def is_current(connection: Connection) -> bool:
    """Whether the database has the newest schema."""
    heads = set(ScriptDirectory.from_config(_config()).get_heads())
    return set(MigrationContext.configure(connection).get_current_heads()) == heads
