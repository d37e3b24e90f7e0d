"""What an administrator does about an ABNORMAL refund, audited: the transactions of each call, and
WeChat asked between them. What becomes of the refund is decided in abnormal_refunds.py.
"""

import re
from typing import Unpack

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.payments import abnormal_refunds, refund_parts, refunds
from server.payments.refund_parts import Part
from server.payments.refunds import Refund
from server.platform.crypto import digest
from server.platform.database import Database
from server.platform.errors import invalid, not_found
from server.platform.statements import run
from server.wechat.client import WechatClient
from server.wechat.codec import BankAccount, WechatError
from server.wechat.codec import WechatRefund as Outcome

BY_HAND = frozenset({"SUCCEEDED", "CLOSED"})
TO_TRAVELLER = "USER_BANK_CARD"
BANK_TYPE = re.compile("[A-Z0-9_]{1,16}", re.ASCII)
CARD_NUMBER = re.compile("[0-9]{8,30}", re.ASCII)

log = structlog.get_logger()


async def get(tx: AsyncConnection, code: str) -> Refund:
    """A refund. Raises NOT_FOUND."""
    order_id, refund_no = _number(code)
    found = await refunds.find(tx, order_id, refund_no)
    if found is None:
        raise not_found("refund", code)
    return found


async def retry_refund(tx: AsyncConnection, code: str, *, comment: str, **by: Unpack[By]) -> Refund:
    """Asks WeChat again. Raises NOT_FOUND, REFUND_REFUSED."""
    order_id, refund_no = _number(code)
    refund = await abnormal_refunds.retry(tx, order_id, refund_no, **by)
    await _audit(tx, "retry", code, refund, comment, **by)
    return refund


async def settle_refund(
    tx: AsyncConnection, code: str, *, state: str, comment: str, **by: Unpack[By]
) -> Refund:
    """Settles what is ABNORMAL as SUCCEEDED or CLOSED. Raises INVALID_FIELD, NOT_FOUND,
    REFUND_REFUSED.
    """
    if state not in BY_HAND:
        raise invalid("state", "is neither SUCCEEDED nor CLOSED")
    order_id, refund_no = _number(code)
    given = state == "SUCCEEDED"
    refund = await abnormal_refunds.settle_by_hand(tx, order_id, refund_no, given=given, **by)
    await _audit(tx, "settle", code, refund, comment, **by)
    return refund


def bank_account(account: str, bank_type: str, number: str, real_name: str) -> BankAccount | None:
    """The traveller's card; None for the merchant's own account. Raises INVALID_FIELD, which
    names no value.
    """
    if not account:
        raise invalid("account", "is missing; name USER_BANK_CARD or MERCHANT_BANK_CARD")
    if account != TO_TRAVELLER:
        if bank_type or number or real_name:
            raise invalid("bank_account", "is only for a card of the traveller; leave it out")
        return None
    if not BANK_TYPE.fullmatch(bank_type):
        raise invalid("bank_type", "is no bank as WeChat names it, as ICBC_DEBIT")
    if not CARD_NUMBER.fullmatch(number):
        raise invalid("bank_account", "is no card number of 8 to 30 digits")
    if not real_name.strip():
        raise invalid("real_name", "is missing")
    return BankAccount(bank_type, number, real_name)


def request_mark(caller: str, request_id: str, content_hash: bytes) -> str:
    """By which a part knows the request that sent it to another account, if that is repeated."""
    return digest(b"\0".join((caller.encode(), request_id.encode(), content_hash))).hex()


async def send_abnormal_refund(
    db: Database,
    client: WechatClient,
    code: str,
    *,
    out_refund_no: str,
    account: BankAccount | None,
    request: str,
    **by: Unpack[By],
) -> tuple[Part, Outcome | None]:
    """Has WeChat send a part to another account, which is in no transaction; WeChat's answer is for
    `finish`.

    None if WeChat has given it back already, to a call whose answer was lost.

    Before, the part is PROCESSING with somebody who asks about it later: so whatever is lost on the
    way, this process included, is found out. Raises NOT_FOUND, REFUND_REFUSED,
    PAYMENT_PROVIDER_UNAVAILABLE.
    """
    order_id, refund_no = _number(code)
    part = await db.in_transaction(
        lambda tx: abnormal_refunds.begin_sending(
            tx,
            order_id,
            refund_no,
            out_refund_no,
            account=TO_TRAVELLER if account else refunds.TO_MERCHANT,
            request=request,
            **by,
        )
    )
    if part.state == "SUCCEEDED":
        return part, None
    try:
        outcome = await client.abnormal_refund(
            part.provider_refund_id, out_refund_no=part.out_refund_no, account=account
        )
    except WechatError as error:
        log.warning("refund.abnormal_refused", out_refund_no=part.out_refund_no, code=error.code)
        refund = await db.in_transaction(
            lambda tx: abnormal_refunds.finish_sending(tx, order_id, refund_no, part, None, **by)
        )
        # WeChat's words may name the account
        why = f"WeChat refuses it with {error.code}"
        raise abnormal_refunds.refused(refund, "WECHAT_REFUSED", why) from None
    return part, outcome


async def finish(
    tx: AsyncConnection,
    code: str,
    part: Part,
    outcome: Outcome | None,
    comment: str,
    **by: Unpack[By],
) -> Refund:
    """Takes WeChat's answer, and puts down who asked; nothing of the account is in the trail but
    its kind.
    """
    order_id, refund_no = _number(code)
    refund = await abnormal_refunds.finish_sending(tx, order_id, refund_no, part, outcome, **by)
    await _audit(tx, "apply-abnormal-refund", code, refund, comment, **by)
    return refund


def _number(code: str) -> tuple[int, int]:
    number = refunds.refund_number(code)
    if number is None:
        raise not_found("refund", code)
    return number


async def _audit(
    tx: AsyncConnection, action: str, code: str, refund: Refund, comment: str, **by: Unpack[By]
) -> None:
    parts = await refund_parts.parts_of(tx, [(refund.order_id, refund.refund_no)])
    after = {
        "state": refund.state,
        "comment": comment,
        "parts": {
            part.out_refund_no: {"state": part.state, "sent_to": part.abnormal_account}
            for found in parts.values()
            for part in found
        },
    }
    change = AuditedChange(
        actor=by["actor"],
        action=action,
        resource="refund",
        name=code,
        before={"state": "ABNORMAL"},
        after=after,
    )
    await run(tx, audit(change, now=by["now"]))
