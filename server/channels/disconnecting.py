"""How a channel is ended: it is sent that nothing is left, what was booked until it knew that is
fetched and seen to, and then its credentials are erased. Nothing else of it is deleted.

All of that is written down before any of it is done: whoever goes on after a process died sees the
state DISCONNECTING and what the channel knows. One that cannot be called is ended at once where an
administrator says so, or where another channel of its account sells on.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, Unpack
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import REVOKED, By
from server.channels import booking_rules as rules
from server.channels import outgoing
from server.channels.booking_seals import booking_key
from server.channels.channel_credentials import DISCONNECTING, ChannelSeals, who_shares
from server.channels.channel_records import CHANNELS, ChannelRecord, account_hash, account_of
from server.channels.connecting import ChannelClients
from server.channels.due import ALL, BOOK, DISCONNECT, FETCH, PUSH, ask, ask_for, fetch_key
from server.channels.facts import Capability
from server.channels.registry import VENDORS
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.outbox import Postpone, Task, enqueue
from server.platform.schedule import About
from server.platform.statements import Statement, Transaction, run, run_together
from server.platform.task_worker import TaskKind

NAMED = 10
"""Bookings that a refusal names."""
LOOK_SECONDS, MOST_LOOK_SECONDS = 5, 300
"""So often it is looked whether a channel knows and has booked all: first, and at the least."""
LOOKS = 10
"""It has waited so many times as long as it waits for the next look: what a person has to mend is
mended sooner than it is looked at for nothing.
"""


class _Open(NamedTuple):
    booking_id: str
    of_all: int


class _Waits(NamedTuple):
    """What a channel that ends waits for: quantities it believes in, bookings that are worked on,
    and a list of bookings that was asked for after it knew that nothing is left.
    """

    on_sale: int
    unfinished: int
    is_fetched: bool


class HeldUp(NamedTuple):
    """A booking that does not go on, and why."""

    booking_id: str
    state: str
    fault: str


class FaultyQuantity(NamedTuple):
    """A quantity that a channel believes in and cannot be sent, and why."""

    item_id: str
    day: date
    fault: str


class Ending(NamedTuple):
    """What a channel that ends waits for: so many quantities that it believes in, and bookings that
    are worked on; of both those that wait for a person, up to NAMED.
    """

    on_sale: int
    unfinished: int
    faulty: Sequence[FaultyQuantity]
    held_up: Sequence[HeldUp]


_FINAL = ", ".join(f"'{each}'" for each in sorted(rules.FINAL))
# of what is sold, whose order is paid and not used up, and whose last day is not over
_OPEN = Statement(
    f"""
SELECT booking_id, count(*) OVER () FROM (
  SELECT b.booking_id FROM channel_bookings b LEFT JOIN orders o USING (order_id)
  WHERE b.channel_code = $1 AND b.state NOT IN ({_FINAL})
    AND (b.state <> 'CONFIRMED' OR b.return_day >= $2::date AND o.state = 'PAID')
  UNION ALL
  SELECT t.ota_order_id FROM ttd_orders t
  CROSS JOIN LATERAL (SELECT o.state FROM orders o WHERE o.order_id = t.order_id UNION
    SELECT o.state FROM orders o WHERE o.first_order_id = t.order_id) family
  WHERE t.channel_code = $1 AND t.last_day >= $2::date AND family.state IN ('PENDING', 'PAID')
  GROUP BY t.ota_order_id) open
ORDER BY booking_id LIMIT $3::int
""",  # noqa: S608 - states of ours
    _Open,
)
_UNFINISHED = f"""
  FROM channel_bookings WHERE channel_code = $1 AND state NOT IN ({_FINAL}, 'UNREADABLE')
    AND (state <> 'CONFIRMED' OR vendor_state <> 'CONFIRMED')"""
_ON_SALE = """
  FROM channel_values WHERE channel_code = $1 AND what = 'AVAILABILITY' AND sent > 0
    AND day >= $2::date"""
_WAITS = Statement(
    f"""
SELECT (SELECT count(*) {_ON_SALE}), (SELECT count(*) {_UNFINISHED}),
  COALESCE((SELECT done_time FROM channel_syncs WHERE channel_code = $1 AND part = 'STATUS')
    > greatest($3::timestamptz, (SELECT max(sent_time) FROM channel_values
      WHERE channel_code = $1 AND what = 'AVAILABILITY')), false)
""",  # noqa: S608 - states of ours
    _Waits,
)
_HELD_UP = Statement(
    f"""
SELECT booking_id, state, fault {_UNFINISHED} AND fault <> ''
ORDER BY booking_id LIMIT $2::int
""",
    HeldUp,
)
_FAULTY = Statement(
    f"SELECT item_id, day, fault {_ON_SALE} AND fault <> '' ORDER BY day, item_id LIMIT $3::int",
    FaultyQuantity,
)


async def disconnect_channel(
    tx: AsyncConnection,
    seals: ChannelSeals,
    channel_code: str,
    *,
    today: date,
    keep_bookings: bool = False,
    at_once: bool = False,
    **by: Unpack[By],
) -> ChannelRecord:
    """Has a channel ended by a server that runs, or `at_once` without telling it anything. Bookings
    that are not over are kept as they are, if that is said. A repeat changes nothing, but has it
    looked at once whether it is over. Raises NOT_FOUND, IN_USE, which names such bookings.
    """
    before = await CHANNELS.lock(tx, channel_code)
    if before.state == REVOKED:
        return before
    if before.state == DISCONNECTING and not at_once:
        await ask_for(tx, DISCONNECT, channel_code, now=by["now"])
        return before
    if not keep_bookings and (found := await run(tx, _OPEN(channel_code, today, NAMED))):
        raise _in_use(channel_code, found)
    account = await account_of(tx, seals, before)
    await ask_for(tx, DISCONNECT, channel_code, now=by["now"])
    if at_once or await who_shares(tx, seals, channel_code, account):
        return await _revoke(tx, seals, before, **by)
    await _end_sale(tx, before, today=today, now=by["now"])
    return await CHANNELS.change(tx, before, {"state": DISCONNECTING}, action="disconnect", **by)


async def has_ended(tx: AsyncConnection, channel_code: str, *, today: date, now: datetime) -> bool:
    """Whether nothing is worked out for a channel any more, which stays so until the end of the
    transaction; what it could not be sent of its end is tried once more.
    """
    channel = await CHANNELS.share(tx, channel_code)
    if channel.state == DISCONNECTING:
        await _end_sale(tx, channel, today=today, now=now)
    return channel.state in {DISCONNECTING, REVOKED}


async def waits_of(tx: Transaction, channel: ChannelRecord, *, today: date) -> Ending | None:
    """What a channel still waits for; None for one that is not being disconnected."""
    if channel.state != DISCONNECTING:
        return None
    code = channel.channel_code
    waits, faulty, held_up = await run_together(
        *(tx, _WAITS(code, today, channel.update_time)),
        *(_FAULTY(code, today, NAMED), _HELD_UP(code, NAMED)),
    )
    return Ending(waits[0].on_sale, waits[0].unfinished, faulty, held_up)


def look_seconds(waited: timedelta) -> float:
    """When to look again after waiting so long."""
    return min(max(waited.total_seconds() / LOOKS, LOOK_SECONDS), MOST_LOOK_SECONDS)


class ChannelEnder:
    """Ends channels."""

    def __init__(self, db: Database, clients: ChannelClients, zone: ZoneInfo) -> None:
        self._db = db
        self._clients = clients
        self._zone = zone

    def kinds(self) -> dict[str, TaskKind]:
        """Its task."""
        about = About(
            "Ends an outside channel, when it knows that nothing is left.",
            "在外部渠道停售并处理完预订后，断开该渠道。",
        )
        return {DISCONNECT: TaskKind(self.end, about=about)}

    async def end(self, task: Task) -> Postpone | None:
        """Ends a channel as soon as it knows that nothing is left, and all it had booked by then is
        seen to. What does not go on is tried again at each look.
        """

        async def work(tx: AsyncConnection) -> ChannelRecord:
            channel = await CHANNELS.lock(tx, task.key)
            if channel.state != DISCONNECTING:
                await task.done(tx)
                return channel
            today = task.now().astimezone(self._zone).date()
            (waits,) = await run(tx, _WAITS(task.key, today, channel.update_time))
            fetches = Capability.BOOKINGS in VENDORS[channel.vendor_code].capabilities
            if waits.unfinished:  # what a person has mended meanwhile goes on
                held_up = await run(tx, _HELD_UP(task.key, NAMED))
                keys = [booking_key(task.key, each.booking_id) for each in held_up]
                await run(tx, enqueue(*ask(BOOK, keys, task.now()), now=task.now()))
            if waits.on_sale or waits.unfinished:
                return channel
            if fetches and not waits.is_fetched:
                await ask_for(tx, FETCH, fetch_key(task.key, ALL), now=task.now())
                return channel
            by = By(actor="system", now=task.now())
            return await _revoke(tx, self._clients.seals, channel, **by)

        channel = await self._db.in_transaction(work)
        if channel.state == REVOKED:
            await self._clients.forget(channel)
        if task.is_settled:
            return None
        wait = look_seconds(task.now() - channel.update_time)
        return Postpone(task.now() + timedelta(seconds=0 if channel.state == REVOKED else wait))


async def _end_sale(
    tx: AsyncConnection, channel: ChannelRecord, *, today: date, now: datetime
) -> None:
    code = channel.channel_code
    await run(tx, outgoing.end_unlisted(code, today=today, now=now, listed_too=True))
    if Capability.FEED not in VENDORS[channel.vendor_code].capabilities:
        key = f"{code}:{Capability.AVAILABILITY}"
        await run(tx, enqueue(*ask(PUSH, [key], now), now=now))


async def _revoke(
    tx: AsyncConnection, seals: ChannelSeals, before: ChannelRecord, **by: Unpack[By]
) -> ChannelRecord:
    """The locked channel without credentials."""
    values = {
        "state": REVOKED,
        "account_hash": await account_hash(tx, seals, before),
        "sealed_credentials": b"",
        "credentials_version": before.credentials_version + 1,
    }
    return await CHANNELS.change(tx, before, values, action="revoke", **by)


def _in_use(channel_code: str, found: list[_Open]) -> DomainError:
    count = found[0].of_all
    named = ", ".join(each.booking_id for each in found)
    more = f" and {count - NAMED} more" if count > NAMED else ""
    return DomainError(
        Reason.IN_USE,
        f"channel {channel_code!r} has bookings that are not over: {named}{more}; cancel them,"
        " wait, or say that they are kept (keep_bookings)",
        resource="channel",
        name=channel_code,
        used_by_resource="channel_booking",
        used_by=named + more,
    )
