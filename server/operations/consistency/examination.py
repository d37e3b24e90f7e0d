"""All invariants together, looked at in one snapshot of the database, so they may run under
load.
"""

from collections.abc import Iterator
from typing import Any

import psycopg

from server.operations.consistency.changes import CHANGES
from server.operations.consistency.departures import DEPARTURES
from server.operations.consistency.distributors import DISTRIBUTORS
from server.operations.consistency.invariant import Result, look
from server.operations.consistency.ledger import LEDGER
from server.operations.consistency.orders import ORDERS
from server.operations.consistency.outbox import TASKS
from server.operations.consistency.payments import PAYMENTS
from server.operations.consistency.prices import PRICES
from server.operations.consistency.refunds import REFUNDS
from server.operations.consistency.seats import SEATS
from server.operations.consistency.shared import SHARED
from server.operations.consistency.stock import STOCK
from server.operations.consistency.sums import SUMS
from server.operations.consistency.tickets import TICKETS

INVARIANTS = (
    STOCK
    + SEATS
    + PAYMENTS
    + REFUNDS
    + PRICES
    + ORDERS
    + CHANGES
    + SHARED
    + TICKETS
    + DEPARTURES
    + DISTRIBUTORS
    + LEDGER
    + TASKS
    + SUMS
)
"""Every invariant, in the order they are examined."""


def examine(connection: psycopg.Connection[Any]) -> Iterator[Result]:
    """Looks at every invariant, all in one snapshot; the connection is in no transaction."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # they read whole tables: by hashes, in memory if there is some, and as long as it takes
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL work_mem = '128MB'")
        connection.execute("SET LOCAL enable_nestloop = off")
        for invariant in INVARIANTS:
            yield look(connection, invariant)
