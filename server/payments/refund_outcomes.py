"""What becomes of a refund at WeChat, as it says in notices and answers, or does not say for
days.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from server.payments import refund_rules, refunds
from server.payments.refunds import Part
from server.platform import outbox
from server.platform.statements import run
from server.wechat.codec import WechatRefund as Outcome

STATES = {
    "SUCCESS": "SUCCEEDED",
    "PROCESSING": "PROCESSING",
    "CLOSED": "CLOSED",
    "ABNORMAL": "ABNORMAL",
}
"""Our states of a part by WeChat's."""


async def settle_part(
    tx: AsyncConnection,
    out_refund_no: str,
    outcome: Outcome,
    *,
    now: datetime,
    is_notice: bool = False,
) -> str | None:
    """Takes what WeChat says of one of our refunds, in a notice or an answer, any number of times
    and in any order.

    Gives the state the part has then; None for a number that is not ours. What does not fit is an
    incident, and changes nothing. A notice may be old: of a part that was ABNORMAL before it is not
    believed to be so again, but WeChat is asked.
    """
    locked, part = await refunds.lock_part(tx, out_refund_no)
    if locked is None or part is None:
        await refunds.report(tx, "REFUND_UNKNOWN", None, asdict(outcome), now=now)
        return None
    refund = locked.refund
    reported = STATES.get(outcome.state)
    ours = part.out_trade_no, part.amount_minor, refund.currency_code
    theirs = outcome.out_trade_no, outcome.refund_minor, outcome.currency_code
    if reported is None or ours != theirs:
        await refunds.report(tx, "REFUND_MISMATCH", refund.order_id, asdict(outcome), now=now)
        return part.state
    is_former = part.out_refund_no != out_refund_no  # WeChat closed it, and it was given up
    if is_former or (part.state in refunds.FINAL and reported in refunds.FINAL - {part.state}):
        if reported == "SUCCEEDED" or not is_former:
            await refunds.report(
                tx, "REFUND_CONTRADICTION", refund.order_id, asdict(outcome), now=now
            )
        return part.state
    if is_notice and reported == "ABNORMAL" and part.state == "PROCESSING" and _was_abnormal(part):
        await run(
            tx, outbox.enqueue(outbox.NewTask(refunds.QUERY, out_refund_no, {}, now), now=now)
        )
        return part.state
    if reported == part.state == "SUCCEEDED" and part.provider_state != "SUCCEEDED":
        # an administrator had given it back another way
        await refunds.report(tx, "REFUND_TWICE", refund.order_id, asdict(outcome), now=now)
    await _learn(tx, part, reported, outcome, is_notice=is_notice, now=now)
    if reported == part.state or part.state in refunds.FINAL:
        return part.state  # known, or stale
    if reported == "PROCESSING" and is_notice:
        return part.state
    state = refund_rules.part_state(
        reported, is_alone=len(locked.parts) == 1, has_tickets=bool(refund.tickets)
    )
    is_news = state == "ABNORMAL" and part.state != "ABNORMAL"
    await refunds.move_part(
        tx, part, state, now=now, **_renumbered(part) if state != reported else {}
    )
    if state == "SUCCEEDED" and part.abnormal_account == refunds.TO_MERCHANT:
        facts = {
            **refunds.named(part),
            "refund_id": refunds.refund_code(refund.order_id, refund.refund_no),
        }
        await refunds.report(tx, "REFUND_TO_MERCHANT", refund.order_id, facts, now=now)
    await refunds.conclude(
        tx,
        refund.order_id,
        refund.refund_no,
        actor=refunds.SYSTEM,
        now=now,
        is_abnormal_news=is_news,
    )
    return state


def _was_abnormal(part: Part) -> bool:
    return bool(part.abnormal_account) or part.provider_state == "ABNORMAL"


async def _learn(
    tx: AsyncConnection,
    part: Part,
    reported: str,
    outcome: Outcome,
    *,
    is_notice: bool,
    now: datetime,
) -> None:
    """Keeps what WeChat said of a part; a notice does not say when it was taken on, so WeChat is
    asked for that.
    """
    if reported == "PROCESSING" and part.provider_state in refunds.FINAL:
        return  # stale
    create_time = outcome.create_time or part.provider_create_time
    values = {
        "provider_refund_id": outcome.refund_id,
        "provider_state": reported,
        "provider_create_time": create_time,
        "provider_success_time": outcome.success_time if reported == "SUCCEEDED" else None,
    }
    await refunds.move_part(tx, part, part.state, now=now, **values)
    if is_notice and create_time is None:
        await run(
            tx, outbox.enqueue(outbox.NewTask(refunds.QUERY, part.out_refund_no, {}, now), now=now)
        )


def _renumbered(part: Part) -> dict[str, Any]:
    """Another number for a part that WeChat has closed, for when it is asked again; nothing is
    known of that one yet.
    """
    key = refund_rules.refund_part(part.out_refund_no)
    assert key is not None, "made by ourselves"
    return {
        "out_refund_no": refund_rules.out_refund_no(*key._replace(attempt=key.attempt + 1)),
        "provider_refund_id": "",
        "provider_state": "",
        "provider_create_time": None,
        "abnormal_account": "",
        "abnormal_request": "",
    }


async def give_up_part(
    tx: AsyncConnection, out_refund_no: str, kind: str, facts: dict[str, Any], *, now: datetime
) -> None:
    """A refund that was tried long enough needs manual resolution, with an incident of this kind.

    REFUND_REFUSED: WeChat has refused it again and again. REFUND_GIVEN_UP: WeChat was not to be
    reached for days, so what became of it is not known.
    """
    locked, part = await refunds.lock_part(tx, out_refund_no)
    if locked and part and (part.state, part.out_refund_no) == ("PROCESSING", out_refund_no):
        refund = locked.refund
        reported = {**refunds.named(part), **facts, "time": now}
        await refunds.report(tx, kind, refund.order_id, reported, now=now)
        await refunds.move_part(tx, part, "ABNORMAL", now=now)
        await refunds.conclude(
            tx,
            refund.order_id,
            refund.refund_no,
            actor=refunds.SYSTEM,
            now=now,
            is_abnormal_news=True,
        )
