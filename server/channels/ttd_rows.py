"""Orders of Ctrip's attractions channel as rows: kept once, moved one after the other."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels.ttd_messages import TtdItem, TtdOrder
from server.channels.ttd_wire import ResultCode, TtdRefusal
from server.platform.crypto import Sealer, derive, fingerprint
from server.platform.statements import Command, Statement, run

RECEIVED, REFUSED, HELD, SOLD = "RECEIVED", "REFUSED", "HELD", "SOLD"
CANCELLED = "CANCELLED"
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
    sealed_changed_vouchers: bytes | None
    last_day: date

    @property
    def name(self) -> str:
        """What orders, tasks and logs call it; no code of a channel has a colon."""
        return f"{self.channel_code}:{self.ota_order_id}"

    @property
    def was_never_held(self) -> bool:
        """Whether nothing was ever ordered by it; what is paid at once may be on its way."""
        is_new = self.state == RECEIVED and not self.supplier_order_id and not self.is_direct
        return is_new or self.state == REFUSED


class NewTtdOrder(NamedTuple):
    """What is to be ordered, with what says whether another call says the same."""

    channel_code: str
    order: TtdOrder
    content_hash: bytes
    sealed: bytes
    is_direct: bool

    @property
    def columns(self) -> tuple[str | bytes | bool | date, ...]:
        """The row's, from channel and id on."""
        order = self.order
        named = self.channel_code, order.ota_order_id, order.sequence_id
        return *named, self.content_hash, self.sealed, self.is_direct, last_day_of(order)


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
  sealed_voucher = $9::bytea, sealed_changed_vouchers = $10::bytea, sealed_content = $11::bytea,
  last_day = $12::date, update_time = $13::timestamptz
WHERE channel_code = $1 AND ota_order_id = $2
""")
_REFUSE = Statement("""
UPDATE ttd_orders SET state = 'REFUSED', update_time = $4::timestamptz
WHERE channel_code = $1 AND ota_order_id = $2 AND attempt = $3::int AND state = 'RECEIVED'
  AND supplier_order_id = ''
""")
# the next attempt: whoever still holds by the content that was refused is late
_CORRECT = Statement("""
UPDATE ttd_orders o SET state = 'RECEIVED', attempt = attempt + 1, sequence_id = $3,
  content_hash = $4::bytea, sealed_content = $5::bytea, is_direct = $6::bool, last_day = $7::date,
  update_time = $8::timestamptz
WHERE channel_code = $1 AND ota_order_id = $2 AND state = 'REFUSED' AND content_hash <> $4::bytea
  AND NOT EXISTS (SELECT FROM ttd_orders other WHERE other.channel_code = $1
    AND other.sequence_id = $3 AND other.ota_order_id <> $2)
""")
# tickets of people: those of what is shared (passenger -1) are nobody's
_NOTE_USES = Statement(
    """
UPDATE ttd_orders o SET noted_used = f.used, update_time = $1::timestamptz
FROM (
  SELECT n.channel_code, n.ota_order_id, count(t.ticket_id)::int AS used
  FROM ttd_orders n
  JOIN channels c ON c.channel_code = n.channel_code AND c.state <> 'REVOKED'
  CROSS JOIN LATERAL (SELECT n.order_id UNION ALL
    SELECT o.order_id FROM orders o WHERE o.first_order_id = n.order_id) family
  LEFT JOIN tickets t ON t.order_id = family.order_id
    AND t.state IN ('PARTIALLY_REDEEMED', 'USED')
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

    def with_content(self, row: TtdRow, order: TtdOrder) -> TtdRow:
        """The row with what is ordered now."""
        return row._replace(
            sealed_content=self.seal(row.name, dumped(order)), last_day=last_day_of(order)
        )

    def voucher(self, row: TtdRow) -> str:
        """The QR text of a SOLD order, as the answer to its payment had it."""
        assert row.sealed_voucher is not None, "a constraint says so"
        return self._sealer.open(row.sealed_voucher, row.name.encode()).decode()

    def vouchers(self, row: TtdRow) -> dict[int, str]:
        """By the numbers of orders of ours the QR texts that a SOLD one has: its own, and those of
        the changes of its tickets.
        """
        assert row.order_id is not None, "a constraint says so"
        found = {row.order_id: self.voucher(row)}
        if row.sealed_changed_vouchers is not None:
            plain = self._sealer.open(row.sealed_changed_vouchers, row.name.encode())
            found |= {int(order_id): text for order_id, text in orjson.loads(plain).items()}
        return found

    def with_vouchers(self, row: TtdRow, vouchers: dict[int, str]) -> TtdRow:
        """The row with those of changes."""
        of_changes = {str(number): vouchers[number] for number in vouchers.keys() - {row.order_id}}
        return row._replace(sealed_changed_vouchers=self.seal(row.name, orjson.dumps(of_changes)))

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


def add(new: NewTtdOrder, *, now: datetime) -> Command[bool]:
    """Keeps an order that is RECEIVED; no row if there is one of its id or sequence."""
    return _ADD(*new.columns, now)


def correct(new: NewTtdOrder, *, now: datetime) -> Command[None]:
    """Has an order that was REFUSED, so that nothing was ever held of it, RECEIVED with other
    content; not under another's sequenceId.
    """
    return _CORRECT(*new.columns, now)


def refuse(row: TtdRow, *, now: datetime) -> Command[None]:
    """Notes that what is ordered cannot be held, of which nothing ever was."""
    return _REFUSE(row.channel_code, row.ota_order_id, row.attempt, now)


def last_day_of(order: TtdOrder) -> date:
    """The last day on which something of it is used."""
    return max(each.day for each in order.items)


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
        *(orjson.dumps(row.item_ids).decode(), row.sealed_voucher, row.sealed_changed_vouchers),
        *(row.sealed_content, row.last_day, now),
    )


def note_uses(*, since: date, limit: int, now: datetime) -> Command[UsedOrder]:
    """Notes how many tickets were used of orders that are used since this day; those for which
    that is new, of which Ctrip is to be notified.
    """
    return _NOTE_USES(now, since, limit)


async def locked(
    tx: AsyncConnection,
    channel_code: str,
    ota_order_id: str,
    *,
    unknown: ResultCode = ResultCode.UNKNOWN_ORDER,
) -> TtdRow:
    """An order, locked. Raises TtdRefusal with the code `unknown`."""
    found = await run(tx, lock(channel_code, ota_order_id))
    if not found:
        raise TtdRefusal(unknown, "there is no order of this otaOrderId")
    return found[0]
