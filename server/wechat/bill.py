"""WeChat Pay's trade bill of a day as it ships it: CSV with a byte order mark, a back-tick before
each value, yuan.

First a row of names and a row for each payment and refund, then a row of other names and one row of
sums. Source: pay.weixin.qq.com, "download bill", "trade bill".
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation

from server.wechat.signatures import ContentInvalidError

BEIJING = timezone(timedelta(hours=8))
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
FIRST_COLUMN = "交易时间"
FIRST_SUM = "总交易单数"
MOST_YUAN = Decimal(10) ** 12


@dataclass(frozen=True, slots=True)
class BillLine:
    """A payment or a refund on the bill; amounts in minor units (fen).

    Attributes:
        trade_time: when it happened.
        app_id: of the payment.
        merchant_id: of the payment.
        transaction_id: WeChat's number of the payment.
        out_trade_no: our number of it.
        openid: of the payer.
        state: SUCCESS for a payment, REFUND for a refund, REVOKED.
        currency_code: of all amounts.
        total_minor: ordered; 0 on a refund's line.
        settlement_minor: of it, what the merchant gets before fees; 0 on a refund's line.
        out_refund_no: our number of the refund; empty for a payment.
        refund_id: WeChat's number of the refund; empty for a payment.
        refund_minor: given back, without vouchers; 0 for a payment.
        asked_refund_minor: asked back; 0 for a payment.
        refund_state: SUCCESS, PROCESSING, FAIL; empty for a payment.
        fee_yuan: WeChat's fee in yuan with five decimals; negative where it is given back.
    """

    trade_time: datetime
    app_id: str
    merchant_id: str
    transaction_id: str
    out_trade_no: str
    openid: str
    state: str
    currency_code: str
    total_minor: int
    settlement_minor: int
    out_refund_no: str
    refund_id: str
    refund_minor: int
    asked_refund_minor: int
    refund_state: str
    fee_yuan: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """The bill of a day in Beijing; its sums were found right."""

    bill_date: date
    lines: tuple[BillLine, ...] = ()

    @property
    def payments(self) -> list[BillLine]:
        """The lines of payments."""
        return [line for line in self.lines if line.state == "SUCCESS"]

    @property
    def refunds(self) -> list[BillLine]:
        """The lines of refunds."""
        return [line for line in self.lines if line.out_refund_no]


def parse_bill(content: bytes, *, bill_date: date, sha1: str) -> Bill:
    """Reads a bill.

    Args:
        content: as downloaded, not compressed.
        bill_date: the day asked for.
        sha1: in hexadecimal, as given beside the place to download it from.

    Raises:
        ContentInvalidError: another SHA-1, a column missing, a value that cannot be read, a
            line of another day, or sums that do not agree with the lines.
    """
    if hashlib.sha1(content, usedforsecurity=False).hexdigest() != sha1.lower():
        raise ContentInvalidError("the bill is not the one announced: another SHA-1")
    try:
        rows = content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise ContentInvalidError("the bill is not UTF-8") from None
    rows = [row for row in rows if row.strip()]
    if len(rows) < 3 or not rows[0].startswith(FIRST_COLUMN) or not rows[-2].startswith(FIRST_SUM):
        raise ContentInvalidError("the bill has not the rows of a bill")
    names = rows[0].split(",")
    lines = tuple(_line(_values(names, row, number + 2)) for number, row in enumerate(rows[1:-2]))
    for line in lines:
        if line.trade_time.astimezone(BEIJING).date() != bill_date:
            raise ContentInvalidError(f"the bill of {bill_date} has a line of another day")
    _check_sums(_values(rows[-2].split(","), rows[-1], len(rows)), lines)
    return Bill(bill_date, lines)


def _values(names: Sequence[str], row: str, number: int) -> dict[str, str]:
    # every value has the mark before it, so a comma in a description divides nothing
    values = row.removeprefix("`").split(",`")
    if not row.startswith("`") or len(values) != len(names):
        raise ContentInvalidError(f"row {number} of the bill has not the columns it should have")
    return {name.strip(): value.strip() for name, value in zip(names, values, strict=True)}


def _line(values: Mapping[str, str]) -> BillLine:
    try:
        time = datetime.strptime(values[FIRST_COLUMN], TIME_FORMAT).replace(tzinfo=BEIJING)
        return BillLine(
            trade_time=time.astimezone(UTC),
            app_id=values["公众账号ID"],
            merchant_id=values["商户号"],
            transaction_id=values["微信订单号"],
            out_trade_no=values["商户订单号"],
            openid=values["用户标识"],
            state=values["交易状态"],
            currency_code=values["货币种类"],
            total_minor=_fen(values["订单金额"]),
            settlement_minor=_fen(values["应结订单金额"]),
            out_refund_no=_number(values["商户退款单号"]),
            refund_id=_number(values["微信退款单号"]),
            refund_minor=_fen(values["退款金额"]),
            asked_refund_minor=_fen(values["申请退款金额"]),
            refund_state=values["退款状态"],
            fee_yuan=_yuan(values["手续费"]),
        )
    except KeyError as error:
        raise ContentInvalidError(f"the bill has no column {error}") from None
    except ValueError as error:
        raise ContentInvalidError(
            f"a line of the bill cannot be read ({type(error).__name__})"
        ) from None


def _check_sums(sums: Mapping[str, str], lines: Sequence[BillLine]) -> None:
    expected = {
        FIRST_SUM: Decimal(len(lines)),
        "应结订单总金额": _sum(line.settlement_minor for line in lines),
        "退款总金额": _sum(line.refund_minor for line in lines),
        "订单总金额": _sum(line.total_minor for line in lines),
        "申请退款总金额": _sum(line.asked_refund_minor for line in lines),
    }
    for name, value in expected.items():
        try:
            given = _yuan(sums[name])
        except (KeyError, ValueError):
            raise ContentInvalidError(f"the bill's sum {name} is missing or no number") from None
        if given != value:
            raise ContentInvalidError(f"the bill's sum {name} is {given}, its lines make {value}")


def _sum(amounts: Iterable[int]) -> Decimal:
    return Decimal(sum(amounts)).scaleb(-2)


def _number(value: str) -> str:
    """A number of ours or WeChat's; "0" stands for none."""
    return "" if value == "0" else value


def _yuan(value: str) -> Decimal:
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is no amount") from None
    if not amount.is_finite() or abs(amount) > MOST_YUAN:
        raise ValueError(f"{value!r} is no amount")
    return amount


def _fen(value: str) -> int:
    fen = _yuan(value).scaleb(2)
    if fen != fen.to_integral_value() or fen < 0:
        raise ValueError(f"{value!r} is no whole number of fen")
    return int(fen)
