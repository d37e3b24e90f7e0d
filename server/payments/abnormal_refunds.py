"""Refunds that WeChat cannot give back by itself: asked for again, sent to another account, or
settled by hand.

Within a transaction; who asks for it is in refund_actions.py. All of it concerns the ABNORMAL parts
of a refund alone; whatever else it has was given back, or may be yet.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.payments import refund_outcomes, refund_rules, refund_sources, refunds
from server.payments.refund_parts import Part
from server.payments.refunds import Locked, Refund
from server.platform import outbox
from server.platform.errors import DomainError, Reason, not_found
from server.platform.statements import run
from server.wechat.codec import WechatRefund as Outcome

QUERY_AFTER = timedelta(minutes=1)
"""Whatever becomes of the call that sends a refund to another account, WeChat is asked so much
later.
"""


async def retry(
    tx: AsyncConnection, order_id: int, refund_no: int, *, actor: str, now: datetime
) -> Refund:
    """Asks WeChat again for what an ABNORMAL refund has not given back.

    Under the same number, after which WeChat may have settled it meanwhile, unless WeChat has
    closed that; another number counts as one more refund of the payment. Raises NOT_FOUND,
    REFUND_REFUSED for a refund in another state, or if WeChat takes on no more of its payments.
    """
    locked = await _lock_abnormal(tx, order_id, refund_no)
    again: list[Part] = []
    paid = {(p.order_id, p.attempt): p for p in await refund_sources.payments_of(tx, order_id)}
    for part in locked.parts:
        if part.state != "ABNORMAL":
            continue
        number = refund_rules.refund_part(part.out_refund_no)
        assert number is not None, "made by ourselves"
        key = part.payment_order_id, part.payment_attempt
        fresh = number.attempt > part.asked_count
        if fresh and paid[key].refund_count >= refund_rules.MOST_REFUNDS:
            continue
        if fresh:
            await refund_sources.draw(tx, [(*key, 0, 1)], now=now)
        again.append(replace(part, state="PROCESSING", asked_count=number.attempt))
    if not again:
        raise refunds.used_up()
    await refunds.move_parts(tx, locked, again, actor=actor, now=now)
    await refunds.ask_wechat(tx, [part.out_refund_no for part in again], now=now)
    return await refunds.read(tx, order_id, refund_no)


async def settle_by_hand(
    tx: AsyncConnection, order_id: int, refund_no: int, *, given: bool, actor: str, now: datetime
) -> Refund:
    """An administrator's word on the ABNORMAL parts of a refund: given another way, or not given
    and all is as before.

    Raises NOT_FOUND, and REFUND_REFUSED for a refund in another state, while WeChat is at a part,
    or, not given, with a part that was.
    """
    locked = await _lock_abnormal(tx, order_id, refund_no)
    states = {part.state for part in locked.parts}
    if "PROCESSING" in states:
        raise refused(locked.refund, "PART_PROCESSING", "WeChat is at a part of it; wait for that")
    if not given and "SUCCEEDED" in states:
        raise refused(locked.refund, "PART_SUCCEEDED", "a part of it was given back")
    state = "SUCCEEDED" if given else "CLOSED"
    settled = [replace(part, state=state) for part in locked.parts if part.state == "ABNORMAL"]
    await refunds.move_parts(tx, locked, settled, actor=actor, now=now)
    return await refunds.read(tx, order_id, refund_no)


async def begin_sending(
    tx: AsyncConnection,
    order_id: int,
    refund_no: int,
    out_refund_no: str,
    *,
    account: str,
    request: str,
    actor: str,
    now: datetime,
) -> Part:
    """Moves a part that is ABNORMAL at WeChat to PROCESSING, before WeChat is asked to send it to
    another account.

    Whatever becomes of that call, and of this process, WeChat is asked later what became of the
    part. Without a number it is the only one that is ABNORMAL at WeChat. `account` is
    USER_BANK_CARD or MERCHANT_BANK_CARD. A part that the same `request` has moved before is given
    again, also when WeChat has given it back since: the call may be repeated. Raises NOT_FOUND,
    REFUND_REFUSED.
    """
    locked = await _lock(tx, order_id, refund_no)
    part = _part_to_send(locked, out_refund_no, request)
    if part.state != "ABNORMAL":
        return part
    part = replace(part, state="PROCESSING", abnormal_account=account, abnormal_request=request)
    await refunds.move_parts(tx, locked, [part], actor=actor, now=now)
    due = now + QUERY_AFTER
    await run(
        tx, outbox.enqueue(outbox.NewTask(refunds.QUERY, part.out_refund_no, {}, due), now=now)
    )
    return part


async def finish_sending(
    tx: AsyncConnection,
    order_id: int,
    refund_no: int,
    part: Part,
    outcome: Outcome | None,
    *,
    actor: str,
    now: datetime,
) -> Refund:
    """Takes WeChat's answer to the call of a part that `begin_sending` gave; None if WeChat
    refused, and all is as before.

    None, too, for a part that WeChat has given back before, since it is not asked again then.
    """
    if outcome:
        await refund_outcomes.settle_part(tx, part.out_refund_no, outcome, now=now)
        return await refunds.read(tx, order_id, refund_no)
    locked = await _lock(tx, order_id, refund_no)
    for found in locked.parts:
        if (found.out_refund_no, found.state) == (part.out_refund_no, "PROCESSING"):
            before = replace(found, state="ABNORMAL", abnormal_account="", abnormal_request="")
            await refunds.move_parts(tx, locked, [before], actor=actor, now=now)
    return await refunds.read(tx, order_id, refund_no)


def _part_to_send(locked: Locked, out_refund_no: str, request: str) -> Part:
    def is_wanted(part: Part) -> bool:
        if out_refund_no:
            return part.out_refund_no == out_refund_no
        return part.abnormal_request == request or (
            (part.state, part.provider_state) == ("ABNORMAL", "ABNORMAL")
        )

    found = [part for part in locked.parts if is_wanted(part)]
    if out_refund_no and not found:
        raise not_found("part of the refund", out_refund_no)
    if len(found) > 1:
        raise refused(locked.refund, "SEVERAL_PARTS", "name one by its out_refund_no")
    if not found:
        raise refused(locked.refund, "NOT_ABNORMAL", "no part of it is ABNORMAL at WeChat")
    (part,) = found
    # one that was settled by hand is not
    is_sent = part.state == "PROCESSING" or (part.state == part.provider_state == "SUCCEEDED")
    is_repeat = is_sent and part.abnormal_request == request
    if not is_repeat and (part.state, part.provider_state) != ("ABNORMAL", "ABNORMAL"):
        raise refused(locked.refund, "NOT_ABNORMAL", "the part is not ABNORMAL at WeChat")
    return part


async def _lock(tx: AsyncConnection, order_id: int, refund_no: int) -> Locked:
    locked = await refunds.lock(tx, order_id, refund_no)
    if locked is None:
        raise not_found("refund", refunds.refund_code(order_id, refund_no))
    return locked


async def _lock_abnormal(tx: AsyncConnection, order_id: int, refund_no: int) -> Locked:
    locked = await _lock(tx, order_id, refund_no)
    if locked.refund.state != "ABNORMAL":
        raise refused(locked.refund, "NOT_ABNORMAL", "only an ABNORMAL one is an administrator's")
    return locked


def refused(refund: Refund, why: str, text: str) -> DomainError:
    """REFUND_REFUSED for a refund, with why."""
    code = refunds.refund_code(refund.order_id, refund.refund_no)
    return DomainError(
        Reason.REFUND_REFUSED, f"refund {code} is {refund.state}: {text}", ticket_code="", why=why
    )
