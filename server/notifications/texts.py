"""The values that texts are filled in with, by language, and the texts that are shipped. Pure.

Facts are what is true of a message in no language: codes, names in both languages, times in UTC,
amounts in minor units. They are kept with the message, so that it can be written again.
"""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from types import MappingProxyType
from typing import Any

from server.notifications import rules
from server.notifications.template_rules import Template
from server.platform.currencies import decimal_text, money_text

_EVERY = {
    "order_code": "the order, e.g. ORD-DT-20261128-000001",
    "product": "what was ordered",
    "service": "the service's number; empty for what is no departure",
    "journey": "from where to where; empty for what is no departure",
    "time": "when it leaves, or the day of use",
    "event_time": "when it happened",
}
_TICKET = {"ticket_code": "the ticket, or the first of several", "tickets": "how many tickets"}
PLACEHOLDERS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        rules.PAYMENT_SUCCEEDED: _EVERY | {"amount": "what was paid", "tickets": "how many"},
        rules.ORDER_CANCELLED: _EVERY | {"reason": "why"},
        rules.REFUND_RESULT: _EVERY
        | _TICKET
        | {"amount": "what is given back", "result": "given back, or not"},
        rules.REDEMPTION_SUCCEEDED: _EVERY
        | _TICKET
        | {"venue": "where", "function": "which of its functions", "quantity": "how many uses"},
        rules.EXPIRY_REMINDER: _EVERY | _TICKET | {"expire_time": "until when it is valid"},
        rules.ORDER_COMPLETED: _EVERY,
        rules.DEPARTURE_CANCELLED: _EVERY | _TICKET,
        rules.DEPARTURE_MOVED: _EVERY
        | _TICKET
        | {"former_time": "when it was to leave until now; empty if that is not known"},
        rules.TICKET_REBOOKED: _EVERY | _TICKET,
    }
)
"""What the texts of each kind may name, and what it is."""

SAMPLE: Mapping[str, Any] = MappingProxyType(
    {
        "order_code": "ORD-DT-20261128-000001",
        "product": {"zh": "港珠澳喷射船", "en": "Hong Kong – Macau ferry"},
        "service": "TJ101",
        "journey": {"zh": "香港 → 澳门", "en": "Hong Kong → Macau"},
        "time": "2026-12-05T01:00:00+00:00",
        "event_time": "2026-11-28T04:30:00+00:00",
        "amount": {"minor": 36_000, "currency": "CNY"},
        "tickets": 2,
        "ticket_code": "DIR-DT-20261128-000001",
        "reason": "HOLD_EXPIRED",
        "result": "SUCCEEDED",
        "venue": "HK-PIER-1",
        "function": "ferry",
        "quantity": 1,
        "expire_time": "2026-12-31T15:59:59+00:00",
        "former_time": "2026-12-05T00:00:00+00:00",
    }
)
"""Facts to show a template with before it is published."""

_WORDS = {
    ("reason", "TRAVELLER"): ("您已取消", "you cancelled it"),
    ("reason", "HOLD_EXPIRED"): ("超时未支付", "it was not paid in time"),
    ("reason", "DEPARTURE_CANCELLED"): ("班次已取消", "its departure was cancelled"),
    ("reason", "REFUNDED"): ("已全部退款", "all of it was refunded"),
    ("result", "SUCCEEDED"): ("退款成功", "refunded"),
    ("result", "CLOSED"): ("退款未成功", "not refunded"),
}
_TIMES = frozenset({"time", "event_time", "expire_time", "former_time"})


def values(facts: Mapping[str, Any], language: str, zone: tzinfo) -> dict[str, str]:
    """The facts as texts of a language: times by the clock of `zone`, amounts with their
    currency.
    """
    return {name: _text(name, fact, language, zone) for name, fact in facts.items()}


def _text(name: str, fact: Any, language: str, zone: tzinfo) -> str:
    if fact is None or fact == "":
        return ""
    if name in _TIMES:
        text = str(fact)
        if len(text) == len("2026-12-05"):  # a day of use
            return text
        return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M}"
    if isinstance(fact, Mapping):
        if "minor" in fact:
            return amount(fact["minor"], fact["currency"])
        return str(fact.get(language) or fact.get("en") or fact.get("zh") or "")
    words = _WORDS.get((name, str(fact)))
    return words[language == "en"] if words else str(fact)


def amount(minor: int, currency: str) -> str:
    """An amount for people: ¥ for the yuan, the code of other currencies before the figure."""
    return f"¥{decimal_text(minor, currency)}" if currency == "CNY" else money_text(minor, currency)


_SHIPPED: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    rules.PAYMENT_SUCCEEDED: (
        (
            "支付成功",
            "订单 {order_code} 已支付 {amount}：{product} {service} {time}，共 {tickets} 张票。",
        ),
        (
            "Payment received",
            (
                "Order {order_code} is paid ({amount}): {product} {service} {time}, {tickets}"
                " ticket(s)."
            ),
        ),
    ),
    rules.ORDER_CANCELLED: (
        ("订单已取消", "订单 {order_code}（{product}）已取消：{reason}。"),
        ("Order cancelled", "Order {order_code} ({product}) is cancelled: {reason}."),
    ),
    rules.REFUND_RESULT: (
        ("退款结果", "订单 {order_code}（{product}）{result}，金额 {amount}。"),
        ("Refund", "Order {order_code} ({product}): {result}, {amount}."),
    ),
    rules.REDEMPTION_SUCCEEDED: (
        ("核销成功", "票 {ticket_code}（{product}）已于 {event_time} 在 {venue} 使用。"),
        ("Ticket used", "Ticket {ticket_code} ({product}) was used at {venue}, {event_time}."),
    ),
    rules.EXPIRY_REMINDER: (
        ("票即将到期", "票 {ticket_code}（{product}）有效期至 {expire_time}，请及时使用。"),
        (
            "Your ticket ends soon",
            "Ticket {ticket_code} ({product}) is valid until {expire_time}.",
        ),
    ),
    rules.ORDER_COMPLETED: (
        ("订单已完成", "订单 {order_code}（{product}）已完成，感谢您的惠顾。"),
        ("Order completed", "Order {order_code} ({product}) is completed. Thank you."),
    ),
    rules.DEPARTURE_CANCELLED: (
        (
            "班次取消",
            "很抱歉，{time} 的 {service}（{journey}）已取消。订单 {order_code} 的票可全额退款或免费改签。",
        ),
        (
            "Departure cancelled",
            (
                "We are sorry: {service} ({journey}) at {time} is cancelled. The tickets of order"
                " {order_code} are refunded in full or changed free of charge."
            ),
        ),
    ),
    rules.DEPARTURE_MOVED: (
        (
            "班次时间变更",
            "{service}（{journey}）的开航时间改为 {time}。订单 {order_code} 的票仍然有效。",
        ),
        (
            "Departure moved",
            (
                "{service} ({journey}) now leaves at {time}. The tickets of order {order_code} stay"
                " valid."
            ),
        ),
    ),
    rules.TICKET_REBOOKED: (
        (
            "已为您改签",
            "已为您免费改签至 {time} 的 {service}（{journey}），新订单 {order_code}，票号 {ticket_code}。",
        ),
        (
            "Ticket rebooked",
            (
                "We have rebooked you, free of charge, on {service} ({journey}) at {time}: order"
                " {order_code}, ticket {ticket_code}."
            ),
        ),
    ),
}


def _shipped() -> dict[tuple[str, str, str], Template]:
    made = {}
    for kind, texts in _SHIPPED.items():
        for language, (title, body) in zip(rules.LANGUAGES, texts, strict=True):
            made[kind, rules.INBOX, language] = Template(title, body)
            made[kind, rules.EMAIL, language] = Template(title, body)
            made[kind, rules.SMS, language] = Template(body=body)
    return made


SHIPPED: Mapping[tuple[str, str, str], Template] = MappingProxyType(_shipped())
"""The texts of kind, channel and language until others are published. There are none of WeChat's:
whose template it is, the mini program's owner chooses there.
"""
