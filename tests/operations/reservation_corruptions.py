"""Rows that contradict what reservations say, for test_invariants.py."""

PARTNERS = "stock_id = (106 << 20) + 1"
RESERVED = [
    ("stock", f"UPDATE stocks SET held = held + 1 WHERE {PARTNERS}"),
    (
        "seats-of-tickets",
        (
            "INSERT INTO departure_tickets SELECT min(ticket_id), 1, 1, NULL, NULL, now()"
            " FROM tickets WHERE partner_id > 0"
        ),
    ),
    ("reservations", "UPDATE reservations SET generated = generated + 1 WHERE state = 'OPEN'"),
    (
        "reservations",
        """
UPDATE reservations SET activated = activated + 1, quantity = quantity + 1,
  generated = generated + 1 WHERE state = 'RELEASED'
""",
    ),
    (
        "reservations",
        (
            "UPDATE tickets SET state = 'PRE_GENERATED' WHERE state = 'VOIDED'"
            " AND reservation_id IS NOT NULL;\n"
            "UPDATE ledgers SET posted_sequence = posted_sequence - 1"  # it knows nothing of it yet
        ),
    ),
    (
        "reservations",
        (
            "UPDATE tickets SET reservation_id = gen_random_uuid() WHERE ticket_id ="
            " (SELECT min(ticket_id) FROM tickets WHERE reservation_id IS NULL AND partner_id > 0"
            " AND state = 'PRE_GENERATED');"
            f"UPDATE stocks SET sold = sold - 1 WHERE {PARTNERS}"
        ),
    ),
]
