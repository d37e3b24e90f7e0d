"""Orders and refunds as WeChat takes them: every field checked, every repeat compared with the
first request.
"""

import re
import time
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from tools.dev.wechat_simulator.merchant import Merchant
from tools.dev.wechat_simulator.notices import Notices
from tools.dev.wechat_simulator.protocol import RefusedError, beijing, verified
from tools.dev.wechat_simulator.store import Order, Refund, Store
from tools.dev.wechat_simulator.switches import Switches

OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_*-]{6,32}")
OUT_REFUND_NO = re.compile(r"[0-9A-Za-z_|*@-]{1,64}")
OPENID = re.compile(r"o[0-9A-Za-z_-]{27}")
MOST_REFUNDS = 50
"""Of one payment ("refund", note 1). The documents do not say that one which is closed makes room
for another, so each counts that was taken on; nor do they name the code of the refusal, which is
that of a rule of the trade.
"""
STATES = {
    "SUCCESS": "支付成功",
    "REFUND": "转入退款",
    "NOTPAY": "订单未支付",
    "CLOSED": "订单已关闭",
}
PREPAY_FIELDS = {
    *("appid", "mchid", "description", "out_trade_no", "time_expire", "attach", "notify_url"),
    *("goods_tag", "support_fapiao", "amount", "payer", "detail", "scene_info", "settle_info"),
}
REFUND_FIELDS = {
    *("transaction_id", "out_trade_no", "out_refund_no", "reason", "notify_url"),
    *("funds_account", "amount", "goods_detail"),
}


class Orders:
    """What WeChat Pay does with orders and refunds."""

    def __init__(
        self, merchant: Merchant, store: Store, switches: Switches, notices: Notices
    ) -> None:
        self._merchant = merchant
        self._store = store
        self._switches = switches
        self._notices = notices

    def prepay(self, request: dict[str, Any]) -> dict[str, Any]:
        """Registers an order; the same again gives the same prepay_id."""
        self._check_order(request)
        number = request["out_trade_no"]
        known = self._store.order(number)
        if known is None:
            expire_at = _expiry(request.get("time_expire"))
            return {"prepay_id": self._store.add_order(request, expire_at).prepay_id}
        if known.state == "CLOSED":
            raise RefusedError(400, "ORDER_CLOSED", "该订单已关闭，请重新下单")
        if known.state in ("SUCCESS", "REFUND"):
            raise RefusedError(400, "ORDERPAID", "该订单已支付")
        if known.request != request:
            raise RefusedError(400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致")
        return {"prepay_id": known.prepay_id}

    def query(self, out_trade_no: str, mchid: str) -> dict[str, Any]:
        """An order as it stands."""
        self._check_merchant(mchid)
        return self.transaction(self._order(out_trade_no))

    def close(self, out_trade_no: str, request: Mapping[str, Any]) -> None:
        """Makes an order unpayable. As WeChat, says nothing about one that is closed or that
        there is not.
        """
        self._check_merchant(request.get("mchid"))
        order = self._store.order(out_trade_no)
        if order and order.state in ("SUCCESS", "REFUND"):
            raise RefusedError(400, "ORDERPAID", "该订单已支付")
        if order and order.state == "NOTPAY":
            self._store.set_order_state(out_trade_no, "CLOSED")

    def pay(self, number: str, signed: Mapping[str, str] | None = None) -> Order:
        """What the traveller's phone does; `number` is an out_trade_no or a prepay_id.

        With `signed`, the fields of wx.requestPayment and appId, their signature is checked first.
        """
        if signed is not None:
            self._check_pay_sign(signed)
        with self._store.transaction():
            order = self._order(number)
            if order.state == "CLOSED":
                raise RefusedError(400, "ORDER_CLOSED", "该订单已关闭，请重新下单")
            if order.state != "NOTPAY":
                raise RefusedError(400, "ORDERPAID", "该订单已支付")
            self._store.pay(order.out_trade_no)
            paid = self._order(order.out_trade_no)
            self._notices.add(
                "TRANSACTION.SUCCESS", self.transaction(paid), paid.request["notify_url"]
            )
        return paid

    def refund(self, request: dict[str, Any]) -> dict[str, Any]:
        """Takes a refund on; once for each out_refund_no."""
        _check_refund(request)
        number = request.get("transaction_id") or request["out_trade_no"]
        order = self._store.order(number)
        if order is None:
            raise RefusedError(404, "RESOURCE_NOT_EXISTS", "订单不存在，请检查订单号是否正确")
        known = self._store.refund(request["out_refund_no"])
        if known:
            same = known.out_trade_no == order.out_trade_no
            if not same or known.request["amount"] != request["amount"]:
                raise RefusedError(
                    400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试"
                )
            return self.refund_answer(known)
        if order.state not in ("SUCCESS", "REFUND"):
            raise RefusedError(400, "INVALID_REQUEST", "订单未支付，不能退款")
        if request["amount"]["total"] != order.total:
            raise RefusedError(400, "INVALID_REQUEST", "订单金额与原支付订单不一致，请核实后再试")
        taken_on = self._store.refunds_of(order.out_trade_no)
        given = sum(each.refund for each in taken_on if each.state != "CLOSED")
        if given + request["amount"]["refund"] > order.total:
            raise RefusedError(400, "INVALID_REQUEST", "申请退款金额大于订单可退金额")
        if len(taken_on) >= MOST_REFUNDS:
            raise RefusedError(400, "INVALID_REQUEST", "部分退款次数已超过50次")
        if self._switches.balance_short:
            raise RefusedError(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
        with self._store.transaction():
            settle_at = time.time() + self._switches.refund_seconds
            made = self._store.add_refund(request, order.out_trade_no, settle_at)
            self._store.set_order_state(order.out_trade_no, "REFUND")
        self._notices.wake()
        return self.refund_answer(made)

    def query_refund(self, out_refund_no: str) -> dict[str, Any]:
        """A refund as it stands."""
        found = self._store.refund(out_refund_no)
        if found is None:
            raise RefusedError(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return self.refund_answer(found)

    def settle_refunds(self, now: float) -> None:
        """Brings due refunds to their outcome and queues the notices; those that stay PROCESSING
        have none.
        """
        if self._switches.refund_outcome == "PROCESSING":
            return
        for refund in self._store.refunds_due(now):
            number = refund.out_refund_no
            elsewhere = self._store.abnormal(number)
            outcome = self._switches.refund_outcome
            if elsewhere:
                outcome = self._switches.abnormal_refund_outcome
            with self._store.transaction():
                self._store.settle_refund(number, outcome)
                if elsewhere and outcome == "ABNORMAL":
                    self._store.withdraw_abnormal(number)
                settled = self._store.refund(number)
                assert settled
                if url := refund.request.get("notify_url"):
                    self._notices.add(f"REFUND.{outcome}", self._refund_notice(settled), url)

    def transaction(self, order: Order) -> dict[str, Any]:
        """An order as query and notice tell it."""
        paid = order.state in ("SUCCESS", "REFUND")
        amount = {"total": order.total, "payer_currency": "CNY", "currency": "CNY"}
        content: dict[str, Any] = {
            "mchid": self._merchant.merchant_id,
            "appid": self._merchant.app_id,
            "out_trade_no": order.out_trade_no,
            "trade_state": order.state,
            "trade_state_desc": STATES[order.state],
            "attach": order.request.get("attach", ""),
            "amount": {**amount, "payer_total": order.total} if paid else amount,
            "payer": {"openid": order.request["payer"]["openid"]} if paid else {},
        }
        if paid and order.success_at is not None:
            content |= {
                "transaction_id": order.transaction_id,
                "trade_type": "JSAPI",
                "bank_type": "OTHERS",
                "success_time": beijing(order.success_at),
            }
        return content

    def refund_answer(self, refund: Refund) -> dict[str, Any]:
        """A refund as answers tell it."""
        elsewhere = self._store.abnormal(refund.out_refund_no)
        return {
            **self._refund_facts(refund),
            "channel": "OTHER_BANKCARD" if elsewhere else "ORIGINAL",
            "create_time": beijing(refund.created_at),
            "status": refund.state,
            "funds_account": "UNSETTLED",
            "amount": {
                **self._refund_amount(refund),
                "settlement_refund": refund.refund,
                "settlement_total": self._order(refund.out_trade_no).total,
                "discount_refund": 0,
                "currency": "CNY",
            },
        }

    def _refund_notice(self, refund: Refund) -> dict[str, Any]:
        return {
            "mchid": self._merchant.merchant_id,
            **self._refund_facts(refund),
            "refund_status": refund.state,
            "amount": self._refund_amount(refund),
        }

    def _refund_facts(self, refund: Refund) -> dict[str, Any]:
        facts = {
            "out_trade_no": refund.out_trade_no,
            "transaction_id": self._order(refund.out_trade_no).transaction_id,
            "out_refund_no": refund.out_refund_no,
            "refund_id": refund.refund_id,
            "user_received_account": "支付用户零钱",
        }
        if elsewhere := self._store.abnormal(refund.out_refund_no):
            facts["user_received_account"] = elsewhere[1]
        if refund.success_at is not None:
            facts["success_time"] = beijing(refund.success_at)
        return facts

    def _refund_amount(self, refund: Refund) -> dict[str, Any]:
        total = self._order(refund.out_trade_no).total
        return {
            "total": total,
            "refund": refund.refund,
            "payer_total": total,
            "payer_refund": refund.refund,
        }

    def _order(self, number: str) -> Order:
        order = self._store.order(number)
        if order is None:
            raise RefusedError(404, "ORDER_NOT_EXIST", "订单不存在")
        return order

    def _check_merchant(self, mchid: object) -> None:
        if mchid != self._merchant.merchant_id:
            raise RefusedError(400, "PARAM_ERROR", "mchid与签名的商户号不一致")

    def _check_order(self, request: dict[str, Any]) -> None:
        _check_names(request, PREPAY_FIELDS)
        if request.get("mchid") != self._merchant.merchant_id:
            raise RefusedError(400, "PARAM_ERROR", "mchid与签名的商户号不一致")
        if request.get("appid") != self._merchant.app_id:
            raise RefusedError(400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配，请检查后再试")
        _check_text(request, "description", 127)
        _check_pattern(request, "out_trade_no", OUT_TRADE_NO)
        _check_url(request)
        if "attach" in request:
            _check_text(request, "attach", 128)
        amount, payer = request.get("amount"), request.get("payer")
        if not isinstance(amount, dict) or amount.get("currency", "CNY") != "CNY":
            raise RefusedError(400, "PARAM_ERROR", "amount.currency只支持CNY")
        _check_fen(amount, "total", least=1)
        if not isinstance(payer, dict):
            raise RefusedError(400, "PARAM_ERROR", "payer为必填项")
        if not OPENID.fullmatch(str(payer.get("openid"))):
            raise RefusedError(400, "PARAM_ERROR", "无效的openid")
        known = self._store.order(request["out_trade_no"])
        expire_at = _expiry(request.get("time_expire"))
        if known is None and expire_at is not None and expire_at <= time.time():
            raise RefusedError(400, "PARAM_ERROR", "time_expire已过期，需晚于当前时间")

    def _check_pay_sign(self, signed: Mapping[str, str]) -> None:
        lines = [signed.get(name, "") for name in ("appId", "timeStamp", "nonceStr", "package")]
        message = "".join(f"{line}\n" for line in lines).encode()
        if (
            signed.get("appId") != self._merchant.app_id
            or signed.get("signType") != "RSA"
            or not verified(self._merchant, message, signed.get("paySign", ""))
        ):
            raise RefusedError(400, "SIGN_ERROR", "支付验证签名失败")


def _check_refund(request: dict[str, Any]) -> None:
    _check_names(request, REFUND_FIELDS)
    if not request.get("transaction_id"):
        _check_pattern(request, "out_trade_no", OUT_TRADE_NO)
    _check_pattern(request, "out_refund_no", OUT_REFUND_NO)
    if len(str(request.get("reason", "")).encode()) > 80:
        raise RefusedError(400, "PARAM_ERROR", "reason长度超过80个字节")
    if "notify_url" in request:
        _check_url(request)
    amount = request.get("amount")
    if not isinstance(amount, dict) or amount.get("currency") != "CNY":
        raise RefusedError(400, "PARAM_ERROR", "amount.currency为必填项，只支持CNY")
    _check_fen(amount, "total", least=1)
    _check_fen(amount, "refund", least=1)
    if amount["refund"] > amount["total"]:
        raise RefusedError(400, "PARAM_ERROR", "退款金额不能大于订单金额")


def _check_names(request: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(request) - known):
        raise RefusedError(400, "PARAM_ERROR", f"请求中含有未在API文档中定义的参数: {unknown[0]}")


def _check_text(request: Mapping[str, Any], name: str, longest: int) -> None:
    value = request.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise RefusedError(400, "PARAM_ERROR", f"{name}为必填字符串，最长{longest}")


def _check_pattern(request: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> None:
    value = request.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RefusedError(400, "PARAM_ERROR", f"{name}格式错误")


def _check_fen(amount: Mapping[str, Any], name: str, *, least: int) -> None:
    value = amount.get(name)
    if type(value) is not int or value < least:
        raise RefusedError(400, "PARAM_ERROR", f"amount.{name}必须为不小于{least}的整数，单位为分")


def _check_url(request: Mapping[str, Any]) -> None:
    value = request.get("notify_url")
    url = urlsplit(value if isinstance(value, str) else "")
    # http only for who is connected by a line of their own, under an address instead of a name
    allowed = url.scheme == "https" or (url.scheme == "http" and _is_address(url.hostname or ""))
    if not allowed or not url.hostname or url.query or url.fragment or len(str(value)) > 255:
        raise RefusedError(400, "PARAM_ERROR", "notify_url必须为https，且不能携带参数")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _expiry(text: object) -> float | None:
    if text is None:
        return None
    try:
        time_expire = datetime.fromisoformat(str(text))
    except ValueError:
        time_expire = None
    if time_expire is None or time_expire.tzinfo is None:
        raise RefusedError(400, "PARAM_ERROR", "time_expire格式错误，请遵循rfc3339标准格式")
    return time_expire.timestamp()
