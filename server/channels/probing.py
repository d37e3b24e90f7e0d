"""A channel that nothing calls for a while is called, so that one that is dead is seen, and
somebody alerted, within ten minutes, whatever there is to be sent or fetched.
"""

from contextlib import suppress
from datetime import datetime, timedelta

from server.channels.connecting import ChannelClients
from server.channels.due import PROBE
from server.channels.facts import Capability, ChannelCallError
from server.channels.registry import VENDORS
from server.platform.database import Database
from server.platform.outbox import Task
from server.platform.schedule import About
from server.platform.statements import Command, Statement
from server.platform.task_worker import TaskKind

SILENT = timedelta(minutes=2)
"""Longer than that no channel goes without a call, but for the minute until the job looks."""

# calls of theirs are no answers
_SILENT = Statement(
    """
SELECT c.channel_code FROM channels c
WHERE c.state IN ('ACTIVE', 'DISCONNECTING') AND c.vendor_code = ANY($1::text[])
  AND COALESCE((
    SELECT l.create_time FROM channel_calls l
    WHERE l.channel_code = c.channel_code AND l.method <> 'IN'
    ORDER BY l.call_id DESC LIMIT 1), '-infinity') < $2::timestamptz
ORDER BY c.channel_code
""",
    str,
)


def silent(now: datetime) -> Command[str]:
    """The channels that can be asked for bookings, and were not called for a while."""
    asked = [code for code, each in VENDORS.items() if Capability.BOOKINGS in each.capabilities]
    return _SILENT(asked, now - SILENT)


class ChannelProbe:
    """Calls channels for their answer alone."""

    def __init__(self, db: Database, clients: ChannelClients) -> None:
        self._db = db
        self._clients = clients

    def kinds(self) -> dict[str, TaskKind]:
        """Its task."""
        about = About(
            "Calls an outside channel that nothing else has called for two minutes.",
            "呼叫两分钟内无其他调用的外部渠道，以便及时发现故障。",
        )
        return {PROBE: TaskKind(self.probe, max_at_once=8, about=about)}

    async def probe(self, task: Task) -> None:
        """Asks for the bookings of today, which changes nothing; the log has what became of it."""
        channel, today = await self._clients.active(task.key), task.now().date()
        if channel:
            with suppress(ChannelCallError):  # health.py sees it
                await channel.client.bookings(today, today, None)
        await self._db.in_transaction(task.done)
