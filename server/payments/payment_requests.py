"""Paying an order: the payment asked for at WeChat, looked at while it waits, closed when it is not
to be made any more.

WeChat is asked outside of transactions, always under the number of the payment, which was stored
before: whatever is lost on the way, a process included, is asked for again under the same number,
or found by a query.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.trail import audit
from server.catalog.departures import departure_cancelled
from server.identity import sign_ins, travellers
from server.identity.callers import Traveller
from server.identity.sign_ins import RefusedSignIns
from server.orders import ordered_departures, orders
from server.orders.orders import Order, OwnCode
from server.payments import payments
from server.payments.payments import CLOSE_PAYMENT, Payment
from server.payments.rules import next_query
from server.payments.settlement import Settlement
from server.platform import outbox
from server.platform.database import Database
from server.platform.driver_errors import LostRaceError
from server.platform.errors import DomainError, Reason, not_found
from server.platform.faults import fault_text
from server.platform.reading import ReadBatcher, Readers
from server.platform.statements import Transaction, run, run_together
from server.wechat.client import WechatClient
from server.wechat.codec import PaySign, WechatError

QUERY_PAYMENT = "payment.query"
"""Kind of outbox task: WeChat is asked whether a payment was made, in case its notice is lost;
its key is the out_trade_no.
"""
ASK_AGAIN = timedelta(seconds=3)
"""Travellers who look at a payment that waits make us ask WeChat so often at the most."""
ASK_SECONDS = 3.0
"""So long they wait for WeChat; then they see what we know."""
PREPAY_LIFE = timedelta(minutes=110)
"""A prepay_id is good for two hours."""
DESCRIPTION = "DeepTravel 深旅 {}"
"""What the traveller reads in WeChat, with the order's number."""
UNPAYABLE = ("CLOSED", "REVOKED")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Paying:
    """An order and its latest payment, none if there was nothing to pay; `pay_sign` while it
    waits to be paid.
    """

    order: Order
    payment: Payment | None
    pay_sign: PaySign | None = None


class PaymentHandler:
    """Takes travellers' payments; `client` is None where no merchant is set."""

    def __init__(
        self,
        db: Database,
        readers: Readers,
        settlement: Settlement,
        client: WechatClient | None,
    ) -> None:
        self._db = db
        self._reads = ReadBatcher(readers, _read_all, kind="payments")
        self._settlement = settlement
        self._client = client
        self._refused = RefusedSignIns()

    async def log_in(self, code: str, *, now: datetime) -> Traveller:
        """Whom the mini-program's code is of. Raises LOGIN_FAILED, REVOKED,
        PAYMENT_PROVIDER_UNAVAILABLE, PAYMENTS_NOT_CONFIGURED.
        """
        client = self._wechat()

        async def let_in(tx: AsyncConnection) -> Traveller:
            traveller = await travellers.log_in(
                tx,
                app_id=client.app_id,
                openid=session.openid,
                unionid=session.unionid or None,
                now=now,
            )
            await run(tx, audit(sign_ins.traveller_accepted(traveller), now=now))
            return traveller

        try:
            session = await client.code_to_session(code)
            return await self._db.in_transaction(let_in)
        except DomainError as refusal:
            if refusal.reason in (Reason.LOGIN_FAILED, Reason.REVOKED):
                await self._note_refused(refusal, now)
            raise

    async def _note_refused(self, refusal: DomainError, now: datetime) -> None:
        """Writes a refused log-in into the audit trail, unless there are too many."""
        detail = "blocked" if refusal.reason is Reason.REVOKED else "WeChat refuses the code"
        refused = sign_ins.traveller_refused(refusal.metadata.get("name"), detail, self._refused)
        if refused:
            await self._db.in_transaction(lambda tx: run(tx, audit(refused, now=now)))

    async def pay(self, traveller: Traveller, order_code: str, *, now: datetime) -> Paying:
        """Asks WeChat for the payment of the traveller's held order; a repeat leads to the same
        payment.

        With nothing to pay the order is settled at once. Raises NOT_FOUND, DEPARTURE_CANCELLED,
        ORDER_STATE_REFUSES, PAYMENT_REFUSED, PAYMENT_PROVIDER_UNAVAILABLE, PAYMENTS_NOT_CONFIGURED.
        """
        paying = await self._db.in_transaction(
            lambda tx: self._begin(tx, traveller, order_code, now=now)
        )
        payment = paying.payment
        if payment is None or payment.state != "PENDING":
            return paying
        prepay_id = payment.prepay_id
        if not prepay_id or now >= payment.create_time + PREPAY_LIFE:
            prepay_id = await self._prepay(paying.order, payment, now=now)
            paying = await self._keep(traveller, payment, prepay_id, now=now)
            if paying.order.state != "PENDING":
                return paying
        sign = self._wechat().pay_sign(prepay_id, now)
        return Paying(paying.order, paying.payment, sign)

    async def show(self, traveller_id: int, order_code: str, *, now: datetime) -> Paying:
        """The latest payment of the traveller's order; WeChat is asked about one that waits.
        Raises NOT_FOUND.
        """
        named = OwnCode(traveller_id, order_code)
        paying = await self._reads.submit(named)
        payment, untouched_since = paying.payment, now - ASK_AGAIN
        if self._client is None or payment is None or payment.state != "PENDING":
            return paying
        if payment.update_time > untouched_since:
            return paying
        async with self._db.transaction() as tx:
            asks = await payments.claim_query(tx, payment, untouched_since=untouched_since, now=now)
        if not asks:  # somebody else does
            return paying
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await self.look_up(payment.out_trade_no, now=now)
        except (DomainError, WechatError, TimeoutError) as error:  # what we know is an answer too
            log.warning("payment.not_asked", number=payment.out_trade_no, cause=fault_text(error))
        return await self._reads.submit(named)

    async def _begin(
        self, tx: AsyncConnection, traveller: Traveller, order_code: str, *, now: datetime
    ) -> Paying:
        """Stores the payment before WeChat hears of it, if there is none that waits."""
        order = await orders.find(tx, traveller.traveller_id, order_code, lock=True)
        payment = await payments.latest(tx, order.order_id)
        if order.state in ("PAID", "COMPLETED"):
            return Paying(order, payment and await payments.succeeded(tx, order.order_id))
        gone = ordered_departures.cancelled(await ordered_departures.of_order(tx, order.order_id))
        if gone and (order.state == "PENDING" or order.cancel_reason == "DEPARTURE_CANCELLED"):
            raise departure_cancelled(gone, "nothing is paid for it; make a new order")
        if order.state != "PENDING" or now >= order.hold_expire_time:
            raise orders.state_refuses(order, "only what is held is paid; make a new order")
        if order.amount_minor == order.credit_minor:
            await self._settlement.settle_order(
                tx, order, pay_time=now, now=now, actor=traveller.key
            )
            return await _read(tx, traveller.traveller_id, order_code)
        self._wechat()
        if payment and payment.state == "PENDING":
            return Paying(order, payment)
        payer = await travellers.payer(tx, traveller.traveller_id)
        payment = await payments.create(
            tx,
            order.order_id,
            payment.attempt + 1 if payment else 1,
            amount_minor=order.amount_minor - order.credit_minor,
            currency_code=order.currency_code,
            openid=payer.openid,
            expire_time=order.hold_expire_time,
            now=now,
        )
        due = next_query(now, payment.expire_time, now) or now
        await run(
            tx,
            outbox.enqueue(outbox.NewTask(QUERY_PAYMENT, payment.out_trade_no, {}, due), now=now),
        )
        return Paying(order, payment)

    async def _prepay(self, order: Order, payment: Payment, *, now: datetime) -> str:
        try:
            return await self._wechat().prepay(
                out_trade_no=payment.out_trade_no,
                description=DESCRIPTION.format(order.order_code),
                amount_minor=payment.amount_minor,
                currency_code=payment.currency_code,
                openid=payment.openid,
                expire_time=payment.expire_time,
            )
        except WechatError as error:
            log.warning("payment.refused", number=payment.out_trade_no, cause=str(error))
            # paid, or closed at WeChat: whatever it is, the next look at it shall say so
            async with self._db.transaction() as tx:
                await run(
                    tx,
                    outbox.enqueue(
                        outbox.NewTask(QUERY_PAYMENT, payment.out_trade_no, {}, now), now=now
                    ),
                )
            raise DomainError(
                Reason.PAYMENT_REFUSED,
                f"WeChat refuses the payment of order {order.order_code} with {error.code}; look"
                " at it with GetPayment",
                order_id=order.order_code,
                code=error.code,
            ) from error

    async def _keep(
        self, traveller: Traveller, payment: Payment, prepay_id: str, *, now: datetime
    ) -> Paying:
        """Stores WeChat's answer; an order that was cancelled meanwhile, or whose hold is over,
        is closed once more.
        """

        async def keep(tx: AsyncConnection) -> Paying:
            stored = await payments.store_prepay(tx, payment, prepay_id, now=now)
            order_code = orders.order_code(payment.order_id)
            paying = await _read(tx, traveller.traveller_id, order_code)
            if not stored:
                number = payment.out_trade_no
                await run(
                    tx, outbox.enqueue(outbox.NewTask(CLOSE_PAYMENT, number, {}, now), now=now)
                )
            return paying

        paying = await self._db.in_transaction(keep)
        if paying.order.state == "CANCELLED":
            raise orders.state_refuses(paying.order, "it was cancelled meanwhile; make a new order")
        if paying.payment and paying.payment.state == "CLOSED":
            raise LostRaceError
        return paying

    async def look_up(
        self,
        out_trade_no: str,
        *,
        now: datetime,
        done: Callable[[AsyncConnection], Awaitable[None]] | None = None,
        closes: bool = False,
    ) -> bool:
        """Asks WeChat what became of a payment, and takes it in; whether that ends it. `done` ends
        the task, if it does.

        With `closes` one that does not fit, and so needs manual resolution, is closed with us.
        """
        transaction = await self._wechat().query(out_trade_no)
        if transaction is None or not (transaction.is_paid or transaction.state in UNPAYABLE):
            return False

        async def take_in(tx: AsyncConnection) -> None:
            ended = not transaction.is_paid
            if transaction.is_paid:
                outcome = await self._settlement.payment_succeeded(tx, transaction, now=now)
                ended = closes and outcome == "MISFIT"
            if ended:
                await payments.close(tx, out_trade_no, now=now)
            if done:
                await done(tx)

        await self._db.in_transaction(take_in)
        return True

    def _wechat(self) -> WechatClient:
        return configured(self._client)


def configured(client: WechatClient | None) -> WechatClient:
    """The client. Raises PAYMENTS_NOT_CONFIGURED if there is none."""
    if client is None:
        raise DomainError(
            Reason.PAYMENTS_NOT_CONFIGURED,
            "the server has no WeChat Pay merchant; its settings begin with DEEPTRAVEL_WECHAT_",
        )
    return client


async def _read(tx: AsyncConnection, traveller_id: int, order_code: str) -> Paying:
    (paying,) = await _read_all(tx, [OwnCode(traveller_id, order_code)])
    if isinstance(paying, DomainError):
        raise paying
    return paying


async def _read_all(tx: Transaction, named: Sequence[OwnCode]) -> list[Paying | DomainError]:
    ids = orders.numbers(named)
    found, latest = await run_together(tx, orders.by_number(ids), payments.latest_of(ids))
    by_order = {payment.order_id: payment for payment in latest}
    return [
        _paying(order, by_order.get(order.order_id), each.code)
        if order
        else not_found("order", each.code)
        for order, each in zip(orders.own(found, named), named, strict=True)
    ]


def _paying(order: Order, payment: Payment | None, code: str) -> Paying | DomainError:
    if payment is None and order.pay_time is None:
        return not_found("payment", code)
    return Paying(order, payment)
