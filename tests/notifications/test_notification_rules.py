"""The rules of messages: what is one message, quiet hours, retries, and WeChat's values."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from server.notifications import rules
from server.notifications.rules import OrderMove, QuietHours
from server.notifications.texts import amount, values
from server.wechat.mini_program import HANDLING, Handling, ValueRefusedError, fit, keyword_kind

HONG_KONG, BERLIN = ZoneInfo("Asia/Hong_Kong"), ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(22 * 60, 8 * 60)
AT = datetime(2026, 11, 28, 4, 0, tzinfo=UTC)


def move(event: str, sequence: int, ticket: int | None = None, reason: str = "") -> OrderMove:
    return OrderMove(7, sequence, event, reason or None, ticket, AT)


def test_what_one_transaction_did_to_several_tickets_is_one_message() -> None:
    moves = [
        move("order.paid", 2),
        move("ticket.refunding", 3, 1),
        move("ticket.refunded", 4, 1),
        move("ticket.refunded", 5, 2),
        move("payment.refunded", 6),
        move("order.cancelled", 7, reason="REFUNDED"),
        move("order.completed", 8),
        move("order.qr_rotated", 9),
    ]
    found = rules.tell(moves, completed=False)
    assert [(each.kind, each.sequence, each.ticket_ids) for each in found] == [
        ("PAYMENT_SUCCEEDED", 2, ()),
        ("REFUND_RESULT", 4, (1, 2)),
    ]
    assert rules.tell(moves, completed=True)[-1].kind == "ORDER_COMPLETED"


@pytest.mark.parametrize(
    ("local", "end"),
    [
        ("2026-11-28 21:59", None),
        ("2026-11-28 22:00", "2026-11-29 08:00"),
        ("2026-11-29 07:59", "2026-11-29 08:00"),
        ("2026-11-29 08:00", None),
        ("2026-12-31 23:30", "2027-01-01 08:00"),
    ],
)
def test_quiet_hours_over_midnight(local: str, end: str | None) -> None:
    now = datetime.fromisoformat(local).replace(tzinfo=HONG_KONG)
    found = NIGHT.end(now.astimezone(UTC), HONG_KONG)
    wanted = datetime.fromisoformat(end).replace(tzinfo=HONG_KONG) if end else None
    assert found == wanted


def test_quiet_hours_end_by_the_clock_also_where_it_is_put_back() -> None:
    """On 25 October 2026 the clocks of Berlin go back at 3:00: the night has an hour more."""
    now = datetime(2026, 10, 24, 22, 30, tzinfo=BERLIN)
    end = NIGHT.end(now, BERLIN)
    assert end is not None
    assert end.astimezone(UTC) == datetime(2026, 10, 25, 7, 0, tzinfo=UTC)
    assert QuietHours(60, 60).end(now, BERLIN) is None


def test_what_may_wait_waits_and_a_cancelled_departure_does_not() -> None:
    night = datetime(2026, 11, 28, 23, 0, tzinfo=HONG_KONG)
    waits = {kind for kind in rules.KINDS if rules.due(kind, NIGHT, night, HONG_KONG) > night}
    assert waits == {"ORDER_CANCELLED", "REFUND_RESULT", "EXPIRY_REMINDER", "ORDER_COMPLETED"}


def test_waits_grow_and_end() -> None:
    waits = [rules.retry_seconds(attempt, 0.0) for attempt in range(1, rules.MAX_ATTEMPTS)]
    assert all(one is not None for one in waits)
    numbers = [wait or 0.0 for wait in waits]
    assert numbers == sorted(numbers)
    assert timedelta(hours=12) < timedelta(seconds=sum(numbers)) < timedelta(days=2)
    assert rules.retry_seconds(rules.MAX_ATTEMPTS, 0.0) is None
    assert (rules.retry_seconds(1, 1.0) or 0) < (rules.retry_seconds(1, 0.0) or 0)
    assert rules.retry_seconds(1, 0.0, 60.0) == 60.0


def test_one_consent_is_one_message() -> None:
    available = {(1, "A"): 2, (2, "A"): 1}
    wanted = [(1, "A"), (1, "A"), (1, "A"), (2, "A"), (2, "B")]
    assert rules.grants(wanted, available) == [True, True, False, True, False]
    assert available == {(1, "A"): 0, (2, "A"): 0}


@pytest.mark.parametrize(
    ("keyword", "value", "fitted"),
    [
        (
            "thing1",
            "一二三四五六七八九十一二三四五六七八九十",
            "一二三四五六七八九十一二三四五六七八九十",
        ),
        (
            "thing1",
            "一二三四五六七八九十一二三四五六七八九十一",
            "一二三四五六七八九十一二三四五六七八九…",
        ),
        ("thing1", " two\nlines ", "two lines"),
        ("name2", "一二三四五六七八九十甲", "一二三四五六七八九十"),
        ("character_string3", "ORD-DT-20261128-000001", "ORD-DT-20261128-000001"),
        ("character_string3", "订单1", None),
        ("character_string3", "x" * 33, None),
        ("time4", "2026-12-05 09:00", "2026-12-05 09:00"),
        ("time4", "2019年10月1日 15:01", "2019年10月1日 15:01"),
        ("time4", "9:00~10:30", "9:00~10:30"),
        ("time4", "tomorrow", None),
        ("date5", "2026-12-05", "2026-12-05"),
        ("date5", "09:00", None),
        ("amount6", "¥12.50", "¥12.50"),
        ("amount6", "HKD 12.50", "12.50"),
        ("amount6", "12345678901", None),
        ("phone_number7", "+86-0766-66888866", "+86-0766-66888866"),
        ("phone_number7", "+86-0766-668888661", None),
        ("number8", "3", "3"),
        ("number8", "three", None),
        ("letter9", "abc", "abc"),
        ("symbol10", "!!", "!!"),
        ("symbol10", "!!!!!!", None),
        ("car_number11", "粤A8Z888挂", "粤A8Z888挂"),
        ("phrase12", "退款成功", "退款成功"),
        ("phrase12", "refunded", None),
        ("const13", "ok", "ok"),
        ("thing1", " \n", None),
        ("nothing1", "x", None),
    ],
)
def test_values_of_wechats_keywords(keyword: str, value: str, fitted: str | None) -> None:
    """Words are cut, what a cut would falsify is refused; the limits are WeChat's own."""
    if fitted is None:
        with pytest.raises(ValueRefusedError):
            fit(keyword, value)
    else:
        assert fit(keyword, value) == fitted


def test_keywords_and_codes() -> None:
    assert keyword_kind("character_string12") == "character_string"
    assert keyword_kind("thing") == ""
    assert set(HANDLING.values()) == set(Handling)


def test_facts_in_both_languages() -> None:
    facts = {
        "time": "2026-12-05T01:00:00+00:00",
        "product": {"zh": "船", "en": "Ferry"},
        "amount": {"minor": 5, "currency": "HKD"},
        "reason": "HOLD_EXPIRED",
        "former_time": None,
    }
    assert values(facts, "en", HONG_KONG) == {
        "time": "2026-12-05 09:00",
        "product": "Ferry",
        "amount": "HKD 0.05",
        "reason": "it was not paid in time",
        "former_time": "",
    }
    assert values(facts, "zh", HONG_KONG)["reason"] == "超时未支付"
    assert [amount(1234, c) for c in ("CNY", "JPY")] == ["¥12.34", "JPY 1234"]
