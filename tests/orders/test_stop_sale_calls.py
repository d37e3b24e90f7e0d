"""Whatever call takes the last of a stock, or gives it back, at a running server: the notice by
which channels hear of it is written in the transaction that does it, and nowhere else.

Triggers write down each change of a stock and each notice, with its transaction.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from deeptravel.ota.v1 import unsold_ticket_pb2

from server.catalog.release import release
from server.parties.rules import SANDBOX_BIT
from server.stock.ids import DIRECT, day_stock_id, rental_stock_id, stock_id
from tests.support import rentals
from tests.support.admin_client import message
from tests.support.changes import show_changes
from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.operations import Manager
from tests.support.order_scenario import OrderScenario, give_back, swap, tickets
from tests.support.partner_client import PartnerClient, payment
from tests.support.traveller import PREMIUM, SECOND, TravellerClient, World, passenger

LEVEL = 5
"""What is listed is noted when so many are left, or fewer, or were before."""
TRIGGERS = """
CREATE TABLE seen_changes (stock_id bigint, version bigint, fewest int, xid xid8);
CREATE TABLE seen_notices (stock_id bigint, version bigint, xid xid8);
CREATE FUNCTION left_of(s stocks) RETURNS int LANGUAGE sql AS
  $$ SELECT CASE WHEN s.closed THEN 0 ELSE s.total - s.held - s.sold END $$;
CREATE FUNCTION see_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO seen_changes VALUES (NEW.stock_id, NEW.version,
    LEAST(left_of(OLD), left_of(NEW)), pg_current_xact_id());
  RETURN NULL; END $$;
CREATE FUNCTION see_notice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO seen_notices VALUES (NEW.stock_id, NEW.version, pg_current_xact_id());
  RETURN NULL; END $$;
CREATE TRIGGER see_change AFTER UPDATE ON stocks FOR EACH ROW
  WHEN (left_of(OLD) <> left_of(NEW)) EXECUTE FUNCTION see_change();
CREATE TRIGGER see_notice AFTER INSERT ON stock_notices FOR EACH ROW EXECUTE FUNCTION see_notice();
"""
FEW = """
UPDATE stocks SET total = held + sold + %s, notice_level = %s WHERE stock_id = %s
"""
_travellers = count(100)


@dataclass
class Stage:
    """Who calls, and the stocks of it."""

    world: World
    channel: Any
    scenario: OrderScenario
    manager: Manager
    partner: PartnerClient
    sandbox: PartnerClient
    partner_id: int

    @property
    def traveller(self) -> TravellerClient:
        """Somebody who has bought nothing yet."""
        return TravellerClient.of(self.channel, next(_travellers))

    @property
    def package(self) -> int:
        """Our own stock of the package."""
        return stock_id(PREMIUM, DIRECT)

    @property
    def theirs(self) -> int:
        """The partner's."""
        return stock_id(PREMIUM, self.partner_id)

    async def admin(self, method: str, **fields: Any) -> Any:
        """A call of an administrator."""
        call = getattr(self.manager.stub, method)
        return await call(message(method, **fields), metadata=self.manager.headers)

    async def few(self, stock: int, left: int = LEVEL + 1) -> None:
        """So many are left of a listed stock, and nothing was seen yet."""
        await self.world.sql(FEW, left, LEVEL, stock)
        await self.world.sql("TRUNCATE seen_changes, seen_notices")

    async def held(self, offer_id: str) -> tuple[TravellerClient, str]:
        """An order that waits for its payment, and whose it is."""
        who = self.traveller
        await self.world.enrol(who.traveller_id)
        return who, (await who.order(offer_id, passengers=[passenger()])).order_id

    async def sold(self, offer_id: str) -> tuple[TravellerClient, str]:
        """An order that is paid."""
        who, order_id = await self.held(offer_id)
        assert await self.scenario.pay(order_id) == "PAID"
        return who, order_id


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    """The world's own query for contradictions knows no stocks of days."""
    yield filled_world
    assert_invariants(module_database_url)


@pytest.fixture(scope="module")
async def stage(filled_world: World, server: GateServer, module_scenario: OrderScenario) -> Stage:
    async with module_scenario.db.transaction() as tx:
        await rentals.seed_rentals(tx, actor="test", now=datetime.now(UTC))
    await filled_world.pg.execute(TRIGGERS.encode())
    await show_changes(filled_world)
    manager = await Manager.hired(module_scenario.db, server.channel)
    made = Stage(
        *(filled_world, server.channel, module_scenario, manager),
        *(PartnerClient.at(server.channel), PartnerClient.at(server.channel), 0),
    )
    await made.admin("CreatePartner", partner_code="CP", display_name="Central Pier")
    ((made.partner_id,),) = await filled_world.sql("SELECT partner_id FROM partners")
    await made.admin("CreateAllotment", product_id=PREMIUM, channel="CP", total=100)
    live = await made.admin("CreatePartnerKey", partner_code="CP", mode=1)
    test = await made.admin("CreatePartnerKey", partner_code="CP", mode=2)
    made.partner = PartnerClient.at(server.channel, live.api_key)
    made.sandbox = PartnerClient.at(server.channel, test.api_key)
    return made


# Each does one thing to stocks of which few are left, and says which these are


async def hold(stage: Stage) -> list[int]:
    await stage.few(stage.package)
    await stage.held(stage.world.package())
    return [stage.package]


async def cancel(stage: Stage) -> list[int]:
    who, order_id = await stage.held(stage.world.package())
    await stage.few(stage.package, LEVEL)
    await who.cancel(order_id)
    return [stage.package]


async def expire(stage: Stage) -> list[int]:
    """The server's own job ends it."""
    _, order_id = await stage.held(stage.world.package())
    await stage.few(stage.package, LEVEL)
    await stage.world.expire(order_id)
    await stage.world.until(OVER, order_id)
    return [stage.package]


async def pay_late(stage: Stage) -> list[int]:
    _, order_id = await stage.held(stage.world.package())
    bill = await stage.scenario.bill(order_id)
    await stage.world.expire(order_id)
    await stage.world.until(OVER, order_id)
    await stage.few(stage.package)
    await stage.scenario.take_in(bill)
    return [stage.package]


async def refund(stage: Stage) -> list[int]:
    who, order_id = await stage.sold(stage.world.package())
    await stage.few(stage.package, LEVEL)
    await give_back(who, order_id)
    await stage.scenario.drain()
    return [stage.package]


async def change(stage: Stage) -> list[int]:
    """From one departure to another: both are noted."""
    who, order_id = await stage.sold(stage.world.seat(1, SECOND))
    (ticket,) = await tickets(who, order_id=order_id)
    old, new = (stage.world.stock_id(each, SECOND) for each in (1, 2))
    await stage.few(old, LEVEL)
    await stage.few(new)
    made = await swap(who, ticket.ticket_code, stage.world.seat(2, SECOND))
    await stage.scenario.pay(made.order.order_id)
    await stage.scenario.drain()
    return [old, new]


async def hold_a_car(stage: Stage) -> list[int]:
    """Of each of its days."""
    day = stage.world.travel_date
    cars = [rental_stock_id(rentals.AIRPORT_FLEET, day + timedelta(days=at), 0) for at in (0, 1)]
    for each in cars:
        await stage.few(each)
    place = f"{rentals.AIRPORT}-{rentals.AIRPORT}"
    await stage.held(f"RC-{rentals.ECONOMY}-{day:%Y%m%d}-1000-{place}-2880-30")
    return cars


async def reserve(stage: Stage) -> list[int]:
    await stage.few(stage.theirs)
    await stage.partner.reserve(1)
    return [stage.theirs]


async def release_a_reservation(stage: Stage) -> list[int]:
    made = await stage.partner.reserve(1)
    await stage.few(stage.theirs, LEVEL)
    await stage.partner.release(made.reservation_id)
    return [stage.theirs]


async def outlast_a_reservation(stage: Stage) -> list[int]:
    """The server's own job ends it."""
    made = await stage.partner.reserve(1)
    await stage.few(stage.theirs, LEVEL)
    this = "reservation_id::text = %s"
    await stage.world.sql(
        f"UPDATE reservations SET expire_time = now() WHERE {this}", made_id(made)
    )
    over = f"SELECT state <> 'OPEN' FROM reservations WHERE {this}"
    await stage.world.until(over, made_id(made))
    return [stage.theirs]


async def generate(stage: Stage) -> list[int]:
    await stage.few(stage.theirs)
    await stage.partner.codes(1)
    return [stage.theirs]


async def void(stage: Stage) -> list[int]:
    codes = await stage.partner.codes(1)
    await stage.few(stage.theirs, LEVEL)
    request = unsold_ticket_pb2.CancelTicketsRequest(request_id=codes[0], ticket_codes=codes)
    await stage.partner.call("CancelTickets", request)
    return [stage.theirs]


async def adjust(stage: Stage) -> list[int]:
    await stage.few(stage.theirs, LEVEL)
    await stage.few(stage.package)
    subject = {"product_id": PREMIUM, "from_channel": "DIRECT", "to_channel": "CP"}
    await stage.admin("AdjustAllotment", **subject, quantity=1)
    return [stage.package, stage.theirs]


async def release_by_rule(stage: Stage) -> list[int]:
    """What is free of a partner's day returns, by the job."""
    day = stage.world.travel_date
    subject = {"product_id": PREMIUM, "use_date": day.isoformat()}
    moved = {"from_channel": "DIRECT", "to_channel": "CP", "quantity": 1}
    await stage.few(stage.package, 100)
    await stage.admin("AdjustAllotment", **subject, **moved)
    await stage.admin("SetAllotmentTerms", **subject, channel="CP", release_days=0)
    of_day = day_stock_id(PREMIUM, day, stage.partner_id)
    await stage.few(stage.package, LEVEL)
    await stage.few(of_day, 1)
    zone = ZoneInfo("Asia/Hong_Kong")
    noon = datetime.combine(day, time(12), zone).astimezone(UTC)
    await stage.scenario.db.in_transaction(lambda tx: release(zone)(tx, noon))
    return [stage.package, of_day]


async def set_a_total(stage: Stage) -> list[int]:
    await stage.few(stage.package)
    total, *_ = await stage.world.stock_of(stage.package)
    subject = {"product_id": PREMIUM, "channel": "DIRECT", "update_mask": "total"}
    await stage.admin("UpdateAllotment", **subject, total=total - 1)
    return [stage.package]


async def set_seats(stage: Stage) -> list[int]:
    stock = stage.world.stock_id(2, SECOND)
    await stage.few(stock)
    total, *_ = await stage.world.stock_of(stock)
    departure = str(stage.world.departure_id(2))
    fields = {"departure_id": departure, "class_code": "SECOND", "total": total - 1}
    await stage.admin("SetDepartureStock", **fields)
    return [stock]


async def set_cars(stage: Stage) -> list[int]:
    day = stage.world.travel_date + timedelta(days=7)
    stock = rental_stock_id(rentals.AIRPORT_FLEET, day, DIRECT)
    await stage.few(stock)
    days = dict.fromkeys(("first_date", "last_date"), day.isoformat())
    await stage.admin("SetRentalStock", fleet_id=rentals.AIRPORT_FLEET, **days, total=0)
    return [stock]


async def cancel_a_departure(stage: Stage) -> list[int]:
    stock = stage.world.stock_id(3, SECOND)
    await stage.few(stock, 100)
    await stage.manager.cancel(stage.world.departure_id(3))
    return [stock]


WAYS: list[Callable[[Stage], Awaitable[list[int]]]] = [
    *(hold, cancel, expire, pay_late, refund, change, hold_a_car),
    *(reserve, release_a_reservation, outlast_a_reservation, generate, void),
    *(adjust, release_by_rule, set_a_total, set_seats, set_cars, cancel_a_departure),
]
OVER = "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s"
EXPECTED = """
SELECT c.stock_id, c.version, c.xid::text FROM seen_changes c JOIN stocks s USING (stock_id)
WHERE c.fewest <= s.notice_level
"""
SEEN = "SELECT stock_id, version, xid::text FROM seen_notices WHERE version > 1"


def made_id(reservation: Any) -> str:
    return str(reservation.reservation_id)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_the_call_leaves_its_notice(
    stage: Stage, world: World, way: Callable[[Stage], Awaitable[list[int]]]
) -> None:
    """One for each change, with its version and in its transaction. Seen red with a notice only of
    what is left afterwards: the nine that give back.
    """
    stocks = await way(stage)
    changed = await world.sql(EXPECTED)
    assert {each[0] for each in changed} == set(stocks)
    assert sorted(await world.sql(SEEN)) == sorted(changed)


async def pay(stage: Stage) -> None:
    _, order_id = await stage.held(stage.world.package())
    await stage.few(stage.package, 1)
    assert await stage.scenario.pay(order_id) == "PAID"


async def activate(stage: Stage) -> None:
    codes = await stage.partner.codes(1)
    await stage.few(stage.theirs, 1)
    await stage.partner.activate(
        codes[0], payment=payment(amount_minor=50_000, currency_code="CNY")
    )


async def try_in_the_sandbox(stage: Stage) -> None:
    """Its stock is of nobody's channel."""
    await stage.few(stage.theirs, 1)
    await stage.few(stage.package, 1)
    await stage.sandbox.reserve(1)
    ((stock,),) = await stage.world.sql("SELECT stock_id FROM seen_changes")
    assert stock == stage.theirs + SANDBOX_BIT


async def sell_far_from_the_level(stage: Stage) -> None:
    await stage.few(stage.package, 100)
    await stage.held(stage.world.package())


@pytest.mark.parametrize(
    "way",
    [pay, activate, try_in_the_sandbox, sell_far_from_the_level],
    ids=lambda way: way.__name__,
)
async def test_what_stops_no_sale_leaves_no_notice(
    stage: Stage, world: World, way: Callable[[Stage], Awaitable[None]]
) -> None:
    await way(stage)
    assert await world.sql(SEEN) == []
    assert await world.sql(EXPECTED) == []
