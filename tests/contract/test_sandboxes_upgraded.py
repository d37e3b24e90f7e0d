"""A database that gets sandboxes, loses them with a downgrade, and gets them again."""

from alembic import command
from sqlalchemy import text

from tests.contract.test_schema import connected, empty_database, run
from tools.dev.embedded.services import EmbeddedServices

PARTNER = """
INSERT INTO partners (partner_code, display_name, requests_per_minute, allowed_addresses, state,
  create_time, update_time)
VALUES ('CP', 'C', 100, '{}', 'ACTIVE', now(), now())
"""
SANDBOX = """
INSERT INTO partners (partner_id, sandbox_of, partner_code, display_name, requests_per_minute,
  allowed_addresses, state, create_time, update_time)
SELECT partner_id + 524288, partner_id, 'TESTCP', 'T', 100, '{}', 'ACTIVE', now(), now()
FROM partners
"""
TICKETS = """
INSERT INTO tickets (ticket_id, ticket_code, jti, state, product_id, partner_id, distributor_id,
  snapshot_id, valid_from_time, valid_until_time, create_time, update_time)
SELECT partner_id::bigint << 43, partner_code, gen_random_uuid(), 'PRE_GENERATED', 1, partner_id,
  '', gen_random_uuid(), now(), now() + interval '1 day', now(), now()
FROM partners
"""


def test_a_server_without_sandboxes_admits_none_of_their_tickets(
    services: EmbeddedServices,
) -> None:
    """To it they are partners like all others: their keys and tickets are worth nothing there, and
    a sandbox is one again afterwards. Seen red with the downgrade's two statements left out.
    """
    with empty_database(services, "sandboxes_upgraded") as url, connected(url) as connection:
        run(connection, command.upgrade, "0025")
        connection.execute(text(PARTNER))
        run(connection, command.upgrade, "0026")
        connection.execute(text(SANDBOX))
        connection.execute(text(TICKETS))
        run(connection, command.downgrade, "0025")
        partners = connection.execute(text("SELECT partner_code, state FROM partners")).all()
        tickets = connection.execute(text("SELECT ticket_code, blocked FROM tickets")).all()
        assert sorted(map(tuple, partners)) == [("CP", "ACTIVE"), ("TESTCP", "REVOKED")]
        assert sorted(map(tuple, tickets)) == [("CP", False), ("TESTCP", True)]
        run(connection, command.upgrade, "0026")
        again = connection.execute(
            text("SELECT partner_code, state, sandbox_of FROM partners ORDER BY 1")
        ).all()
        assert list(map(tuple, again)) == [("CP", "ACTIVE", None), ("TESTCP", "ACTIVE", 1)]
