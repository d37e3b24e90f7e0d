"""The size and format of a QR's picture, wherever one is given: partners and travellers, tickets
and orders.

Seen red with one size, too wide for a receipt printer.
"""

import base64
from typing import Any

import httpx2
import zxingcpp
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.ticketing.v1 import ticket_pb2
from deeptravel.tickets.v1.ticket_pb2 import (
    QR_PICTURE_FORMAT_BITMAP,
    QR_PICTURE_FORMAT_ESC_POS,
    QR_PICTURE_FORMAT_PNG,
    QR_PICTURE_FORMAT_SVG,
    QrPicture,
)

from server.platform.errors import Reason
from tests.support import traveller
from tests.support.gate_server import GateServer
from tests.support.order_scenario import a_scenario, tickets
from tests.support.partner_client import CP, Market, PartnerClient
from tests.support.rpc_server import refusal

PAPER_58_MM_DOTS = 384
WAYS: list[tuple[dict[str, Any], set[str], int]] = [
    ({}, {"png", "svg"}, 456),
    ({"module_pixels": 3}, {"png", "svg"}, 171),
    ({"format": QR_PICTURE_FORMAT_PNG, "module_pixels": 2}, {"png"}, 114),
    ({"format": QR_PICTURE_FORMAT_SVG}, {"svg"}, 456),
    ({"format": QR_PICTURE_FORMAT_ESC_POS, "module_pixels": 6}, {"raster"}, 342),
    ({"format": QR_PICTURE_FORMAT_BITMAP, "module_pixels": 32}, {"raster"}, 1824),
]


def given(answer: Any) -> set[str]:
    return {name for name in ("png", "svg", "raster") if getattr(answer, name)}


async def every_way(issue: Any) -> None:
    for options, formats, width in WAYS:
        answer = await issue(QrPicture(**options))
        assert (given(answer), answer.width_pixels) == (formats, width)
    for size in (-1, 1, 33):
        refused = await refusal(issue(QrPicture(module_pixels=size)))
        assert (refused.reason, refused.fields) == (
            Reason.INVALID_FIELD,
            ("picture.module_pixels",),
        )


def read(bitmap: bytes, bytes_wide: int) -> str:
    """What a scanner sees on the paper."""
    gray = bytes(0 if byte & 128 >> bit else 255 for byte in bitmap for bit in range(8))
    pixels = memoryview(gray).cast("B", shape=[len(bitmap) // bytes_wide, 8 * bytes_wide])
    (found,) = zxingcpp.read_barcodes(pixels)
    return str(found.text)


async def test_a_partners(market: Market, client: PartnerClient, ota_server: GateServer) -> None:
    (code,) = await client.codes(1)
    order_id = (await client.activate(code)).order_id
    await every_way(lambda picture: client.qr(code, picture=picture))

    def issue(picture: QrPicture) -> Any:
        request = ota.IssueOrderQrRequest(order_id=order_id, picture=picture)
        return client.call("IssueOrderQr", request)

    await every_way(issue)
    base = f"http://127.0.0.1:{ota_server.app.http_port}"
    async with httpx2.AsyncClient(base_url=base, headers={"x-api-key": CP.api_key}) as http:
        body = {"picture": {"format": "ESC_POS", "module_pixels": 6}}
        answer = (await http.post(f"/qr/{code}", json=body)).json()
    command = base64.b64decode(answer["raster"])
    assert command[:4] == b"\x1dv0\x00"
    bytes_wide = int.from_bytes(command[4:6], "little")
    assert 8 * bytes_wide <= PAPER_58_MM_DOTS
    assert read(command[8:], bytes_wide) == answer["encrypted_data"]
    assert "png" not in answer or not answer["png"]


async def test_a_repeat_is_drawn_again(market: Market, client: PartnerClient) -> None:
    (code,) = await client.codes(1)
    picture = QrPicture(format=QR_PICTURE_FORMAT_BITMAP, module_pixels=2)
    options = {"rotate": True, "request_id": "r", "picture": picture}
    first = await client.qr(code, **options)
    assert len(first.raster) == 15 * 114
    assert await client.qr(code, **options) == first


async def test_a_travellers(database_url: str, redis_url: str) -> None:
    async with (
        traveller.a_world(database_url) as world,
        traveller.traveller_server(database_url, redis_url) as server,
        a_scenario(database_url) as scenario,
    ):
        me = traveller.TravellerClient.of(server.channel, 1)
        order_id = (await scenario.sell(me, world.seat())).order_id
        code = (await tickets(me))[0].ticket_code

        def ticket(picture: QrPicture) -> Any:
            request = ticket_pb2.IssueTicketQrRequest(ticket_code=code, picture=picture)
            return me.call("IssueTicketQr", request)

        def order(picture: QrPicture) -> Any:
            request = ticket_pb2.IssueOrderQrRequest(order_id=order_id, picture=picture)
            return me.call("IssueOrderQr", request)

        await every_way(ticket)
        await every_way(order)
