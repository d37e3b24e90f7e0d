"""What is in the bodies of our answers and notices by Ctrip's protocol for attractions. Pure.

Unverified against the vendor, as `ttd_wire.py` says.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from server.channels.ttd_messages import TtdItem

QR_VOUCHER = 3
"""A voucher whose data become a QR code at Ctrip."""
SENT_BY_CTRIP = 1
CONFIRMED = 1
PENDING = 2


class ItemState(NamedTuple):
    """How an item of an order stands: of `quantity` so many were used, and cancelled."""

    item_id: str
    day: date
    quantity: int
    used: int
    cancelled: int
    is_expired: bool = False


class ItemVoucher(NamedTuple):
    """A QR code that opens tickets of an item: all of its order of ours, whose code it has."""

    item_id: str
    code: str
    qr_text: str


class TtdStanding(NamedTuple):
    """What of an order says how its items stand."""

    is_paid: bool
    is_cancelled: bool
    is_direct: bool


def item_status(item: ItemState, order: TtdStanding) -> int:
    """The protocol's `orderStatus` of an item."""
    if not order.is_paid:
        return 14 if order.is_cancelled else 11
    if item.cancelled == item.quantity:
        return 5
    if item.used:
        return 8 if item.used + item.cancelled == item.quantity else 7
    if item.is_expired:
        return 10
    if item.cancelled:
        return 4
    return 2 if order.is_direct else 13


def left(items: Sequence[tuple[TtdItem, int]]) -> list[dict[str, Any]]:
    """`items` of an answer about stock: how many are left of each."""
    return [
        {
            "PLU": item.plu,
            "itemId": item.item_id,
            "inventorys": [{"useDate": item.day.isoformat(), "quantity": quantity}],
        }
        for item, quantity in items
    ]


def ids(ota_order_id: str, supplier_order_id: str) -> dict[str, Any]:
    """What names an order in an answer or a notice."""
    return {"otaOrderId": ota_order_id, "supplierOrderId": supplier_order_id}


def voucher(vouchers: Sequence[ItemVoucher]) -> dict[str, Any]:
    """Items' vouchers, which Ctrip sends to its customer."""
    item_ids = dict.fromkeys(each.item_id for each in vouchers)
    return {
        "voucherSender": SENT_BY_CTRIP,
        "vouchers": [
            {
                "itemId": each.item_id,
                "voucherType": QR_VOUCHER,
                "voucherCode": each.code,
                "voucherData": each.qr_text,
            }
            for each in vouchers
        ],
        "items": [{"itemId": each, "isCredentialVouchers": 0} for each in item_ids],
    }


def shown(item: ItemState, order: TtdStanding) -> dict[str, Any]:
    """An item in the answer to QueryOrder; without a payment Ctrip has no id for it, which is 0."""
    day = item.day.isoformat()
    return {
        "itemId": item.item_id if order.is_paid else "0",
        "orderStatus": item_status(item, order),
        "quantity": item.quantity,
        "useQuantity": item.used,
        "cancelQuantity": item.cancelled,
        "useStartDate": day,
        "useEndDate": day,
    }


def consumed(item: ItemState) -> dict[str, Any]:
    """An item in OrderConsumedNotice: how many were used by now, so that a repeat does no harm."""
    day = item.day.isoformat()
    return {
        "itemId": item.item_id,
        "useStartDate": day,
        "useEndDate": day,
        "quantity": item.quantity,
        "useQuantity": item.used,
    }
