"""Paid orders, and money that comes back, without WeChat: what it would say the test says.

`OrderScenario` pays orders as a notice would, and does refunds with `FakeWechat`, whose answers are
the test's.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from deeptravel.ticketing.v1 import order_pb2, refund_pb2, ticket_pb2
from deeptravel.tickets.v1 import ticket_pb2 as tickets_pb2
from sqlalchemy import text

from server.api import convert
from server.orders import orders
from server.orders import tasks as order_tasks
from server.orders.passengers import PassengerSeals
from server.orders.reader import OrderReader
from server.payments import payments, refund_outcomes
from server.payments.refund_news import RefundNews
from server.payments.settlement import Settlement
from server.payments.tasks import refund_kinds
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.task_worker import TaskWorker
from server.wechat.codec import BankAccount, Transaction, WechatRefund
from tests.support.rpc_server import SECRET_KEY
from tests.support.traveller import TravellerClient, request_id

APP_ID, MERCHANT_ID = "wx8888888888888888", "1900000001"
TICKET_STATE = convert.enum_names(tickets_pb2.TicketState)
REFUND_STATE = convert.enum_names(refund_pb2.RefundState)


@dataclass
class FakeWechat:
    """Answers refunds with `states` by number, else with `state`; each refund is one, however
    often it is asked for.
    """

    state: str = "SUCCESS"
    states: dict[str, str] = field(default_factory=dict)
    fault: Exception | None = None
    known: dict[str, WechatRefund] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    queried: list[str] = field(default_factory=list)
    sent: list[tuple[str, BankAccount | None]] = field(default_factory=list)
    take_time: datetime | None = field(default_factory=lambda: datetime.now(UTC))

    async def refund(
        self,
        *,
        out_trade_no: str,
        out_refund_no: str,
        refund_minor: int,
        total_minor: int,
        currency_code: str,
        reason: str,
    ) -> WechatRefund:
        self.asked.append(out_refund_no)
        if self.fault:
            raise self.fault
        outcome = WechatRefund(
            out_refund_no=out_refund_no,
            refund_id=f"5{len(self.known)}",
            out_trade_no=out_trade_no,
            transaction_id=f"T-{out_trade_no}",
            state="PROCESSING",
            merchant_id="",
            refund_minor=refund_minor,
            total_minor=total_minor,
            currency_code=currency_code,
            success_time=None,
            received_account="",
            create_time=self.take_time,
        )
        assert self.known.setdefault(out_refund_no, outcome).refund_minor == refund_minor
        return self.outcome(out_refund_no)

    async def abnormal_refund(
        self, refund_id: str, *, out_refund_no: str, account: BankAccount | None
    ) -> WechatRefund:
        """Takes the refund on again, to another account."""
        assert self.known[out_refund_no].refund_id == refund_id
        self.sent.append((out_refund_no, account))
        if self.fault:
            raise self.fault
        self.states[out_refund_no] = "PROCESSING"
        return self.outcome(out_refund_no)

    async def query_refund(self, out_refund_no: str) -> WechatRefund | None:
        self.queried.append(out_refund_no)
        if self.fault:
            raise self.fault
        return self.outcome(out_refund_no) if out_refund_no in self.known else None

    def outcome(self, out_refund_no: str, state: str = "") -> WechatRefund:
        """What WeChat says of a refund it knows."""
        fields = {name: getattr(self.known[out_refund_no], name) for name in WechatRefund.__slots__}
        said = state or self.states.get(out_refund_no, self.state)
        return WechatRefund(**fields | {"state": said})

    def given_back(self, out_trade_no: str) -> int:
        """What has been given back of a payment."""
        return sum(
            refund.refund_minor
            for number, refund in self.known.items()
            if refund.out_trade_no == out_trade_no and self.outcome(number).state == "SUCCESS"
        )


@dataclass
class OrderScenario:
    """Where orders are paid."""

    db: Database
    wechat: FakeWechat
    settlement: Settlement
    seals: PassengerSeals
    now: datetime | None = None

    def again(self) -> "OrderScenario":
        """The same with a WeChat that knows of nothing, and with the time of the machine."""
        return replace(self, wechat=FakeWechat(), now=None)

    def clock(self) -> datetime:
        """The time, or the test's own."""
        return self.now or datetime.now(UTC)

    async def bill(self, order_code: str) -> Transaction:
        """A payment of an order that is asked for, and what WeChat says when it is paid."""
        order_id = orders.order_number(order_code)
        assert order_id is not None
        async with self.db.transaction() as tx:
            order = await orders.lock_order(tx, order_id)
            assert order is not None
            latest = await payments.latest(tx, order_id)
            payment = await payments.create(
                tx,
                order_id,
                latest.attempt + 1 if latest else 1,
                amount_minor=order.amount_minor - order.credit_minor,
                currency_code=order.currency_code,
                openid="openid-1",
                expire_time=order.hold_expire_time,
                now=self.clock(),
            )
        return Transaction(
            out_trade_no=payment.out_trade_no,
            transaction_id=f"T-{payment.out_trade_no}",
            state="SUCCESS",
            state_description="",
            app_id=APP_ID,
            merchant_id=MERCHANT_ID,
            openid=payment.openid,
            total_minor=payment.amount_minor,
            currency_code=payment.currency_code,
            success_time=self.clock(),
            bank_type="",
            attach="",
        )

    async def take_in(self, transaction: Transaction) -> str:
        """A notice of payment is handled."""

        async def work(tx: Any) -> str:
            return await self.settlement.payment_succeeded(tx, transaction, now=self.clock())

        return await self.db.in_transaction(work)

    async def pay(self, order_code: str) -> str:
        """Pays an order."""
        return await self.take_in(await self.bill(order_code))

    async def sell(
        self, client: TravellerClient, *offer_ids: str, **fields: Any
    ) -> order_pb2.Order:
        """An order that is paid."""
        order = await client.order(*offer_ids, **fields)
        assert await self.pay(order.order_id) == "PAID"
        return await client.get(order.order_id)

    async def drain(self) -> int:
        """Runs the due tasks of refunds and of orders that are to be completed."""
        wechat: Any = self.wechat
        of_orders = order_tasks.kinds(self.db)
        kinds = refund_kinds(self.db, wechat, RefundNews(self.db)) | of_orders
        return await TaskWorker(self.db, kinds, clock=self.clock).drain()

    def forward(self, **by: float) -> None:
        """Sets the clock forward."""
        self.now = self.clock() + timedelta(**by)

    async def notice(self, out_refund_no: str, state: str) -> str | None:
        """A notice of a refund is handled."""

        async def work(tx: Any) -> str | None:
            outcome = replace(self.wechat.outcome(out_refund_no, state), create_time=None)
            return await refund_outcomes.settle_part(
                tx, out_refund_no, outcome, now=self.clock(), is_notice=True
            )

        return await self.db.in_transaction(work)


@asynccontextmanager
async def a_scenario(database_url: str, **given: Any) -> AsyncIterator[OrderScenario]:
    """A scenario over a database, with these settings."""
    settings = load_settings(**given)
    db = Database(settings, database_url)
    seals = PassengerSeals(SECRET_KEY)
    reader = OrderReader(seals)
    settlement = Settlement(db, reader, zone=settings.zone, app_id=APP_ID, merchant_id=MERCHANT_ID)
    try:
        yield OrderScenario(db, FakeWechat(), settlement, seals)
    finally:
        await db.close()


# What a traveller does


async def tickets(client: TravellerClient, **wanted: Any) -> list[ticket_pb2.TravellerTicket]:
    """All the traveller's tickets, or some."""
    request = ticket_pb2.ListTicketsRequest(**wanted)
    return list((await client.stub.ListTickets(request, metadata=client.metadata)).tickets)


async def states(client: TravellerClient, order_code: str) -> list[str]:
    """The states of an order's tickets."""
    return [TICKET_STATE[each.status] for each in await tickets(client, order_id=order_code)]


async def quote(
    client: TravellerClient, order_code: str, *codes: str
) -> refund_pb2.QuoteRefundResponse:
    """QuoteRefund."""
    request = refund_pb2.QuoteRefundRequest(order_id=order_code, ticket_codes=codes)
    return await client.stub.QuoteRefund(request, metadata=client.metadata)


async def request_refund(
    client: TravellerClient, order_code: str, refund_quote: str, **fields: Any
) -> refund_pb2.Refund:
    """RequestRefund."""
    values = {"request_id": request_id()} | fields
    request = refund_pb2.RequestRefundRequest(
        order_id=order_code, refund_quote=refund_quote, **values
    )
    return (await client.stub.RequestRefund(request, metadata=client.metadata)).refund


async def give_back(client: TravellerClient, order_code: str, *codes: str) -> refund_pb2.Refund:
    """A refund that was quoted and requested."""
    quoted = await quote(client, order_code, *codes)
    return await request_refund(client, order_code, quoted.refund_quote)


async def quote_change(
    client: TravellerClient, ticket_code: str, offer_id: str
) -> refund_pb2.QuoteChangeResponse:
    """QuoteChange."""
    request = refund_pb2.QuoteChangeRequest(ticket_code=ticket_code, offer_id=offer_id)
    return await client.stub.QuoteChange(request, metadata=client.metadata)


async def change(
    client: TravellerClient, ticket_code: str, change_quote: str, **fields: Any
) -> refund_pb2.ChangeTicketResponse:
    """ChangeTicket."""
    values = {"request_id": request_id()} | fields
    request = refund_pb2.ChangeTicketRequest(
        ticket_code=ticket_code, change_quote=change_quote, **values
    )
    return await client.stub.ChangeTicket(request, metadata=client.metadata)


async def swap(
    client: TravellerClient, ticket_code: str, offer_id: str
) -> refund_pb2.ChangeTicketResponse:
    """A change that was quoted and made, or begun."""
    quoted = await quote_change(client, ticket_code, offer_id)
    return await change(client, ticket_code, quoted.change_quote)


async def outstanding(scenario: OrderScenario) -> int:
    """Tasks of refunds that are open."""
    async with scenario.db.transaction() as tx:
        query = "SELECT count(*) FROM outbox_tasks WHERE state = 'OPEN' AND kind LIKE 'refund.%'"
        return int(await tx.scalar(text(query)) or 0)
