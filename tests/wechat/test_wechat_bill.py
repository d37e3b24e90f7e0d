"""The trade bill as WeChat ships it."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.wechat.bill import BEIJING, Bill, BillLine, parse_bill
from server.wechat.signatures import ContentInvalidError

DAY = date(2026, 3, 1)
COLUMNS = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,"
    "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
SUMS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
PAYMENT = (
    "`2026-03-01"
    " 19:59:58,`wx01,`1900000001,`0,`,`4200001,`DT77P1,`oAbc,`JSAPI,`SUCCESS,`OTHERS,`CNY,`123.45,"
    "`0.00,"
    '`0,`0,`0.00,`0.00,`,`,`深圳,澳门 "票",`,`0.74000,`0.60%,`123.45,`0.00,`'
)
REFUND = (
    "`2026-03-01"
    " 20:00:00,`wx01,`1900000001,`0,`,`4200001,`DT77P1,`oAbc,`JSAPI,`REFUND,`OTHERS,`CNY,`0.00,"
    "`0.00,"
    "`5030001,`DT77R1S1,`1.00,`0.00,`ORIGINAL,`SUCCESS,`票,`,`-0.01000,`0.60%,`0.00,`1.00,`"
)
TOTALS = "`2,`123.45,`1.00,`0.00,`0.73000,`123.45,`1.00"
ROWS = [COLUMNS, PAYMENT, REFUND, SUMS, TOTALS]


def file(rows: list[str], *, mark: str = "\ufeff", end: str = "\r\n") -> bytes:
    return (mark + "".join(row + end for row in rows)).encode()


def read(content: bytes) -> Bill:
    return parse_bill(content, bill_date=DAY, sha1=hashlib.sha1(content).hexdigest())


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_bill(mark: str, end: str) -> None:
    bill = read(file(ROWS, mark=mark, end=end))
    (paid,), (given_back,) = bill.payments, bill.refunds
    assert paid == BillLine(
        trade_time=datetime(2026, 3, 1, 11, 59, 58, tzinfo=UTC),
        app_id="wx01",
        merchant_id="1900000001",
        transaction_id="4200001",
        out_trade_no="DT77P1",
        openid="oAbc",
        state="SUCCESS",
        currency_code="CNY",
        total_minor=12345,
        settlement_minor=12345,
        out_refund_no="",
        refund_id="",
        refund_minor=0,
        asked_refund_minor=0,
        refund_state="",
        fee_yuan=Decimal("0.74000"),
    )
    assert (given_back.out_refund_no, given_back.refund_minor, given_back.refund_state) == (
        "DT77R1S1",
        100,
        "SUCCESS",
    )
    assert (given_back.total_minor, given_back.asked_refund_minor) == (0, 100)


def changed(row: str, column: str, value: str) -> str:
    names = COLUMNS.split(",")
    values = row.removeprefix("`").split(",`")
    values[names.index(column)] = value
    return ",".join(f"`{each}" for each in values)


WRONG: dict[str, list[str]] = {
    "nothing": [],
    "no sums": ROWS[:3],
    "cut off": ROWS[:4],
    "a line missing": [COLUMNS, PAYMENT, SUMS, TOTALS],
    "a line twice": [COLUMNS, PAYMENT, PAYMENT, REFUND, SUMS, TOTALS],
    "another total": [*ROWS[:4], TOTALS.replace("`123.45", "`123.46", 1)],
    "another refund total": [*ROWS[:4], TOTALS.replace("`1.00", "`2.00", 1)],
    "a sum that is no number": [*ROWS[:4], TOTALS.replace("`2,", "`two,")],
    "a sum missing": [*ROWS[:3], SUMS.replace("订单总金额", "总", 2), TOTALS],
    "a column missing": [COLUMNS.replace("商户退款单号", "退款单"), *ROWS[1:]],
    "a value missing": [COLUMNS, PAYMENT.removesuffix(",`"), REFUND, SUMS, TOTALS],
    "no mark": [COLUMNS, PAYMENT.removeprefix("`"), REFUND, SUMS, TOTALS],
    "half a fen": [COLUMNS, changed(PAYMENT, "订单金额", "123.455"), *ROWS[2:]],
    "not a number": [COLUMNS, changed(PAYMENT, "订单金额", "NaN"), *ROWS[2:]],
    "infinite": [COLUMNS, changed(PAYMENT, "订单金额", "1e999"), *ROWS[2:]],
    "negative": [COLUMNS, changed(PAYMENT, "订单金额", "-123.45"), *ROWS[2:]],
    "no time": [COLUMNS, changed(PAYMENT, "交易时间", "today"), *ROWS[2:]],
    "of another day": [COLUMNS, changed(PAYMENT, "交易时间", "2026-03-02 00:00:00"), *ROWS[2:]],
}


@pytest.mark.parametrize("rows", WRONG.values(), ids=WRONG.keys())
def test_a_bill_that_is_none(rows: list[str]) -> None:
    with pytest.raises(ContentInvalidError):
        read(file(rows))


def test_another_file_than_announced() -> None:
    content = file(ROWS)
    for sha1 in ("", hashlib.sha1(content + b" ").hexdigest()):
        with pytest.raises(ContentInvalidError, match="SHA-1"):
            parse_bill(content, bill_date=DAY, sha1=sha1)
    upper = hashlib.sha1(content).hexdigest().upper()
    assert parse_bill(content, bill_date=DAY, sha1=upper).lines


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(ContentInvalidError, match="UTF-8"):
        read("交易时间".encode("gb18030"))


def yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.integers(0, 10**10),
            st.integers(0, 86399),
            # descriptions hold what they like but the column mark
            st.text(
                st.characters(exclude_categories=["Cs"], exclude_characters="`\n\r"), max_size=20
            ),
        ),
        max_size=8,
    )
)
def test_every_fen_is_counted(entries: list[tuple[bool, int, int, str]]) -> None:
    rows = [COLUMNS]
    for is_refund, fen, second, text in entries:
        time = datetime(2026, 3, 1, tzinfo=BEIJING) + timedelta(seconds=second)
        row = changed(REFUND if is_refund else PAYMENT, "交易时间", f"{time:%Y-%m-%d %H:%M:%S}")
        for column in ("退款金额", "申请退款金额") if is_refund else ("订单金额", "应结订单金额"):
            row = changed(row, column, yuan(fen))
        rows.append(changed(row, "商品名称", text))
    paid = yuan(sum(fen for is_refund, fen, *_ in entries if not is_refund))
    given_back = yuan(sum(fen for is_refund, fen, *_ in entries if is_refund))
    sums = (len(entries), paid, given_back, "0.00", "0.00000", paid, given_back)
    rows += [SUMS, ",".join(f"`{each}" for each in sums)]
    bill = read(file(rows))
    assert [line.refund_minor or line.total_minor for line in bill.lines] == [e[1] for e in entries]
