"""What becomes of a refund at WeChat, as it says in notices and answers, or does not say for
days.

What follows from news of a refund is decided under its locks, and then written: of many refunds in
one transaction (refund_news.py), or of one (`settle_part`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.payments import refund_parts, refund_rules, refunds
from server.payments.refund_parts import Part
from server.payments.refunds import Locked
from server.platform import outbox
from server.platform.outbox import NewTask
from server.platform.statements import Transaction, run
from server.wechat.codec import WechatRefund as Outcome

STATES = {
    "SUCCESS": "SUCCEEDED",
    "PROCESSING": "PROCESSING",
    "CLOSED": "CLOSED",
    "ABNORMAL": "ABNORMAL",
}
"""Our states of a part by WeChat's."""


class News(NamedTuple):
    """What WeChat says of one of our refunds, in a notice or an answer."""

    out_refund_no: str
    outcome: Outcome
    is_notice: bool = False


@dataclass(slots=True)
class Consequences:
    """What follows from news of a part, to be written.

    Attributes:
        state: of the part then; None if it is not ours.
        locked: its refund, with the part as it is then; None if it is not ours.
        moved: the part, if anything of it is to be written.
        concludes: whether the refund is to be brought to the state that its parts say.
        is_abnormal_news: whether the part has become ABNORMAL, which is an incident.
        incidents: others: kind, order and facts.
        asks: tasks of the outbox.
    """

    state: str | None
    locked: Locked | None = None
    moved: Part | None = None
    concludes: bool = False
    is_abnormal_news: bool = False
    incidents: list[tuple[str, int | None, dict[str, Any]]] = field(default_factory=list)
    asks: list[NewTask] = field(default_factory=list)


async def settle_part(
    tx: Transaction,
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
    named = refund_rules.refund_part(out_refund_no)
    locked = await refunds.lock(tx, *named[:2]) if named else None
    follows = consequences(News(out_refund_no, outcome, is_notice), locked, now=now)
    await write(tx, [follows], now=now)
    return follows.state


def consequences(news: News, locked: Locked | None, *, now: datetime) -> Consequences:
    """What follows from news, by what is known of their refund under its locks; None is no refund
    of ours.
    """
    out_refund_no, outcome, is_notice = news
    part = locked.part(out_refund_no) if locked else None
    if locked is None or part is None:
        return Consequences(None, incidents=[("REFUND_UNKNOWN", None, asdict(outcome))])
    follows = Consequences(part.state, locked)
    order_id, facts = locked.refund.order_id, asdict(outcome)
    reported = STATES.get(outcome.state)
    ours = part.out_trade_no, part.amount_minor, locked.refund.currency_code
    theirs = outcome.out_trade_no, outcome.refund_minor, outcome.currency_code
    if reported is None or ours != theirs:
        follows.incidents.append(("REFUND_MISMATCH", order_id, facts))
        return follows
    is_former = part.out_refund_no != out_refund_no  # WeChat closed it, and it was given up
    if is_former or (part.state in refunds.FINAL and reported in refunds.FINAL - {part.state}):
        if reported == "SUCCEEDED" or not is_former:
            follows.incidents.append(("REFUND_CONTRADICTION", order_id, facts))
        return follows
    if is_notice and reported == "ABNORMAL" and part.state == "PROCESSING" and _was_abnormal(part):
        follows.asks.append(NewTask(refunds.QUERY, out_refund_no, {}, now))
        return follows
    if reported == part.state == "SUCCEEDED" and part.provider_state != "SUCCEEDED":
        # an administrator had given it back another way
        follows.incidents.append(("REFUND_TWICE", order_id, facts))
    is_stale = reported == "PROCESSING" and part.provider_state in refunds.FINAL
    learned = part if is_stale else _learned(part, reported, outcome)
    if is_notice and not is_stale and learned.provider_create_time is None:
        # a notice does not say when it was taken on, so WeChat is asked for that
        follows.asks.append(NewTask(refunds.QUERY, part.out_refund_no, {}, now))
    is_known = reported == part.state or part.state in refunds.FINAL
    if is_known or (reported == "PROCESSING" and is_notice):
        return _moved(follows, learned)
    return _settled(follows, part, learned, reported)


def _settled(follows: Consequences, before: Part, learned: Part, reported: str) -> Consequences:
    """The part goes to a state that it was not in."""
    assert follows.locked
    refund = follows.locked.refund
    state = refund_rules.part_state(
        reported, is_alone=len(follows.locked.parts) == 1, has_tickets=bool(refund.tickets)
    )
    follows.concludes = True
    follows.is_abnormal_news = state == "ABNORMAL" and before.state != "ABNORMAL"
    part = replace(learned, state=state, **_renumbered(learned) if state != reported else {})
    if state == "SUCCEEDED" and part.abnormal_account == refunds.TO_MERCHANT:
        code = refunds.refund_code(refund.order_id, refund.refund_no)
        facts = {**refund_parts.named(part), "refund_id": code}
        follows.incidents.append(("REFUND_TO_MERCHANT", refund.order_id, facts))
    return _moved(follows, part)


def _moved(follows: Consequences, part: Part) -> Consequences:
    assert follows.locked
    follows.state, follows.moved = part.state, part
    follows.locked = follows.locked.with_part(part)
    return follows


async def write(tx: Transaction, decided: Sequence[Consequences], *, now: datetime) -> None:
    """Writes what follows from news of different refunds; see refunds.conclude."""
    for kind, order_id, facts in [each for one in decided for each in one.incidents]:
        await refunds.report(tx, kind, order_id, facts, now=now)
    moved = [each.moved for each in decided if each.moved]
    await run(tx, refund_parts.move(moved, now=now))
    concluded = [each.locked for each in decided if each.concludes and each.locked]
    await refunds.conclude(tx, concluded, actor=refunds.SYSTEM, now=now)
    for each in decided:
        if each.is_abnormal_news and each.locked:
            await refunds.report_abnormal(tx, each.locked, now=now)
    await run(tx, outbox.enqueue(*[ask for each in decided for ask in each.asks], now=now))


def _was_abnormal(part: Part) -> bool:
    return bool(part.abnormal_account) or part.provider_state == "ABNORMAL"


def _learned(part: Part, reported: str, outcome: Outcome) -> Part:
    """The part with what WeChat said of it."""
    return replace(
        part,
        provider_refund_id=outcome.refund_id,
        provider_state=reported,
        provider_create_time=outcome.create_time or part.provider_create_time,
        provider_success_time=outcome.success_time if reported == "SUCCEEDED" else None,
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
    named = refund_rules.refund_part(out_refund_no)
    locked = await refunds.lock(tx, *named[:2]) if named else None
    part = locked.part(out_refund_no) if locked else None
    if locked and part and (part.state, part.out_refund_no) == ("PROCESSING", out_refund_no):
        reported = {**refund_parts.named(part), **facts, "time": now}
        follows = Consequences(part.state, locked, concludes=True, is_abnormal_news=True)
        follows.incidents.append((kind, locked.refund.order_id, reported))
        await write(tx, [_moved(follows, replace(part, state="ABNORMAL"))], now=now)
