"""What every connector does, against its vendor's simulator, which checks each request."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from server.channels import breaker, calling, http_pool, tokens
from server.channels.breaker import CircuitBreakers
from server.channels.calling import CallRecord, ChannelClient, Connection
from server.channels.facts import (
    AvailabilityUpdate,
    BookingState,
    CancellationReason,
    Capability,
    ChannelCallError,
    FailureKind,
    MappingKind,
)
from server.channels.http_pool import HttpPool
from server.channels.registry import VENDORS
from server.channels.tokens import ChannelTokens
from server.channels.wire import Cancellation, IssuedToken, redacted
from server.channels.words import WordPair
from server.platform import clock
from server.platform.ratelimit import RateLimiter
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import CAR, CONNECTED, LOCATION, PRICE, booking, words

SECRET_KEY = bytes(range(32))
TODAY = datetime.now(UTC).date()
WITH_TOKENS = ("ctrip", "booking_com")
WHY = Cancellation(CancellationReason.VEHICLE_UNAVAILABLE, "no car is left")

all_vendors = pytest.mark.parametrize("vendor", CONNECTED)


class Process:
    """What a process of ours has for channels: clients that share tokens and the limit."""

    def __init__(self, redis_url: str, vendors: SimulatedChannels) -> None:
        self.calls: list[CallRecord] = []
        self._vendors = vendors
        self._tokens = ChannelTokens(redis_url, SECRET_KEY)
        self._limiter = RateLimiter(redis_url)
        self._pools: list[HttpPool] = []

    def client(
        self,
        vendor: str,
        *,
        version: int = 1,
        answer_seconds: float = 20.0,
        calls_per_minute: int = 1000,
        base_url: str = "",
        more: tuple[WordPair, ...] = (),
    ) -> ChannelClient:
        """A client with the credentials that the vendor takes now."""
        announced = self._vendors.simulator.announced()[vendor]
        make = VENDORS[vendor].codec
        assert make
        codec = make(dict(announced["credentials"]), words(vendor, announced["statuses"], more))
        pool = HttpPool(base_url or announced["base_url"], answer_seconds=answer_seconds)
        self._pools.append(pool)
        name = f"{vendor}:{version}"
        connection = Connection(vendor, name, codec, pool, calls_per_minute)
        return ChannelClient(
            connection, self._tokens, self._limiter, self._record, CircuitBreakers()
        )

    async def close(self) -> None:
        for pool in self._pools:
            await pool.close()
        await self._tokens.close()
        await self._limiter.close()

    async def _record(self, call: CallRecord) -> None:
        self.calls.append(call)


@asynccontextmanager
async def a_process(redis_url: str, vendors: SimulatedChannels) -> AsyncIterator[Process]:
    made = Process(redis_url, vendors)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def process(redis_url: str, vendors: SimulatedChannels) -> AsyncIterator[Process]:
    async with a_process(redis_url, vendors) as made:
        yield made


@contextmanager
def fails(kind: FailureKind) -> Iterator[Any]:
    with pytest.raises(ChannelCallError) as raised:
        yield raised
    assert raised.value.kind is kind


Work = Callable[[ChannelClient], Awaitable[Any]]


async def push_prices(client: ChannelClient) -> None:
    await client.push(Capability.PRICES, [client.codec.price_entry(PRICE)])


async def list_bookings(client: ChannelClient) -> Any:
    return await client.bookings(TODAY, TODAY, None)


async def confirm(client: ChannelClient) -> None:
    await client.confirm("B-1", "DT-1")


async def cancel(client: ChannelClient) -> None:
    await client.cancel("B-1", WHY, "DTC-1")


REPEATABLE: dict[str, Work] = {"prices": push_prices, "bookings": list_bookings}
ONCE: dict[str, Work] = {"confirm": confirm, "cancel": cancel}
OPERATIONS = REPEATABLE | ONCE
all_operations = pytest.mark.parametrize("operation", OPERATIONS)


@all_vendors
async def test_everything_is_taken(
    vendors: SimulatedChannels, process: Process, vendor: str
) -> None:
    client, books = process.client(vendor), vendors.simulator.books
    codec = client.codec
    await client.push(Capability.STATIC, [codec.static_entry(CAR)])
    await push_prices(client)
    for quantity in (3, 0):
        update = AvailabilityUpdate("501", LOCATION, date(2026, 12, 20), quantity)
        await client.push(Capability.AVAILABILITY, [codec.availability_entry(update)])
    (price,) = books.pushed(vendor, "prices")
    assert "123.1" in str(price.content)
    (last,) = books.pushed(vendor, "availability")
    assert 0 in last.content.values()
    assert len(books.pushed(vendor, "static")) == 1
    vendors.book(vendor, booking("B-1"), time.time())
    vendors.book(vendor, booking("B-2"), time.time())
    (first, second) = (await list_bookings(client)).bookings
    assert first.state is second.state is BookingState.NEW
    await confirm(client)
    await client.cancel("B-2", WHY, "DTC-2")
    (first, second) = (await list_bookings(client)).bookings
    assert (first.state, second.state) == (BookingState.CONFIRMED, BookingState.CANCELLED)
    assert (await client.bookings(TODAY, TODAY, BookingState.NEW)).bookings == ()
    assert not vendors.faults(vendor)
    assert {call.outcome for call in process.calls} == {calling.OK}


@all_vendors
async def test_a_vendor_refuses_a_field_too_many_and_each_that_is_missing(
    vendors: SimulatedChannels, process: Process, vendor: str
) -> None:
    """So that what is taken above has every field, and none besides. Seen red without the check."""
    client = process.client(vendor)
    codec, update = client.codec, AvailabilityUpdate("501", LOCATION, date(2026, 12, 20), 3)
    for what, entry in (
        (Capability.STATIC, codec.static_entry(CAR)),
        (Capability.PRICES, codec.price_entry(PRICE)),
        (Capability.AVAILABILITY, codec.availability_entry(update)),
    ):
        fewer = [{k: v for k, v in entry.items() if k != name} for name in entry]
        for wrong in (*fewer, {**entry, "odd": 1}):
            before = len(vendors.faults(vendor))
            with fails(FailureKind.REFUSED):
                await client.push(what, [wrong])
            assert len(vendors.faults(vendor)) == before + 1
        assert vendors.simulator.books.pushed(vendor, what.lower()) == []


@all_vendors
async def test_bookings_that_come_twice_and_in_another_order(
    vendors: SimulatedChannels, process: Process, vendor: str
) -> None:
    vendors.switch(doubled_bookings=True, reordered_bookings=True)
    for number in range(3):
        vendors.book(vendor, booking(f"B-{number}"), time.time())
    found = (await list_bookings(process.client(vendor))).bookings
    assert sorted(each.booking_id for each in found) == ["B-0", "B-1", "B-2"]


@all_vendors
@all_operations
async def test_what_nobody_carried_out_may_be_tried_again(
    vendors: SimulatedChannels, process: Process, vendor: str, operation: str
) -> None:
    client, name = process.client(vendor), f"{vendor}:{operation}"
    vendors.book(vendor, booking("B-1"), time.time())
    await client.test()
    vendors.switch(limited={name: 1}, retry_after_seconds=7)
    with fails(FailureKind.RATE_LIMITED) as raised:
        await OPERATIONS[operation](client)
    assert raised.value.retry_after_seconds == 7
    vendors.switch(refused={name: 1})
    with fails(FailureKind.REFUSED):
        await OPERATIONS[operation](client)
    await OPERATIONS[operation](client)


@all_vendors
@all_operations
@pytest.mark.parametrize(
    "fault", ["down", "lost_answers", "cut_answers", "failed_answers", "garbled_answers"]
)
async def test_a_lost_answer_is_unknown_only_where_a_repeat_does_harm(
    vendors: SimulatedChannels, process: Process, vendor: str, operation: str, fault: str
) -> None:
    client = process.client(vendor)
    vendors.book(vendor, booking("B-1"), time.time())
    await client.test()
    vendors.switch(**{fault: {f"{vendor}:{operation}": 1}})
    before = vendors.count(vendor, operation)
    if operation in ONCE:
        kind = FailureKind.UNKNOWN_OUTCOME
    elif fault == "garbled_answers":
        kind = FailureKind.UNREADABLE
    else:
        kind = FailureKind.TRANSIENT
    with fails(kind):
        await OPERATIONS[operation](client)
    assert vendors.count(vendor, operation) == before + 1
    assert process.calls[-1].outcome == kind
    (found,) = (await list_bookings(client)).bookings  # read back
    done = {"confirm": BookingState.CONFIRMED, "cancel": BookingState.CANCELLED}
    carried_out = fault != "down" and operation in ONCE
    assert found.state is (done[operation] if carried_out else BookingState.NEW)


@all_vendors
async def test_a_slow_answer(vendors: SimulatedChannels, process: Process, vendor: str) -> None:
    await process.client(vendor).test()  # has a token
    hasty = process.client(vendor, answer_seconds=0.05)
    vendors.book(vendor, booking("B-1"), time.time())
    vendors.switch(slow={vendor: 0.5})
    with fails(FailureKind.UNKNOWN_OUTCOME):
        await confirm(hasty)
    with fails(FailureKind.TRANSIENT):
        await push_prices(hasty)


@all_vendors
async def test_a_vendor_that_is_not_there(process: Process, vendor: str) -> None:
    client = process.client(vendor, base_url="http://127.0.0.1:9")
    for _ in range(breaker.THRESHOLD):
        with fails(FailureKind.TRANSIENT):  # nothing was sent
            await confirm(client)
    tried = len(process.calls)
    with fails(FailureKind.TRANSIENT) as raised:
        await confirm(client)
    assert len(process.calls) == tried == breaker.THRESHOLD
    assert raised.value.retry_after_seconds > 1


@all_vendors
async def test_the_breaker_counts_what_is_unexpected_alone(
    vendors: SimulatedChannels, process: Process, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = process.client(vendor)
    await client.test()
    vendors.switch(refused={"prices": 10})
    for _ in range(2 * breaker.THRESHOLD):
        with fails(FailureKind.REFUSED):
            await push_prices(client)
    await push_prices(client)
    monkeypatch.setattr(breaker, "OPEN_SECONDS", 0.0)
    vendors.switch(down={"prices": breaker.THRESHOLD + 1})
    for _ in range(breaker.THRESHOLD + 1):  # the last one is the trial
        with fails(FailureKind.TRANSIENT):
            await push_prices(client)
    await push_prices(client)


@all_vendors
async def test_an_endpoint_that_is_away_holds_up_no_other(
    vendors: SimulatedChannels, process: Process, vendor: str
) -> None:
    """Seen red with one breaker a channel."""
    client = process.client(vendor)
    vendors.switch(down={"prices": -1})
    for _ in range(breaker.THRESHOLD + 1):
        with fails(FailureKind.TRANSIENT):
            await push_prices(client)
    assert vendors.count(vendor, "prices") == breaker.THRESHOLD
    vendors.book(vendor, booking("B-1"), time.time())
    await client.test()
    await confirm(client)
    assert vendors.count(vendor, "confirm") == 1


@pytest.mark.parametrize("vendor", WITH_TOKENS)
async def test_one_token_for_all_processes(
    redis_url: str, vendors: SimulatedChannels, vendor: str
) -> None:
    async with a_process(redis_url, vendors) as one, a_process(redis_url, vendors) as other:
        clients = [each.client(vendor) for each in (one, other)]
        vendors.switch(slow={"token": 0.1})
        await asyncio.gather(*(push_prices(client) for client in clients * 4))
        assert vendors.count(vendor, "token") == 1
        vendors.simulator.books.revoke_tokens(vendor)
        await asyncio.gather(*(push_prices(client) for client in clients * 4))
        assert vendors.count(vendor, "token") == 2


async def test_a_lock_that_is_anothers_by_now_is_left_to_him(redis_url: str) -> None:
    """A fetch outlives its lock. Seen red with a plain delete."""
    tokens = ChannelTokens(redis_url, SECRET_KEY)

    async def fetch_for_long() -> IssuedToken:
        await tokens._client.redis.flushall()  # its time is over
        assert await tokens._lock("channel:1", "another")
        return IssuedToken("token-1", 3600)

    try:
        assert await tokens.get("channel:1", fetch_for_long) == "token-1"
        assert not await tokens._lock("channel:1", "a third")
    finally:
        await tokens.close()


async def test_a_token_that_came_before_the_lock_is_taken(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another fetched it, and left the lock, after this one had looked for a token. Seen red."""
    one, other = (ChannelTokens(redis_url, SECRET_KEY) for _ in range(2))
    fetched = 0

    async def fetch() -> IssuedToken:
        nonlocal fetched
        fetched += 1
        return IssuedToken(f"token-{fetched}", 3600)

    lock = other._lock

    async def lock_after_the_other(name: str, owner: str) -> bool:
        await one.get(name, fetch, refused)
        return await lock(name, owner)

    monkeypatch.setattr(other, "_lock", lock_after_the_other)
    try:
        for refused, wanted in (("", "token-1"), ("token-1", "token-2")):
            assert await other.get("channel:1", fetch, refused) == wanted
        assert fetched == 2
        assert await lock("channel:1", "test")  # it was left
    finally:
        await one.close()
        await other.close()


@pytest.mark.parametrize("vendor", WITH_TOKENS)
async def test_a_token_is_sealed_and_left_before_its_end(
    redis_url: str, vendors: SimulatedChannels, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import redis

    async with a_process(redis_url, vendors) as process:
        await push_prices(process.client(vendor))
        with redis.Redis.from_url(redis_url) as client:
            (key,) = client.keys(f"channel_token:{{{vendor}:1}}*")
            sealed, seconds = client.get(key), client.ttl(key)
        issued = vendors.simulator.books._db.execute("SELECT token FROM tokens").fetchone()[0]
        assert isinstance(sealed, bytes)
        assert issued.encode() not in sealed
        assert 6_800 < seconds <= 7_200 - tokens.MARGIN_SECONDS
        now = datetime.now(UTC)
        monkeypatch.setattr(clock, "now", lambda: now + timedelta(seconds=6_901))
        assert (await process._tokens.get(f"{vendor}:1", _no_fetch)) == "fetched"


async def _no_fetch() -> Any:
    from server.channels.wire import IssuedToken

    return IssuedToken("fetched", 7_200)


@pytest.mark.parametrize("vendor", WITH_TOKENS)
async def test_without_redis_there_are_tokens_all_the_same(
    vendors: SimulatedChannels, vendor: str
) -> None:
    async with a_process("redis://127.0.0.1:9", vendors) as process:
        client = process.client(vendor)
        await push_prices(client)
        await push_prices(client)
        assert vendors.count(vendor, "token") == 1


@pytest.mark.parametrize("vendor", WITH_TOKENS)
async def test_a_second_refusal_is_final(
    vendors: SimulatedChannels, process: Process, vendor: str
) -> None:
    vendors.switch(token_seconds=1)
    vendors.simulator.switches.clock_ahead_seconds = 0
    client = process.client(vendor)
    await push_prices(client)
    issue = vendors.simulator.vendors[vendor]
    before = issue.issue
    issue.issue = lambda: "a token that is never good"  # type: ignore[method-assign]
    try:
        vendors.simulator.books.revoke_tokens(vendor)
        with fails(FailureKind.AUTHENTICATION):
            await push_prices(client)
    finally:
        issue.issue = before  # type: ignore[method-assign]


async def test_ctrip_says_in_a_200_that_a_token_is_over(
    vendors: SimulatedChannels, process: Process
) -> None:
    vendors.switch(expired_in_200=True)
    known = WordPair(MappingKind.ERROR_CODE, FailureKind.AUTHENTICATION, "1003")
    client = process.client("ctrip", more=(known,))
    await push_prices(client)
    vendors.simulator.books.revoke_tokens("ctrip")
    await push_prices(client)
    assert vendors.count("ctrip", "token") == 2


@all_vendors
@pytest.mark.parametrize("ahead", [-4_000, 4_000])
async def test_a_vendor_whose_clock_differs(
    vendors: SimulatedChannels, process: Process, vendor: str, ahead: int
) -> None:
    vendors.switch(clock_ahead_seconds=ahead)
    client = process.client(vendor)
    await push_prices(client)
    before = len(process.calls)
    await push_prices(client)
    assert len(process.calls) == before + 1


def carried_out(vendors: SimulatedChannels, vendor: str, operation: str) -> int:
    """How many requests of an operation the vendor took."""
    found = vendors.simulator.books.requests(vendor)
    return sum(each["operation"] == operation and not each["fault"] for each in found)


@pytest.mark.parametrize(
    ("vendor", "ahead"),
    [
        *((vendor, 0) for vendor in WITH_TOKENS),
        *((vendor, ahead) for vendor in CONNECTED for ahead in (8_000, -8_000)),
    ],
)
@all_operations
async def test_a_proof_that_is_over_is_renewed_and_the_call_carried_out_once(
    vendors: SimulatedChannels, process: Process, vendor: str, operation: str, ahead: int
) -> None:
    """A token has expired, and the vendor's clock may differ. Seen red where a refused proof was
    final.
    """
    client = process.client(vendor)
    vendors.book(vendor, booking("B-1"), time.time())
    await client.test()
    vendors.switch(clock_ahead_seconds=ahead)
    vendors.simulator.books.revoke_tokens(vendor)
    before = carried_out(vendors, vendor, operation)
    await OPERATIONS[operation](client)
    assert carried_out(vendors, vendor, operation) == before + 1


@all_vendors
@all_operations
async def test_rotated_secrets_carry_nothing_out_until_ours_are_new(
    vendors: SimulatedChannels, process: Process, vendor: str, operation: str
) -> None:
    client = process.client(vendor)
    vendors.book(vendor, booking("B-1"), time.time())
    await client.test()
    vendors.simulator.rotate(vendor)
    before = carried_out(vendors, vendor, operation)
    with fails(FailureKind.AUTHENTICATION):
        await OPERATIONS[operation](client)
    assert carried_out(vendors, vendor, operation) == before
    await OPERATIONS[operation](process.client(vendor, version=2))
    assert carried_out(vendors, vendor, operation) == before + 1


@pytest.mark.parametrize("vendor", WITH_TOKENS)
@all_operations
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("down", FailureKind.TRANSIENT),
        ("limited", FailureKind.RATE_LIMITED),
        ("lost_answers", FailureKind.TRANSIENT),
        ("cut_answers", FailureKind.TRANSIENT),
        ("failed_answers", FailureKind.TRANSIENT),
        ("garbled_answers", FailureKind.UNREADABLE),
    ],
)
async def test_without_a_token_nothing_was_asked_and_no_outcome_is_unknown(
    vendors: SimulatedChannels,
    process: Process,
    vendor: str,
    operation: str,
    fault: str,
    kind: FailureKind,
) -> None:
    """Seen red where Ctrip's request for a token was one that may not be repeated."""
    client = process.client(vendor)
    vendors.book(vendor, booking("B-1"), time.time())
    vendors.switch(**{fault: {f"{vendor}:token": 1}})
    with fails(kind):
        await OPERATIONS[operation](client)
    assert vendors.count(vendor, operation) == 0
    await OPERATIONS[operation](client)
    assert carried_out(vendors, vendor, operation) == 1


@all_vendors
async def test_wrong_credentials(vendors: SimulatedChannels, process: Process, vendor: str) -> None:
    client = process.client(vendor, version=1)
    await push_prices(client)
    vendors.simulator.rotate(vendor)
    with fails(FailureKind.AUTHENTICATION):
        await push_prices(client)
    await push_prices(process.client(vendor, version=2))


@all_vendors
async def test_the_limit_is_one_for_all_processes(
    redis_url: str, vendors: SimulatedChannels, vendor: str
) -> None:
    needed = 4 + (vendor in WITH_TOKENS)
    async with a_process(redis_url, vendors) as one, a_process(redis_url, vendors) as other:
        clients = [each.client(vendor, calls_per_minute=needed) for each in (one, other)]
        for client in clients * 2:
            await push_prices(client)
        with fails(FailureKind.RATE_LIMITED) as raised:
            await push_prices(clients[0])
        assert 0 < raised.value.retry_after_seconds <= 60
        assert vendors.count(vendor, "prices") == 4


def test_what_a_vendor_says_is_kept_without_personal_data() -> None:
    said = "wei.wang@example.com +86 138 0000 0000 dtp_0123456789abcdef0123456789 no car\x1b[0m"
    assert redacted(said) == "… … … no car [0m"


@all_vendors
async def test_an_answer_that_is_too_long(
    vendors: SimulatedChannels, process: Process, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = process.client(vendor)
    await client.test()
    vendors.book(vendor, booking("B-1"), time.time())
    monkeypatch.setattr(http_pool, "MOST_BYTES", 10)
    with fails(FailureKind.TRANSIENT):
        await list_bookings(client)
