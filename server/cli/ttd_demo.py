"""An order of Ctrip's simulated attractions channel, from its verification to a cancelled part."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from server.cli.simulated import get, post, until
from server.platform.errors import StartError

QUANTITY = 3


def walk(
    simulator_url: str, said: dict[str, Any], server_url: str, command: Callable[..., None]
) -> Callable[[str, str], Iterator[str]]:
    """Has Ctrip call our door; a line for each step. Raises StartError."""
    code = f"DEMO-CTRIP-TTD-{datetime.now(UTC):%H%M%S}"
    url = f"{server_url}/ctrip-ttd/{code}"

    def call(service: str, content: dict[str, Any]) -> dict[str, Any]:
        asked = {"url": url, "service": service, "content": content}
        answer = post(f"{simulator_url}/simulator-ttd/call", asked)
        if answer["code"] != "0000":
            raise StartError(f"{service} was answered with {answer['code']}")
        said: dict[str, Any] = answer["content"]
        return said

    def walk_through(product: str, currency: str) -> Iterator[str]:
        connect = ["connect", code, "--vendor", "ctrip_ttd", "--currency", currency]
        command(*connect, "--base-url", said["base_url"], credentials=said["credentials"])
        listing = ["list-item", code, code, "--product", product, "--location", "HKG"]
        command(*listing, "--currency", currency, "--days", "10")
        prices = f"{simulator_url}/simulator-ttd/prices"
        price = until(
            lambda: [each for each in get(prices) if each["PLU"] == code], "prices are pushed"
        )[-1]
        yield f"{code}: product {product} is listed, for {price['costPrice']} {currency}"
        item = {"PLU": code, "useStartDate": price["date"], "quantity": QUANTITY}
        item |= {"cost": price["costPrice"], "costCurrency": currency}
        order = {
            "sequenceId": code,
            "otaOrderId": code,
            "contacts": [{"name": "Wei Wang", "mobile": "13800000000", "intlCode": "86"}],
            "items": [item],
        }
        left = call("VerifyOrder", order)["items"][0]["inventorys"][0]["quantity"]
        yield f"{code}: verified; {left} are left on {price['date']}"
        made = call("CreatePreOrder", order)
        if call("CreatePreOrder", order) != made:
            raise StartError("a repeat was answered otherwise")
        yield f"{code}: held as {made['supplierOrderId']}, the same when it is asked for again"
        rows: list[dict[str, Any]] = [{"PLU": code, "itemId": "1"}]
        paid = call("PayPreOrder", {"otaOrderId": code, "confirmType": 1, "items": rows})
        yield f"{code}: paid; its QR code is {paid['vouchers'][0]['voucherData'][:24]}…"
        again = call("SendVoucher", {"otaOrderId": code})
        if again["vouchers"] != paid["vouchers"]:
            raise StartError("the vouchers are other ones when they are asked for again")
        yield f"{code}: the same QR code when it is asked for again"
        rows = [{"PLU": code, "itemId": "1", "cancelType": 1, "quantity": 1}]
        call("CancelOrder", {"otaOrderId": code, "confirmType": 1, "items": rows})
        (shown,) = call("QueryOrder", {"otaOrderId": code})["items"]
        yield f"{code}: {shown['cancelQuantity']} of {shown['quantity']} are cancelled, and no more"
        command("pause", code)

    return walk_through
