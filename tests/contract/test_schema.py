"""The database is what the models say, however it came to be, and what the contract's states
say.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from deeptravel.admin.v1 import account_pb2, product_pb2, state_pb2, traveller_pb2
from deeptravel.ota.v1 import distributor_pb2
from deeptravel.redemption.v1 import redemption_pb2
from deeptravel.tickets.v1 import ticket_pb2
from sqlalchemy import Connection, create_engine, text

import server.app  # noqa: F401 - every table of the product is in the metadata
from server.api import convert
from server.operations import schema
from server.redemption import rules as redemption_rules
from server.tickets.rules import FINAL_STATES, MOVES
from tests.support import databases
from tools.dev.embedded.services import EmbeddedServices

# What the catalogue holds of a database but the order of columns and the names of what PostgreSQL
# names itself.
CATALOGUE = {
    "columns": """
        SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default,
          is_identity, identity_generation, identity_start, collation_name
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype::text, condeferrable,
          pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "relations": """
        SELECT relname, relkind::text, relpersistence::text, reloptions
        FROM pg_class WHERE relnamespace = 'public'::regnamespace""",
    "triggers": "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal",
    "functions": "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "types": """
        SELECT typname FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typtype IN ('d', 'e')""",
}
OF_ALEMBIC = "alembic_version"

CHECKED_STATES: dict[tuple[str, str], set[str]] = {
    ("tickets", "state"): set(convert.enum_numbers(ticket_pb2.TicketState)),
    ("redemption_events", "result"): set(convert.enum_numbers(redemption_pb2.RedemptionResult))
    - {"WITHHELD"},  # leaves no trace
    ("products", "kind"): set(convert.enum_numbers(product_pb2.ProductKind)),
    ("accounts", "role"): set(convert.enum_numbers(account_pb2.OperatorRole)) | {"ADMIN"},
    **{
        (table, "state"): set(convert.enum_numbers(state_pb2.ResourceState))
        for table in ("partners", "merchants", "venues", "terminals", "accounts")
    },
    ("travellers", "state"): set(convert.enum_numbers(traveller_pb2.TravellerState)),
    ("distributors", "state"): set(convert.enum_numbers(distributor_pb2.DistributorState)),
    ("products", "state"): set(convert.enum_numbers(product_pb2.ProductState)),
}
"""Table and column, and the values that the contract knows."""

FAMILIES = {
    "ticket_id": {
        *("tickets", "entitlements", "ticket_events"),
        *("redemption_guards", "redemption_events"),
    },
    "order_id": {"orders"},
    "reservation_id": {"reservations"},
    "stock_id": {"stocks"},
    "traveller_id": {
        *("notifications", "notification_deliveries"),
        *("notification_consents", "notification_preferences"),
    },
    "partner_id": {
        *("ledger_entries", "ledgers", "statements"),
        *("partner_events", "partner_feeds", "partner_payments", "partner_payment_secrets"),
        *("webhook_endpoints", "webhook_deliveries", "webhook_attempts"),
    },
}
"""The tables that may be spread over nodes, by the column that says where a row is."""
REFERENCES = {
    "channels",
    "products",
    "partners",
    "merchants",
    "venues",
    "terminals",
    "accounts",
    "logins",
    "cities",
    "routes",
    "timetables",
    "rental_locations",
}
"""Small tables that others may refer to."""


@contextmanager
def empty_database(services: EmbeddedServices, name: str) -> Iterator[str]:
    databases.execute(services.database_url, f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        yield databases.renamed(services.database_url, name)
    finally:
        databases.execute(services.database_url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def catalogue(connection: Connection, *, besides: str = "") -> dict[str, list[Any]]:
    found = {}
    for name, query in CATALOGUE.items():
        rows = connection.execute(text(query)).all()
        found[name] = sorted((tuple(row) for row in rows if besides not in row[0]), key=repr)
    return found


def run(connection: Connection, what: Any, revision: str) -> None:
    config = schema._config()
    config.attributes["connection"] = connection
    what(config, revision)


@pytest.fixture
def migrated(database_url: str) -> Iterator[Connection]:
    with connected(database_url) as connection:
        yield connection


def test_a_database_server_needs_neither_icu_nor_an_extension(migrated: Connection) -> None:
    """The embedded one has no ICU; a foreign one may have no contrib. Extensions belong into
    `deeptravel doctor`.
    """
    found = migrated.execute(
        text("""
            SELECT c.conrelid FROM (
              SELECT attrelid AS conrelid, attcollation AS collation FROM pg_attribute
              UNION SELECT indrelid, unnest(indcollation) FROM pg_index
            ) c JOIN pg_class r ON r.oid = c.conrelid
            WHERE r.relnamespace = 'public'::regnamespace AND c.collation NOT IN
              (0, 'pg_catalog."default"'::regcollation, 'pg_catalog."C"'::regcollation)
        """)
    ).all()
    assert found == []
    assert migrated.scalars(text("SELECT extname FROM pg_extension")).all() == ["plpgsql"]
    for path in (schema.MIGRATIONS / "versions").glob("*.py"):
        assert not re.search(
            r"collat\w*\W.*icu|provider\s*=\s*icu", path.read_text(), re.IGNORECASE
        )


def test_alembic_finds_no_difference(migrated: Connection) -> None:
    context = MigrationContext.configure(
        migrated, opts={"compare_type": True, "compare_server_default": True}
    )
    assert compare_metadata(context, schema.metadata) == []


def test_catalogue_is_that_of_the_models(
    migrated: Connection, services: EmbeddedServices, subtests: pytest.Subtests
) -> None:
    with empty_database(services, "from_models") as url, connected(url) as connection:
        schema.metadata.create_all(connection)
        from_models = catalogue(connection, besides=OF_ALEMBIC)
    from_migrations = catalogue(migrated, besides=OF_ALEMBIC)
    assert len(from_models["constraints"]) > 30
    for name, rows in from_models.items():
        with subtests.test(name):
            assert from_migrations[name] == rows


def test_migrating_again_changes_nothing(services: EmbeddedServices) -> None:
    with empty_database(services, "migrated_twice") as url:
        schema.migrate(url)
        with connected(url) as connection:
            assert schema.schema_state(connection) is schema.SchemaState.CURRENT
            connection.execute(text("INSERT INTO change_feed DEFAULT VALUES"))
            before = catalogue(connection)
        schema.migrate(url)
        with connected(url) as connection:
            assert catalogue(connection) == before
            assert connection.scalar(text("SELECT count(*) FROM change_feed")) == 1


def test_down_and_up_again(services: EmbeddedServices) -> None:
    with empty_database(services, "down_and_up") as url:
        schema.migrate(url)
        with connected(url) as connection:
            before = catalogue(connection)
            run(connection, command.downgrade, "base")
        with connected(url) as connection:
            assert not any(catalogue(connection, besides=OF_ALEMBIC).values())
            assert schema.schema_state(connection) is schema.SchemaState.EMPTY
        schema.migrate(url)
        with connected(url) as connection:
            assert catalogue(connection) == before


def test_states_are_those_of_the_contract(migrated: Connection, subtests: pytest.Subtests) -> None:
    for (table, column), known in CHECKED_STATES.items():
        with subtests.test(f"{table}.{column}"):
            check = migrated.scalar(
                text(
                    "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
                    " WHERE conname = :name AND contype = 'c'"
                ),
                {"name": f"ck_{table}_{column}"},
            )
            assert check
            assert set(re.findall(r"'(\w+)'", check)) == known - {""}


def test_states_of_tickets_are_those_of_their_moves() -> None:
    states = set(convert.enum_numbers(ticket_pb2.TicketState)) - {""}
    assert {state for move in MOVES for state in move} == states
    # USED is final, but for the supervisor's reversal
    assert {state for state in states if all(before != state for before, _ in MOVES)} == (
        FINAL_STATES - {"USED"}
    )
    refused = set(redemption_rules._REFUSED_STATES)
    assert states - refused == {"ACTIVE", "PARTIALLY_REDEEMED", "USED"}


# Ready to be spread over several database nodes (ARCHITECTURE, Data)


def test_keys_of_a_family_begin_with_its_column(migrated: Connection) -> None:
    unique = migrated.execute(
        text("""
        SELECT c.relname, x.indexrelid::regclass::text, a.attname
        FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
        LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
        WHERE x.indisunique AND c.relnamespace = 'public'::regnamespace""")
    ).all()
    for column, tables in FAMILIES.items():
        leads = {(table, index): first for table, index, first in unique if table in tables}
        assert {table for table, _ in leads} == tables
        assert set(leads.values()) == {column}


def test_foreign_keys_lead_to_small_tables_only(migrated: Connection) -> None:
    referred = migrated.execute(
        text("SELECT DISTINCT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'")
    ).scalars()
    assert set(referred) <= REFERENCES


def test_nothing_that_one_node_alone_can_do(migrated: Connection) -> None:
    kinds = set(migrated.execute(text("SELECT contype::text FROM pg_constraint")).scalars())
    assert "x" not in kinds  # exclusion constraints
    assert catalogue(migrated)["triggers"] == []
    sequences = migrated.execute(text("SELECT relname FROM pg_class WHERE relkind = 'S'")).scalars()
    # two small tables
    assert sorted(sequences) == ["issuing_keys_number_seq", "partners_partner_id_seq"]
