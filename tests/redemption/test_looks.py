"""Looks at QR codes that come together are read for together, and each is answered as if it had
come alone.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from deeptravel.redemption.v1 import redemption_pb2
from deeptravel.redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub

from server.identity.credentials import new_partner_key
from server.tickets import qr
from tests.support.gate import PARTNER_ID, World, a_world, verdict
from tests.support.gate_server import gate_server
from tests.support.partner_client import KEY
from tests.support.reading import read_together

Look = Callable[[], Awaitable[redemption_pb2.DecryptQrResponse]]
STRANGER_ID = PARTNER_ID + 1
EXPECTED = [
    "",
    "QR_SUPERSEDED",
    "TICKET_REFUNDED",
    "TOKEN_EXPIRED",
    "TICKET_NOT_FOUND",
    "TOKEN_INVALID",
    "TOKEN_INVALID",
    "TICKET_NOT_FOUND",
    "TICKET_NOT_FOUND",
]


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as filled:
        yield filled


async def test_looks_together_are_as_looks_alone(
    world: World, database_url: str, redis_url: str
) -> None:
    """An operator's, and the partners', of every kind, in one batch.

    Seen red with the first caller's rights used for all, with tickets looked up by their place in
    the batch, and with one look read for at a time.
    """
    keys = {partner_id: new_partner_key() for partner_id in (PARTNER_ID, STRANGER_ID)}
    await world.sql(
        "INSERT INTO partners (partner_code, display_name, requests_per_minute, allowed_addresses,"
        " state, create_time, update_time)"
        " VALUES ('XX', 'Other', 100, '{}', 'ACTIVE', now(), now())"
    )
    for partner_id, key in keys.items():
        await world.sql(KEY, key.key_id, partner_id, key.secret_hash)
    former = await world.ticket()
    refunded = await world.ticket(state="REFUNDED")
    order, (first, _) = await world.order(2)
    past = datetime.now(UTC) - timedelta(days=1)
    alien = qr.QrKey.generate(world.ring.active.key_id, qr.KeyState.ACTIVE)
    claims = qr.Claims(first.jti, first.ticket_id, datetime.now(UTC) + timedelta(days=1))
    tokens = [
        (await world.rotate(former)).qr,
        former.qr,
        refunded.qr,
        world.seal(first.jti, first.ticket_id, expire_time=past),
        world.seal(first.jti, first.ticket_id + 7_000),
        qr.seal(claims, alien),
        "no code of ours",
        order.qr,
        world.seal(order.jti, first.ticket_id + 9_000),
    ]
    # as many of a partner's calls at once as there are looks
    shares = {"partner_calls": 100, "partner_calls_in_all": 200}
    async with gate_server(database_url, redis_url, **shares) as server:
        terminal = await world.log_in(server.channel)
        stub = RedemptionServiceStub(server.channel)
        callers = [terminal.metadata, *[(("x-api-key", k.api_key),) for k in keys.values()]]

        def look(token: str, metadata: Any) -> Look:
            request = redemption_pb2.DecryptQrRequest(encrypted_data=token)
            return lambda: stub.DecryptQr(request, metadata=metadata)

        looks = [look(token, metadata) for token in tokens for metadata in callers]
        alone = [await each() for each in looks]
        assert [verdict(each) for each in alone[:: len(callers)]] == EXPECTED
        stranger = [verdict(each) for each in alone[2 :: len(callers)]]
        assert stranger == [
            "TICKET_NOT_FOUND" if reason in ("", "QR_SUPERSEDED", "TICKET_REFUNDED") else reason
            for reason in EXPECTED
        ]
        with read_together("looks", len(looks)):
            together = await asyncio.gather(*[each() for each in looks])
        assert together == alone
