"""Travellers who play out the loop, each with a family of orders and what it may be; the server and WeChat fail meanwhile."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import grpc
import pytest
from deeptravel.admin.v1 import refund_pb2 as admin_refund_pb2
from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from deeptravel.ticketing.v1 import order_pb2, payment_pb2, refund_pb2, ticket_pb2

from server.errors import Reason
from tests.support import gate
from tests.support import traveller_model as model
from tests.support.invariants import assert_invariants
from tests.support.rpc_server import DETAILS, read_refusal, refusal_or_none
from tests.support.server_process import ServerProcess
from tests.support.traveller import (
    CANCEL_REASON,
    FARE_MINOR,
    FIRST,
    ORDER_STATE,
    SECOND,
    Desk,
    World,
    party,
)
from tests.support.traveller_model import Family, Now, Order, Step
from tests.support.wechat import WechatSimulator
from tools.wechat_simulator.protocol import RefusedError

STEPS = 14
"""Of one family."""
REST_SECONDS = 60
SCARCE, AMPLE = 1, (2, 3, 4)
"""Departures: of the first there are few seats."""
CLASSES = {FIRST: FARE_MINOR["FIRST"], SECOND: FARE_MINOR["SECOND"]}
TERMS = model.Terms(refund_fee=500, change_fee=1000, changes_allowed=1)
"""Those of tests.support.traveller.POLICY, so long before the departure."""
LOST = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
}
"""Without a word from the server: the call may have been done or not."""
AGAIN = {
    Reason.CONFLICT,
    Reason.DATABASE_UNAVAILABLE,
    Reason.SHUTTING_DOWN,
    Reason.PAYMENT_PROVIDER_UNAVAILABLE,
}
TRAVELLER = """
INSERT INTO travellers (traveller_id, app_id, openid, state, create_time, update_time, last_login_time)
VALUES (%s, %s, %s, 'ACTIVE', now(), now(), now())
"""
# What a dead process had taken is free, and what is to be done later is to be done now
LEASES_END = "UPDATE outbox_tasks SET lease_until = now() WHERE lease_until IS NOT NULL"
TIME_PASSES = (
    "UPDATE outbox_tasks SET due_time = now() WHERE state = 'OPEN' AND lease_until IS NULL"
)
AT_REST = """
SELECT NOT EXISTS (SELECT FROM orders WHERE state = 'PENDING')
  AND NOT EXISTS (SELECT FROM refunds WHERE state IN ('PROCESSING', 'ABNORMAL'))
  AND NOT EXISTS (SELECT FROM payments WHERE state = 'PENDING')
  AND NOT EXISTS (SELECT FROM outbox_tasks WHERE state = 'OPEN')
"""
STUCK = {
    "orders": "SELECT order_code, hold_expire_time FROM orders WHERE state = 'PENDING' LIMIT 5",
    "refunds": "SELECT order_id, refund_no, r.state, cause, p.state, p.out_refund_no FROM refunds r"
    " LEFT JOIN refund_parts p USING (order_id, refund_no) WHERE r.state IN ('PROCESSING', 'ABNORMAL') LIMIT 5",
    "payments": "SELECT p.*, o.state, o.cancel_reason FROM payments p JOIN orders o USING (order_id)"
    " WHERE p.state = 'PENDING' LIMIT 5",
    "tasks": "SELECT kind, key, state, attempts, lease_until, last_error FROM outbox_tasks WHERE state <> 'DONE' LIMIT 5",
    "incidents": "SELECT kind, order_id, facts FROM payment_incidents ORDER BY create_time DESC LIMIT 5",
}
SWITCHES: list[dict[str, Any]] = [
    {"lost_notices": True},
    {"notice_delay_seconds": 2.0},
    {"notice_copies": 4},
    {"hold_notices": True},
    {"forged_notices": True},
    {"probe_notices": True},
    {"sign_notices": "alternate"},
    {"notice_age_seconds": 900},
    {"refund_seconds": 1.5},
    {"lost_answers": {"prepay": 2, "refund": 2, "close": 1, "query": 1}},
    {"down": {"prepay": 2, "query": 2, "refund": 2, "close": 2}},
    {"limited": {"query": 1, "refund": 1}},
    {"forged_answers": {"query": 1, "prepay": 1}},
]
CLOSED_REFUNDS: dict[str, Any] = {"refund_outcome": "CLOSED"}
"""In some runs: in the others a ticket that is REFUNDING stays given back."""
NOTHING_WRONG: dict[str, Any] = {
    "lost_notices": False,
    "notice_delay_seconds": 0,
    "notice_copies": 1,
    "hold_notices": False,
    "forged_notices": False,
    "probe_notices": False,
    "sign_notices": "public_key",
    "notice_age_seconds": 0,
    "refund_seconds": 0,
    "refund_outcome": "SUCCESS",
    "lost_answers": {},
    "down": {},
    "limited": {},
    "forged_answers": {},
}


@dataclass
class Theatre:
    """The server, which is killed now and then, WeChat, and what is played there."""

    world: World
    wechat: WechatSimulator
    database_url: str
    prepare: Callable[[], ServerProcess]
    server: ServerProcess
    channel: grpc.aio.Channel
    terminal: gate.Terminal
    admin: tuple[tuple[str, str], ...]
    until: float
    seed: str
    refunds_close: bool
    families: "list[Played]" = field(default_factory=list)
    kills: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    async def kill_now_and_then(self, rng: random.Random) -> None:
        """The server dies and another takes its place."""
        while time.monotonic() < self.until:
            await asyncio.sleep(rng.uniform(3, 7))
            self.server.process.kill()
            await asyncio.to_thread(self.server.__exit__)
            self.kills += 1
            await self.world.sql(LEASES_END)
            # of whatever it was doing, nothing is half done
            await asyncio.to_thread(assert_invariants, self.database_url)
            self.server = self.prepare()
            await asyncio.to_thread(self.server.start)

    async def trouble_wechat(self, rng: random.Random) -> None:
        """Something goes wrong, then nothing, then something else, until everything has."""
        troubles = [*SWITCHES, CLOSED_REFUNDS] if self.refunds_close else list(SWITCHES)
        rng.shuffle(troubles)
        for trouble in itertools.cycle(troubles):
            await self.wechat.switch(**NOTHING_WRONG | trouble)
            await asyncio.sleep(rng.uniform(0.5, 2))
            await self.wechat.switch(**NOTHING_WRONG)
            await asyncio.sleep(rng.uniform(0, 1))
            if rng.random() < 0.3:
                await self.world.sql(TIME_PASSES)
            if time.monotonic() > self.until:
                break

    async def see_to_refunds(self, rng: random.Random) -> None:
        """What an administrator does about refunds that WeChat has closed: asks again, or leaves it at that."""
        abnormal = admin_refund_pb2.ListRefundsRequest(state=refund_pb2.REFUND_STATE_ABNORMAL)
        for refund in (await self.office("ListRefunds", abnormal)).refunds:
            named: Any = {"refund_id": refund.refund_id, "request_id": uuid4().hex}
            method = "RetryRefund"
            request: Any = admin_refund_pb2.RetryRefundRequest(**named)
            if refund.tickets and rng.random() < 0.5:
                closed = refund_pb2.REFUND_STATE_CLOSED
                method = "SettleRefund"
                request = admin_refund_pb2.SettleRefundRequest(state=closed, comment="no", **named)
            refused = await refusal_or_none(self.office(method, request))
            # it has settled since, or is being settled
            assert refused is None or refused.reason == Reason.REFUND_REFUSED

    def office(self, method: str, request: Any) -> Any:
        """A call of an administrator."""
        stub: Any = AdminServiceStub(self.channel)
        return getattr(stub, method)(request, metadata=self.admin, timeout=10)

    async def rest(self, rng: random.Random) -> None:
        """Waits until nothing happens any more by itself."""
        await self.wechat.switch(**NOTHING_WRONG)
        try:
            async with asyncio.timeout(REST_SECONDS):
                while not await self.world.value(AT_REST):
                    await self.world.sql(TIME_PASSES)
                    await self.see_to_refunds(rng)
                    await asyncio.sleep(0.3)
        except TimeoutError:
            stuck = {name: await self.world.sql(query) for name, query in STUCK.items()}
            pytest.fail(f"seed {self.seed}: it does not come to rest: {stuck}")
        dead = await self.world.sql(
            "SELECT kind, key, last_error FROM outbox_tasks WHERE state = 'DEAD'"
        )
        assert not dead, f"seed {self.seed}: {dead}"


@dataclass
class Placed:
    """An order of a family as the traveller knows it."""

    order_id: str
    ends: datetime
    ticket_codes: list[str] = field(default_factory=list)
    out_trade_no: str = ""


Seen = tuple[str, Step, object]
"""What was done, what it does to the model, and the answer."""
Act = Callable[[], Awaitable[list[Seen]]]


class ImpossibleError(AssertionError):
    """An answer that no model explains."""


@dataclass
class Played:
    """A family of orders: what it may be, and what was done to it."""

    theatre: Theatre
    desk: Desk
    rng: random.Random
    name: str
    known: frozenset[Family]
    orders: list[Placed]
    history: list[str] = field(default_factory=list)
    refunds: int = 0
    calls: int = 0

    @property
    def now(self) -> Now:
        moment = datetime.now(UTC)
        over = frozenset(n for n, order in enumerate(self.orders) if order.ends <= moment)
        return Now(over, self.theatre.refunds_close)

    def take_in(self, seen: Sequence[Seen]) -> None:
        """Removes from what is known what the answers contradict, whichever order the calls had."""
        now, found = self.now, frozenset[Family]()
        for order in (seen, seen[::-1])[: len(seen)]:
            families = self.known
            for _, step, answer in order:
                families = model.explain(families, step, answer, now)
            found |= families
        told = "; ".join(f"{name} -> {answer}" for name, _, answer in seen)
        self.history.append(f"{datetime.now(UTC):%M:%S.%f} {told} [{len(found)}]")
        self.theatre.answers.update(f"{name.split()[0]} {_brief(a)}" for name, _, a in seen)
        if not found:
            raise ImpossibleError(self.story())
        self.known = found

    def story(self) -> str:
        """What happened, and what it could have been before the last answer."""
        lines = [
            f"seed {self.theatre.seed}, {self.name}: no model gives the last answer",
            *self.history,
        ]
        lines += [f"  before: {family}" for family in list(self.known)[:6]]
        return "\n".join(lines)

    @property
    def is_over(self) -> bool:
        """Whether nothing can become of its orders any more, but for money that comes late."""
        states = {order.shown[0] for family in self.known for order in family.orders}
        return states <= {model.CANCELLED, model.COMPLETED}

    async def call(self, method: str, request: Any, *, give_up: bool = False) -> tuple[str, Any]:
        """OK or a reason, and the answer; the call is repeated until there is one."""
        until = time.monotonic() + REST_SECONDS
        while time.monotonic() < until:
            try:
                return "OK", await self.desk.call(method, request, timeout=10)
            except grpc.aio.AioRpcError as error:
                if DETAILS in dict(error.trailing_metadata() or ()):
                    reason = read_refusal(error).reason
                    if reason not in AGAIN or give_up:
                        return str(reason), None
                elif error.code() not in LOST:
                    raise
            await asyncio.sleep(0.1)
        raise ImpossibleError(f"{method} gets no answer; {self.story()}")

    def request_id(self) -> str:
        """One that was not used before."""
        self.calls += 1
        return f"{self.name}-{self.calls}"

    # What a traveller does

    async def look(self, position: int) -> list[Seen]:
        placed = self.orders[position]
        _, answer = await self.call("GetOrder", order_pb2.GetOrderRequest(order_id=placed.order_id))
        codes = [place.ticket_code for place in answer.order.items[0].places]
        placed.ticket_codes = [code for code in codes if code]
        state = ORDER_STATE[answer.order.state]
        reason = CANCEL_REASON.get(answer.order.cancel_reason, "")
        found = state, reason if state == model.CANCELLED else "", len(placed.ticket_codes)
        return [(f"look {position}", model.read_order(position), found)]

    async def look_at_tickets(self, position: int) -> list[Seen]:
        request = ticket_pb2.ListTicketsRequest(order_id=self.orders[position].order_id)
        _, answer = await self.call("ListTickets", request)
        states = tuple(gate.STATE[ticket.status] for ticket in answer.tickets)
        return [(f"tickets {position}", model.read_tickets(position), states)]

    async def cancel(self, position: int) -> list[Seen]:
        request = order_pb2.CancelOrderRequest(
            order_id=self.orders[position].order_id, request_id=self.request_id()
        )
        reason, _ = await self.call("CancelOrder", request)
        return [(f"cancel {position}", model.cancel(position), reason)]

    async def ask_payment(self, position: int) -> list[Seen]:
        placed = self.orders[position]
        request = payment_pb2.CreatePaymentRequest(
            order_id=placed.order_id, request_id=self.request_id()
        )
        reason, answer = await self.call("CreatePayment", request, give_up=True)
        if reason in ("PAYMENT_PROVIDER_UNAVAILABLE", "PAYMENT_REFUSED"):
            return []
        if answer:
            number = answer.payment.out_trade_no
            assert placed.out_trade_no in ("", number), self.story()
            placed.out_trade_no = number
            reason = "OK" if answer.HasField("pay_sign") else "PAID"
        return [(f"ask {position}", model.ask_payment(position, self.now), reason)]

    async def pay(self, position: int) -> list[Seen]:
        """On the phone, if WeChat has been asked."""
        placed = self.orders[position]
        if not placed.out_trade_no:
            return []
        try:
            self.theatre.wechat.pay(placed.out_trade_no)
        except RefusedError:
            return []
        return [(f"pay {position}", model.pay(position), "OK")]

    async def get_payment(self, position: int) -> list[Seen]:
        """WeChat is asked about it; what it tells is seen by what comes after."""
        request = payment_pb2.GetPaymentRequest(order_id=self.orders[position].order_id)
        await self.call("GetPayment", request, give_up=True)
        return []

    async def redeem(self, position: int, ticket: int) -> list[Seen]:
        placed = self.orders[position]
        ((number, jti),) = await self.theatre.world.sql(
            "UPDATE tickets SET valid_from_time = now() - interval '1 day' WHERE ticket_code = %s"
            " RETURNING ticket_id, jti",
            placed.ticket_codes[ticket],
        )
        qr = gate.World(self.theatre.world.pg, self.theatre.world.ring).seal(jti, number)
        request_id, answer = self.request_id(), None
        while answer is None:
            try:
                answer = await self.theatre.terminal.redeem(
                    qr, "boarding", request_id=request_id, deadline_seconds=10
                )
            except grpc.aio.AioRpcError as error:
                if error.code() not in LOST and read_refusal(error).reason not in AGAIN:
                    raise
                await asyncio.sleep(0.1)
        name = f"redeem {position}.{ticket}"
        return [(name, model.redeem(position, ticket), gate.verdict(answer))]

    async def quote_refund(self, position: int, tickets: Sequence[int]) -> tuple[list[Seen], str]:
        placed = self.orders[position]
        request = refund_pb2.QuoteRefundRequest(
            order_id=placed.order_id, ticket_codes=[placed.ticket_codes[n] for n in tickets]
        )
        reason, answer = await self.call("QuoteRefund", request)
        found = answer.amount_minor if answer else reason
        name = f"quote-refund {position}.{tickets}"
        seen: list[Seen] = [(name, model.quote_refund(position, tickets), found)]
        return seen, answer.refund_quote if answer else ""

    async def refund(self, position: int, tickets: Sequence[int], quote: str) -> list[Seen]:
        self.refunds += 1
        step = model.refund(position, tickets, self.refunds)
        request = refund_pb2.RequestRefundRequest(
            order_id=self.orders[position].order_id,
            refund_quote=quote,
            request_id=self.request_id(),
        )
        reason, _ = await self.call("RequestRefund", request)
        return [(f"refund {position}.{tickets}", step, reason)]

    async def quote_change(
        self, position: int, ticket: int, offer: tuple[int, int]
    ) -> tuple[list[Seen], str]:
        request = refund_pb2.QuoteChangeRequest(
            ticket_code=self.orders[position].ticket_codes[ticket],
            offer_id=self.theatre.world.seat(*offer),
        )
        reason, answer = await self.call("QuoteChange", request)
        found = (answer.pay_minor, answer.refund_minor) if answer else reason
        step = model.quote_change(position, ticket, CLASSES[offer[1]])
        seen: list[Seen] = [(f"quote-change {position}.{ticket} to {offer}", step, found)]
        return seen, answer.change_quote if answer else ""

    async def change(
        self, position: int, ticket: int, offer: tuple[int, int], quote: str
    ) -> list[Seen]:
        request = refund_pb2.ChangeTicketRequest(
            ticket_code=self.orders[position].ticket_codes[ticket],
            change_quote=quote,
            request_id=self.request_id(),
        )
        reason, answer = await self.call("ChangeTicket", request)
        found: object = reason
        if answer:
            order = answer.order
            found = "OK", ORDER_STATE[order.state]
            self.orders.append(Placed(order.order_id, order.lock_expire_time.ToDatetime(UTC)))
        scarce = offer[0] == SCARCE
        step = model.change(position, ticket, CLASSES[offer[1]], scarce=scarce)
        return [(f"change {position}.{ticket} to {offer}", step, found)]

    # What happens next

    async def step(self) -> None:
        """Something, or two things at once."""
        position = self.rng.randrange(len(self.orders))
        chosen = [await self.choose(position, "")]
        if self.rng.random() < 0.4:
            # of two changes at once the model would not know which order is which
            chosen.append(await self.choose(position, "change"))
        results = await asyncio.gather(*(act() for act in chosen if act))
        seen = [one for result in results for one in result]
        if seen:
            self.take_in(seen)

    async def choose(self, position: int, without: str) -> Act | None:
        """Something that may be done to an order; what needs a quote has got it."""
        placed, rng = self.orders[position], self.rng
        weights = {"look": 1.0, "tickets": 1.0, "wait": 1.0}
        if placed.ticket_codes:
            weights |= {"redeem": 1.5, "refund": 2, "change": 4, "wait": 0.5}
        elif not placed.out_trade_no:
            weights |= {"ask": 6, "cancel": 0.5}
        elif not self.is_paid(position):
            weights |= {"pay": 6, "get-payment": 1, "ask": 0.5, "cancel": 1}
        else:
            weights |= {"look": 4, "get-payment": 1, "ask": 0.5, "cancel": 0.5}
        weights.pop(without, None)
        (name,) = rng.choices(list(weights), list(weights.values()))
        if name in ("refund", "change"):
            ticket = rng.randrange(len(placed.ticket_codes))
            if name == "change":
                offer = rng.choice([SCARCE, *AMPLE]), rng.choice([FIRST, SECOND])
                return await self._change(position, ticket, offer)
            some = rng.choice([(ticket,), tuple(range(len(placed.ticket_codes)))])
            return await self._refund(position, some)
        if name == "redeem":
            ticket = rng.randrange(len(placed.ticket_codes))
            return lambda: self.redeem(position, ticket)
        acts: dict[str, Callable[[int], Awaitable[list[Seen]]]] = {
            "look": self.look,
            "tickets": self.look_at_tickets,
            "ask": self.ask_payment,
            "pay": self.pay,
            "get-payment": self.get_payment,
            "cancel": self.cancel,
            "wait": self.wait,
        }
        return lambda: acts[name](position)

    async def wait(self, _: int) -> list[Seen]:
        await asyncio.sleep(self.rng.uniform(0, 1.5))
        return []

    def is_paid(self, position: int) -> bool:
        """Whether WeChat has the money, which we may not know."""
        paid = self.theatre.wechat.simulator._store.order(self.orders[position].out_trade_no)
        return paid is not None and paid.state in ("SUCCESS", "REFUND")

    async def _refund(self, position: int, tickets: tuple[int, ...]) -> Act | None:
        seen, quote = await self.quote_refund(position, tickets)
        self.take_in(seen)
        return (lambda: self.refund(position, tickets, quote)) if quote else None

    async def _change(self, position: int, ticket: int, offer: tuple[int, int]) -> Act | None:
        seen, quote = await self.quote_change(position, ticket, offer)
        if seen[0][2] == str(Reason.OFFER_NOT_AVAILABLE):  # sold out, as it seems
            return None
        if seen[0][2] == str(Reason.CHANGE_REFUSED) and await self._is_its_own(
            position, ticket, offer
        ):
            return None
        self.take_in(seen)
        return (lambda: self.change(position, ticket, offer, quote)) if quote else None

    async def _is_its_own(self, position: int, ticket: int, offer: tuple[int, int]) -> bool:
        """Whether a ticket is for that offer already: then it cannot be changed to it."""
        ((content,),) = await self.theatre.world.sql(
            "SELECT content FROM orders WHERE order_code = %s", self.orders[position].order_id
        )
        return bool(content["items"][0]["offer_id"] == self.theatre.world.seat(*offer))

    # In the end

    async def end(self) -> None:
        """Everything has settled: nothing that was promised is still to come, and WeChat has what the model says."""
        for position in range(len(self.orders)):
            self.take_in(await self.look(position))
            self.take_in(await self.look_at_tickets(position))
        rest = model.at_rest(self.known, self.now)
        assert rest, self.story()
        net = self.net_minor()
        assert net in {family.net_minor() for family in rest}, f"WeChat has {net}; {self.story()}"

    def net_minor(self) -> int:
        """What WeChat has of this family's money."""
        store, net = self.theatre.wechat.simulator._store, 0
        for placed in self.orders:
            paid = store.order(placed.out_trade_no) if placed.out_trade_no else None
            if paid and paid.state in ("SUCCESS", "REFUND"):
                given = store.refunds_of(paid.out_trade_no)
                net += paid.total - sum(each.refund for each in given if each.state == "SUCCESS")
        return net


def _brief(answer: object) -> object:
    return "number" if isinstance(answer, int) else answer


async def play(theatre: Theatre, worker: int, rng: random.Random) -> None:
    """One family after the other."""
    number = 0
    while time.monotonic() < theatre.until:
        number += 1
        played = await begin(theatre, 1 + worker * 10_000 + number, rng)
        if played:
            theatre.families.append(played)
            for _ in range(STEPS):
                await played.step()
                if time.monotonic() > theatre.until or (played.is_over and rng.random() < 0.5):
                    break


async def begin(theatre: Theatre, traveller: int, rng: random.Random) -> Played | None:
    """A traveller orders; None if nothing is left."""
    wechat = theatre.wechat
    await theatre.world.sql(
        TRAVELLER, traveller, wechat.merchant.app_id, wechat.openid(f"traveller-{traveller}")
    )
    desk = Desk.of(theatre.channel, traveller)
    departure, fare_class = rng.choice([SCARCE, *AMPLE]), rng.choice([FIRST, SECOND])
    size = rng.randint(1, 3)
    played = Played(theatre, desk, rng, f"traveller-{traveller}", frozenset(), [])
    request = order_pb2.CreateOrderRequest(
        request_id=played.request_id(),
        items=[order_pb2.OrderItem(offer_id=theatre.world.seat(departure, fare_class))],
        passengers=party(size),
    )
    reason, answer = await played.call("CreateOrder", request)
    if answer is None:
        assert (reason, departure) == ("SOLD_OUT", SCARCE)
        return None
    order, price = answer.order, CLASSES[fare_class]
    assert order.total_minor == size * price
    played.orders.append(Placed(order.order_id, order.lock_expire_time.ToDatetime(UTC)))
    first = Order((price,) * size, size * price, scarce=departure == SCARCE)
    played.known = frozenset({Family((first,), TERMS)})
    played.history.append(f"{order.order_id}: {size} of departure {departure}, class {fare_class}")
    return played
