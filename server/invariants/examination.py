"""All invariants together, looked at in one snapshot of the database, so they may run under load."""

from collections.abc import Iterator
from typing import Any

import psycopg

from server.invariants.changes import CHANGES
from server.invariants.departures import DEPARTURES
from server.invariants.invariant import Result, look
from server.invariants.orders import ORDERS
from server.invariants.payments import PAYMENTS
from server.invariants.prices import PRICES
from server.invariants.refunds import REFUNDS
from server.invariants.seats import SEATS
from server.invariants.shared import SHARED
from server.invariants.stock import STOCK
from server.invariants.sums import SUMS
from server.invariants.tasks import TASKS
from server.invariants.tickets import TICKETS

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
