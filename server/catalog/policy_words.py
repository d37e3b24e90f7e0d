"""Refund and change in words, English and Chinese, as a traveller reads them before the purchase.

The rules are in policy.py. (DOMAIN, Refund and change).
"""

from dataclasses import dataclass

from server.catalog.operator_cause import promise
from server.catalog.policy import Policy, TicketStart, reachable
from server.platform.currencies import money_text


@dataclass(frozen=True, slots=True)
class Summary:
    """A policy for the traveller who chooses: the policy itself, and in words."""

    policy: Policy
    refund_en: str
    refund_zh: str
    change_en: str
    change_zh: str
    operator_en: str = ""
    operator_zh: str = ""


def summary(policy: Policy, currency_code: str, *, start: TicketStart) -> Summary:
    """A policy in words: until departure or pick-up, or else by the first day of use and the end
    of validity.

    Fees are in `currency_code`.
    """
    words = _Words(currency_code, start)
    is_moved = start is TicketStart.DEPARTURE
    operator = promise(policy.move_tolerance_minutes) if is_moved else ("", "")
    return Summary(policy, *words.refund(policy), *words.change(policy), *operator)


@dataclass(frozen=True, slots=True)
class _Words:
    """Texts in English and Chinese."""

    currency_code: str
    start: TicketStart

    def refund(self, policy: Policy) -> tuple[str, str]:
        tiers = [tier for tier in reachable(policy, self.start) if tier.percent]
        if not tiers:
            return "No refund.", "不可退票。"
        parts_en, parts_zh = [], []
        for tier in tiers:
            en, zh = self._moment(tier.minutes_before)
            free = tier.percent == 100 and not policy.refund_fee_minor
            parts_en.append(f"free refund until {en}" if free else f"{tier.percent}% until {en}")
            parts_zh.append(f"免费退票至{zh}" if free else f"至{zh}退{tier.percent}%")
        text_en = "; ".join([*parts_en, "nothing after that."])
        text_zh = "；".join([*parts_zh, "此后不退。"])
        if policy.refund_fee_minor:
            fee = self._money(policy.refund_fee_minor)
            text_en += f" A fee of {fee} per ticket is kept."
            text_zh += f"每张收取手续费{fee}。"
        if policy.pro_rata:
            text_en += " Partly used tickets are refunded in proportion to the uses left."
            text_zh += "部分使用的票按剩余次数比例退款。"
        return text_en[0].upper() + text_en[1:], text_zh

    def change(self, policy: Policy) -> tuple[str, str]:
        allowed = policy.changes_allowed
        if not allowed:
            return "No change.", "不可改签。"
        en, zh = self._moment(policy.change_minutes_before)
        times = {1: "once", 2: "twice"}.get(allowed, f"{allowed} times")
        fee = self._money(policy.change_fee_minor)
        cost_en, cost_zh = (
            (f"for {fee} each time", f"可改签{allowed}次，每次手续费{fee}")
            if policy.change_fee_minor
            else ("free of charge", f"可免费改签{allowed}次")
        )
        return (
            (
                f"May be changed {times} until {en}, {cost_en}; a dearer ticket costs the"
                " difference, of a cheaper one as much of it comes back as of a refund."
            ),
            f"截至{zh}，{cost_zh}；改至较贵的票补差价，改至较便宜的票按当时退票比例退差价。",
        )

    def _moment(self, minutes_before: int) -> tuple[str, str]:
        return moment_in_words(minutes_before, self.start)

    def _money(self, amount_minor: int) -> str:
        return money_text(amount_minor, self.currency_code)


_START_WORDS = {
    TicketStart.DEPARTURE: ("departure", "出发"),
    TicketStart.PICK_UP: ("pick-up", "取车"),
    TicketStart.FIRST_DAY: ("the first day of use begins", "使用首日零点"),
}


def moment_in_words(minutes_before: int, start: TicketStart) -> tuple[str, str]:
    """The moment a tier or the right to change ends, to stand after "until" and 至."""
    what_en, what_zh = _START_WORDS[start]
    if not minutes_before:
        if start is TicketStart.FIRST_DAY:
            return "its validity ends", "有效期结束时"
        return what_en, f"{what_zh}时"
    number, (unit_en, unit_zh) = _duration(abs(minutes_before))
    side_en, side_zh = ("before", "前") if minutes_before > 0 else ("after", "后")
    plural = "" if number == 1 else "s"
    return f"{number} {unit_en}{plural} {side_en} {what_en}", f"{what_zh}{side_zh}{number}{unit_zh}"


def _duration(minutes: int) -> tuple[int, tuple[str, str]]:
    if minutes % 1440 == 0 and minutes > 2 * 1440:
        return minutes // 1440, ("day", "天")
    if minutes % 60 == 0:
        return minutes // 60, ("hour", "小时")
    return minutes, ("minute", "分钟")
