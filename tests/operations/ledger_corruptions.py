"""Rows that contradict what ledgers and statements say, for test_invariants.py."""

POSTED = [
    ("ledger-cursors", "UPDATE ledgers SET posted_sequence = posted_sequence + 1000"),
    (
        "ledger-cursors",
        "UPDATE ledgers SET posted_sequence = (SELECT max(sequence) - 1 FROM ledger_entries)",
    ),
    (
        "ledger-tickets",
        """
UPDATE ledger_entries SET credit_account = 'REVENUE'
WHERE kind = 'ACTIVATION' AND ticket_id IS NOT NULL AND line = 0
""",
    ),
    (
        "ledger-batches",
        """
UPDATE ledger_entries SET debit_account = 'COMMITMENT', credit_account = 'REVENUE'
WHERE kind = 'VOID'
""",
    ),
    ("statements", "DELETE FROM statements"),
    ("statements", "UPDATE statements SET content_sha256 = repeat('0', 64)"),
    ("statements", "UPDATE statements SET through_sequence = through_sequence - 3"),
    (
        "statements",
        """
UPDATE ledger_entries SET amount_minor = amount_minor + 1
WHERE kind = 'ACTIVATION' AND payee_id <> ''
""",
    ),
]
