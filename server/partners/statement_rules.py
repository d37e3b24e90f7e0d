"""What a partner's monthly statement says, made of the ledger's entries alone. Pure.

The content is a JSON document of sorted keys and lists, without a time of making, so that whoever
has the same entries and names makes the same bytes. Its SHA-256 is the statement's content hash.
A balance is what was debited less what was credited, in minor units: assets are positive, what is
owed is negative.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import zip_longest
from typing import Any, NamedTuple, TypeAlias

from server.partners import ledger_rules as ledger

FORMAT_VERSION = 1
SEAL_DELAY = timedelta(hours=6)
"""From the end of a month until it is sealed: what was under way at midnight is in it."""

# The account whose movement is the amount of a line of this kind, and whether it is debited by it.
_MEASURES = {
    ledger.BATCH: (ledger.TICKETS_COMMITTED, 1),
    ledger.ACTIVATION: (ledger.PARTNER_RECEIVABLE, 1),
    ledger.REDEMPTION: (ledger.REVENUE, -1),
    ledger.REVERSAL: (ledger.REVENUE, 1),
    ledger.REFUND: (ledger.REFUND_PAYABLE, -1),
    ledger.EXPIRY: (ledger.BREAKAGE, -1),
    ledger.VOID: (ledger.TICKETS_COMMITTED, -1),
    ledger.REASSIGNMENT: (ledger.TICKETS_COMMITTED, 1),
}
_DUE = (ledger.PARTNER_RECEIVABLE, ledger.REFUND_PAYABLE, ledger.COMMISSION_PAYABLE)
"""What the partner has collected, less what is to be given back and what others earned of it."""

BalanceKey: TypeAlias = tuple[str, str, str]
"""Currency, account, and the distributor of COMMISSION_PAYABLE, else empty."""


class Moved(NamedTuple):
    """Entries of a month that differ in nothing else, together."""

    day: date
    kind: str
    debit_account: str
    credit_account: str
    currency_code: str
    distributor_id: str
    payee_id: str
    product_id: int
    quantity: int
    amount_minor: int


class Carried(NamedTuple):
    """Entries of the months before, together."""

    debit_account: str
    credit_account: str
    currency_code: str
    payee_id: str
    amount_minor: int


class StatementDocument(NamedTuple):
    """A statement: its content, the bytes of that, and their SHA-256 in hexadecimal digits."""

    content: Mapping[str, Any]
    canonical: bytes
    content_sha256: str
    is_sealed: bool


def next_month(month: date) -> date:
    """The first day of the month after."""
    return (month + timedelta(days=31)).replace(day=1)


def previous_month(month: date) -> date:
    """The first day of the month before."""
    return (month - timedelta(days=1)).replace(day=1)


def month_from(text: str) -> date:
    """A month as `2026-11`. Raises ValueError."""
    return date.fromisoformat(f"{text}-01")


def month_text(month: date) -> str:
    """`2026-11`."""
    return month.isoformat()[:7]


def end_of(month: date, zone: tzinfo) -> datetime:
    """The moment at which a month is over."""
    return datetime.combine(next_month(month), time(), zone)


def last_finished_month(now: datetime, zone: tzinfo) -> date:
    """The last month that may be sealed."""
    return previous_month(ledger.month_of(now - SEAL_DELAY, zone))


def opening_of(carried: Iterable[Carried]) -> Counter[BalanceKey]:
    """The balances that entries leave."""
    balances = Counter[BalanceKey]()
    for each in carried:
        for account, sign in ((each.debit_account, 1), (each.credit_account, -1)):
            balances[_key(each, account)] += sign * each.amount_minor
    return balances


def closing_of(content: Mapping[str, Any]) -> Counter[BalanceKey]:
    """The closing balances of a statement."""
    return Counter(
        {
            (each["currency_code"], each["account"], each["distributor_id"]): each["closing_minor"]
            for each in content["accounts"]
        }
    )


def document(content: Mapping[str, Any], *, is_sealed: bool) -> StatementDocument:
    """A statement's content as bytes: sorted keys, no spaces, UTF-8; and their hash."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    canonical = text.encode()
    return StatementDocument(content, canonical, hashlib.sha256(canonical).hexdigest(), is_sealed)


def content_from(canonical: bytes) -> dict[str, Any]:
    """The content that the bytes say."""
    content: dict[str, Any] = json.loads(canonical)
    return content


def differences(kept: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    """The parts of two contents that are not the same; of a list with the first row that is not."""
    found = []
    for part in sorted({*kept, *again}):
        ours, theirs = kept.get(part), again.get(part)
        if isinstance(ours, list) and isinstance(theirs, list):
            pairs = zip_longest(ours, theirs)
            found += [f"{part}[{row}]" for row, pair in enumerate(pairs) if pair[0] != pair[1]][:1]
        elif ours != theirs:
            found.append(part)
    return found


def content_of(
    header: Mapping[str, Any],
    month: date,
    through_sequence: int,
    opening: Mapping[BalanceKey, int],
    moved: Sequence[Moved],
) -> dict[str, Any]:
    """The content of a statement.

    `header` has the partner's code and name, the time zone, and the names of products and
    distributors by their ids; `through_sequence` is the last event that was posted.
    """
    accounts = _accounts(opening, moved)
    return {
        "accounts": accounts,
        "distributors": _distributors(header, accounts, moved),
        "format_version": FORMAT_VERSION,
        "last_event_cursor": through_sequence,
        "lines": _lines(moved),
        "month": month_text(month),
        "partner_code": header["partner_code"],
        "partner_name": header["partner_name"],
        "products": _products(header, moved),
        "time_zone": header["time_zone"],
        "totals": _totals(accounts, moved),
    }


def _key(entry: Moved | Carried, account: str) -> BalanceKey:
    payee = entry.payee_id if account == ledger.COMMISSION_PAYABLE else ""
    return entry.currency_code, account, payee


def _accounts(opening: Mapping[BalanceKey, int], moved: Sequence[Moved]) -> list[dict[str, Any]]:
    debits, credits_ = Counter[BalanceKey](), Counter[BalanceKey]()
    for each in moved:
        debits[_key(each, each.debit_account)] += each.amount_minor
        credits_[_key(each, each.credit_account)] += each.amount_minor
    order = {account: place for place, account in enumerate(ledger.ACCOUNTS)}
    return [
        {
            "currency_code": key[0],
            "account": key[1],
            "distributor_id": key[2],
            "opening_minor": opening.get(key, 0),
            "debit_minor": debits[key],
            "credit_minor": credits_[key],
            "closing_minor": opening.get(key, 0) + debits[key] - credits_[key],
        }
        for key in sorted(
            {*opening, *debits, *credits_}, key=lambda key: (key[0], order[key[1]], key[2])
        )
        if opening.get(key) or debits[key] or credits_[key]
    ]


def _lines(moved: Sequence[Moved]) -> list[dict[str, Any]]:
    order = {kind: place for place, kind in enumerate(ledger.KINDS)}
    sums: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in moved:
        key = each.day, each.kind, each.distributor_id, each.product_id, each.currency_code
        line = sums[key]
        line[0] += each.quantity
        line[1] += _measured(each)
        line[2] += _commission(each)
    return [
        {
            "day": day.isoformat(),
            "kind": kind,
            "distributor_id": distributor_id,
            "product_id": product_id,
            "currency_code": currency_code,
            "quantity": quantity,
            "amount_minor": amount,
            "commission_minor": commission,
        }
        for (day, kind, distributor_id, product_id, currency_code), (
            quantity,
            amount,
            commission,
        ) in sorted(sums.items(), key=lambda item: (item[0][0], order[item[0][1]], *item[0][2:]))
    ]


def _distributors(
    header: Mapping[str, Any], accounts: Sequence[Mapping[str, Any]], moved: Sequence[Moved]
) -> list[dict[str, Any]]:
    """What each distributor sold itself, and earned, by itself or through those below it."""
    payable = {
        (each["currency_code"], each["distributor_id"]): each
        for each in accounts
        if each["account"] == ledger.COMMISSION_PAYABLE
    }
    sold: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in moved:
        sums = sold[each.currency_code, each.distributor_id]
        sums[0] += each.quantity if each.kind == ledger.ACTIVATION else 0
        sums[1] += _measured(each) if each.kind == ledger.ACTIVATION else 0
        sums[2] += _measured(each) if each.kind == ledger.REFUND else 0
    made = []
    for key in sorted({*payable, *sold} - {key for key in sold if not key[1]}):
        quantity, gross, refunded = sold[key]
        balance = payable.get(key, {})
        made.append(
            {
                "currency_code": key[0],
                "distributor_id": key[1],
                "display_name": header["distributors"].get(key[1], ""),
                "activated_count": quantity,
                "activated_minor": gross,
                "refunded_minor": refunded,
                "payable_opening_minor": -balance.get("opening_minor", 0),
                "commission_minor": balance.get("credit_minor", 0) - balance.get("debit_minor", 0),
                "payable_closing_minor": -balance.get("closing_minor", 0),
            }
        )
    return made


def _products(header: Mapping[str, Any], moved: Sequence[Moved]) -> list[dict[str, Any]]:
    return [
        {
            "product_id": product_id,
            "display_name_en": (names := header["products"].get(str(product_id), ["", ""]))[0],
            "display_name_zh": names[1],
        }
        for product_id in sorted({each.product_id for each in moved})
    ]


def _totals(accounts: Sequence[Mapping[str, Any]], moved: Sequence[Moved]) -> list[dict[str, Any]]:
    made = []
    for currency in sorted({each["currency_code"] for each in accounts}):
        of_currency = [each for each in moved if each.currency_code == currency]
        balances = [each for each in accounts if each["currency_code"] == currency]
        amounts, quantities = Counter[str](), Counter[str]()
        for each in of_currency:
            amounts[each.kind] += _measured(each)
            quantities[each.kind] += each.quantity
        due = [each for each in balances if each["account"] in _DUE]
        made.append(
            {
                "currency_code": currency,
                "activated_count": quantities[ledger.ACTIVATION],
                "activated_minor": amounts[ledger.ACTIVATION],
                "earned_minor": _credited(balances, ledger.REVENUE),
                "expired_minor": _credited(balances, ledger.BREAKAGE),
                "refunded_count": quantities[ledger.REFUND],
                "refunded_minor": amounts[ledger.REFUND],
                "commission_minor": sum(map(_commission, of_currency)),
                "debit_minor": sum(each["debit_minor"] for each in balances),
                "credit_minor": sum(each["credit_minor"] for each in balances),
                "due_opening_minor": sum(each["opening_minor"] for each in due),
                "due_closing_minor": sum(each["closing_minor"] for each in due),
            }
        )
    return made


def _credited(balances: Sequence[Mapping[str, Any]], account: str) -> int:
    of_account = [each for each in balances if each["account"] == account]
    return sum(each["credit_minor"] - each["debit_minor"] for each in of_account)


def _measured(entry: Moved) -> int:
    account, sign = _MEASURES[entry.kind]
    moved = (entry.debit_account == account) - (entry.credit_account == account)
    return sign * moved * entry.amount_minor


def _commission(entry: Moved) -> int:
    payable = ledger.COMMISSION_PAYABLE
    moved = (entry.credit_account == payable) - (entry.debit_account == payable)
    return moved * entry.amount_minor
