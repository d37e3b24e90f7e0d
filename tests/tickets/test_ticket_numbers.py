"""Numbers, codes, validity, and the rows that COPY reads."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.catalog.rules import MAX_ADVANCE, fault_of_start, valid_until
from server.parties.rules import PARTNER_BITS
from server.stock.ids import stock_id
from server.tickets import generation
from server.tickets.generation import (
    CHUNK_TICKETS,
    NewTickets,
    entitlement_rows,
    random_uuids,
    ticket_rows,
)
from server.tickets.rules import (
    DAY_BITS,
    EPOCH,
    SEQUENCE_BITS,
    Code,
    Number,
    number_range,
    partner_range,
    why_no_qr,
    why_not_activated,
)

HONG_KONG = ZoneInfo("Asia/Hong_Kong")
NOON = datetime(2026, 11, 21, 4, tzinfo=UTC)
LAST_DAY = EPOCH + timedelta(days=(1 << DAY_BITS) - 1)

numbers = st.builds(
    Number,
    st.integers(0, (1 << PARTNER_BITS) - 1),
    st.dates(EPOCH, LAST_DAY),
    st.integers(0, (1 << SEQUENCE_BITS) - 1),
)
partner_codes = st.from_regex(r"[A-Z0-9]{1,12}", fullmatch=True)
moments = st.datetimes(timezones=st.just(UTC))
zones = st.sampled_from(["Asia/Hong_Kong", "UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])


def new_tickets(**fields: object) -> NewTickets:
    values: dict[str, object] = {
        "first_ticket_id": int(Number(7, date(2025, 11, 3), 1)),
        "quantity": 3,
        "partner_code": "CP",
        "state": "PRE_GENERATED",
        "product_id": 106,
        "batch_id": UUID(int=1),
        "distributor_id": "",
        "snapshot_id": UUID(int=2),
        "order_id": None,
        "customer_type": None,
        "customer_name": None,
        "valid_from_time": NOON,
        "valid_until_time": NOON + timedelta(days=1),
        "create_time": NOON,
        "entitlements": [("tokens", 10), ("ferry", 1)],
    }
    return NewTickets(**values | fields)  # type: ignore[arg-type]


def read(text: bytes) -> list[list[str | None]]:
    """What PostgreSQL reads: its manual, COPY, Text Format."""
    rows = []
    for line in text.decode().removesuffix("\n").split("\n"):
        rows.append([None if field == r"\N" else _unescaped(field) for field in line.split("\t")])
    return rows


def _unescaped(field: str) -> str:
    plain, characters = "", iter(field)
    for character in characters:
        if character == "\\":
            escaped = next(characters)
            plain += {"t": "\t", "n": "\n", "r": "\r"}.get(escaped, escaped)
        else:
            plain += character
    return plain


@given(numbers)
def test_number_is_packed_into_a_positive_bigint(number: Number) -> None:
    packed = int(number)
    assert 0 <= packed < 1 << 63
    assert Number.unpack(packed) == number


@given(numbers, numbers)
def test_order_of_numbers_is_that_of_partner_day_and_sequence(one: Number, two: Number) -> None:
    def key(number: Number) -> tuple[int, date, int]:
        return number.partner_id, number.day, number.sequence

    assert (int(one) < int(two)) == (key(one) < key(two))


@given(numbers, partner_codes, st.sampled_from(["OTA", "DIR", "ORD"]))
def test_code_and_number_are_two_forms_of_one(number: Number, partner: str, prefix: str) -> None:
    code = Code.parse(number.code(prefix, partner))
    assert code == Code(prefix, partner, number.day, number.sequence)
    assert code.number(number.partner_id) == int(number)


def test_code_as_seed_004_has_it() -> None:
    assert Number(1, date(2025, 11, 3), 1).code("OTA", "CP") == "OTA-CP-20251103-000001"
    assert Number(1, date(2025, 11, 3), 1_234_567).code("OTA", "CP") == "OTA-CP-20251103-1234567"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OTA-CP-20251103-1",
        "OTA-CP-20251103-0000001",
        "OTA-CP-20251103-134217728",
        "OTA-CP-20251131-000001",
        "OTA-CP-20191231-000001",
        "OTA-CP-22000101-000001",
        "OTA-cp-20251103-000001",
        "XXX-CP-20251103-000001",
        "OTA-CP-20251103-000001\n",
        " OTA-CP-20251103-000001",
        "OTA-CP-２０２５１１０３-000001",
        "OTA--20251103-000001",
    ],
)
def test_no_code(text: str) -> None:
    assert Code.parse(text) is None


@pytest.mark.parametrize(
    "number",
    [
        Number(-1, EPOCH, 0),
        Number(1 << PARTNER_BITS, EPOCH, 0),
        Number(0, EPOCH - timedelta(days=1), 0),
        Number(0, LAST_DAY + timedelta(days=1), 0),
        Number(0, EPOCH, -1),
        Number(0, EPOCH, 1 << SEQUENCE_BITS),
    ],
)
def test_number_that_does_not_fit(number: Number) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        int(number)


@given(numbers, moments, st.none() | moments, st.none() | moments, zones)
def test_number_range_holds_what_was_made_in_the_time(
    number: Number, made: datetime, start: datetime | None, end: datetime | None, zone: str
) -> None:
    """Whatever the times, even those of no day that numbers have; and nothing of another
    partner.
    """
    first, last = number_range(number.partner_id, start, end, ZoneInfo(zone))
    own, behind = partner_range(number.partner_id)
    assert own <= first
    assert last < behind <= 1 << 63
    made = min(max(made, datetime(2020, 1, 2, tzinfo=UTC)), datetime(2199, 1, 1, tzinfo=UTC))
    its = Number(number.partner_id, made.astimezone(ZoneInfo(zone)).date(), number.sequence)
    if (start is None or start <= made) and (end is None or made < end):
        assert first <= int(its) <= last


def test_number_range_is_no_wider_than_its_days() -> None:
    """23:00 in Hong Kong to 01:00 of the next day."""
    first, last = number_range(7, NOON + timedelta(hours=11), NOON + timedelta(hours=13), HONG_KONG)
    assert Number.unpack(first) == Number(7, date(2026, 11, 21), 0)
    assert Number.unpack(last) == Number(7, date(2026, 11, 22), (1 << SEQUENCE_BITS) - 1)


@given(st.integers(1, 2**31 - 1), st.integers(0, (1 << PARTNER_BITS) - 1))
def test_stock_id(product_id: int, partner_id: int) -> None:
    packed = stock_id(product_id, partner_id)
    assert divmod(packed, 1 << PARTNER_BITS) == (product_id, partner_id)
    assert packed < 1 << 63


# Rows


@given(st.text(), st.none() | st.text(), st.none() | st.integers(0, 2**63 - 1))
def test_rows_say_what_was_meant(
    distributor_id: str, customer_name: str | None, order_id: int | None
) -> None:
    new = new_tickets(distributor_id=distributor_id, customer_name=customer_name, order_id=order_id)
    (text,) = ticket_rows(new)
    for sequence, row in enumerate(read(text), 1):
        fields = dict(zip(generation.TICKET_COLUMNS, row, strict=True))
        number = Number(7, date(2025, 11, 3), sequence)
        assert fields.pop("jti")
        assert fields == {
            "ticket_id": str(int(number)),
            "ticket_code": number.code("OTA", "CP"),
            "state": "PRE_GENERATED",
            "product_id": "106",
            "partner_id": "7",
            "reservation_id": None,
            "batch_id": str(UUID(int=1)),
            "distributor_id": distributor_id,
            "snapshot_id": str(UUID(int=2)),
            "order_id": None if order_id is None else str(order_id),
            "customer_type": None,
            "customer_name": customer_name,
            "valid_from_time": "2026-11-21T04:00:00+00:00",
            "valid_until_time": "2026-11-22T04:00:00+00:00",
            "create_time": "2026-11-21T04:00:00+00:00",
            "update_time": "2026-11-21T04:00:00+00:00",
        }
    assert sequence == 3


@pytest.mark.parametrize("quantity", [1, *(CHUNK_TICKETS + more for more in (-1, 0, 1)), 2500])
def test_rows_come_in_chunks(quantity: int) -> None:
    new = new_tickets(quantity=quantity, first_ticket_id=int(Number(7, EPOCH, 999_000)))
    chunks = list(ticket_rows(new))
    assert [chunk.count(b"\n") for chunk in chunks[:-1]] == [CHUNK_TICKETS] * (len(chunks) - 1)
    rows = read(b"".join(chunks))
    assert [row[0] for row in rows] == [str(new.first_ticket_id + i) for i in range(quantity)]
    assert [row[1] for row in rows] == [
        f"OTA-CP-20200101-{999_000 + i:06d}" for i in range(quantity)
    ]
    assert len({row[2] for row in rows}) == quantity
    uses = read(b"".join(entitlement_rows(new)))
    assert uses == [
        [row[0], function_code, total, total]
        for row in rows
        for function_code, total in (("ferry", "1"), ("tokens", "10"))
    ]


def test_random_uuids() -> None:
    made = [UUID(text) for text in random_uuids(1000)]
    assert {(jti.version, jti.variant) for jti in made} == {(4, "specified in RFC 4122")}
    assert len(set(made)) == 1000
    bits = [sum(jti.int >> bit & 1 for jti in made) for bit in range(128)]
    fixed = {bit for bit, ones in enumerate(bits) if ones in (0, 1000)}
    assert fixed == {62, 63, 76, 77, 78, 79}  # version and variant
    assert all(350 < ones < 650 for bit, ones in enumerate(bits) if bit not in fixed)


# Validity and moves


@given(moments, st.integers(1, 3650), zones)
def test_validity_ends_with_a_day(start: datetime, days: int, zone: str) -> None:
    start = min(max(start, datetime(2020, 1, 1, tzinfo=UTC)), datetime(2090, 1, 1, tzinfo=UTC))
    end = valid_until(start, days, ZoneInfo(zone))
    assert (end.hour, end.minute, end.second, end.microsecond) == (0, 0, 0, 0)
    assert end.date() - start.astimezone(ZoneInfo(zone)).date() == timedelta(days=days + 1)
    assert end > start


def test_validity_ends_in_the_platforms_time_zone() -> None:
    """23:59 and 00:00 in Hong Kong are two days; one day later is the last."""
    before = datetime(2026, 11, 21, 15, 59, tzinfo=UTC)
    assert valid_until(before, 1, HONG_KONG) == datetime(2026, 11, 22, 16, tzinfo=UTC)
    after = before + timedelta(minutes=1)
    assert valid_until(after, 1, HONG_KONG) == datetime(2026, 11, 23, 16, tzinfo=UTC)


@given(moments, st.integers(1, 3650))
def test_start_of_validity(start: datetime, days: int) -> None:
    """Every start that is taken gives a validity that is not over, and an end that fits into a
    token's u32.
    """
    if fault_of_start(start, days, NOON) is None:
        end = valid_until(start, days, HONG_KONG)
        assert end > NOON
        assert end.timestamp() < 1 << 32


def test_start_of_validity_has_bounds() -> None:
    assert fault_of_start(NOON, 1, NOON) is None
    assert fault_of_start(NOON + MAX_ADVANCE, 1, NOON) is None
    assert fault_of_start(NOON + MAX_ADVANCE + timedelta(seconds=1), 1, NOON)
    assert fault_of_start(NOON - timedelta(hours=23), 1, NOON) is None
    assert fault_of_start(NOON - timedelta(days=1), 1, NOON)


STATES = [
    "PRE_GENERATED",
    "ACTIVE",
    "PARTIALLY_REDEEMED",
    "USED",
    "REFUNDING",
    "REFUNDED",
    "CHANGING",
    "CHANGED",
    "EXPIRED",
    "VOIDED",
]


def test_what_is_activated_and_what_has_a_qr() -> None:
    good = {"blocked": False, "valid_until_time": NOON + timedelta(seconds=1), "now": NOON}
    activated = [s for s in STATES if why_not_activated(s, **good) is None]  # type: ignore[arg-type]
    assert activated == ["PRE_GENERATED"]
    has_qr = [s for s in STATES if why_no_qr(s, **good) is None]  # type: ignore[arg-type]
    assert has_qr == ["PRE_GENERATED", "ACTIVE", "PARTIALLY_REDEEMED", "REFUNDING", "CHANGING"]
    for bad in ({"blocked": True}, {"valid_until_time": NOON}):
        assert why_not_activated("PRE_GENERATED", **good | bad)  # type: ignore[arg-type]
        assert why_no_qr("PRE_GENERATED", **good | bad)  # type: ignore[arg-type]
