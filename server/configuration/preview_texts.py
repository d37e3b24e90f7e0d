"""What versions would do, in sentences, in English and Chinese."""

from server.configuration.preview import DryRun


def texts(found: DryRun) -> tuple[str, str]:
    """A preview in English and Chinese."""
    counts = found.counts
    numbers = {**counts._asdict(), **found.kept._asdict(), "changes": counts.changes}
    fields = ", ".join(found.changed) or "-"
    english = _ENGLISH.format(fields=fields, until=found.until, **numbers)
    chinese = _CHINESE.format(fields=fields, until=found.until, **numbers)
    if not found.is_complete:
        english = _SO_FAR_ENGLISH + english
        chinese = _SO_FAR_CHINESE + chinese
    if found.faults:
        english += " It could not be published now: " + "; ".join(found.faults)
        chinese += "目前不能发布：" + "；".join(found.faults)
    return english, chinese


_SO_FAR_ENGLISH = "So far, with more on the pages to come: "
_SO_FAR_CHINESE = "目前统计如下（后续页面继续）："
_ENGLISH = (
    "Changes {fields}. Of {offers} offers until {until}, {changes} change: {cheaper} cost less,"
    " {dearer} cost more, {closed} can no longer be bought, {opened} can be bought that could not,"
    " {terms} have other terms at the same price; of {departures} departures nothing can be bought"
    " any more. What is sold stays as it is: {live_tickets} live tickets ({unsold_tickets} of them"
    " in {batches} partners' batches) keep price, refund policy and entry rules, and"
    " {waiting_orders} orders that wait for payment keep their price. Quotes of refunds are made"
    " from what was sold, and stay. An order sent with a price of before is refused as"
    " PRICE_CHANGED. What partners make of {reservations} open reservations and {allotments}"
    " allotments ({allotted} left) from then on has the new terms."
)
_CHINESE = (
    "变更字段：{fields}。截至{until}共{offers}个可售项目，其中{changes}个有变化："
    "{cheaper}个降价，{dearer}个涨价，{closed}个停止销售，{opened}个恢复销售，"
    "{terms}个价格不变但条款有变；{departures}个班次将无票可售。"
    "已售出的不受影响：{live_tickets}张有效票（其中{unsold_tickets}张在{batches}个分销批次中待激活）"
    "保留原价格、退改政策和入闸规则，{waiting_orders}个待支付订单保留原价。"
    "退票报价以售出时的快照为准，保持不变。以旧价格提交的订单会被拒绝（PRICE_CHANGED）。"
    "此后由{reservations}个有效预留和{allotments}个分销配额（余{allotted}）生成的票适用新条款。"
)
