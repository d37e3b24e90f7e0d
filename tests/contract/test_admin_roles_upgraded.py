"""Administrators of before the upgrade may call what they could; operators get no such role."""

from alembic import command
from sqlalchemy import text

from tests.contract.test_schema import connected, empty_database, run
from tools.dev.embedded.services import EmbeddedServices

BEFORE = """
INSERT INTO merchants (merchant_code, display_name, function_codes, reversal_window_seconds, state,
  create_time, update_time) VALUES ('M', 'M', '{}', 0, 'ACTIVE', now(), now());
INSERT INTO accounts (username, role, merchant_code, venue_codes, display_name, password_hash,
  state, create_time, update_time)
VALUES ('root', 'ADMIN', NULL, '{}', '', '', 'ACTIVE', now(), now()),
  ('olga', 'OPERATOR', 'M', '{}', '', '', 'ACTIVE', now(), now())
"""
ROLES = "SELECT username, admin_roles FROM accounts"


def test_administrators_stay_administrators(services: EmbeddedServices) -> None:
    with empty_database(services, "admin_roles_upgraded") as url, connected(url) as connection:
        run(connection, command.upgrade, "0030")
        connection.execute(text(BEFORE))
        run(connection, command.upgrade, "0031")
        found = connection.execute(text(ROLES)).mappings()
        roles = {row["username"]: row["admin_roles"] for row in found}
        assert roles == {"root": ["ADMINISTRATOR"], "olga": []}
