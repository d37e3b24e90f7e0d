"""The feed of a channel that fetches: who may, whether it has changed, and its pieces.

All of it is read of what is kept of the channel, listing by listing; what was handed over is marked
as sent, in the versions that were read. A value that changes meanwhile may be newer than the
ETag says, never older.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, time
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from server.audit.records import REVOKED
from server.channels import call_log, feed, outgoing
from server.channels.calling import OK, CallRecord
from server.channels.channel_credentials import SENT_TO, ChannelSeals
from server.channels.channel_records import CHANNELS, CODE, ChannelRecord, credentials_of
from server.channels.facts import Capability
from server.channels.feed import FeedDay, FeedItem
from server.channels.outgoing import PendingValue
from server.channels.registry import FEED_KEY, VENDORS
from server.platform import clock
from server.platform.crypto import fingerprint, same
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.ratelimit import RateLimiter
from server.platform.statements import Statement, run, run_together

ENDPOINT = "feed"


class FeedRequest(NamedTuple):
    """What is asked for, by whom, and what he has; empty what was not said."""

    channel_code: str
    key: str
    if_none_match: str
    if_modified_since: str


class FeedAnswer(NamedTuple):
    """An HTTP answer; without pieces its text is what was refused."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes] | None = None
    text: str = ""


class _State(NamedTuple):
    values: int
    versions: int
    wanted_time: datetime | None


class _Value(NamedTuple):
    what: str
    item_id: str
    day: date
    location: str
    wanted: int
    currency_code: str | None
    content: Mapping[str, Any] | None
    wanted_version: int
    is_sent: bool


_VALUES_STATE = Statement(
    """
SELECT count(*), COALESCE(sum(wanted_version), 0)::bigint, max(wanted_time) FROM channel_values
WHERE channel_code = $1 AND day >= $2::date
""",
    _State,
)
_LISTINGS_STATE = Statement(
    """
SELECT count(*), COALESCE(sum(version), 0)::bigint, max(update_time) FROM channel_listings
WHERE channel_code = $1
""",
    _State,
)
_ITEMS = Statement(
    "SELECT item_id FROM channel_listings WHERE channel_code = $1 ORDER BY item_id", str
)
_OF_ITEM = Statement(
    """
SELECT what, item_id, day, location, wanted, currency_code, content, wanted_version,
  sent_version = wanted_version
FROM channel_values
WHERE channel_code = $1 AND what IN ('STATIC', 'PRICES', 'AVAILABILITY') AND item_id = $2
  AND day >= $3::date
ORDER BY day
""",
    _Value,
)


class FeedService:
    """Answers whoever fetches."""

    def __init__(
        self, db: Database, seals: ChannelSeals, limiter: RateLimiter, zone: ZoneInfo
    ) -> None:
        self._db = db
        self._seals = seals
        self._limiter = limiter
        self._zone = zone

    async def answer(self, request: FeedRequest) -> FeedAnswer:
        """The feed, or why not. Raises DATABASE_UNAVAILABLE."""
        channel = await self._proven(request)
        if channel is None:
            headers = {"www-authenticate": 'Bearer realm="channel feed"'}
            return FeedAnswer(401, headers, text="send the channel's key as Authorization: Bearer")
        if channel.state not in SENT_TO:
            return FeedAnswer(403, {}, text=f"the channel is {channel.state.lower()}")
        code = channel.channel_code
        allowed = await self._limiter.hit(f"channel_feed:{code}", channel.calls_per_minute)
        if allowed and not allowed.allowed:
            headers = {"retry-after": str(max(1, allowed.reset_seconds))}
            return FeedAnswer(429, headers, text="too many requests")
        now = clock.now()
        tag, changed = await self._state(code, now)
        headers = {
            "etag": tag,
            "last-modified": format_datetime(changed, usegmt=True),
            "cache-control": "private, no-cache",
        }
        if _is_known(request, tag, changed):
            await self._note(code, 304, 0, now)
            return FeedAnswer(304, headers)
        return FeedAnswer(200, headers, self._pieces(code, now))

    async def _proven(self, request: FeedRequest) -> ChannelRecord | None:
        if not CODE.fullmatch(request.channel_code):
            return None
        try:
            async with self._db.transaction() as tx:
                channel = await CHANNELS.get(tx, request.channel_code)
                stored = await credentials_of(tx, request.channel_code)
        except DomainError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
            return None
        is_fed = Capability.FEED in VENDORS[channel.vendor_code].capabilities
        if channel.state == REVOKED or not is_fed:
            return None
        key = self._seals.open(channel.channel_code, stored.sealed).get(FEED_KEY, "")
        is_it = same(key.encode(), request.key.encode())
        return channel if key and is_it else None

    async def _state(self, code: str, now: datetime) -> tuple[str, datetime]:
        """The ETag, and when the feed last changed, in whole seconds."""
        today = now.astimezone(self._zone).date()
        async with self._db.transaction() as tx:
            found = await run_together(tx, _VALUES_STATE(code, today), _LISTINGS_STATE(code))
        (values,), (listings,) = found
        said = f"{feed.SCHEMA} {today} {values} {listings}"
        midnight = datetime.combine(today, time(), self._zone)
        times = [midnight, values.wanted_time, listings.wanted_time]
        changed = max(each for each in times if each).astimezone(UTC).replace(microsecond=0)
        return f'W/"{fingerprint(said.encode(), size_bytes=12).hex()}"', changed

    async def _pieces(self, code: str, now: datetime) -> AsyncIterator[bytes]:
        today, sent = now.astimezone(self._zone).date(), 0
        async with self._db.transaction() as tx:
            items = await run(tx, _ITEMS(code))
        begin = feed.begin(code, now)
        yield begin
        sent, is_first = len(begin), True
        for item_id in items:
            async with self._db.transaction() as tx:
                values = await run(tx, _OF_ITEM(code, item_id, today))
            if piece := _piece(values, is_first=is_first):
                yield piece
                sent, is_first = sent + len(piece), False
            await self._mark(code, values)
        yield feed.END
        await self._note(code, 200, sent + len(feed.END), now)

    async def _mark(self, code: str, values: list[_Value]) -> None:
        fresh = [PendingValue(*each[:8]) for each in values if not each.is_sent]
        if fresh:
            now = clock.now()
            await self._db.in_transaction(
                lambda tx: run(tx, outgoing.mark_sent(code, fresh, now=now))
            )

    async def _note(self, code: str, status: int, size: int, began: datetime) -> None:
        now = clock.now()
        call = CallRecord(
            channel_code=code,
            endpoint=ENDPOINT,
            method="IN",
            http_status=status,
            outcome=OK,
            duration_ms=round((now - began).total_seconds() * 1000),
            request_bytes=0,
            response_bytes=size,
            error="",
            create_time=now,
        )
        await call_log.note(self._db, call)


def _piece(values: list[_Value], *, is_first: bool) -> bytes:
    """An item; empty for one of which nothing is known yet, or that is on sale no more."""
    static = next((each for each in values if each.content is not None), None)
    if static is None or static.content is None:
        return b""
    prices = {each.day: each for each in values if each.what == Capability.PRICES}
    days = [
        FeedDay(each.item_id, each.day, price and price.wanted, price and price.currency_code, left)
        for each in values
        if each.what == Capability.AVAILABILITY
        for price, left in [(prices.get(each.day), each.wanted)]
    ]
    listed = FeedItem(static.item_id, static.location, static.content)
    return feed.item(listed, days, is_first=is_first)


def _is_known(request: FeedRequest, tag: str, changed: datetime) -> bool:
    """Whether he has what there is: by the tag, and only without one by the time (RFC 9110)."""
    if request.if_none_match:
        tags = {each.strip().removeprefix("W/") for each in request.if_none_match.split(",")}
        return bool(tags & {"*", tag.removeprefix("W/")})
    try:
        since = parsedate_to_datetime(request.if_modified_since)
    except ValueError:
        return False
    return changed <= (since if since.tzinfo else since.replace(tzinfo=UTC))
