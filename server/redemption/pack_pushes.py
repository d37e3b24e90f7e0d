"""What changes of venues' packs, as soon as it is committed, for terminals that are connected.

One look a few times a second for all terminals of a process that ask for it, and none if nobody
does: which tickets' changes have become visible since the look before, by the numbers of their
transactions as packs are made by them (`pack_statements.py`). These are read once for all venues
that redeem the same functions, encoded once a venue, and given to a few terminals at a time, so
that scans are answered between. Configuration is not pushed: what says that it has changed
(`platform/change_feed.py`) has the terminals ask for it.

Nothing depends on a push. A terminal that missed one finds it in the pack since its cursor.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

from server.identity.callers import Operator
from server.platform import clock
from server.platform.change_feed import ChangeFeed, ChangeKind, Subject
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.loops import Loops, Polling
from server.platform.pipeline import PipelineConnection
from server.platform.statements import run, run_together
from server.redemption import pack_statements as statements
from server.redemption.pack_statements import Columns, Visible

LOOK_SECONDS = 0.3
AT_ONCE = 10
"""Terminals that are pushed to before scans have their turn."""
SPREAD_SECONDS = 0.2
"""Over which a push is spread at the most, whatever the number of terminals."""
MOST_PUSHED = 2_000
"""Tickets of a look; where more have changed the terminals ask for the pack."""

E = TypeVar("E")


class PushedChange(NamedTuple):
    """Tickets that have changed: read at `version`, in milliseconds of Unix time, or later."""

    version: int
    columns: Columns
    rental_venues: dict[int, str]


@dataclass(eq=False, slots=True)
class _Follower(Generic[E]):
    """A terminal that is connected; `receive` takes a push, None where it is to ask for the pack.
    One that `must_ask` gets no tickets any more: its operator is of an earlier configuration.
    """

    operator: Operator
    receive: Callable[[E | None], None]
    must_ask: bool = False


class PackPushes(Generic[E]):
    """Who in this process is pushed to. `encode` makes a push for the venue of an operator."""

    def __init__(
        self,
        db: Database,
        feed: ChangeFeed,
        loops: Loops,
        encode: Callable[[Operator, PushedChange], Awaitable[E]],
    ) -> None:
        self._db = db
        self._encode = encode
        self._followers: set[_Follower[E]] = set()
        self._seen: Visible | None = None
        self._cancelled: frozenset[int] | None = None
        self._changed: set[Subject] = set()
        self._loop = loops.add(
            "pack-pushes",
            Polling(
                self._look,
                LOOK_SECONDS,
                at_once=True,
                tolerated=(DomainError,),
                wanted=lambda: bool(self._followers),
            ),
        )
        feed.on_change(self._note)

    async def close(self) -> None:
        """Looks no more."""
        await self._loop.cancel()

    @contextmanager
    def follow(self, operator: Operator, receive: Callable[[E | None], None]) -> Iterator[None]:
        """Pushes to a terminal as long as the block lasts, beginning with None: what was committed
        before that the terminal has to ask for. `receive` must neither wait nor raise.
        """
        follower = _Follower[E](operator, receive)
        self._followers.add(follower)
        if self._seen:
            receive(None)  # else the first look says it, which notes what is visible
        self._loop.start()
        try:
            yield
        finally:
            self._followers.discard(follower)
            if not self._followers:
                self._seen = self._cancelled = None

    def _note(self, changed: Collection[Subject]) -> None:
        if self._followers:
            self._changed.update(changed)
            self._loop.wake()

    async def _look(self) -> None:
        changed, self._changed = self._changed, set()
        version, seen = clock.now(), self._seen
        try:
            async with self._db.pipeline() as pipeline, pipeline.autocommit():
                ticket_ids = await self._changed_tickets(pipeline)
                are_others = await self._are_others_cancelled(pipeline, changed, version)
                found = await self._read(pipeline, ticket_ids[:MOST_PUSHED], version)
        except BaseException:
            self._seen, self._changed = seen, changed | self._changed
            raise
        must_all_ask = seen is None or len(ticket_ids) > MOST_PUSHED or are_others
        for follower in [*self._followers]:
            is_changed = _concerns(changed, follower.operator)
            follower.must_ask = follower.must_ask or is_changed
            if must_all_ask or is_changed:
                follower.receive(None)
        try:
            await self._push(found)
        except BaseException:
            for follower in self._followers:
                follower.receive(None)  # who got nothing does not know of it
            raise

    async def _changed_tickets(self, pipeline: PipelineConnection) -> Sequence[int]:
        """The numbers of tickets, one more than may be pushed at the most. Where the database is
        another server, which numbers its transactions by itself, nobody knows which.
        """
        seen = self._seen
        now, ticket_ids = await run_together(
            pipeline,
            statements.VISIBLE(),  # before what is read: better twice than never
            statements.changed_since(seen, MOST_PUSHED + 1) if seen else None,
        )
        is_same = seen is None or seen.server == now[0].server
        self._seen = now[0] if is_same else None
        return ticket_ids if is_same else ()

    async def _are_others_cancelled(
        self, pipeline: PipelineConnection, changed: Collection[Subject], now: datetime
    ) -> bool:
        """Whether other departures are cancelled than before, of those that packs name."""
        kinds = {change.kind for change in changed}
        if self._cancelled is not None and kinds.isdisjoint(
            {ChangeKind.CATALOGUE, ChangeKind.EVERYTHING}
        ):
            return False
        before, day = self._cancelled, (now + timedelta(days=1)).date()
        cancelled = frozenset(await run(pipeline, statements.CANCELLED_DEPARTURES(day)))
        self._cancelled = cancelled
        return before is not None and cancelled != before

    async def _read(
        self, pipeline: PipelineConnection, ticket_ids: Sequence[int], now: datetime
    ) -> dict[frozenset[str], PushedChange]:
        """What has changed, by the functions that are redeemed."""
        if not ticket_ids:
            return {}
        venues = await run(pipeline, statements.RENTAL_VENUES())
        rental_venues = {each.location_id: each.venue_code for each in venues}
        version = int(now.timestamp() * 1000)
        found = {}
        for functions in {each.operator.function_codes for each in self._followers}:
            (columns,) = await run(pipeline, statements.NAMED(sorted(functions), ticket_ids))
            if columns.tickets:
                found[functions] = PushedChange(version, columns, rental_venues)
        return found

    async def _push(self, found: dict[frozenset[str], PushedChange]) -> None:
        venues: dict[tuple[str, frozenset[str]], list[_Follower[E]]] = {}
        for follower in self._followers:
            operator = follower.operator
            if operator.function_codes not in found:
                continue
            if follower.must_ask:
                follower.receive(None)
            else:
                venue = operator.venue_code, operator.function_codes
                venues.setdefault(venue, []).append(follower)
        pause = SPREAD_SECONDS * AT_ONCE / max(1, sum(map(len, venues.values())))
        for (_, functions), followers in venues.items():
            push = await self._encode(followers[0].operator, found[functions])
            for first in range(0, len(followers), AT_ONCE):
                if first:
                    await asyncio.sleep(pause)
                for follower in followers[first : first + AT_ONCE]:
                    follower.receive(push)


def _concerns(changed: Collection[Subject], operator: Operator) -> bool:
    """Whether what changed is configuration of the terminal's pack."""
    of_terminal = {
        ChangeKind.MERCHANT: operator.merchant_code,
        ChangeKind.VENUE: operator.venue_code,
        ChangeKind.TERMINAL: operator.terminal_device_id,
    }
    return any(
        kind in (ChangeKind.QR_KEY, ChangeKind.EVERYTHING)
        or (kind in of_terminal and key in ("", of_terminal[ChangeKind(kind)]))
        for kind, key in changed
    )
