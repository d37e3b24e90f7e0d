"""Refunds that the traveller's account does not take, sent to a bank account instead.

Source: pay.weixin.qq.com, "apply for an abnormal refund": to a debit card of the traveller, at a
bank on WeChat's list, or to the merchant's own settlement account. Number and name come encrypted
and are not kept.
"""

import re
import time
from typing import Any

from tools.dev.wechat_simulator.merchant import Merchant
from tools.dev.wechat_simulator.notices import Notices
from tools.dev.wechat_simulator.orders import OUT_REFUND_NO, Orders
from tools.dev.wechat_simulator.protocol import RefusedError, decrypt_field
from tools.dev.wechat_simulator.store import Store
from tools.dev.wechat_simulator.switches import Switches

TO_TRAVELLER, TO_MERCHANT = "USER_BANK_CARD", "MERCHANT_BANK_CARD"
FIELDS = {"out_refund_no", "type", "bank_type", "bank_account", "real_name"}
BANK_TYPE = re.compile(r"[A-Z0-9_]{1,16}")
CARD = re.compile(r"\d{8,30}")
MERCHANT_ACCOUNT = "商户结算银行账户"


class AbnormalRefunds:
    """What WeChat Pay does with abnormal refunds."""

    def __init__(
        self,
        merchant: Merchant,
        store: Store,
        switches: Switches,
        notices: Notices,
        orders: Orders,
    ) -> None:
        self._merchant = merchant
        self._store = store
        self._switches = switches
        self._notices = notices
        self._orders = orders

    def apply(self, refund_id: str, request: dict[str, Any], serial: str) -> dict[str, Any]:
        """Sends it to the account that is named; the same again is the same, and is given back
        once.
        """
        if unknown := sorted(set(request) - FIELDS):
            raise RefusedError(
                400, "PARAM_ERROR", f"请求中含有未在API文档中定义的参数: {unknown[0]}"
            )
        number = request.get("out_refund_no")
        if not isinstance(number, str) or not OUT_REFUND_NO.fullmatch(number):
            raise RefusedError(400, "PARAM_ERROR", "out_refund_no格式错误")
        account = self._account(request, serial)
        refund = self._store.refund_by_id(refund_id)
        if refund is None or refund.out_refund_no != number:
            raise RefusedError(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        asked: dict[str, Any] = {n: request[n] for n in ("type", "bank_type") if n in request}
        known = self._store.abnormal(number)
        if known:
            if known != (asked, account):
                raise RefusedError(400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致")
            return self._orders.refund_answer(refund)
        if refund.state != "ABNORMAL":
            raise RefusedError(400, "INVALID_REQUEST", "退款单状态不是退款异常，不能发起异常退款")
        with self._store.transaction():
            settle_at = time.time() + self._switches.refund_seconds
            self._store.apply_abnormal(refund, asked, account, settle_at)
        self._notices.wake()
        applied = self._store.refund(number)
        assert applied
        return self._orders.refund_answer(applied)

    def _account(self, request: dict[str, Any], serial: str) -> str:
        """Where the money goes, as WeChat words it: a card by its last four digits."""
        if request.get("type") == TO_MERCHANT:
            return MERCHANT_ACCOUNT
        if request.get("type") != TO_TRAVELLER:
            raise RefusedError(400, "PARAM_ERROR", "type为必填项")
        bank_type = request.get("bank_type")
        if not isinstance(bank_type, str) or not BANK_TYPE.fullmatch(bank_type):
            raise RefusedError(400, "PARAM_ERROR", "bank_type为必填项")
        card = decrypt_field(self._merchant, serial, request.get("bank_account"))
        name = decrypt_field(self._merchant, serial, request.get("real_name"))
        if not CARD.fullmatch(card) or not name.strip():
            raise RefusedError(400, "PARAM_ERROR", "收款银行卡号或姓名错误")
        return f"{bank_type}{card[-4:]}"
