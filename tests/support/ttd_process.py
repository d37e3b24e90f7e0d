"""A process of ours that Ctrip's attractions channel calls, and gates beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from server.channels.call_log import CallJournal
from server.channels.channel_records import NewChannel, connect_channel
from server.channels.due import WORK_OUT
from server.channels.listings import ChannelListing, add_listing
from server.channels.ttd_notices import USED, TtdNotices, jobs
from server.channels.ttd_orders import TtdOrders
from server.channels.ttd_rows import TtdSeals
from server.channels.ttd_service import TtdService
from server.identity.callers import Operator, Traveller
from server.orders import qr_codes, travel_tickets
from server.platform import clock
from server.platform.change_feed import ChangeFeed
from server.platform.database import Database
from server.platform.driver_errors import LockedError
from server.platform.loops import Loops
from server.platform.outbox import Postpone, outbox_tasks
from server.redemption.redeem import Redeemer, ScanItem
from server.tickets import keys
from server.tickets.issuing import Issuer
from server.tickets.key_rings import KeyRings
from server.tickets.rotating_keys import RotatingKeys
from tests.support import timetable
from tests.support.booking_process import BookingProcess
from tests.support.channel_process import DAYS
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import LOCATION
from tests.support.rpc_server import SECRET_KEY

CODE = "CTRIP-TTD"
PRICE = 300
OPERATOR = Operator(
    role="OPERATOR",
    login_id=uuid4(),
    username="sam",
    merchant_code="M",
    venue_code="V",
    terminal_device_id="T-1",
    venue_time_zone="Asia/Hong_Kong",
    function_codes=frozenset({"ferry"}),
    reversal_window_seconds=300,
)

Said = tuple[str, dict[str, Any]]


def item(quantity: int = 2, day: date | None = None, **fields: Any) -> dict[str, Any]:
    """The package, so many for a day: tomorrow if none is given."""
    used = (day or timetable.tomorrow()).isoformat()
    said = {"PLU": "P", "useStartDate": used, "useEndDate": used, "quantity": quantity}
    return {**said, "cost": PRICE, "costCurrency": "HKD", **fields}


class TtdProcess(BookingProcess):
    """Calls are answered here without HTTP; a test runs the tasks itself."""

    def __init__(
        self, db: Database, redis_url: str, vendors: SimulatedChannels, secret_key: bytes
    ) -> None:
        super().__init__(db, redis_url, vendors, secret_key)
        self.ttd = vendors.simulator.ttd
        rings = KeyRings(ChangeFeed(db), db, secret_key)
        self.issuer = Issuer(rings, db, timetable.ZONE)
        self.redeemer = Redeemer(
            db,
            rings,
            rotating_keys=RotatingKeys(secret_key),
            batch=8,
            workers=1,
            token_cache=0,
        )
        seals = TtdSeals(secret_key)
        ttd_orders = TtdOrders.of(
            *(db, seals, self.order_holds, self.settlement, self.issuer),
            *(self.changes, self.refunds),
        )
        self.notices = TtdNotices(db, self.clients, seals, ttd_orders)
        self.journal = CallJournal(db, Loops())
        self.service = TtdService(self.clients, ttd_orders, self.notices, self.journal)

    def kinds(self) -> dict[str, Any]:
        return {**super().kinds(), **self.notices.kinds()}

    async def open_door(self) -> None:
        """A channel where the package is listed, and a QR key."""
        now = clock.now()
        await self.db.in_transaction(lambda tx: keys.create_first_key(tx, SECRET_KEY, now))
        new = NewChannel(
            channel_code=CODE,
            vendor_code="ctrip_ttd",
            partner_code="",
            base_url=f"{self.vendors.simulator.url}/ttd/api",
            currency_code="HKD",
            calls_per_minute=10_000,
        )
        await self.change(connect_channel, self.clients.seals, new, dict(self.ttd.keys))
        listing = ChannelListing(
            CODE, "P", LOCATION, "HKD", timetable.PACKAGE, threshold=2, days_ahead=DAYS
        )
        await self.change(add_listing, listing)

    async def call(self, service: str, content: dict[str, Any], **header: str) -> Said:
        """Code and content of the answer to a call of Ctrip's."""
        raw = await self.service.answer(CODE, self.ttd.signed(service, content, **header))
        code, said = self.ttd.opened(raw)
        return code, said or {}

    async def create(self, ota_order_id: str, *items: dict[str, Any], **more: Any) -> Said:
        order = {**self.ttd.an_order(ota_order_id, *(items or (item(),))), **more}
        return await self.call("CreatePreOrder", order)

    def payment(self, ota_order_id: str, *item_ids: str, **more: Any) -> dict[str, Any]:
        """What PayPreOrder says."""
        items = [{"PLU": "P", "itemId": each} for each in item_ids or ("I-1",)]
        said = {"sequenceId": self.ttd.sequence(), "otaOrderId": ota_order_id, "confirmType": 1}
        return {**said, "items": items, **more}

    async def pay(self, ota_order_id: str, *item_ids: str, **more: Any) -> Said:
        return await self.call("PayPreOrder", self.payment(ota_order_id, *item_ids, **more))

    async def sold(self, ota_order_id: str, *items: dict[str, Any]) -> None:
        """A paid order."""
        ids = [f"I-{each + 1}" for each in range(len(items) or 1)]
        assert (await self.create(ota_order_id, *items))[0] == "0000"
        assert (await self.pay(ota_order_id, *ids))[0] == "0000"

    def cancellation(self, ota_order_id: str, quantity: int, **more: Any) -> dict[str, Any]:
        """What CancelOrder says of so many of the first item."""
        said = {"sequenceId": self.ttd.sequence(), "otaOrderId": ota_order_id, "confirmType": 1}
        row = {"itemId": "I-1", "PLU": "P", "cancelType": 1, "quantity": quantity, **more}
        return {**said, "items": [row]}

    async def cancel_part(self, ota_order_id: str, quantity: int, **more: Any) -> str:
        said = self.cancellation(ota_order_id, quantity, **more)
        return (await self.call("CancelOrder", said))[0]

    def edition(self, ota_order_id: str, day: date, other: date, **more: Any) -> dict[str, Any]:
        """What EditOrder says of the first item, or of that with an `item_id`, for another day."""
        said = {"sequenceId": self.ttd.sequence(), "otaOrderId": ota_order_id, "confirmType": 1}
        row = {"itemId": more.pop("item_id", "I-1"), "PLU": "P"}
        for name, each in (("origin", day), ("target", other)):
            row |= dict.fromkeys((f"{name}UseStartDate", f"{name}UseEndDate"), each.isoformat())
        return {**said, "items": [row], **more}

    async def edit(self, ota_order_id: str, day: date, other: date, item_id: str = "I-1") -> str:
        said = self.edition(ota_order_id, day, other, item_id=item_id)
        return (await self.call("EditOrder", said))[0]

    async def cancel_held(self, ota_order_id: str) -> str:
        said = {"sequenceId": self.ttd.sequence(), "otaOrderId": ota_order_id}
        return (await self.call("CancelPreOrder", said))[0]

    async def standing(self, ota_order_id: str) -> list[tuple[int, int, int, int]]:
        """Status, quantity, used and cancelled of each item, as QueryOrder has it."""
        said = {"sequenceId": self.ttd.sequence(), "otaOrderId": ota_order_id}
        code, content = await self.call("QueryOrder", said)
        assert code == "0000"
        fields = ("orderStatus", "quantity", "useQuantity", "cancelQuantity")
        return [tuple(each[name] for name in fields) for each in content["items"]]

    async def tickets(self, ota_order_id: str) -> list[travel_tickets.TravelTicket]:
        order_id = await self.count(
            f"SELECT order_id FROM ttd_orders WHERE ota_order_id = '{ota_order_id}'"
        )
        async with self.db.transaction() as tx:
            found = await travel_tickets.of_family(tx, order_id)
        return [each for each in found if each.state != "CHANGED"]

    async def redeem(self, ticket: travel_tickets.TravelTicket) -> bool:
        """Whether a gate admits a ticket."""
        async with self.db.transaction() as tx:
            claims = await qr_codes.traveller_ticket(
                *(tx, Traveller(ticket.order.traveller_id), ticket.ticket_code),
                rotate=False,
                now=clock.now(),
            )
        (token,) = await self.issuer.issue([claims])
        while True:
            try:
                (answer,) = await self.redeemer.submit(
                    OPERATOR, [ScanItem(token, "ferry", 1)], request_id="", session_code=""
                )
            except LockedError:
                continue
            return answer.result == "SUCCESS"

    async def note_uses(self) -> list[str]:
        """Looks for uses as the clock has it; the keys that are to be notified of."""
        (job,) = jobs(timetable.ZONE)
        work: Any = job.work
        await self.db.in_transaction(lambda tx: work(tx, clock.now()))
        return await self.asked(USED)

    async def run_kept(self, kind: str, key: str) -> Postpone | None:
        """Does a task with the payload that it was last enqueued with."""
        query = select(outbox_tasks.c.payload).where(
            outbox_tasks.c.kind == kind, outbox_tasks.c.key == key
        )
        async with self.db.transaction() as tx:
            payload = await tx.scalar(query)
        assert payload is not None, "nobody has asked for it"
        return await self.run_with(kind, key, payload)

    async def push_all(self) -> None:
        await self.run(WORK_OUT, CODE)
        assert not any(await self.push(CODE))


@asynccontextmanager
async def ttd_process(
    db: Database, redis_url: str, vendors: SimulatedChannels
) -> AsyncIterator[TtdProcess]:
    """With a channel that is open."""
    made = TtdProcess(db, redis_url, vendors, SECRET_KEY)
    await made.open_door()
    try:
        yield made
    finally:
        await made.close()
