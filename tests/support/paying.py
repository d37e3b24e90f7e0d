"""A world in which travellers pay: a_world, the simulator of WeChat, and a server that is its
merchant.

```python
async with a_scenario(database_url, redis_url, tmp_path) as scenario:
    order = await scenario.client.order(scenario.world.seat())
    await scenario.pay(order)            # asks for the payment and pays it as the phone does
    await scenario.paid(order)           # the notice came and was handled
```
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from deeptravel.ticketing.v1 import order_pb2, payment_pb2

from server.api import convert
from server.platform.config import load_settings
from server.wechat.client import WechatClient
from tests.support.gate_server import GateServer, gate_server
from tests.support.invariants import assert_invariants
from tests.support.traveller import TravellerClient, World, a_world
from tests.support.wechat import WechatSimulator
from tools.dev.wechat_simulator.protocol import dump, encrypt

NOTICES = "/webhooks/wechatpay/notices"
PAID_AT = datetime.now(UTC).isoformat(timespec="seconds")
PAYMENT_STATE = convert.enum_names(payment_pb2.PaymentState)

NOTHING_DUE = """
SELECT NOT EXISTS (SELECT FROM outbox_tasks WHERE state = 'OPEN' AND due_time <= now())
  AND NOT EXISTS (SELECT FROM order_events WHERE notify)
"""


@dataclass
class PaymentScenario:
    """All that takes part in a payment; `client` is of traveller 1."""

    world: World
    wechat: WechatSimulator
    server: GateServer
    client: TravellerClient
    database_url: str

    @property
    def url(self) -> str:
        """Where notices come in."""
        return f"http://127.0.0.1:{self.server.app.http_port}"

    async def create(
        self, order: order_pb2.Order, request_id: str = ""
    ) -> payment_pb2.CreatePaymentResponse:
        """CreatePayment."""
        request = payment_pb2.CreatePaymentRequest(order_id=order.order_id, request_id=request_id)
        return await self.client.stub.CreatePayment(request, metadata=self.client.metadata)

    async def close_at_wechat(self, out_trade_no: str) -> None:
        """Closes a payment at WeChat behind the server's back."""
        wechat_client = WechatClient.of(load_settings(**self.wechat.settings()))
        assert wechat_client
        await wechat_client.close(out_trade_no)
        await wechat_client.aclose()

    async def payment(self, order: order_pb2.Order) -> payment_pb2.Payment:
        """GetPayment."""
        request = payment_pb2.GetPaymentRequest(order_id=order.order_id)
        return (await self.client.stub.GetPayment(request, metadata=self.client.metadata)).payment

    async def pay(self, order: order_pb2.Order) -> str:
        """Asks for the payment, and pays it as the phone does; its out_trade_no."""
        created = await self.create(order)
        self.wechat.pay(created.payment.out_trade_no)
        return created.payment.out_trade_no

    async def until_state(self, order: order_pb2.Order, state: str) -> None:
        """Waits until the order is in a state."""
        query = "SELECT state = %s FROM orders WHERE order_code = %s"
        await self.world.until(query, state, order.order_id)

    async def paid(self, order: order_pb2.Order) -> None:
        """Waits until the order is PAID."""
        await self.until_state(order, "PAID")

    async def idle(self) -> None:
        """Waits until WeChat has nothing to send, also of what it was asked meanwhile, and no task
        is due.
        """
        while True:
            await self.world.until(NOTHING_DUE)
            await self.wechat.settled()
            # what WeChat has sent came in before it had its answer
            if await self.world.value(NOTHING_DUE) and not self.wechat.simulator.is_busy:
                return

    async def idle_of(self, kind: str) -> None:
        """Waits until no task of a kind is open."""
        await self.world.until(
            "SELECT count(*) = 0 FROM outbox_tasks WHERE state = 'OPEN' AND kind = %s", kind
        )

    async def tickets(self, order: order_pb2.Order) -> list[tuple[Any, ...]]:
        """(state, customer name, seat, amount, passenger) of an order's tickets."""
        return await self.world.sql(
            "SELECT t.state, t.customer_name, s.seat, s.amount_minor, s.passenger_index FROM"
            " tickets t JOIN ticket_sales s USING (ticket_id) JOIN orders o ON o.order_id ="
            " t.order_id WHERE o.order_code = %s ORDER BY ticket_id",
            order.order_id,
        )

    async def incidents(self) -> list[str]:
        """Kinds of the incidents, sorted."""
        rows = await self.world.sql("SELECT kind FROM payment_incidents ORDER BY kind")
        return [kind for (kind,) in rows]

    async def refunds(self, order: order_pb2.Order) -> list[tuple[Any, ...]]:
        """(state, cause, amount) of an order's refunds."""
        return await self.world.sql(
            "SELECT r.state, r.cause, r.amount_minor FROM refunds r JOIN orders o USING (order_id)"
            " WHERE o.order_code = %s ORDER BY refund_no",
            order.order_id,
        )

    async def post(self, body: bytes, headers: dict[str, str]) -> httpx2.Response:
        """Whatever somebody posts where notices come in."""
        async with httpx2.AsyncClient(trust_env=False, timeout=30.0) as http:
            return await http.post(self.url + NOTICES, content=body, headers=headers)

    async def sound(self) -> None:
        """Fails if the tables tell different stories."""
        assert await self.world.contradictions() == []
        assert_invariants(self.database_url)


def transaction(scenario: PaymentScenario, number: str, **changes: Any) -> dict[str, Any]:
    """A payment of 400.00 as a notice tells it."""
    content: dict[str, Any] = {
        "mchid": scenario.wechat.merchant.merchant_id,
        "appid": scenario.wechat.merchant.app_id,
        "out_trade_no": number,
        "transaction_id": f"42000{number[2:]}",
        "trade_state": "SUCCESS",
        "trade_type": "JSAPI",
        "bank_type": "OTHERS",
        "success_time": PAID_AT,
        "payer": {"openid": "o"},
        "amount": {
            "total": 40_000,
            "payer_total": 40_000,
            "currency": "CNY",
            "payer_currency": "CNY",
        },
    }
    for name, value in changes.items():
        where: dict[str, Any] = content["amount"] if name in ("total", "currency") else content
        where[name] = value
    return content


def envelope(
    scenario: PaymentScenario,
    content: dict[str, Any],
    *,
    event: str = "TRANSACTION.SUCCESS",
    number: str = "EV-1",
) -> bytes:
    """The notice that holds it."""
    sealed = encrypt(scenario.wechat.merchant, dump(content), "transaction")
    return dump(
        {
            "id": number,
            "create_time": datetime.now(UTC).isoformat(timespec="seconds"),
            "resource_type": "encrypt-resource",
            "event_type": event,
            "resource": {"original_type": "transaction", **sealed},
        }
    )


def merchant_settings(wechat: WechatSimulator) -> dict[str, str]:
    """Those of the simulator's merchant; notices come to wherever the server listens."""
    settings = wechat.settings()
    del settings["wechat_notify_url"]
    return settings


@asynccontextmanager
async def a_scenario(
    database_url: str, redis_url: str, folder: Path, *, settings: Any = None, **world: Any
) -> AsyncIterator[PaymentScenario]:
    """One of each, and traveller 1 enrolled."""
    async with (
        a_world(database_url, **world) as seeded,
        WechatSimulator(folder / "wechat") as wechat,
        gate_server(
            database_url, redis_url, **merchant_settings(wechat) | (settings or {})
        ) as server,
    ):
        await seeded.enrol(1, 2)
        openids = "UPDATE travellers SET app_id = %s, openid = %s WHERE traveller_id = %s"
        for number, name in ((1, "alice"), (2, "bob")):
            await seeded.sql(openids, wechat.merchant.app_id, wechat.openid(name), number)
        yield PaymentScenario(
            seeded, wechat, server, TravellerClient.of(server.channel), database_url
        )
