"""The trade bill of a day: CSV as WeChat ships it, with byte order mark, back-ticks, yuan and
sums.
"""

import hashlib
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from tools.dev.wechat_simulator.merchant import Merchant
from tools.dev.wechat_simulator.protocol import BEIJING
from tools.dev.wechat_simulator.store import Order, Refund, Store
from tools.dev.wechat_simulator.switches import Switches

COLUMNS = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
SUMS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
RATE = Decimal("0.006")
REFUND_STATES = {"SUCCESS": "SUCCESS", "PROCESSING": "PROCESSING", "ABNORMAL": "FAIL"}


def write_bill(merchant: Merchant, store: Store, switches: Switches, bill_date: date) -> bytes:
    """The bill of a day in Beijing: payments by the time they were paid, refunds by the time they
    were taken on.

    Empty if nothing happened.
    """
    begin = datetime(bill_date.year, bill_date.month, bill_date.day, tzinfo=BEIJING)
    span = begin.timestamp(), (begin + timedelta(days=1)).timestamp()
    left_out = set(switches.bill_leaves_out)
    rows: list[tuple[float, list[str]]] = []
    paid = [each for each in store.paid_between(*span) if each.out_trade_no not in left_out]
    total = given = 0
    fees = Decimal(0)
    for order in paid:
        amount = order.total + switches.bill_amount_offset
        rows.append((order.success_at or 0, _payment(merchant, order, amount)))
        total += amount
        fees += _fee(amount)
    for refund in store.refunds_between(*span):
        if refund.state == "CLOSED" or refund.out_trade_no in left_out:
            continue
        paid_order = store.order(refund.out_trade_no)
        assert paid_order
        state = switches.bill_refund_state or REFUND_STATES[refund.state]
        rows.append((refund.created_at, _refund(merchant, paid_order, refund, state)))
        given += refund.refund
        fees -= _fee(refund.refund)
    if not rows:
        return b""
    if switches.bill_sums_wrong:
        total += 1
    sums = [
        *(str(len(rows)), _yuan(total), _yuan(given), "0.00"),
        *(f"{fees:.5f}", _yuan(total), _yuan(given)),
    ]
    lines = [COLUMNS, *(_row(row) for _, row in sorted(rows, reverse=True)), SUMS, _row(sums)]
    return "\ufeff".encode() + "".join(f"{line}\r\n" for line in lines).encode()


def sha1(content: bytes, switches: Switches) -> str:
    """As the answer tells it."""
    spoilt = content + b"?" if switches.bill_hash_wrong else content
    return hashlib.sha1(spoilt, usedforsecurity=False).hexdigest()


def _payment(merchant: Merchant, order: Order, amount: int) -> list[str]:
    return [
        *_head(merchant, order, order.success_at or 0, "SUCCESS"),
        *(_yuan(amount), "0.00", "0", "0", "0.00", "0.00", "", ""),
        *_tail(order, _fee(amount), _yuan(amount), "0.00"),
    ]


def _refund(merchant: Merchant, order: Order, refund: Refund, state: str) -> list[str]:
    given = _yuan(refund.refund)
    return [
        *_head(merchant, order, refund.created_at, "REFUND"),
        *("0.00", "0.00", refund.refund_id, refund.out_refund_no, given, "0.00"),
        *("ORIGINAL", state),
        *_tail(order, -_fee(refund.refund), "0.00", given),
    ]


def _head(merchant: Merchant, order: Order, seconds: float, state: str) -> list[str]:
    time = datetime.fromtimestamp(int(seconds), BEIJING).strftime("%Y-%m-%d %H:%M:%S")
    return [
        *(time, merchant.app_id, merchant.merchant_id, "0", "", order.transaction_id),
        *(order.out_trade_no, order.request["payer"]["openid"], "JSAPI", state, "OTHERS", "CNY"),
    ]


def _tail(order: Order, fee: Decimal, amount: str, asked: str) -> list[str]:
    attach = order.request.get("attach", "")
    return [order.request["description"], attach, f"{fee:.5f}", "0.60%", amount, asked, ""]


def _row(values: list[str]) -> str:
    return ",".join(f"`{value}" for value in values)


def _yuan(fen: int) -> str:
    return str(Decimal(fen).scaleb(-2).quantize(Decimal("0.01")))


def _fee(fen: int) -> Decimal:
    return (Decimal(fen) * RATE).quantize(Decimal(1), ROUND_HALF_UP).scaleb(-2)
