"""A statement as a PDF to read and print, English and Chinese, A4.

It sums up by day, product and distributor; each single line is in CSV and JSON. The same content
gives the same bytes with the same versions of its libraries: nothing in the file is of the time of
making. The font is embedded, so that Chinese names are there on every machine.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pylopdf_fonts_zh_cn
from fpdf import FPDF
from fpdf.enums import Align, TableBordersLayout, XPos, YPos
from fpdf.fonts import FontFace
from fpdf.table import Table

from server.partners import ledger_rules as ledger
from server.partners.statement_rules import (
    StatementDocument,
    end_of,
    month_from,
)
from server.platform.currencies import decimal_text

FONT_FILE = Path(pylopdf_fonts_zh_cn.__file__).with_name("NotoSansSC-Regular.otf")
FONT = "NotoSansSC"
BODY_POINTS, HEADING_POINTS, TITLE_POINTS, FOOTER_POINTS = 8, 11, 16, 7
MARGIN_MM = 15
HEADING_FILL, SUM_FILL = (226, 232, 240), (241, 245, 249)

KINDS = {
    ledger.BATCH: "Made, unsold 预生成",
    ledger.ACTIVATION: "Sold 激活",
    ledger.REDEMPTION: "Redeemed 核销",
    ledger.REVERSAL: "Reversed 撤销核销",
    ledger.REFUND: "Refunded 退款",
    ledger.EXPIRY: "Expired 逾期",
    ledger.VOID: "Cancelled unsold 作废",
    ledger.REASSIGNMENT: "Reassigned 改派",
}
ACCOUNTS = {
    ledger.TICKETS_COMMITTED: "Tickets committed (memo) 预生成票（备查）",
    ledger.COMMITMENT: "Commitment (memo) 预生成承诺（备查）",
    ledger.PARTNER_RECEIVABLE: "Partner receivable 应收渠道款",
    ledger.DEFERRED_REVENUE: "Deferred revenue 递延收入",
    ledger.REVENUE: "Revenue 收入",
    ledger.BREAKAGE: "Breakage 逾期未用收入",
    ledger.REFUND_PAYABLE: "Refund payable 应付退款",
    ledger.COMMISSION_EXPENSE: "Commission expense 佣金支出",
    ledger.COMMISSION_PAYABLE: "Commission payable 应付佣金",
}
STATES = {True: "SEALED 已封账", False: "PROVISIONAL 暂计"}
OF_PARTNER = "(partner 渠道自营)"

Row = Sequence[str]


class _Paper(FPDF):
    """Pages with a foot."""

    def __init__(self, foot: str) -> None:
        super().__init__(format="A4")
        self._foot = foot
        self.add_font(FONT, fname=FONT_FILE)
        self.set_margin(MARGIN_MM)

    def footer(self) -> None:
        """Which statement, which page."""
        self.set_y(-12)
        self.set_font(FONT, size=FOOTER_POINTS)
        self.cell(w=0, text=f"{self._foot}    {self.page_no()}/{{nb}}", align=Align.C)


def statement_pdf(made: StatementDocument) -> bytes:
    """The file."""
    content = made.content
    month, code = content["month"], content["partner_code"]
    paper = _Paper(f"{code} {month} SHA-256 {made.content_sha256}")
    paper.set_title(f"Statement {code} {month}")
    paper.set_creation_date(end_of(month_from(month), ZoneInfo(content["time_zone"])))
    paper.add_page()
    _head(paper, made)
    for totals in content["totals"]:
        _currency(paper, content, totals)
    if not content["totals"]:
        _line(paper, "Nothing was booked. 本期无记账。", BODY_POINTS)
    return bytes(paper.output())


def _head(paper: _Paper, made: StatementDocument) -> None:
    content = made.content
    _line(paper, f"Statement 对账单 {content['month']}", TITLE_POINTS)
    for text in (
        f"Partner 渠道: {content['partner_name']} ({content['partner_code']})",
        f"State 状态: {STATES[made.is_sealed]}",
        f"Days by the clock of 时区: {content['time_zone']}",
        f"Last event posted 最后入账事件: {content['last_event_cursor']}",
        f"Content hash 内容哈希 (SHA-256): {made.content_sha256}",
    ):
        _line(paper, text, BODY_POINTS)


def _currency(paper: _Paper, content: Mapping[str, Any], totals: Mapping[str, Any]) -> None:
    """All that is in one currency."""
    currency = totals["currency_code"]

    def of_currency(part: str) -> list[Mapping[str, Any]]:
        return [each for each in content[part] if each["currency_code"] == currency]

    names = {each["distributor_id"]: each["display_name"] for each in content["distributors"]}
    _line(paper, f"Summary 汇总 ({currency})", HEADING_POINTS)
    _table(paper, (70, 30), ("", currency), _summary(totals))
    _line(paper, f"Accounts 科目 ({currency})", HEADING_POINTS)
    _table(
        paper,
        (40, 15, 15, 15, 15),
        ("Account 科目", "Opening 期初", "Debit 借", "Credit 贷", "Closing 期末"),
        [_account(each, names) for each in of_currency("accounts")],
        ("Sum 合计", "", *_amounts(totals, "debit", "credit"), ""),
    )
    _line(
        paper,
        "Balances are debits less credits: what is owed is negative. 余额为借方减贷方，负数为应付。",
        FOOTER_POINTS,
    )
    lines = of_currency("lines")
    _line(paper, f"By day 按日 ({currency})", HEADING_POINTS)
    heading = ("Quantity 数量", "Amount 金额", "Commission 佣金")
    days = _summed(lines, ("day", "kind"))
    rows = [(day, KINDS[kind], *_sums(sums, currency)) for (day, kind), sums in days]
    _table(paper, (16, 34, 14, 18, 18), ("Day 日期", "Kind 类别", *heading), rows)
    _line(paper, f"By product 按产品 ({currency})", HEADING_POINTS)
    products = {
        each["product_id"]: f"{each['display_name_en']} {each['display_name_zh']}"
        for each in content["products"]
    }
    rows = [
        (f"{product} {products.get(product, '')}", KINDS[kind], *_sums(sums, currency))
        for (product, kind), sums in _summed(lines, ("product_id", "kind"))
    ]
    _table(paper, (30, 28, 12, 15, 15), ("Product 产品", "Kind 类别", *heading), rows)
    _line(paper, f"Distributors 下游分销商 ({currency})", HEADING_POINTS)
    _table(
        paper,
        (30, 10, 15, 15, 15, 15),
        (
            *("Distributor 下游分销商", "Sold 票数", "Gross 销售额"),
            *("Opening 期初应付", "Commission 佣金", "Closing 期末应付"),
        ),
        [_distributor(each) for each in of_currency("distributors")],
    )


def _summary(totals: Mapping[str, Any]) -> list[Row]:
    currency = totals["currency_code"]

    def amount(field: str) -> str:
        return _amount(totals[field], currency)

    return [
        ("Tickets sold 已售票数", f"{totals['activated_count']:,}"),
        ("Gross sales 销售总额", amount("activated_minor")),
        ("Earned by uses and fees 已实现收入", amount("earned_minor")),
        ("Earned by expiry 逾期未用收入", amount("expired_minor")),
        ("Tickets refunded 退票数", f"{totals['refunded_count']:,}"),
        ("Refunds 退款", amount("refunded_minor")),
        ("Commissions 佣金", amount("commission_minor")),
        ("Due from the partner, opening 期初应收净额", amount("due_opening_minor")),
        ("Due from the partner, closing 期末应收净额", amount("due_closing_minor")),
    ]


def _account(each: Mapping[str, Any], names: Mapping[str, str]) -> Row:
    name, seller = ACCOUNTS[each["account"]], each["distributor_id"]
    if seller:
        name = f"{name}: {seller} {names.get(seller, '')}"
    return name, *_amounts(each, "opening", "debit", "credit", "closing")


def _distributor(each: Mapping[str, Any]) -> Row:
    names = ("activated", "payable_opening", "commission", "payable_closing")
    name = f"{each['distributor_id']} {each['display_name']}"
    return name, f"{each['activated_count']:,}", *_amounts(each, *names)


def _summed(
    lines: Iterable[Mapping[str, Any]], by: Sequence[str]
) -> list[tuple[tuple[Any, ...], list[int]]]:
    """The lines' sums of quantity, amount and commission, in the order of the lines."""
    sums: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for line in lines:
        of_key = sums[tuple(line[field] for field in by)]
        for place, field in enumerate(("quantity", "amount_minor", "commission_minor")):
            of_key[place] += line[field]
    order = {kind: place for place, kind in enumerate(ledger.KINDS)}
    return sorted(sums.items(), key=lambda item: (item[0][0], order[item[0][1]]))


def _sums(sums: Sequence[int], currency: str) -> Row:
    return f"{sums[0]:,}", _amount(sums[1], currency), _amount(sums[2], currency)


def _amounts(each: Mapping[str, Any], *names: str) -> Row:
    return [_amount(each[f"{name}_minor"], each["currency_code"]) for name in names]


def _amount(minor: int, currency: str) -> str:
    """With the currency's decimals, and commas between thousands."""
    whole, point, digits = decimal_text(minor, currency).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}{point}{digits}"


def _line(paper: _Paper, text: str, points: int) -> None:
    paper.set_font(FONT, size=points)
    if points == HEADING_POINTS:
        paper.ln(4)
    paper.multi_cell(
        w=0, h=points * 0.55, text=text, align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT
    )


def _table(
    paper: _Paper,
    widths: tuple[int, ...],
    heading: Row,
    rows: Iterable[Row],
    total: Row | None = None,
) -> None:
    """Numbers are at the right; texts, in the first columns, at the left."""
    texts = 2 if heading[1].startswith("Kind") else 1
    paper.set_font(FONT, size=BODY_POINTS)
    with paper.table(
        col_widths=widths,
        text_align=[Align.L if column < texts else Align.R for column in range(len(widths))],
        headings_style=FontFace(fill_color=HEADING_FILL),
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        line_height=BODY_POINTS * 0.6,
        width=int(paper.epw),
    ) as table:
        _row(table, heading)
        for row in rows:
            _row(table, row)
        if total:
            _row(table, total, FontFace(fill_color=SUM_FILL))


def _row(table: Table, cells: Row, style: FontFace | None = None) -> None:
    row = table.row(style=style)
    for cell in cells:
        row.cell(cell)
