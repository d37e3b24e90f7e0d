"""Webhooks as a server sends them, for libraries of other languages to verify; and what these sign
of a partner's own, for the server to verify.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx2
import orjson
from deeptravel.ota.v1 import webhook_pb2

from server.webhooks import deliveries, signatures
from server.webhooks.rules import BATCH_GENERATED, ENDPOINT_TEST
from tests.support.partner_client import PartnerClient
from tests.support.receiver import Received, Receiver

HONG_KONG = ZoneInfo("Asia/Hong_Kong")
HEADERS = signatures.ID, signatures.TIMESTAMP, signatures.SIGNATURE


class SignedWebhook(NamedTuple):
    """A webhook as it came, the secret that its receiver has, and whether it is to be trusted."""

    name: str
    secret: str
    headers: Mapping[str, str]
    body: bytes
    is_good: bool = True

    def as_json(self) -> dict[str, Any]:
        """For a program in another language."""
        headers = {name: self.headers[name] for name in HEADERS}
        return self._asdict() | {"headers": headers, "body": b64encode(self.body).decode()}

    @staticmethod
    def body_of(read: Mapping[str, Any]) -> bytes:
        """The body of one that `as_json` wrote."""
        return b64decode(read["body"])


async def sent_by(client: PartnerClient, receiver: Receiver) -> list[SignedWebhook]:
    """What a server sends to the receiver: the test event, an event of the feed, and events before,
    during and after the rotation of the secret.
    """
    created = await _call(client, "CreateWebhookEndpoint", url=receiver.url)
    endpoint_id, first = created.endpoint.endpoint_id, created.secret

    async def tested() -> Received:
        event_id = (await _call(client, "SendTestEvent", endpoint_id=endpoint_id)).event_id
        return await _until(receiver, lambda got: got.id == event_id)

    async def rotated(**overlap: int) -> str:
        answer = await _call(client, "RotateWebhookSecret", endpoint_id=endpoint_id, **overlap)
        return str(answer.secret)

    before = await tested()
    batch_id = (await client.batch(1)).batch_id
    batch = await _until(
        receiver,
        lambda got: got.type == BATCH_GENERATED and got.message["data"]["batch_id"] == batch_id,
    )
    second = await rotated()
    during = await tested()
    assert during.headers[signatures.SIGNATURE].count(" ") == 1
    third = await rotated(overlap_seconds=0)
    after = await tested()
    await _call(client, "DeleteWebhookEndpoint", endpoint_id=endpoint_id)
    return [
        _of("the test event", first, before),
        _of("an event of the feed", first, batch),
        _of("while both are good, by the former", first, during),
        _of("while both are good, by the new one", second, during),
        _of("by the one that is left", third, after),
        _of("by one that is over", second, after, is_good=False),
        *_altered(third, after),
        at_hong_kong(third),
    ]


def at_hong_kong(secret: str) -> SignedWebhook:
    """One that is signed by a clock of that zone, with texts of all kinds."""
    now = datetime.now(HONG_KONG)
    body = deliveries.content(ENDPOINT_TEST, now, {"explanation": "已拒绝 “é” 🎫 \u2028 </script>"})
    signed = signatures.headers([key_of(secret)], f"evt_{uuid4().hex}", int(now.timestamp()), body)
    return SignedWebhook("at Hong Kong, in many scripts", secret, dict(signed), body)


def _altered(secret: str, got: Received) -> list[SignedWebhook]:
    def with_header(name: str, value: str) -> SignedWebhook:
        return SignedWebhook(
            f"another {name}", secret, got.headers | {name: value}, got.body, False
        )

    second = int(got.headers[signatures.TIMESTAMP])
    old = signatures.headers([key_of(secret)], got.id, second - 301, got.body)
    return [
        _of("another body", secret, got._replace(body=got.body + b" "), is_good=False),
        with_header(signatures.ID, "evt_other"),
        with_header(signatures.TIMESTAMP, str(second - 1)),
        with_header(signatures.SIGNATURE, "v1,"),
        SignedWebhook("too old", secret, dict(old), got.body, False),
    ]


def to_be_signed(secret: str, reference: str) -> SignedWebhook:
    """A partner's own webhook, which a library is to sign."""
    return SignedWebhook("own", secret, dict.fromkeys(HEADERS, ""), payment(reference))


def payment(reference: str) -> bytes:
    """A partner's own webhook, with texts of more than one script."""
    data = {
        "payment_reference": reference,
        "amount_minor": 1,
        "currency_code": "CNY",
        "customer": {"type": "ADULT", "name": "张三 é 🎫"},
        "ticket_codes": ["OTA-CP-20200101-000001"],
    }
    now = datetime.now(UTC).isoformat()
    return orjson.dumps({"type": "payment.succeeded", "timestamp": now, "data": data})


async def payments_secret(client: PartnerClient) -> str:
    """A new secret of the partner's own webhooks."""
    return str((await _call(client, "RotatePaymentWebhookSecret")).secret)


async def takes(url: str, signed: Sequence[tuple[str, str]], body: bytes) -> bool:
    """Whether the server at a URL takes a webhook of partner CP with these headers as proven."""
    async with httpx2.AsyncClient(base_url=url) as http:
        answer = await http.post(
            "/webhooks/partners/CP/payments",
            content=body,
            headers={"content-type": "application/json", **dict(signed)},
        )
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


async def _call(client: PartnerClient, method: str, **fields: Any) -> Any:
    request_type = getattr(webhook_pb2, f"{method}Request")
    return await client.call(method, request_type(request_id=uuid4().hex, **fields))


async def _until(receiver: Receiver, is_meant: Callable[[Received], bool]) -> Received:
    count = 0
    while True:
        for got in await receiver.until(count):
            if is_meant(got):
                return got
        count = len(receiver.received) + 1


def _of(name: str, secret: str, got: Received, *, is_good: bool = True) -> SignedWebhook:
    return SignedWebhook(name, secret, got.headers, got.body, is_good)


def key_of(secret: str) -> bytes:
    """The bytes of a secret as people copy it."""
    return b64decode(secret.removeprefix(signatures.SECRET_PREFIX))
