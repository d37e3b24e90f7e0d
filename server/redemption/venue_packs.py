"""A venue's pack: what a terminal needs to decide scans without network, in full or what has
changed (DOMAIN, Redemption 10).

It is read page by page, each in a short transaction of its own, while tickets are redeemed. So its
pages are not of one moment; but whatever happens after the pack was begun is in the next one, whose
cursor is of that moment. A terminal that goes on after a break gets the pages that are missing.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import orjson

from server.identity.callers import Operator
from server.platform import clock
from server.platform.change_feed import Remembered
from server.platform.crypto import Signer, digest
from server.platform.database import Database
from server.platform.statements import BEGIN, Beginning, Transaction, run, run_together
from server.redemption import pack_statements as statements
from server.redemption.pack_statements import Columns
from server.redemption.statements import LocationVenue
from server.tickets import qr

PAGE_TICKETS = 5_000
MOST_CHANGED = 100_000
"""Tickets in a pack of what has changed; above that a full one is quicker."""
MOST_AGE = timedelta(days=7)
"""Of a pack that changes are asked since."""


class PackCursor(NamedTuple):
    """Where a pack was left.

    It was begun at `version`, in milliseconds of Unix time, by a database `server` when `until` was
    its oldest transaction; it has what has changed since the transaction `since`, all if 0. It is
    complete, or goes on after a ticket, which ends at `after_time`.
    """

    server: datetime
    version: int
    since: int
    until: int
    after_time: datetime
    after_id: int
    is_complete: bool

    @classmethod
    def read(cls, body: bytes) -> "PackCursor":
        """The cursor of its bytes."""
        server, version, since, until, after_time, *rest = orjson.loads(body)
        server, after_time = map(datetime.fromisoformat, (server, after_time))
        return cls(server, version, since, until, after_time, *rest)

    def written(self) -> bytes:
        """Its bytes."""
        return orjson.dumps(list(self))


class PackConfiguration(NamedTuple):
    """What holds for all tickets of a pack; `rental_venues` redeem the vouchers of locations."""

    operator: Operator
    ring: qr.KeyRing
    cancelled_departures: Sequence[int]
    rental_venues: dict[int, str]
    server_time: datetime


class PackPart(NamedTuple):
    """A chunk to be: of tickets, with the configuration if it is the last of its pack."""

    cursor: str
    version: int
    is_full: bool
    columns: Columns | None
    rental_venues: dict[int, str]
    configuration: PackConfiguration | None


class VenuePacks:
    """Reads packs. Their cursors are signed, and bound to terminal and configuration."""

    def __init__(
        self, db: Database, key_rings: Remembered[str, qr.KeyRing], secret_key: bytes
    ) -> None:
        self._db = db
        self._key_rings = key_rings
        self._signer = Signer(secret_key, "deeptravel venue packs")

    async def parts(self, operator: Operator, cursor: str) -> AsyncIterator[PackPart]:
        """The pack that follows a cursor, in full without one. Raises SERVER_BUSY."""
        async with self._db.report(operator.key) as tx:
            began, venues = await run_together(tx, BEGIN(), statements.RENTAL_VENUES())
        bound = _bound_to(operator, venues)
        body = self._signer.read_token(cursor, lambda body: digest(bound + body))
        place = _begun(PackCursor.read(body) if body else None, began[0], clock.now())
        rental_venues = {each.location_id: each.venue_code for each in venues}
        reader = _Reader(self._db, operator)
        is_complete = False
        while not is_complete:
            place, columns = await reader.page(place)
            is_complete = place.is_complete
            if not is_complete and not (columns and columns.tickets):
                continue
            configuration = None
            if is_complete:
                configuration = await self._configuration(operator, rental_venues)
            token = self._signer.token(place.written(), lambda body: digest(bound + body))
            is_full = place.since == 0
            yield PackPart(token, place.version, is_full, columns, rental_venues, configuration)

    async def _configuration(
        self, operator: Operator, rental_venues: dict[int, str]
    ) -> PackConfiguration:
        ring = self._key_rings.peek("") or await self._key_rings.get("")
        now = clock.now()
        today = now.astimezone(ZoneInfo(operator.venue_time_zone)).date()
        async with self._db.report(operator.key) as tx:
            cancelled = await run(tx, statements.CANCELLED_DEPARTURES(today))
        return PackConfiguration(operator, ring, cancelled, rental_venues, now)


class _Reader:
    """Reads one pack on."""

    def __init__(self, db: Database, operator: Operator) -> None:
        self._db = db
        self._operator = operator
        self._functions = sorted(operator.function_codes)
        self._changed: list[int] | None = None

    async def page(self, place: PackCursor) -> tuple[PackCursor, Columns | None]:
        """The next tickets after a place, and the place after them."""
        async with self._db.report(self._operator.key) as tx:
            if place.since and self._changed is None:
                most = MOST_CHANGED + 1
                changed = statements.CHANGED(place.since, place.after_id, most)
                self._changed = await run(tx, changed)
                if len(self._changed) == most:  # in full then
                    place = place._replace(since=0, after_time=_now(place), after_id=0)
            if place.since:
                return await self._changed_page(tx, place)
            after = place.after_time, place.after_id
            (columns,) = await run(tx, statements.LIVE(self._functions, *after, PAGE_TICKETS))
        if columns.last_time is not None:
            place = place._replace(after_time=columns.last_time, after_id=columns.last_id)
        return place._replace(is_complete=columns.found < PAGE_TICKETS), columns

    async def _changed_page(
        self, tx: Transaction, place: PackCursor
    ) -> tuple[PackCursor, Columns | None]:
        assert self._changed is not None
        page, self._changed = self._changed[:PAGE_TICKETS], self._changed[PAGE_TICKETS:]
        place = place._replace(
            after_id=page[-1] if page else place.after_id, is_complete=not self._changed
        )
        if not page:
            return place, None
        (columns,) = await run(tx, statements.NAMED(self._functions, page))
        return place, columns


def _begun(before: PackCursor | None, began: Beginning, now: datetime) -> PackCursor:
    """The pack to be read: the one that was left, what has changed since one that is complete, or
    a full one.
    """
    oldest = (now - MOST_AGE).timestamp() * 1000
    # another server, after a failover or restore, numbers its transactions by itself
    is_known = before and before.server == began.server and before.until <= began.oldest
    if before and is_known and before.version >= oldest:
        if not before.is_complete:
            return before
        since = before.until
    else:
        since = 0
    version = int(now.timestamp() * 1000)
    return PackCursor(began.server, version, since, began.oldest, now, 0, is_complete=False)


def _now(place: PackCursor) -> datetime:
    return datetime.fromtimestamp(place.version / 1000, UTC)


def _bound_to(operator: Operator, venues: Sequence[LocationVenue]) -> bytes:
    """What a cursor is for: terminal, venue and what of the configuration is in its tickets."""
    place = operator.terminal_device_id, operator.venue_code, sorted(operator.function_codes)
    return digest(orjson.dumps([*place, venues]))
