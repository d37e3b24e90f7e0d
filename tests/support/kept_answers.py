"""Under which key idempotency_records has a call: in SQL, from expressions of what it is made of.
(Of values, see KeyedCall of server/platform/idempotency.py.)
"""


def key(caller: str, method: str, request_id: str) -> str:
    """The SQL expression of the key."""
    parts = (f"convert_to({each}, 'UTF8')" for each in (caller, method, request_id))
    named = r" || '\x00'::bytea || ".join(parts)
    return f"encode(substring(sha256({named}) FOR 16), 'hex')::uuid"
