"""The pages on which a person pays, as on a phone. In Chinese and English."""

import html
from collections.abc import Iterable

from tools.dev.wechat_simulator.store import Order, Refund

STYLE = """
body { font: 16px/1.5 system-ui,
sans-serif; max-width: 30rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.1rem; color: #07c160 } .amount { font-size: 2.4rem; margin: .5rem 0 }
td { padding: .2rem .8rem .2rem 0; vertical-align: top } .no { color: #777; word-break: break-all }
button { font: inherit; padding: .6rem 1.4rem; border: 0; border-radius: .4rem; cursor: pointer;
margin-right: .5rem }
.pay { background: #07c160; color: #fff } .fail { background: #eee }
"""
STATES = {
    "NOTPAY": "待支付 · waiting for payment",
    "SUCCESS": "支付成功 · paid",
    "REFUND": "转入退款 · refunded or being refunded",
    "CLOSED": "已关闭 · closed",
}


def page(body: str) -> str:
    return (
        '<!doctype html><html lang="zh"><meta charset="utf-8"><meta name="viewport"'
        ' content="width=device-width"><title>微信支付模拟器 · WeChat Pay simulator</title>'
        f"<style>{STYLE}</style><h1>微信支付模拟器 · WeChat Pay simulator</h1>{body}</html>"
    )


def order_page(order: Order, refunds: Iterable[Refund], said: str = "") -> str:
    """One order, with buttons while it may be paid."""
    rows = [
        ("商品 · item", order.request["description"]),
        ("商户订单号 · order", order.out_trade_no),
        ("状态 · state", STATES[order.state]),
        *(("退款 · refund", f"{_yuan(each.refund)} {each.state}") for each in refunds),
    ]
    table = "".join(f"<tr><td>{name}<td class=no>{html.escape(value)}" for name, value in rows)
    buttons = (
        '<form method="post"><button class="pay" name="outcome" value="success">支付 · Pay</button>'
        '<button class="fail" name="outcome" value="fail">支付失败 · Fail</button></form>'
    )
    return page(
        f"<p>{html.escape(said)}</p><p class=amount>¥ {_yuan(order.total)}</p>"
        f"<table>{table}</table>"
        f"{buttons if order.state == 'NOTPAY' else ''}"
        "<p><a href='/simulator'>全部订单 · all orders</a>"
    )


def orders_page(orders: Iterable[Order]) -> str:
    """The newest orders."""
    rows = "".join(
        f"<tr><td>¥ {_yuan(order.total)}<td class=no><a href='/simulator/pay/{order.out_trade_no}'>"
        f"{order.out_trade_no}</a><td>{STATES[order.state]}"
        for order in orders
    )
    return page(f"<table>{rows or '<tr><td>还没有订单 · no orders yet'}</table>")


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"
