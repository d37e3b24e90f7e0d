"""Reservations that meet: each other on the last stock, their end with what is made, sold, extended
and released of them, and the death of the server.

Two servers over one database stand for two processes. "Seen red" in a test says which guard was
taken out, and that the test then failed.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from server.orders import partner_orders
from server.partners import partner_tickets
from server.partners.reservation_expiry import LOOK_SECONDS, ReservationExpiry
from server.platform.errors import Reason
from server.tickets import generation
from tests.races.test_ota_races import outcomes
from tests.support.gate_server import gate_process, gate_server
from tests.support.partner_client import HK, Market, PartnerClient, a_market, customer, payment

END = "UPDATE reservations SET expire_time = now() - interval '1 second', warn_time = NULL"
IN_A_MOMENT = "UPDATE reservations SET expire_time = now() + interval '150 ms', warn_time = NULL"
ENDED = {Reason.RESERVATION_EXPIRED, Reason.RESERVATION_STATE_REFUSES}
VOIDED = "SELECT count(*) FROM tickets WHERE state = 'VOIDED'"
ALL_CLOSED = "SELECT NOT EXISTS (SELECT FROM reservations WHERE state = 'OPEN' OR voids_pending)"


@pytest.fixture(scope="module")
async def market(module_database_url: str) -> AsyncIterator[Market]:
    async with a_market(module_database_url) as filled:
        yield filled


@pytest.fixture(scope="module")
async def clients(
    market: Market, module_database_url: str, module_redis_url: str
) -> AsyncIterator[list[PartnerClient]]:
    """A partner that calls two servers."""
    async with (
        gate_server(module_database_url, module_redis_url) as one,
        gate_server(module_database_url, module_redis_url) as two,
    ):
        yield [PartnerClient.at(one.channel), PartnerClient.at(two.channel)]


async def stock(market: Market, partner_id: int = 1) -> tuple[int, int]:
    """What is held and sold of 106."""
    ((held, sold),) = await market.sql(
        "SELECT held, sold FROM stocks WHERE (product_id, partner_id) = (106, %s)", partner_id
    )
    return held, sold


async def test_reservations_on_the_last_stock(market: Market, clients: list[PartnerClient]) -> None:
    """60 reservations and batches on an allotment of 1,000: never more than there is.

    Seen red: without the condition on what is left in `_HOLD` the constraint no_oversell breaks in
    its place and losers get INTERNAL; without the constraint too, more is held than there is.
    """
    partner = [PartnerClient(client.stub, HK.api_key) for client in clients]
    sizes = [random.Random(index).randint(1, 60) for index in range(60)]
    calls: list[Any] = [
        partner[index % 2].batch(size) if index % 3 == 0 else partner[index % 2].reserve(size)
        for index, size in enumerate(sizes)
    ]
    made, refused = await outcomes(calls)
    assert {refusal.reason for refusal in refused} == {Reason.SOLD_OUT}
    held, sold = await stock(market, 2)
    assert held + sold == sum(each.quantity for each in made) <= 1000
    assert 1000 - held - sold < min(int(each.metadata["requested"]) for each in refused)
    assert await market.contradictions() == []


async def test_the_end_waits_for_an_activation(
    market: Market, clients: list[PartnerClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reservation's second comes while a ticket is half activated, begun in time: it is sold,
    and only then is the reservation closed, with the rest.

    Seen red: without the lock of the reservations in `activate` it was closed meanwhile and all its
    stock returned; the guard of `_ACTIVATE` failed the activation with INTERNAL.
    """
    create_paid = partner_orders.create_paid

    async def slowly(*arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(2.5 * LOOK_SECONDS)
        return await create_paid(*arguments, **options)

    made = await clients[0].reserve(2)
    code, _ = await clients[0].codes(2, reservation_id=made.reservation_id)
    monkeypatch.setattr(partner_tickets, "create_paid", slowly)
    await market.sql(
        "UPDATE reservations SET expire_time = now() + interval '1 second', warn_time = NULL"
    )
    sold, _ = await outcomes([clients[0].activate(code)])
    assert len(sold) == 1
    await market.until(ALL_CLOSED)
    assert await stock(market) == (0, 1)
    assert await market.value(VOIDED) == 1
    assert await market.contradictions() == []


async def test_expiry_against_activation(market: Market, clients: list[PartnerClient]) -> None:
    """30 tickets are activated one by one while their reservation comes to its end: each is sold,
    or VOIDED and its place free; none is both.
    """
    for _ in range(3):
        made = await clients[0].reserve(40)
        codes = await clients[0].codes(30, reservation_id=made.reservation_id)
        await market.sql(IN_A_MOMENT)

        async def sell(index: int, code: str) -> Any:
            await asyncio.sleep(index * 0.01)
            return await clients[index % 2].activate(code)

        sold, refused = await outcomes(sell(*each) for each in enumerate(codes))
        assert {each.reason for each in refused} <= ENDED
        await market.until(ALL_CLOSED)
        assert await market.value(VOIDED) == len(refused)
        assert await stock(market) == (0, len(sold))
        assert await market.contradictions() == []
        await market.sql("DELETE FROM entitlements; DELETE FROM tickets; DELETE FROM batches")
        await market.sql("DELETE FROM reservations; UPDATE stocks SET sold = 0; DELETE FROM orders")


async def test_activation_waits_for_the_end(market: Market, clients: list[PartnerClient]) -> None:
    """An activation that waits for the reservation's row past its second comes too late, however
    early it was sent.

    Seen red: with the time of the call's beginning instead of that under the lock it was sold after
    its second.
    """
    made = await clients[0].reserve(1)
    (code,) = await clients[0].codes(1, reservation_id=made.reservation_id)
    await market.sql("BEGIN")
    await market.sql("SELECT FROM reservations FOR UPDATE")
    selling = asyncio.ensure_future(outcomes([clients[0].activate(code)]))
    await market.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
    await market.sql("UPDATE reservations SET expire_time = clock_timestamp(), warn_time = NULL")
    await market.sql("COMMIT")
    sold, refused = await selling
    assert (sold, [each.reason for each in refused]) == ([], [Reason.RESERVATION_EXPIRED])
    await market.until(ALL_CLOSED)
    assert await stock(market) == (0, 0)


async def test_expiry_against_generation(
    market: Market, clients: list[PartnerClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reservation ends while the tickets of a batch are written: there is no batch.

    Seen red: without `state = 'OPEN' AND expire_time > now` in `_GENERATE` the check of the row
    ck_reservations_closed breaks in its place, and the partner gets INTERNAL.
    """
    generate = generation.generate

    async def slowly(tx: Any, new: Any) -> None:
        await generate(tx, new)
        await market.sql(END)
        await market.until(ALL_CLOSED)

    made = await clients[0].reserve(5)
    monkeypatch.setattr(partner_tickets, "generate", slowly)
    _, refused = await outcomes([clients[0].batch(3, reservation_id=made.reservation_id)])
    assert [each.reason for each in refused] == [Reason.RESERVATION_EXPIRED]
    assert (await market.counts())["tickets"] == 0
    assert await stock(market) == (0, 0)
    assert await market.contradictions() == []


async def test_batches_of_one_reservation(market: Market, clients: list[PartnerClient]) -> None:
    """Ten batches of three at once of a reservation of ten: three are made.

    Seen red: without `generated + n <= quantity` in `_GENERATE` the check of the row breaks and the
    losers get INTERNAL.
    """
    made = await clients[0].reserve(10)
    batches, refused = await outcomes(
        clients[index % 2].batch(3, reservation_id=made.reservation_id) for index in range(10)
    )
    assert len(batches) == 3
    assert {each.reason for each in refused} == {Reason.RESERVATION_USED_UP}
    assert await stock(market) == (10, 0)
    assert await market.contradictions() == []


async def test_extension_against_expiry(market: Market, clients: list[PartnerClient]) -> None:
    """An extension that meets the end waits for it, and finds the reservation closed.

    Seen red: without the row's lock in `extend`, and without the state and time in `_EXTEND`, it
    gave the closed reservation a new end.
    """
    made = await clients[0].reserve(1)
    await market.sql("BEGIN")
    await market.sql("SELECT FROM reservations FOR UPDATE")
    extending = asyncio.ensure_future(outcomes([clients[1].extend(made.reservation_id, 100_000)]))
    await market.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
    await market.sql(
        "UPDATE reservations SET state = 'EXPIRED', close_time = clock_timestamp(),"
        " expire_time = clock_timestamp(), warn_time = NULL"
    )
    await market.sql("UPDATE stocks SET held = 0")
    await market.sql("COMMIT")
    extended, refused = await extending
    assert (extended, [each.reason for each in refused]) == ([], [Reason.RESERVATION_EXPIRED])
    assert await market.value("SELECT expire_time <= now() FROM reservations")
    assert await market.contradictions() == []


async def test_released_twice(market: Market, clients: list[PartnerClient]) -> None:
    """Ten releases and the expiry at once: the stock returns once.

    Seen red: without the lock in `release` and `state = 'OPEN'` in `_CLOSE` the stock returned
    several times: a check of its row broke, INTERNAL.
    """
    other = await clients[0].reserve(50)
    made = await clients[0].reserve(5)
    await clients[0].codes(3, reservation_id=made.reservation_id)
    released, refused = await outcomes(
        clients[index % 2].release(made.reservation_id) for index in range(10)
    )
    assert len(released) == 1
    assert {each.reason for each in refused} == {Reason.RESERVATION_STATE_REFUSES}
    assert await stock(market) == (50, 0)
    assert await market.value(VOIDED) == 3
    assert (await clients[0].reservation(other.reservation_id)).held == 50
    assert await market.contradictions() == []


async def test_many_expire_at_once_over_two_processes(
    market: Market, clients: list[PartnerClient]
) -> None:
    """Each is closed by one of them, once, while tickets of others are activated."""
    made = await asyncio.gather(*(clients[index % 2].reserve(2) for index in range(40)))
    codes = [
        (await clients[0].codes(1, reservation_id=each.reservation_id))[0] for each in made[:10]
    ]
    await market.sql(
        "UPDATE reservations SET expire_time = now(), warn_time = NULL"
        " WHERE reservation_id <> ALL(%s::uuid[])",
        [each.reservation_id for each in made[:10]],
    )
    answer = await clients[1].activate_many([(code, customer(), payment()) for code in codes])
    assert all(verdict.activated for verdict in answer.verdicts)
    await market.until("SELECT count(*) = 30 FROM reservations WHERE state = 'EXPIRED'")
    assert await stock(market) == (10, 10)
    assert await market.contradictions() == []


@pytest.mark.parametrize("step", ["reserve", "activate"])
async def test_killed_between_two_steps(
    market: Market,
    module_database_url: str,
    module_redis_url: str,
    tmp_path: Path,
    clients: list[PartnerClient],
    step: str,
) -> None:
    """The server dies when all is written but the stock: nothing is left of the call, its retry at
    another does it, and the reservation of the dead one ends in time.

    Seen red: with a commit before the stock is held, and before `take_activated`, the retry meets
    a key without an answer and gets INTERNAL, beside a reservation that holds nothing, or an
    active ticket that is not sold.
    """
    made = await clients[0].reserve(2)
    (code,) = await clients[0].codes(1, reservation_id=made.reservation_id)

    def call(client: PartnerClient) -> Any:
        if step == "reserve":
            return client.reserve(3, request_id="r")
        return client.activate(code, request_id="r")

    with gate_process(module_database_url, module_redis_url, tmp_path) as first:
        await market.sql("BEGIN")
        await market.sql("SELECT FROM stocks FOR UPDATE")
        async with grpc.aio.insecure_channel(first.target) as channel:
            dying = asyncio.ensure_future(call(PartnerClient.at(channel)))
            await market.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
            first.kill()
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await dying
            assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        await market.sql("ROLLBACK")
    await call(clients[1])
    assert await stock(market) == ((5, 0) if step == "reserve" else (1, 1))
    assert await market.contradictions() == []
    await market.sql(END)
    await market.until(ALL_CLOSED)
    assert await stock(market) == ((0, 0) if step == "reserve" else (0, 1))
    assert await market.contradictions() == []


async def test_killed_before_its_tickets_are_voided(
    market: Market, clients: list[PartnerClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever closed the reservation died before it voided the tickets: another does that; until
    then they cannot be sold.

    Seen red: with the tickets looked for only where a reservation was just closed they stayed
    PRE_GENERATED.
    """
    made = await clients[0].reserve(3)
    code, _ = await clients[0].codes(2, reservation_id=made.reservation_id)
    void_all = ReservationExpiry._void_all

    async def dead(self: Any) -> None:
        del self

    monkeypatch.setattr(ReservationExpiry, "_void_all", dead)
    await market.sql(END)
    await market.until("SELECT state = 'EXPIRED' FROM reservations")
    _, refused = await outcomes([clients[0].activate(code)])
    assert [each.reason for each in refused] == [Reason.RESERVATION_EXPIRED]
    monkeypatch.setattr(ReservationExpiry, "_void_all", void_all)
    await market.until(ALL_CLOSED)
    assert await market.value(VOIDED) == 2
    assert await market.contradictions() == []
