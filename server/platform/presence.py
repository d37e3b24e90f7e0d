"""Whether a process is there, as the database sees it: while it is, a session of its own has the
advisory lock of its number. The lock is free as soon as that session ends: at once when the process
is killed. So what it had taken can be given back then (`outbox.give_back`), long before its leases
are over.

A process whose connection alone was cut is taken for a dead one until it has another. So this
hastens what must be safe anyway when two do it, as tasks are.
"""

import secrets

from server.platform.connection import DriverConnection

PRESENCE_LOCKS = 0x44545408
"""First half of the advisory locks, any number that nobody else uses; the second is the
process's.
"""


class Presence:
    """One process's.

    Attributes:
        number: drawn at the start, at random.
    """

    def __init__(self) -> None:
        self.number = 1 + secrets.randbelow((1 << 31) - 1)
        self._is_shown = False

    @property
    def holder(self) -> int | None:
        """Who holds what this process takes now: None while it could not be seen to die."""
        return self.number if self._is_shown else None

    async def show(self, connection: DriverConnection) -> None:
        """It is there as long as this session is, which nothing but the process's end may end."""
        await connection.execute("SELECT pg_advisory_lock(%s, %s)", (PRESENCE_LOCKS, self.number))
        self._is_shown = True

    def hide(self) -> None:
        """The session is about to end."""
        self._is_shown = False
