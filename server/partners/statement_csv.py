"""A statement as CSV for spreadsheet programs: one table, whose first column says what a row is.

UTF-8 with a byte order mark: without it Excel reads Chinese names in the code page of the machine.
Lines end with CR LF (RFC 4180). Amounts have exactly the currency's decimals, with a point.
"""

import csv
import io
from collections.abc import Mapping
from typing import Any

from server.partners.statement_rules import StatementDocument
from server.platform.currencies import decimal_text

BYTE_ORDER_MARK = "\ufeff"
COLUMNS = (
    *("row", "month", "day", "kind", "account", "distributor_id", "distributor_name"),
    *("product_id", "product_name", "currency_code", "quantity", "amount", "commission"),
    *("opening", "debit", "credit", "closing", "content_sha256"),
)
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet program read a text as a formula."""


def statement_csv(made: StatementDocument) -> bytes:
    """The file. Rows are `statement` (one, with the hash), `line`, `distributor`, `account` and
    `total`.
    """
    content = made.content
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerow(
        {
            "row": "statement",
            "month": content["month"],
            "kind": "SEALED" if made.is_sealed else "PROVISIONAL",
            "account": content["partner_code"],
            "distributor_name": _text(content["partner_name"]),
            "content_sha256": made.content_sha256,
        }
    )
    products = {each["product_id"]: each["display_name_en"] for each in content["products"]}
    names = {each["distributor_id"]: each["display_name"] for each in content["distributors"]}
    for line in content["lines"]:
        writer.writerow(_line(content["month"], line, names, products))
    for each in content["distributors"]:
        writer.writerow(_distributor(content["month"], each))
    for each in content["accounts"]:
        writer.writerow(_account(content["month"], each, names))
    for each in content["totals"]:
        writer.writerow(_total(content["month"], each))
    return (BYTE_ORDER_MARK + text.getvalue()).encode()


def _line(
    month: str, line: Mapping[str, Any], names: Mapping[str, str], products: Mapping[int, str]
) -> dict[str, object]:
    currency = line["currency_code"]
    return {
        "row": "line",
        "month": month,
        "day": line["day"],
        "kind": line["kind"],
        "distributor_id": _text(line["distributor_id"]),
        "distributor_name": _text(names.get(line["distributor_id"], "")),
        "product_id": line["product_id"],
        "product_name": _text(products.get(line["product_id"], "")),
        "currency_code": currency,
        "quantity": line["quantity"],
        "amount": decimal_text(line["amount_minor"], currency),
        "commission": decimal_text(line["commission_minor"], currency),
    }


def _distributor(month: str, each: Mapping[str, Any]) -> dict[str, object]:
    currency = each["currency_code"]
    return {
        "row": "distributor",
        "month": month,
        "distributor_id": _text(each["distributor_id"]),
        "distributor_name": _text(each["display_name"]),
        "currency_code": currency,
        "quantity": each["activated_count"],
        "amount": decimal_text(each["activated_minor"], currency),
        "commission": decimal_text(each["commission_minor"], currency),
        "opening": decimal_text(each["payable_opening_minor"], currency),
        "closing": decimal_text(each["payable_closing_minor"], currency),
    }


def _account(month: str, each: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, object]:
    currency = each["currency_code"]
    amounts = {
        column: decimal_text(each[f"{column}_minor"], currency)
        for column in ("opening", "debit", "credit", "closing")
    }
    return {
        "row": "account",
        "month": month,
        "account": each["account"],
        "distributor_id": _text(each["distributor_id"]),
        "distributor_name": _text(names.get(each["distributor_id"], "")),
        "currency_code": currency,
        **amounts,
    }


def _total(month: str, each: Mapping[str, Any]) -> dict[str, object]:
    currency = each["currency_code"]
    return {
        "row": "total",
        "month": month,
        "currency_code": currency,
        "quantity": each["activated_count"],
        "amount": decimal_text(each["activated_minor"], currency),
        "commission": decimal_text(each["commission_minor"], currency),
        "opening": decimal_text(each["due_opening_minor"], currency),
        "debit": decimal_text(each["debit_minor"], currency),
        "credit": decimal_text(each["credit_minor"], currency),
        "closing": decimal_text(each["due_closing_minor"], currency),
    }


def _text(text: str) -> str:
    """A text that people chose, as a spreadsheet program shows it and does not work it out."""
    return f"'{text}" if text.startswith(_FORMULAS) else text
