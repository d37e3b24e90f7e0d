"""The schema of the database: all tables of all rooms, and the migrations that make them.

Alembic is loaded where a migration is to be looked at or made: a start over a database that is up
to date does without.
"""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config

import server.aftersales.disruption_models
import server.audit.models
import server.catalog.models
import server.channels.models
import server.channels.ttd_models
import server.gtfs.models
import server.identity.models
import server.notifications.models
import server.orders.models
import server.parties.models
import server.partners.booking_models
import server.partners.distributor_models
import server.partners.ledger_models
import server.partners.models
import server.partners.payment_models
import server.payments.models
import server.payments.refund_models
import server.platform.change_feed
import server.platform.idempotency
import server.platform.outbox
import server.platform.schedule
import server.platform.stuck
import server.redemption.models
import server.reports.models
import server.stock.models
import server.tickets.models
import server.webhooks.models
import server.wechat.access_tokens  # noqa: F401
from server.platform import postgres_url
from server.platform.database import metadata

_IN_A_WHEEL = Path(__file__).resolve().parents[1] / "migrations"
_IN_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "migrations"
MIGRATIONS = _IN_A_WHEEL if _IN_A_WHEEL.is_dir() else _IN_THE_REPOSITORY

VERSION_TABLE = "alembic_version"

__all__ = ["SchemaState", "metadata", "migrate", "schema_state"]


class SchemaState(Enum):
    """How a database's schema stands to this release's."""

    EMPTY = "none"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer, or of another program"


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def migrate(url: str) -> None:
    """Brings the database to the newest schema; two processes at once do it one after the other."""
    from alembic import command

    config = _config()
    engine = postgres_url.engine(url)
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def newest_revision() -> str:
    """The last of the migrations, which are numbered: the first part of its file's name."""
    return max(path.name for path in (MIGRATIONS / "versions").glob("*.py")).partition("_")[0]


def schema_state(connection: Connection) -> SchemaState:
    """Whether the database must, or must not, be migrated."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return SchemaState.EMPTY
    stamp = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
    versions = connection.scalars(stamp).all()
    if versions == [newest_revision()]:
        return SchemaState.CURRENT
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(_config())
    found = set(MigrationContext.configure(connection).get_current_heads())
    if not found:
        return SchemaState.EMPTY
    if found == set(script.get_heads()):
        return SchemaState.CURRENT
    known = {each.revision for each in script.walk_revisions()}
    return SchemaState.OLDER if found <= known else SchemaState.NEWER
