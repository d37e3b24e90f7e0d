"""A database with QR codes that were rotated before rotations were counted."""

from alembic import command
from sqlalchemy import text

from tests.contract.test_schema import connected, empty_database, run
from tools.dev.embedded.services import EmbeddedServices

ORDER = """
INSERT INTO orders (order_id, order_code, partner_id, state, jti, customer_type, customer_name,
  ticket_count, payment_reference, amount_minor, currency_code, create_time, changes_order_id)
VALUES (:number, 'ORD', 0, 'PAID', gen_random_uuid(), '', '', 1, '', 0, 'HKD', now(), :changes)
"""
TICKET = """
INSERT INTO tickets (ticket_id, ticket_code, jti, state, product_id, partner_id, distributor_id,
  snapshot_id, order_id, valid_from_time, valid_until_time, create_time, update_time)
VALUES (:number, 'DIR', gen_random_uuid(), 'ACTIVE', 1, 0, '', gen_random_uuid(), :number, now(),
  now() + interval '1 day', now(), now())
"""
EVENT = (
    "INSERT INTO ticket_events VALUES (:number, 1, 'qr_rotated', 'ACTIVE', 'traveller:1', now())"
)
CHANGES = {1: None, 2: 1, 3: 2, 4: None, 5: 4}
"""Orders, and which each was changed out of."""


def test_no_order_code_issued_before_opens_a_ticket_that_was_rotated(
    services: EmbeddedServices,
) -> None:
    """One issued afterwards does, of an order that was changed too, whose chain's first order
    counts.

    Seen red with the orders of the chain left out.
    """
    with empty_database(services, "rotations_upgraded") as url:
        with connected(url) as connection:
            run(connection, command.upgrade, "0005")
            for number, changes in CHANGES.items():
                connection.execute(text(ORDER), {"number": number, "changes": changes})
                connection.execute(text(TICKET), {"number": number})
            connection.execute(text(EVENT), {"number": 3})
            run(connection, command.upgrade, "0006")
            tickets = connection.execute(text("SELECT ticket_id, rotation FROM tickets")).all()
            orders = connection.execute(
                text("SELECT order_id, ticket_rotations FROM orders WHERE ticket_rotations > 0")
            ).all()
        assert {row[0]: row[1] for row in tickets} == {1: 0, 2: 0, 3: 1, 4: 0, 5: 0}
        assert {row[0]: row[1] for row in orders} == {1: 1, 2: 1, 3: 1}
