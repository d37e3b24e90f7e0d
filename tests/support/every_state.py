"""Data in every state, made by the server itself: what its invariants are proven on.

`every_state(database_url, redis_url)` plays travellers, a partner, a gate and an administrator, and
gives the orders and tickets by a name that says what became of them. Nothing runs any more when it
is done.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from deeptravel.ota.v1 import ota_service_pb2 as ota

from server.partners import statements
from server.partners.ledger_rules import month_of
from server.partners.statement_rules import SEAL_DELAY, end_of
from server.payments import abnormal_refunds
from tests.support import gate, partner_client
from tests.support.bookkeeping import ALL_POSTED
from tests.support.changes import show_changes
from tests.support.order_scenario import (
    TICKET_STATE,
    OrderScenario,
    a_scenario,
    give_back,
    swap,
    tickets,
)
from tests.support.partner_client import CP, customer, payment
from tests.support.traveller import (
    FIRST,
    PREMIUM,
    SECOND,
    STOCK,
    TravellerClient,
    World,
    a_world,
    party,
    traveller_server,
)

CHANGES_ALLOWED = 3
CAPPED, FREE_OF_CAP = 5, 6
"""Promotions by the codes CAPPED, for ten orders, and OPEN, for any number."""
GATE = """
INSERT INTO merchants
VALUES ('M', 'Railway', '{boarding,ferry,gift,lounge}', 600, 'ACTIVE', now(), now());
INSERT INTO venues VALUES ('PIER', 'M', 'Station', 'Asia/Hong_Kong', '{}', 'ACTIVE', now(), now());
INSERT INTO terminals VALUES ('T-1', 'PIER', '', 'ACTIVE', now(), now());
INSERT INTO accounts VALUES ('olga', 'OPERATOR', 'M', '{}', '', '', 'ACTIVE', now(), now());
INSERT INTO partners (partner_code, display_name, requests_per_minute, allowed_addresses, state,
  create_time, update_time)
VALUES ('CP', 'Central Pier Travel', 1000000, '{}', 'ACTIVE', now(), now())
"""
NOTICE = "INSERT INTO notices VALUES (%s, 'TRANSACTION.SUCCESS', '', '{}', now())"
TASK = """
INSERT INTO outbox_tasks (task_id, kind, key, payload, state, due_time, attempts, create_time,
  update_time)
VALUES (gen_random_uuid(), 'notice', %s, '{}', %s, now() + interval '1 day', 1, now(), now())
"""


@dataclass
class Played:
    """What was made: order codes by name."""

    world: World
    scenario: OrderScenario
    channel: Any
    terminal: gate.Terminal
    orders: dict[str, str] = field(default_factory=dict)
    travellers: Any = field(default_factory=lambda: count(1))

    def somebody(self) -> TravellerClient:
        """A traveller nobody has seen before."""
        return TravellerClient.of(self.channel, next(self.travellers))

    async def sell(self, name: str, *offers: str, size: int = 1, **fields: Any) -> TravellerClient:
        """A paid order of a new traveller's."""
        client = self.somebody()
        order = await self.scenario.sell(client, *offers, passengers=party(size), **fields)
        self.orders[name] = order.order_id
        return client

    async def hold(self, name: str, *offers: str, size: int = 1, **fields: Any) -> TravellerClient:
        """An order that waits for its payment."""
        client = self.somebody()
        order = await client.order(*offers, passengers=party(size), **fields)
        self.orders[name] = order.order_id
        return client

    async def codes(self, client: TravellerClient, name: str) -> list[str]:
        """The codes of an order's tickets, the travellers' first."""
        found = await tickets(client, order_id=self.orders[name])
        return [ticket.ticket_code for ticket in sorted(found, key=lambda t: t.ticket_code)]

    async def change(
        self, name: str, client: TravellerClient, of: str, offer: str, *, pay: bool = True
    ) -> None:
        """Changes the last active ticket of an order; what is to be paid is paid."""
        found = await tickets(client, order_id=self.orders[of])
        active = [t.ticket_code for t in found if TICKET_STATE[t.status] == "ACTIVE"]
        made = await swap(client, max(active), offer)
        self.orders[name] = made.order.order_id
        if pay and not made.HasField("ticket"):
            assert await self.scenario.pay(made.order.order_id) == "PAID"

    async def redeem(self, ticket_code: str, function_code: str) -> None:
        """At the gate."""
        ((number, jti),) = await self.world.sql(
            "SELECT ticket_id, jti FROM tickets WHERE ticket_code = %s", ticket_code
        )
        token = gate.World(self.world.pg, self.world.ring).seal(jti, number)
        answer = await self.terminal.redeem(token, function_code)
        assert gate.verdict(answer) == "SUCCESS", answer

    async def in_transaction(self, work: Callable[[Any], Awaitable[Any]]) -> None:
        """Something that administrators do."""
        await self.scenario.db.in_transaction(work)


async def every_state(database_url: str, redis_url: str) -> dict[str, str]:
    """Makes it all; order codes by name."""
    async with (
        a_world(database_url, seats=40, departures=4, max_per_traveller=99) as world,
        traveller_server(database_url, redis_url) as server,
        a_scenario(database_url) as scenario,
    ):
        for statement in GATE.split(";\n"):
            await world.sql(statement)
        await world.sql(STOCK.replace("0, %s", "1, %s", 1), *_partners_stock())
        await world.sql(
            "UPDATE products SET policy = policy || jsonb_build_object('changes_allowed', %s::int)",
            CHANGES_ALLOWED,
        )
        await world.promote(CAPPED, "CAPPED", cap=10)
        await world.promote(FREE_OF_CAP, "OPEN", cap=None)
        await show_changes(world)
        admin_client = gate.World(world.pg, world.ring)
        terminal = await admin_client.log_in(server.channel)
        played = Played(world, scenario, server.channel, terminal)
        for chapter in (_unpaid, _paid, _packages, _refunded, _changed, _partners, _notices):
            await chapter(played)
        return played.orders


def _partners_stock() -> tuple[Any, ...]:
    return (PREMIUM << 20) + 1, PREMIUM, None, None, None, 100, None


async def _unpaid(played: Played) -> None:
    """Orders that wait, that were cancelled or ran out, and money that came too late for one."""
    world, scenario = played.world, played.scenario
    await played.hold("waits", world.seat(), size=2)
    await scenario.bill(played.orders["waits"])
    await played.hold("waits-capped", world.seat(1, SECOND), promotion_codes=["CAPPED"])
    client = await played.hold("cancelled", world.seat())
    await scenario.bill(played.orders["cancelled"])
    await client.cancel(played.orders["cancelled"])
    await played.hold("ran-out", world.seat(), size=2)
    await world.expire(played.orders["ran-out"])
    await world.until(
        "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s", played.orders["ran-out"]
    )
    for name, state in (
        ("late", "SUCCESS"),
        ("late-closed", "ABNORMAL"),
        ("late-open", "PROCESSING"),
    ):
        client = await played.hold(name, world.seat(2))
        paid = await scenario.bill(played.orders[name])
        await client.cancel(played.orders[name])
        scenario.wechat.state = state
        assert await scenario.take_in(paid) == "REFUNDED"
        await scenario.drain()
        if name == "late-closed":
            await _close(played, name)
    # the same, of an order that another payment has paid
    await played.hold("paid-twice", world.seat(2))
    twice = [await scenario.bill(played.orders["paid-twice"]) for _ in range(2)]
    assert [await scenario.take_in(each) for each in twice] == ["PAID", "REFUNDED"]


async def _close(played: Played, name: str) -> None:
    """An administrator closes the only refund of an order."""
    order_id = await played.world.value(
        "SELECT order_id FROM orders WHERE order_code = %s", played.orders[name]
    )

    async def close(tx: Any) -> None:
        await abnormal_refunds.settle_by_hand(
            tx, order_id, 1, given=False, actor="admin:root", now=datetime.now(UTC)
        )

    await played.in_transaction(close)


async def _paid(played: Played) -> None:
    """Tickets of trains, and promotions."""
    world = played.world
    await played.sell("paid", world.seat(), size=3)
    await played.sell("mixed", world.seat(2), world.seat(3, SECOND), size=2)
    await played.sell("capped", world.seat(3), size=2, promotion_codes=["CAPPED"])
    await played.sell("open", world.seat(3), size=2, promotion_codes=["OPEN"])
    played.scenario.wechat.state = "SUCCESS"
    client = await played.sell("capped-back", world.seat(3), promotion_codes=["CAPPED"])
    await give_back(client, played.orders["capped-back"])
    await played.scenario.drain()


async def _packages(played: Played) -> None:
    """Packages of today, with a shared entitlement, used in part, as a whole, or not at all."""
    offer = f"PK-{PREMIUM}-{datetime.now(ZoneInfo('Asia/Hong_Kong')):%Y%m%d}"
    client = await played.sell("package-used", offer)
    own, shared = await played.codes(client, "package-used")
    for code, function_code in ((own, "ferry"), (own, "gift"), (shared, "lounge")):
        await played.redeem(code, function_code)
    client = await played.sell("package-part", offer, size=2)
    await played.redeem((await played.codes(client, "package-part"))[0], "ferry")
    client = await played.sell("package-back", played.world.package(), size=2)
    await give_back(client, played.orders["package-back"])
    await played.scenario.drain()


async def _refunded(played: Played) -> None:
    """Refunds that were given, are under way, or were closed."""
    world, scenario = played.world, played.scenario
    for name, state in (("refunded", "SUCCESS"), ("refund-closed", "CLOSED")):
        scenario.wechat.state = state
        client = await played.sell(name, world.seat(4), size=2)
        codes = await played.codes(client, name)
        await give_back(client, played.orders[name], codes[0])
        await scenario.drain()
    scenario.wechat.state = "PROCESSING"
    client = await played.sell("refunding", world.seat(4), size=2)
    await give_back(
        client, played.orders["refunding"], (await played.codes(client, "refunding"))[0]
    )
    await scenario.drain()


async def _changed(played: Played) -> None:
    """Changes: to something cheaper, dearer, made, under way, given up, again, and given back in
    parts.
    """
    world, scenario = played.world, played.scenario
    first, second = world.seat(2, FIRST), world.seat(3, SECOND)
    scenario.wechat.state = "SUCCESS"
    client = await played.sell("cheaper-of", first, size=2)
    await played.change("cheaper", client, "cheaper-of", second)
    await scenario.drain()
    scenario.wechat.state = "PROCESSING"
    client = await played.sell("cheaper-open-of", first)
    await played.change("cheaper-open", client, "cheaper-open-of", second)
    await scenario.drain()
    client = await played.sell("waits-of", second, size=2)
    await played.change("waits-change", client, "waits-of", first, pay=False)
    client = await played.sell("given-up-of", second)
    await played.change("given-up", client, "given-up-of", first, pay=False)
    await client.cancel(played.orders["given-up"])
    client = await played.sell("chain-1", world.seat(3, SECOND), size=2)
    await played.change("chain-2", client, "chain-1", world.seat(3, FIRST))
    await played.change("chain-3", client, "chain-2", world.seat(4, FIRST))
    scenario.wechat.state = "SUCCESS"
    client = await played.sell("parts-1", second)
    await played.change("parts-2", client, "parts-1", first)
    await give_back(client, played.orders["parts-2"])
    await scenario.drain()


async def _partners(played: Played) -> None:
    """A partner's batches and reservations, of a product with a shared entitlement, for itself and
    for distributors.
    """
    await played.world.sql(
        "INSERT INTO partner_keys (key_id, partner_id, secret_hash, create_time) VALUES (%s, 1,"
        " %s, now())",
        CP.key_id,
        CP.secret_hash,
    )
    client = partner_client.PartnerClient.at(played.channel)
    codes = await client.codes(3)
    await client.activate(codes[0], payment=payment(amount_minor=50_000, currency_code="CNY"))
    paid = payment("PAY-2", amount_minor=100_000, currency_code="CNY")
    await client.batch(2, activation=ota.Activation(customer=customer(), payment=paid))
    for quantity, ending in ((4, None), (3, client.release)):
        made = await client.reserve(quantity)
        codes = await client.codes(2, reservation_id=made.reservation_id)
        await client.activate(codes[0], payment=payment(amount_minor=50_000, currency_code="CNY"))
        if ending:
            await ending(made.reservation_id)
    await client.distributor("WHOLESALE", commission_basis_points=333)
    await client.distributor("SHOP", "WHOLESALE", commission_basis_points=777)
    of_shop = await client.codes(4, distributor_id="SHOP")
    await client.cancel(of_shop[:1])
    await client.activate(of_shop[2], payment=payment(amount_minor=50_000, currency_code="CNY"))
    await client.reassign(of_shop[1:2], "WHOLESALE")
    await client.batch(1, distributor_id="in free text")
    await played.world.until(ALL_POSTED)
    zone = ZoneInfo("Asia/Hong_Kong")
    later = end_of(month_of(datetime.now(UTC), zone), zone) + SEAL_DELAY
    await played.in_transaction(lambda tx: statements.seal_due(tx, zone=zone, now=later))
    await played.world.until(ALL_POSTED)


async def _notices(played: Played) -> None:
    """Notices that were handled and that will be, of now and of long ago."""
    for name, state in (("EV-DONE", "DONE"), ("EV-OPEN", "OPEN")):
        await played.world.sql(NOTICE, name)
        await played.world.sql(TASK, name, state)
    await played.world.sql(NOTICE, "EV-OLD")
    await played.world.sql(
        "UPDATE notices SET receive_time = %s WHERE notice_id = 'EV-OLD'",
        datetime.now(UTC) - timedelta(days=9),
    )
