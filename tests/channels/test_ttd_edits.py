"""EditOrder and SendVoucher of Ctrip's attractions protocol: other days for what is paid and what
is not, and vouchers again; repeats, races, and a process that dies at each step.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest

from server.channels.ttd_notices import CONFIRM, USED
from server.channels.ttd_vouchers import SEND
from server.platform.database import Database
from server.redemption.redeem import ScanItem
from tests.support import timetable
from tests.support.channel_process import PACKAGE_STOCK
from tests.support.channel_vendors import SimulatedChannels
from tests.support.fuse import Fuse, KilledError
from tests.support.invariants import assert_invariants
from tests.support.ttd_process import CODE, OPERATOR, TtdProcess, item, ttd_process

MOST_BOUNDARIES = 30


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedChannels]:
    async with SimulatedChannels(tmp_path_factory.mktemp("channels")) as vendors:
        yield vendors


@pytest.fixture
async def ctrip(
    timetable_db: Database, timetable_url: str, redis_url: str, running: SimulatedChannels
) -> AsyncIterator[TtdProcess]:
    running.reset()
    async with ttd_process(timetable_db, redis_url, running) as made:
        await made.change_policy(
            refund_tiers=[{"minutes_before": 0, "percent": 100}], changes_allowed=2
        )
        yield made
    assert_invariants(timetable_url)


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    return Fuse.of(monkeypatch)


def day(ahead: int) -> date:
    return timetable.tomorrow() + timedelta(days=ahead)


async def days(ctrip: TtdProcess, name: str) -> list[str]:
    """On which days the items are used, as QueryOrder has it."""
    said = {"sequenceId": ctrip.ttd.sequence(), "otaOrderId": name}
    _, content = await ctrip.call("QueryOrder", said)
    return [each["useStartDate"] for each in content["items"]]


async def admitted(ctrip: TtdProcess, name: str, voucher: dict[str, Any]) -> bool:
    """Whether a gate admits by the voucher of a changed ticket."""
    (ticket,) = [
        each
        for each in await ctrip.tickets(name)
        if each.order.order_code == voucher["voucherCode"]
    ]
    scan = ScanItem(voucher["voucherData"], "ferry", 1, ticket.ticket_code)
    (answer,) = await ctrip.redeemer.submit(OPERATOR, [scan], request_id="", session_code="")
    return answer.result == "SUCCESS"


async def sent_vouchers(ctrip: TtdProcess, name: str) -> list[dict[str, Any]]:
    """What Ctrip has of an order's vouchers, once it was sent them."""
    await ctrip.run_kept(SEND, f"{CODE}:{name}")
    service, content = ctrip.ttd.notices[-1]
    assert (service, content["otaOrderId"]) == ("OrderTravelNotice", name)
    assert not ctrip.ttd.faults
    vouchers: list[dict[str, Any]] = content["vouchers"]
    return vouchers


async def test_a_paid_order_is_used_on_another_day(ctrip: TtdProcess) -> None:
    """All its tickets are changed (改签), and followed: used, counted, cancelled, shown."""
    today = timetable.this_day()
    await ctrip.sold("A", item(2), item(1, day(2)))
    edit = ctrip.edition("A", timetable.tomorrow(), today)
    first = await ctrip.call("EditOrder", edit)
    assert first == ("0000", {"supplierConfirmType": 1, "items": [{"itemId": "I-1"}]})
    assert await ctrip.call("EditOrder", edit) == first
    assert await days(ctrip, "A") == [today.isoformat(), day(2).isoformat()]
    assert await ctrip.standing("A") == [(13, 2, 0, 0), (13, 1, 0, 0)]
    vouchers = await sent_vouchers(ctrip, "A")
    assert [each["itemId"] for each in vouchers] == ["I-1", "I-1", "I-2"]
    assert len({each["voucherData"] for each in vouchers}) == 3
    assert await admitted(ctrip, "A", vouchers[0])
    assert not await admitted(ctrip, "A", vouchers[0])
    assert await ctrip.standing("A") == [(7, 2, 1, 0), (13, 1, 0, 0)]
    assert await ctrip.note_uses() == [f"{CODE}:A"]
    await ctrip.run(USED, f"{CODE}:A")
    (used, _) = ctrip.ttd.notices[-1][1]["items"]
    assert (used["useQuantity"], used["useStartDate"]) == (1, today.isoformat())
    assert (await ctrip.call("EditOrder", ctrip.edition("A", today, day(1))))[0] == "6005"
    assert await ctrip.cancel_part("A", 1) == "0000"
    assert await ctrip.standing("A") == [(8, 2, 1, 1), (13, 1, 0, 0)]
    assert await ctrip.count("SELECT count(*) FROM tickets WHERE state = 'CHANGED'") == 2


async def test_passengers_stay_who_they_are(ctrip: TtdProcess) -> None:
    people = [{"name": f"N{each}", "passengerId": f"p{each}"} for each in range(2)]
    await ctrip.sold("A", item(2, passengers=people))
    assert (await ctrip.edit("A", day(0), day(1))) == "0000"
    assert (await ctrip.edit("A", day(1), day(2))) == "0000"
    chosen = {"cancelType": 2, "passengers": [{"passengerId": "p1"}]}
    assert await ctrip.cancel_part("A", 0, **chosen) == "0000"
    assert await ctrip.cancel_part("A", 0, **chosen) == "2004"
    assert await ctrip.standing("A") == [(4, 2, 0, 1)]
    assert (await ctrip.edit("A", day(2), day(1))) == "6005", "changes_allowed is 2"


async def test_what_is_not_paid_is_held_anew(ctrip: TtdProcess) -> None:
    """Also if its hold was over; a repeat of its creation gets the first answer."""
    await ctrip.left(PACKAGE_STOCK, 8)
    order = ctrip.ttd.an_order("A", item(2), item(1, day(3)))
    first = await ctrip.call("CreatePreOrder", order)
    assert await ctrip.edit("A", day(0), day(1), "0") == "0000"
    assert await days(ctrip, "A") == [day(1).isoformat(), day(3).isoformat()]
    pending = "SELECT count(*) FROM orders WHERE state = 'PENDING'"
    assert await ctrip.count(pending) == 1
    await ctrip.expire_holds()
    assert await ctrip.edit("A", day(1), day(2), "0") == "0000"
    assert await ctrip.count(pending) == 1
    assert await ctrip.call("CreatePreOrder", order) == first
    assert await ctrip.standing("A") == [(11, 2, 0, 0), (11, 1, 0, 0)]
    code, paid = await ctrip.pay("A", "I-1", "I-2")
    assert (code, paid["supplierOrderId"]) == ("0000", first[1]["supplierOrderId"])
    held = "SELECT held + sold FROM stocks"
    assert await ctrip.count(f"{held} WHERE stock_id = {PACKAGE_STOCK}") == 3
    starts = {
        each.valid_from_time.astimezone(timetable.ZONE).date() for each in await ctrip.tickets("A")
    }
    assert starts == {day(2), day(3)}


NOT_DONE: list[tuple[dict[str, Any], str]] = [
    ({"originUseStartDate": day(3).isoformat()}, "6004"),
    ({"targetUseStartDate": "24.12.2026"}, "6004"),
    ({"targetUseStartDate": "2020-01-01"}, "6004"),
    ({"targetUseStartDate": None}, "6002"),
    ({"targetUseEndDate": day(4).isoformat()}, "6004"),
    ({"itemId": "I-9"}, "6005"),
    ({"PLU": "T"}, "6005"),
    ({"quantity": 2}, "6005"),
    ({"passengers": [{"name": "王"}]}, "6005"),
]


async def test_what_cannot_be_changed_stays_as_it_is(ctrip: TtdProcess) -> None:
    """Neither does what would cost something, or is sold out, in whichever state it is."""
    await ctrip.sold("PAID", item(2))
    await ctrip.create("HELD", item(2, itemId="I-1"))
    for name in ("PAID", "HELD"):
        before = await ctrip.standing(name)
        for fields, code in NOT_DONE:
            said = ctrip.edition(name, day(0), day(1))
            said["items"][0] |= fields
            assert (await ctrip.call("EditOrder", said))[0] == code, (name, fields)
        for fields in ({"contacts": [{"name": "王"}]}, {"items": []}, {"sequenceId": ""}):
            said = ctrip.edition(name, day(0), day(1)) | fields
            expected = "6005" if "contacts" in fields else "6002"
            assert (await ctrip.call("EditOrder", said))[0] == expected, (name, fields)
        said = ctrip.edition(name, day(0), day(1))
        said["items"] *= 2
        assert (await ctrip.call("EditOrder", said))[0] == "6005"
        assert await days(ctrip, name) == [day(0).isoformat()]
        assert await ctrip.standing(name) == before
    await ctrip.left(PACKAGE_STOCK, 4)
    assert await ctrip.edit("HELD", day(0), day(1)) == "6102"
    assert await ctrip.edit("PAID", day(0), day(1)) == "0000", "old and new are one place"
    assert await days(ctrip, "HELD") == [day(0).isoformat()]
    assert await ctrip.count("SELECT count(*) FROM orders WHERE state = 'PENDING'") == 1


async def test_what_costs_something_is_refused(ctrip: TtdProcess) -> None:
    await ctrip.change_policy(changes_allowed=1, change_fee_minor=500)
    await ctrip.sold("FEE", item(2))
    assert await ctrip.edit("FEE", day(0), day(1)) == "6103"
    await ctrip.change_policy(changes_allowed=0, change_fee_minor=0)
    ctrip.see_catalogue()
    await ctrip.sold("NEVER", item(2))
    assert await ctrip.edit("NEVER", day(0), day(1)) == "6005"
    await ctrip.change_policy(changes_allowed=1)
    ctrip.see_catalogue()
    await ctrip.sold("PARTY", item(3, cost=270))  # of three each pays 10 % less than one alone
    assert await ctrip.edit("PARTY", day(0), day(1)) == "6103"
    assert await ctrip.count("SELECT count(*) FROM tickets WHERE state <> 'ACTIVE'") == 0


async def test_a_repeat_gets_the_first_answer_and_other_content_none(ctrip: TtdProcess) -> None:
    await ctrip.sold("A", item(1))
    edit = ctrip.edition("A", day(0), day(1))
    first = await ctrip.call("EditOrder", edit)
    assert await ctrip.edit("A", day(1), day(2)) == "0000"
    assert await ctrip.call("EditOrder", edit) == first
    assert await days(ctrip, "A") == [day(2).isoformat()]
    edit["items"][0] |= dict.fromkeys(
        ("targetUseStartDate", "targetUseEndDate"), day(3).isoformat()
    )
    assert (await ctrip.call("EditOrder", edit))[0] == "6101"
    # asked for anew after its answer was lost: it is as it is to be
    assert await ctrip.edit("A", day(1), day(2)) == "0000"
    assert await ctrip.count("SELECT count(*) FROM tickets") == 3


async def test_vouchers_again(ctrip: TtdProcess) -> None:
    """As they are now, and each issued once; not of what is not paid, or used up."""
    today = timetable.this_day()
    _, made = await ctrip.create("A", item(2, today))
    _, paid = await ctrip.pay("A")
    said = {"sequenceId": ctrip.ttd.sequence(), "otaOrderId": "A", "mobile": "13800000000"}
    code, again = await ctrip.call("SendVoucher", said)
    assert (code, again["vouchers"]) == ("0000", paid["vouchers"])
    assert again["supplierOrderId"] == made["supplierOrderId"]
    assert await sent_vouchers(ctrip, "A") == paid["vouchers"]
    first = ctrip.ttd.notices[-1][1]["sequenceId"]
    await ctrip.run_kept(SEND, f"{CODE}:A")
    assert ctrip.ttd.notices[-1][1]["sequenceId"] == first
    await ctrip.call("SendVoucher", said | {"sequenceId": ctrip.ttd.sequence()})
    await sent_vouchers(ctrip, "A")
    assert ctrip.ttd.notices[-1][1]["sequenceId"] != first, "the customer asks once more"
    assert await ctrip.edit("A", today, day(0)) == "0000"
    assert await ctrip.edit("A", day(0), today) == "0000"
    _, changed = await ctrip.call("SendVoucher", said)
    assert await ctrip.call("SendVoucher", said) == ("0000", changed)
    assert await ctrip.pay("A", sequenceId="again") == ("0000", paid)
    used = [await admitted(ctrip, "A", each) for each in changed["vouchers"]]
    assert used == [True, True]
    assert (await ctrip.call("SendVoucher", said))[0] == "5102"
    assert (await ctrip.call("SendVoucher", {**said, "otaOrderId": "B"}))[0] == "5001"
    assert await ctrip.run_kept(SEND, f"{CODE}:A") is None


async def test_what_takes_too_long_is_confirmed_later(
    ctrip: TtdProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ctrip.sold("A", item(1))
    with monkeypatch.context() as patched:
        patched.setattr("server.channels.ttd_service.ANSWER_SECONDS", 0.0)
        edit = ctrip.edition("A", day(0), day(1), confirmType=2)
        code, said = await ctrip.call("EditOrder", edit)
        assert (code, said["supplierConfirmType"]) == ("0000", 2)
    for key in await ctrip.asked(CONFIRM):
        await ctrip.run_kept(CONFIRM, key)
    service, notice = ctrip.ttd.notices[-1]
    assert (service, notice["confirmResultCode"]) == ("EditOrderConfirm", "0000")
    assert notice["items"] == [{"itemId": "I-1"}]
    assert await days(ctrip, "A") == [day(1).isoformat()]


OUTCOMES: dict[str, set[tuple[str, Any]]] = {
    "cancel": {("0000", "0000"), ("6005", "0000")},
    "gate": {("0000", False), ("6005", True)},
    "edit": {("0000", "6004"), ("6004", "0000")},
    "pay": {("0000", "0000")},
}


async def _gate(ctrip: TtdProcess, name: str) -> bool:
    return await ctrip.redeem((await ctrip.tickets(name))[0])


async def _paid(ctrip: TtdProcess, name: str) -> str:
    return (await ctrip.pay(name))[0]


@pytest.mark.parametrize("rival", OUTCOMES)
async def test_an_edit_against_others(ctrip: TtdProcess, rival: str) -> None:
    """Each of both is done whole or not at all, and what is sold is what there are tickets of."""
    today = timetable.this_day()
    for each in range(4):
        name = f"O-{each}"
        await (ctrip.create if rival == "pay" else ctrip.sold)(name, item(2, today))
        edit = ctrip.edit(name, today, day(1))
        rivals: dict[str, Any] = {
            "cancel": lambda: ctrip.cancel_part(name, 2),  # noqa: B023 - called at once
            "gate": lambda: _gate(ctrip, name),  # noqa: B023
            "edit": lambda: ctrip.edit(name, today, day(2)),  # noqa: B023
            "pay": lambda: _paid(ctrip, name),  # noqa: B023
        }
        code, other = await asyncio.gather(edit, rivals[rival]())
        assert (code, other) in OUTCOMES[rival]
        if rival == "cancel":
            assert await ctrip.standing(name) == [(5, 2, 0, 2)]
        if rival == "pay":
            assert await days(ctrip, name) == [day(1).isoformat()]
            assert await ctrip.standing(name) == [(13, 2, 0, 0)]
    active = await ctrip.count("SELECT count(*) FROM tickets WHERE state IN ('ACTIVE', 'USED')")
    used = "SELECT held + sold FROM stocks"
    assert await ctrip.count(f"{used} WHERE stock_id = {PACKAGE_STOCK}") == active


@pytest.mark.parametrize("state", ["paid", "held"])
async def test_killed_at_each_step_of_an_edit(ctrip: TtdProcess, fuse: Fuse, state: str) -> None:
    """Another process goes on: a repeat has it changed once, and nothing is held beside it when
    holds are over.
    """
    was_killed, step = True, -1
    while was_killed:
        step += 1
        name = f"A-{step}"
        await ctrip.create(name, item(2))
        if state == "paid":
            await ctrip.pay(name)
        edit = ctrip.edition(name, day(0), day(1), item_id="I-1" if state == "paid" else "0")
        fuse.left, was_killed = step, False
        try:
            await ctrip.call("EditOrder", edit)
        except KilledError:
            was_killed = True
        fuse.left = -1
        assert (await ctrip.call("EditOrder", edit))[0] == "0000"
        assert await days(ctrip, name) == [day(1).isoformat()]
        assert (await ctrip.pay(name))[0] == "0000"
        assert await ctrip.standing(name) == [(13, 2, 0, 0)]
        assert len(await sent_vouchers(ctrip, name) if state == "paid" else [1, 2]) == 2
        assert await ctrip.cancel_part(name, 2) == "0000"  # so many are one customer's
    assert step == 2, "before and after the commit; what is held before it expires"
    await ctrip.expire_holds()
    used = "SELECT held + sold FROM stocks"
    assert await ctrip.count(f"{used} WHERE stock_id = {PACKAGE_STOCK}") == 0
