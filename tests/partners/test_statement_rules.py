"""What a statement says of a ledger's entries: the same bytes for the same entries, whatever their
order, and amounts that add up.
"""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.partners import ledger_rules as ledger
from server.partners import statement_rules as rules
from server.partners.statement_csv import COLUMNS, statement_csv
from server.partners.statement_files import statement_json
from server.partners.statement_pdf import statement_pdf
from server.partners.statement_rules import Carried, Moved, StatementDocument

NOVEMBER = date(2026, 11, 1)
HONG_KONG = ZoneInfo("Asia/Hong_Kong")
HEADER = {
    "partner_code": "CP",
    "partner_name": "=环球旅行社 Central Pier",
    "time_zone": "Asia/Hong_Kong",
    "products": {"106": ["Premium", "優享"], "107": ["Pet plan", "宠物"]},
    "distributors": {"north": "+北方 分销", "shop": "@shop"},
}
TERMS = ledger.SaleTerms("HKD", 12_000, (("north", 1_000), ("shop", 333)))


def moved(day: int, entries: Sequence[ledger.Entry], currency: str = "HKD") -> list[Moved]:
    """Entries of a day of November, of product 106."""
    return [
        Moved(
            *(date(2026, 11, day), each.kind, each.debit_account, each.credit_account, currency),
            *(each.distributor_id, each.payee_id, 106, each.quantity, each.amount_minor),
        )
        for each in entries
    ]


def month() -> list[Moved]:
    """Three tickets made, one of them sold, used in part and given back, in two currencies."""
    books = ledger.TicketBooks(TERMS, {"ferry": 1, "gift": 1}, is_committed=True)
    yen = ledger.TicketBooks(ledger.SaleTerms("JPY", 2_000), {"ferry": 1}, is_committed=False)
    return [
        *moved(2, ledger.generated(TERMS, 3)),
        *moved(3, ledger.activated(books, 12_001)),
        *moved(4, ledger.redeemed(books, "ferry", 1)),
        *moved(4, ledger.reversed_(books, "ferry", 1)),
        *moved(5, ledger.refunded(books, 9_601)),
        *moved(6, ledger.activated(yen, 2_000), "JPY"),
    ]


def made(entries: Sequence[Moved], *, is_sealed: bool = True) -> StatementDocument:
    opening = rules.opening_of(
        [Carried(ledger.PARTNER_RECEIVABLE, ledger.DEFERRED_REVENUE, "HKD", "", 700)]
    )
    content = rules.content_of(HEADER, NOVEMBER, 42, opening, entries)
    return rules.document(content, is_sealed=is_sealed)


@given(st.randoms())
def test_the_same_bytes_whatever_the_order_of_rows(random: Any) -> None:
    """Seen red without sorting the accounts, and the lines."""
    entries = month()
    expected = made(entries)
    random.shuffle(entries)
    again = made(entries)
    assert again.canonical == expected.canonical
    assert again.content_sha256 == expected.content_sha256
    assert statement_csv(again) == statement_csv(expected)


def test_another_process_writes_the_same_files() -> None:
    """With another seed of its hashes, and another clock's zone."""
    program = "from tests.partners.test_statement_rules import *; print(digests())"
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "PYTHONPATH": ".:generated"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{digests()}\n"


def digests() -> list[str]:
    """Of a statement in each format."""
    content = made(month())
    formats = (statement_csv, statement_json, statement_pdf)
    return [hashlib.sha256(write(content)).hexdigest() for write in formats]


def test_what_a_statement_says() -> None:
    content = made(month()).content
    assert content["lines"] == [
        {
            "day": f"2026-11-{day:02}",
            "kind": kind,
            "distributor_id": seller,
            "product_id": 106,
            "currency_code": currency,
            "quantity": quantity,
            "amount_minor": amount,
            "commission_minor": commission,
        }
        for day, kind, seller, currency, quantity, amount, commission in [
            (2, "BATCH", "shop", "HKD", 3, 36_000, 0),
            (3, "ACTIVATION", "shop", "HKD", 1, 12_001, 1_600),
            (4, "REDEMPTION", "shop", "HKD", 1, 6_000, 0),
            (4, "REVERSAL", "shop", "HKD", 1, 6_000, 0),
            (5, "REFUND", "shop", "HKD", 1, 9_601, -1_280),
            (6, "ACTIVATION", "", "JPY", 1, 2_000, 0),
        ]
    ]
    hkd, jpy = content["totals"]
    assert hkd == {
        "currency_code": "HKD",
        "activated_count": 1,
        "activated_minor": 12_001,
        "earned_minor": 2_400,
        "expired_minor": 0,
        "refunded_count": 1,
        "refunded_minor": 9_601,
        "commission_minor": 320,
        "debit_minor": hkd["credit_minor"],
        "credit_minor": hkd["debit_minor"],
        "due_opening_minor": 700,
        "due_closing_minor": 700 + 12_001 - 9_601 - 320,
    }
    assert jpy["activated_minor"] == 2_000
    north, shop = content["distributors"]
    assert (north["activated_count"], north["commission_minor"]) == (0, 240)
    assert (shop["activated_count"], shop["commission_minor"]) == (1, 80)
    for each in content["accounts"]:
        moves = each["debit_minor"] - each["credit_minor"]
        assert each["closing_minor"] == each["opening_minor"] + moves
    assert rules.closing_of(content)["HKD", ledger.PARTNER_RECEIVABLE, ""] == 12_701


def test_csv_is_safe_in_spreadsheets_and_has_the_currencys_decimals() -> None:
    document = made(month())
    content = statement_csv(document)
    assert content.startswith(b"\xef\xbb\xbfrow,month,day,")
    assert content.count(b"\r\n") == content.count(b"\n")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert tuple(rows[0]) == COLUMNS
    head, *others = rows
    assert (head["row"], head["kind"], head["content_sha256"]) == (
        *("statement", "SEALED"),
        document.content_sha256,
    )
    assert head["distributor_name"] == "'=环球旅行社 Central Pier"
    names = {each["distributor_id"]: each["distributor_name"] for each in others}
    assert (names["north"], names["shop"]) == ("'+北方 分销", "'@shop")
    amounts = {(each["kind"], each["currency_code"]): each["amount"] for each in others}
    assert amounts["ACTIVATION", "HKD"] == "120.01"
    assert amounts["ACTIVATION", "JPY"] == "2000"
    (refund,) = [each for each in others if each["kind"] == "REFUND"]
    assert refund["commission"] == "-12.80"


def test_json_holds_the_very_bytes_that_the_hash_is_of() -> None:
    document = made(month(), is_sealed=False)
    content = statement_json(document)
    read = json.loads(content)
    assert read["content_sha256"] == document.content_sha256
    assert read["state"] == "PROVISIONAL"
    assert read["statement"] == document.content
    assert b'"statement":' + document.canonical + b"}" in content


def test_pdf_shows_names_amounts_and_the_hash() -> None:
    document = made(month())
    pdf = pypdfium2.PdfDocument(statement_pdf(document))
    text = "".join(page.get_textpage().get_text_range() for page in pdf)
    for words in ("=环球旅行社 Central Pier (CP)", "Premium 優享", "+北方 分销", "SEALED 已封账"):
        assert words in text
    for amount in ("120.01", "-12.80", "2,000", "Sum 合计"):
        assert amount in text
    assert document.content_sha256 in text


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-11-30T16:00:00Z", "2026-10-01"),  # midnight in Hong Kong
        ("2026-11-30T21:59:59Z", "2026-10-01"),
        ("2026-11-30T22:00:00Z", "2026-11-01"),
        ("2026-12-31T22:00:00Z", "2026-12-01"),
    ],
)
def test_a_month_is_sealed_six_hours_after_its_end(now: str, last: str) -> None:
    moment = datetime.fromisoformat(now).astimezone(UTC)
    assert rules.last_finished_month(moment, HONG_KONG) == date.fromisoformat(last)


def test_what_differs_is_named() -> None:
    kept = made(month()).content
    again = json.loads(json.dumps(kept))
    again["lines"][2]["amount_minor"] += 1
    again["month"] = "2026-12"
    assert rules.differences(kept, again) == ["lines[2]", "month"]
