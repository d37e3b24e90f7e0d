"""Orders of Ctrip's attractions channel as rows: kept once, moved one after the other."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from server.channels.ttd_messages import TtdItem, TtdOrder
from server.platform.crypto import Sealer, derive, fingerprint
from server.platform.statements import Command, Statement

RECEIVED, HELD, SOLD, CANCELLED = "RECEIVED", "HELD", "SOLD", "CANCELLED"
HASH_BYTES = 16


class TtdRow(NamedTuple):
    """A row of `ttd_models.ttd_orders`."""

    channel_code: str
    ota_order_id: str
    sequence_id: str
    content_hash: bytes
    sealed_content: bytes
    state: str
    is_direct: bool
    order_id: int | None
    attempt: int
    supplier_order_id: str
    left_then: list[int]
    item_ids: list[str]
    sealed_voucher: bytes | None
    last_day: date

    @property
    def name(self) -> str:
        """What orders, tasks and logs call it; no code of a channel has a colon."""
        return f"{self.channel_code}:{self.ota_order_id}"


class UsedOrder(NamedTuple):
    """An order of which more, or fewer, tickets were used than were noted."""

    channel_code: str
    ota_order_id: str


_COLUMNS = ", ".join(TtdRow._fields)
_ADD = Statement(
    """
INSERT INTO ttd_orders (channel_code, ota_order_id, sequence_id, content_hash, sealed_content,
  state, is_direct, last_day, create_time, update_time)
VALUES ($1, $2, $3, $4::bytea, $5::bytea, 'RECEIVED', $6::bool, $7::date, $8::timestamptz,
  $8::timestamptz)
ON CONFLICT DO NOTHING RETURNING true
""",
    bool,
)
_READ = Statement(
    f"SELECT {_COLUMNS} FROM ttd_orders WHERE channel_code = $1 AND ota_order_id = $2",  # noqa: S608
    TtdRow,
)
_LOCK = Statement(
    f"SELECT {_COLUMNS} FROM ttd_orders WHERE channel_code = $1 AND ota_order_id = $2"  # noqa: S608
    " FOR NO KEY UPDATE",
    TtdRow,
)
_MOVE = Statement("""
UPDATE ttd_orders SET state = $3, order_id = $4::bigint, attempt = $5::int,
  supplier_order_id = $6, left_then = $7::jsonb, item_ids = $8::jsonb,
  sealed_voucher = $9::bytea, update_time = $10::timestamptz
WHERE channel_code = $1 AND ota_order_id = $2
""")
# tickets of people: those of what is shared (passenger -1) are nobody's
_NOTE_USES = Statement(
    """
UPDATE ttd_orders o SET noted_used = f.used, update_time = $1::timestamptz
FROM (
  SELECT n.channel_code, n.ota_order_id, count(t.ticket_id)::int AS used
  FROM ttd_orders n
  JOIN channels c ON c.channel_code = n.channel_code AND c.state <> 'REVOKED'
  LEFT JOIN tickets t ON t.order_id = n.order_id AND t.state IN ('PARTIALLY_REDEEMED', 'USED')
    AND EXISTS (SELECT FROM ticket_sales s
      WHERE s.ticket_id = t.ticket_id AND s.passenger_index >= 0)
  WHERE n.state = 'SOLD' AND n.last_day >= $2::date
  GROUP BY n.channel_code, n.ota_order_id
  HAVING count(t.ticket_id) <> n.noted_used
  ORDER BY 1, 2 LIMIT $3::int) f
WHERE o.channel_code = f.channel_code AND o.ota_order_id = f.ota_order_id
RETURNING o.channel_code, o.ota_order_id
""",
    UsedOrder,
)


class TtdSeals:
    """Seals what is ordered and the QR texts, bound to the order."""

    def __init__(self, secret_key: bytes) -> None:
        self._sealer = Sealer(derive(secret_key, "deeptravel ttd orders"))
        self._customers = derive(secret_key, "deeptravel channel customers")

    def seal(self, row_name: str, plain: bytes) -> bytes:
        """Content as it is stored."""
        return self._sealer.seal(plain, row_name.encode())

    def order(self, row: TtdRow) -> TtdOrder:
        """What is ordered."""
        content = orjson.loads(self._sealer.open(row.sealed_content, row.name.encode()))
        items = tuple(_parsed(each) for each in content.pop("items"))
        return TtdOrder(**content, items=items)

    def voucher(self, row: TtdRow) -> str:
        """The QR text of a SOLD order."""
        assert row.sealed_voucher is not None, "a constraint says so"
        return self._sealer.open(row.sealed_voucher, row.name.encode()).decode()

    def customer(self, order: TtdOrder) -> str:
        """What stands for the customer: as of channels' bookings, else the order."""
        said = order.email.casefold() or "".join(filter(str.isdigit, order.phone))
        text = said or f"ttd {order.ota_order_id}"
        return fingerprint(text.encode(), size_bytes=HASH_BYTES, key=self._customers).hex()

    def hash(self, plain: bytes) -> bytes:
        """What says whether two contents are the same."""
        return fingerprint(plain, size_bytes=HASH_BYTES, key=self._customers)


def dumped(order: TtdOrder) -> bytes:
    """What is ordered, as it is sealed."""
    content = order._asdict() | {"items": [each._asdict() for each in order.items]}
    return orjson.dumps(content, default=str, option=orjson.OPT_SORT_KEYS)


def _parsed(item: dict[str, Any]) -> TtdItem:
    price = item["price"]
    return TtdItem(
        **{
            **item,
            "day": date.fromisoformat(item["day"]),
            "price": None if price is None else Decimal(price),
            "names": tuple(item["names"]),
            "passenger_ids": tuple(item["passenger_ids"]),
        }
    )


def add(
    *,
    channel_code: str,
    order: TtdOrder,
    content_hash: bytes,
    sealed: bytes,
    is_direct: bool,
    now: datetime,
) -> Command[bool]:
    """Keeps an order that is RECEIVED; no row if there is one of its id or sequence."""
    last_day = max(each.day for each in order.items)
    return _ADD(
        *(channel_code, order.ota_order_id, order.sequence_id, content_hash, sealed),
        *(is_direct, last_day, now),
    )


def read(channel_code: str, ota_order_id: str) -> Command[TtdRow]:
    """An order, if there is one."""
    return _READ(channel_code, ota_order_id)


def lock(channel_code: str, ota_order_id: str) -> Command[TtdRow]:
    """An order, locked until the end of the transaction, before our order is."""
    return _LOCK(channel_code, ota_order_id)


def move(row: TtdRow, *, now: datetime) -> Command[None]:
    """Writes a locked order as it is now."""
    return _MOVE(
        *(row.channel_code, row.ota_order_id, row.state, row.order_id, row.attempt),
        *(row.supplier_order_id, orjson.dumps(row.left_then).decode()),
        *(orjson.dumps(row.item_ids).decode(), row.sealed_voucher, now),
    )


def note_uses(*, since: date, limit: int, now: datetime) -> Command[UsedOrder]:
    """Notes how many tickets were used of orders that are used since this day; those for which
    that is new, of which Ctrip is to be notified.
    """
    return _NOTE_USES(now, since, limit)
