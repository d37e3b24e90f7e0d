"""Channel isolation: what one partner takes and however hard it calls, the stock of another and of
DIRECT stays as it is, and their calls go on (DOMAIN, Stock).

How long they take is measured by `make bench`; here it is counted who is worked on.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota

from server.partners import partner_tickets
from server.platform.config import load_settings
from server.platform.errors import Reason
from server.tickets import generation
from tests.races.test_ota_races import outcomes
from tests.support.changes import show_changes
from tests.support.invariants import assert_invariants
from tests.support.partner_client import CP, HK, KEY, PARTNERS, PartnerClient, customer, payment
from tests.support.traveller import (
    PREMIUM,
    TravellerClient,
    World,
    a_world,
    party,
    traveller_server,
)

OF_EACH = 50
SHARE = load_settings().partner_calls
PAID: dict[str, Any] = {"currency_code": "CNY", "amount_minor": 50_000}


@dataclass
class Channels:
    """Two partners and our own channel, with OF_EACH of package 106 each, at one server."""

    world: World
    hammering: PartnerClient
    other: PartnerClient
    channel: Any

    async def stock(self) -> list[tuple[int, int, int]]:
        """Total, held and sold of DIRECT, the hammering partner and the other."""
        return [
            (total, held, sold)
            for total, held, sold in await self.world.sql(
                "SELECT total, held, sold FROM stocks WHERE product_id = %s ORDER BY partner_id",
                PREMIUM,
            )
        ]

    async def order(self, traveller_id: int) -> Any:
        """A traveller orders a package."""
        client = TravellerClient.of(self.channel, traveller_id)
        return await client.order(self.world.package(), passengers=party(1))


@pytest.fixture
async def channels(database_url: str, redis_url: str) -> AsyncIterator[Channels]:
    async with a_world(database_url, packages=OF_EACH) as world:
        await world.sql(PARTNERS)
        for partner_id, key in ((1, CP), (2, HK)):
            await world.sql(KEY, key.key_id, partner_id, key.secret_hash)
            await world.sql(
                "INSERT INTO stocks (stock_id, product_id, partner_id, total, update_time)"
                " VALUES (%s, %s, %s, %s, now())",
                (PREMIUM << 20) + partner_id,
                PREMIUM,
                partner_id,
                OF_EACH,
            )
        await show_changes(world)
        async with traveller_server(database_url, redis_url) as server:
            yield Channels(
                world,
                PartnerClient.at(server.channel),
                PartnerClient.at(server.channel, HK.api_key),
                server.channel,
            )


async def test_figures_of_three_channels_at_once(channels: Channels, database_url: str) -> None:
    """One partner sells out and goes on calling, while another sells and travellers order: each
    gets just what it asks for of its own stock.

    Seen red: with partners' stock taken from the stock of DIRECT, whose figures moved.
    """

    async def hammer(number: int) -> Any:
        if number % 2:
            return await channels.hammering.reserve(3, product_id=PREMIUM)
        return await channels.hammering.batch(2, product_id=PREMIUM)

    async def sell() -> Any:
        made = await channels.other.reserve(3, product_id=PREMIUM)
        codes = await channels.other.codes(2, reservation_id=made.reservation_id)
        return await channels.other.activate_many(
            [(code, customer(), payment(**PAID)) for code in codes]
        )

    hammered, sold, ordered = await asyncio.gather(
        outcomes(hammer(number) for number in range(80)),
        outcomes(sell() for _ in range(8)),
        outcomes(channels.order(traveller) for traveller in range(1, 11)),
    )
    assert {refusal.reason for refusal in hammered[1]} == {Reason.SOLD_OUT}
    assert (len(sold[0]), sold[1]) == (8, [])
    assert all(verdict.activated for answer in sold[0] for verdict in answer.verdicts)
    assert (len(ordered[0]), ordered[1]) == (10, [])
    direct, hammering, other = await channels.stock()
    assert direct == (OF_EACH, 10, 0)
    assert other == (OF_EACH, 8, 16)
    assert OF_EACH - 3 < hammering[1] + hammering[2] <= OF_EACH
    await asyncio.to_thread(assert_invariants, database_url)


async def test_others_calls_go_on_while_one_partner_hammers(
    channels: Channels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partner has 30 batches under way, none of which ends: as many as its share are worked on,
    and a batch of another and an order of a traveller are made meanwhile.

    Seen red: with a share of 1,000 for each the 30 have all connections, and the others' calls wait
    for one in vain.
    """
    generate, go_on = generation.generate, asyncio.Event()
    working = most = 0

    async def held(tx: Any, new: Any) -> None:
        nonlocal working, most
        if new.partner_code == "CP":
            working += 1
            most = max(most, working)
            await go_on.wait()
            working -= 1
        await generate(tx, new)

    monkeypatch.setattr(partner_tickets, "generate", held)
    hammering = [
        asyncio.ensure_future(channels.hammering.batch(1, product_id=PREMIUM)) for _ in range(30)
    ]
    async with asyncio.timeout(60):
        while working < SHARE:  # noqa: ASYNC110 - nothing to wait for
            await asyncio.sleep(0.01)
        assert (await channels.other.batch(2, product_id=PREMIUM)).quantity == 2
        assert (await channels.order(1)).order_id
        request = ota.GetInventoryRequest(product_id=PREMIUM)
        (found,) = (await channels.other.call("GetInventory", request)).inventory
    assert (found.total, found.held, found.sold) == (OF_EACH, 0, 2)
    assert not any(batch.done() for batch in hammering)
    go_on.set()
    await asyncio.gather(*hammering)
    assert most == SHARE
    assert (await channels.stock())[1:] == [(OF_EACH, 0, 30), (OF_EACH, 0, 2)]
