"""Travellers who play out the loop, each with a family of orders and what it may be; the server
and WeChat fail meanwhile.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
from deeptravel.admin.v1 import ticket_block_pb2 as admin_block_pb2
from deeptravel.ticketing.v1 import order_pb2, payment_pb2, refund_pb2, ticket_pb2

from server.platform.errors import Reason
from tests.support import gate
from tests.support import traveller_model as model
from tests.support import traveller_steps as steps
from tests.support.rpc_server import DETAILS, read_refusal
from tests.support.traveller import (
    CANCEL_REASON,
    FARE_MINOR,
    FIRST,
    ORDER_STATE,
    SECOND,
    TravellerClient,
    party,
)
from tests.support.traveller_model import Family, Now, Order
from tests.support.traveller_scenario import REST_SECONDS, TravellerScenario
from tests.support.traveller_steps import Step
from tools.dev.wechat_simulator.protocol import RefusedError

STEPS = 18
"""Of one family."""
SCARCE, AMPLE = 1, (2, 3, 4)
"""Departures: of the first there are few seats."""
CLASSES = {FIRST: FARE_MINOR["FIRST"], SECOND: FARE_MINOR["SECOND"]}
TERMS = model.Terms(
    refund_fee=500, change_fee=1000, changes_allowed=2, refund_percent=80, tiers=((3, 10),)
)
"""Until the departure, which is hours away."""
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
INSERT INTO travellers (traveller_id, app_id, openid, state, create_time, update_time,
  last_login_time)
VALUES (%s, %s, %s, 'ACTIVE', now(), now(), now())
"""


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

    scenario: TravellerScenario
    client: TravellerClient
    rng: random.Random
    name: str
    known: frozenset[Family]
    orders: list[Placed]
    history: list[str] = field(default_factory=list)
    refunds: int = 0
    calls: int = 0
    shared_code: str = ""

    @property
    def now(self) -> Now:
        moment = datetime.now(UTC)
        over = frozenset(n for n, order in enumerate(self.orders) if order.ends <= moment)
        return Now(over, self.scenario.refunds_close)

    def take_in(self, seen: Sequence[Seen]) -> None:
        """Removes from what is known what the answers contradict, whichever order the calls had."""
        now, found = self.now, frozenset[Family]()
        for order in (seen, seen[::-1])[: len(seen)]:
            families = self.known
            for _, step, answer in order:
                families = steps.explain(families, step, answer, now)
            found |= families
        entry = "; ".join(f"{name} -> {answer}" for name, _, answer in seen)
        self.history.append(f"{datetime.now(UTC):%M:%S.%f} {entry} [{len(found)}]")
        self.scenario.answers.update(f"{name.split()[0]} {_brief(a)}" for name, _, a in seen)
        if not found:
            raise ImpossibleError(self.story())
        self.known = found

    def story(self) -> str:
        """What happened, and what it could have been before the last answer."""
        lines = [
            f"seed {self.scenario.seed}, {self.name}: no model gives the last answer",
            *self.history,
        ]
        lines += [f"  before: {family}" for family in list(self.known)[:6]]
        return "\n".join(lines)

    @property
    def is_over(self) -> bool:
        """Whether nothing can become of its orders any more, but for money that comes late."""
        states = {family.shown(n)[0] for family in self.known for n in range(len(family.orders))}
        return states <= {model.CANCELLED, model.COMPLETED}

    async def call(self, method: str, request: Any, *, give_up: bool = False) -> tuple[str, Any]:
        """OK or a reason, and the answer; the call is repeated until there is one."""
        return await self._again(
            method, lambda: self.client.call(method, request, timeout=10), give_up=give_up
        )

    async def _again(
        self, method: str, call: Callable[[], Awaitable[Any]], *, give_up: bool
    ) -> tuple[str, Any]:
        until = time.monotonic() + REST_SECONDS
        while time.monotonic() < until:
            try:
                return "OK", await call()
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
        places = answer.order.items[0].places
        codes = [place.ticket_code for place in places if place.passenger_index >= 0]
        placed.ticket_codes = [code for code in codes if code]
        state = ORDER_STATE[answer.order.state]
        reason = CANCEL_REASON.get(answer.order.cancel_reason, "")
        found = state, reason if state == model.CANCELLED else "", len(placed.ticket_codes)
        return [(f"look {position}", steps.read_order(position), found)]

    async def look_at_tickets(self, position: int) -> list[Seen]:
        request = ticket_pb2.ListTicketsRequest(order_id=self.orders[position].order_id)
        _, answer = await self.call("ListTickets", request)
        states = tuple(gate.STATE[t.status] for t in answer.tickets if not t.shared)
        shared = ""
        for ticket in answer.tickets:
            if ticket.shared:
                self.shared_code, shared = ticket.ticket_code, gate.STATE[ticket.status]
        return [(f"tickets {position}", steps.read_tickets(position), (states, shared))]

    async def cancel(self, position: int) -> list[Seen]:
        request = order_pb2.CancelOrderRequest(
            order_id=self.orders[position].order_id, request_id=self.request_id()
        )
        reason, _ = await self.call("CancelOrder", request)
        return [(f"cancel {position}", steps.cancel(position), reason)]

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
        return [(f"ask {position}", steps.ask_payment(position, self.now), reason)]

    async def pay(self, position: int) -> list[Seen]:
        """On the phone, if WeChat has been asked."""
        placed = self.orders[position]
        if not placed.out_trade_no:
            return []
        try:
            self.scenario.wechat.pay(placed.out_trade_no)
        except RefusedError:
            return []
        return [(f"pay {position}", steps.pay(position), "OK")]

    async def get_payment(self, position: int) -> list[Seen]:
        """WeChat is asked about it; what it tells is seen by what comes after."""
        request = payment_pb2.GetPaymentRequest(order_id=self.orders[position].order_id)
        await self.call("GetPayment", request, give_up=True)
        return []

    async def redeem(self, position: int, ticket: int) -> list[Seen]:
        verdict = await self._redeem(self.orders[position].ticket_codes[ticket], "boarding")
        return [(f"redeem {position}.{ticket}", steps.redeem(position, ticket), verdict)]

    async def redeem_shared(self, _: int) -> list[Seen]:
        verdict = await self._redeem(self.shared_code, "lounge")
        return [("lounge", steps.redeem_shared(), verdict)]

    async def _redeem(self, ticket_code: str, function_code: str) -> str:
        """The verdict on a ticket's QR."""
        ((number, jti),) = await self.scenario.world.sql(
            "SELECT ticket_id, jti FROM tickets WHERE ticket_code = %s", ticket_code
        )
        qr = gate.World(self.scenario.world.pg, self.scenario.world.ring).seal(jti, number)
        request_id = self.request_id()
        while True:
            try:
                answer = await self.scenario.terminal.redeem(
                    qr, function_code, request_id=request_id, deadline_seconds=10
                )
            except grpc.aio.AioRpcError as error:
                if error.code() not in LOST and read_refusal(error).reason not in AGAIN:
                    raise
                await asyncio.sleep(0.1)
            else:
                return gate.verdict(answer)

    async def block(self, position: int, ticket: int, *, blocked: bool) -> list[Seen]:
        """An administrator blocks a ticket, or lifts the block."""
        code = self.orders[position].ticket_codes[ticket]
        values: Any = {"ticket_code": code, "request_id": self.request_id(), "comment": "lost"}
        method = "BlockTicket" if blocked else "UnblockTicket"
        request = getattr(admin_block_pb2, f"{method}Request")(**values)
        reason, _ = await self._again(
            method, lambda: self.scenario.admin_client(method, request), give_up=False
        )
        name = f"{'block' if blocked else 'unblock'} {position}.{ticket}"
        return [(name, steps.block(position, ticket, blocked=blocked), reason)]

    async def quote_refund(self, position: int, tickets: Sequence[int]) -> tuple[list[Seen], str]:
        placed = self.orders[position]
        request = refund_pb2.QuoteRefundRequest(
            order_id=placed.order_id, ticket_codes=[placed.ticket_codes[n] for n in tickets]
        )
        reason, answer = await self.call("QuoteRefund", request)
        found: object = reason
        if answer:
            codes = {ticket.ticket_code for ticket in answer.tickets}
            found = answer.amount_minor, bool(codes - set(request.ticket_codes))
        name = f"quote-refund {position}.{tickets}"
        seen: list[Seen] = [(name, steps.quote_refund(position, tickets), found)]
        return seen, answer.refund_quote if answer else ""

    async def refund(
        self, position: int, tickets: Sequence[int], quote: str, quoted: object
    ) -> list[Seen]:
        self.refunds += 1
        step = steps.refund(position, tickets, self.refunds, quoted)
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
            offer_id=self.scenario.world.seat(*offer),
        )
        reason, answer = await self.call("QuoteChange", request)
        found: object = reason
        if answer:
            found = answer.pay_minor, answer.refund_minor, answer.old_minor
        step = steps.quote_change(position, ticket, CLASSES[offer[1]])
        seen: list[Seen] = [(f"quote-change {position}.{ticket} to {offer}", step, found)]
        return seen, answer.change_quote if answer else ""

    async def change(
        self, position: int, ticket: int, offer: tuple[int, int], quote: str, quoted: object
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
        step = steps.change(position, ticket, CLASSES[offer[1]], quoted, scarce=scarce)
        return [(f"change {position}.{ticket} to {offer}", step, found)]

    # What happens next

    async def step(self) -> None:
        """Something, or two things at once."""
        # more often what was changed last: it is paid, given back and changed again
        last = len(self.orders) - 1
        position = last if self.rng.random() < 0.5 else self.rng.randrange(len(self.orders))
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
            weights |= {"redeem": 1, "refund": 2, "change": 4, "wait": 0.5}
            weights |= {"block": 0.7, "unblock": 0.7}
            if position:
                # out of the payments of both orders
                weights |= {"refund": 5}
            if self.shared_code:
                weights["lounge"] = 0.4
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
        if name in ("redeem", "block", "unblock"):
            ticket = rng.randrange(len(placed.ticket_codes))
            if name == "redeem":
                return lambda: self.redeem(position, ticket)
            return lambda: self.block(position, ticket, blocked=name == "block")
        acts: dict[str, Callable[[int], Awaitable[list[Seen]]]] = {
            "look": self.look,
            "tickets": self.look_at_tickets,
            "ask": self.ask_payment,
            "pay": self.pay,
            "get-payment": self.get_payment,
            "cancel": self.cancel,
            "lounge": self.redeem_shared,
            "wait": self.wait,
        }
        return lambda: acts[name](position)

    async def wait(self, _: int) -> list[Seen]:
        await asyncio.sleep(self.rng.uniform(0, 1.5))
        return []

    def is_paid(self, position: int) -> bool:
        """Whether WeChat has the money, which we may not know."""
        paid = self.scenario.wechat.simulator._store.order(self.orders[position].out_trade_no)
        return paid is not None and paid.state in ("SUCCESS", "REFUND")

    async def _refund(self, position: int, tickets: tuple[int, ...]) -> Act | None:
        seen, quote = await self.quote_refund(position, tickets)
        self.take_in(seen)
        return (lambda: self.refund(position, tickets, quote, seen[0][2])) if quote else None

    async def _change(self, position: int, ticket: int, offer: tuple[int, int]) -> Act | None:
        seen, quote = await self.quote_change(position, ticket, offer)
        if seen[0][2] == str(Reason.OFFER_NOT_AVAILABLE):  # sold out, as it seems
            return None
        if seen[0][2] == str(Reason.CHANGE_REFUSED) and await self._is_its_own(
            position, ticket, offer
        ):
            return None
        self.take_in(seen)
        return (lambda: self.change(position, ticket, offer, quote, seen[0][2])) if quote else None

    async def _is_its_own(self, position: int, ticket: int, offer: tuple[int, int]) -> bool:
        """Whether a ticket is for that offer already: then it cannot be changed to it."""
        ((content,),) = await self.scenario.world.sql(
            "SELECT content FROM orders WHERE order_code = %s", self.orders[position].order_id
        )
        return bool(content["items"][0]["offer_id"] == self.scenario.world.seat(*offer))

    # In the end

    async def end(self) -> None:
        """Everything has settled: nothing that was promised is still to come, and WeChat has
        what the model says.
        """
        for position in range(len(self.orders)):
            self.take_in(await self.look(position))
            self.take_in(await self.look_at_tickets(position))
        rest = model.at_rest(self.known, self.now)
        assert rest, self.story()
        net = self.net_minor()
        assert net in {family.net_minor() for family in rest}, f"WeChat has {net}; {self.story()}"

    def net_minor(self) -> int:
        """What WeChat has of this family's money."""
        store, net = self.scenario.wechat.simulator._store, 0
        for placed in self.orders:
            paid = store.order(placed.out_trade_no) if placed.out_trade_no else None
            if paid and paid.state in ("SUCCESS", "REFUND"):
                given = store.refunds_of(paid.out_trade_no)
                net += paid.total - sum(each.refund for each in given if each.state == "SUCCESS")
        return net


def _brief(answer: object) -> object:
    return "number" if isinstance(answer, int) else answer


async def play(scenario: TravellerScenario, worker: int, rng: random.Random) -> None:
    """One family after the other."""
    number = 0
    while time.monotonic() < scenario.until:
        number += 1
        played = await begin(scenario, 1 + worker * 10_000 + number, rng)
        if played:
            scenario.families.append(played)
            for _ in range(STEPS):
                await played.step()
                if time.monotonic() > scenario.until or (played.is_over and rng.random() < 0.5):
                    break


async def begin(scenario: TravellerScenario, traveller: int, rng: random.Random) -> Played | None:
    """A traveller orders; None if nothing is left."""
    wechat = scenario.wechat
    await scenario.world.sql(
        TRAVELLER, traveller, wechat.merchant.app_id, wechat.openid(f"traveller-{traveller}")
    )
    client = TravellerClient.of(scenario.channel, traveller)
    departure, fare_class = rng.choice([SCARCE, *AMPLE]), rng.choice([FIRST, SECOND])
    size = rng.randint(1, 3)
    played = Played(scenario, client, rng, f"traveller-{traveller}", frozenset(), [])
    request = order_pb2.CreateOrderRequest(
        request_id=played.request_id(),
        items=[order_pb2.OrderItem(offer_id=scenario.world.seat(departure, fare_class))],
        passengers=party(size),
    )
    reason, answer = await played.call("CreateOrder", request)
    if answer is None:
        assert (reason, departure) == ("SOLD_OUT", SCARCE)
        return None
    order, fare = answer.order, CLASSES[fare_class]
    assert order.total_minor == TERMS.party(fare, size)
    played.orders.append(Placed(order.order_id, order.lock_expire_time.ToDatetime(UTC)))
    prices = (TERMS.each(fare, size),) * size
    first = Order(prices, sum(prices), fare, scarce=departure == SCARCE)
    played.known = frozenset({Family((first,), TERMS)})
    played.history.append(f"{order.order_id}: {size} of departure {departure}, class {fare_class}")
    return played
