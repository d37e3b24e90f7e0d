"""A channel is disconnected: the vendor knows first, what it has booked is seen to, and then it
has no credentials; and it is connected again.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.audit.models import audit_events
from server.channels import channel_records, disconnecting
from server.channels.channel_records import ChannelRecord, NewChannel
from server.channels.due import ALL, BOOK, DISCONNECT, FETCH, PUSH, WORK_OUT
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from tests.support import timetable
from tests.support.booking_process import BookingProcess
from tests.support.channel_process import quantity
from tests.support.channels import CONNECTED
from tests.support.fuse import Fuse, KilledError
from tests.support.partner_client import PARTNERS

MOST_LOOKS = 20


async def disconnect(process: BookingProcess, code: str, **how: bool) -> ChannelRecord:
    seals, today = process.clients.seals, timetable.today()
    made: ChannelRecord = await process.change(
        disconnecting.disconnect_channel, seals, code, today=today, **how
    )
    return made


async def connect(process: BookingProcess, vendor: str, **changes: Any) -> ChannelRecord:
    announced = process.vendors.simulator.announced()[vendor]
    new = {
        "channel_code": vendor,
        "vendor_code": vendor,
        "partner_code": "",
        "base_url": announced["base_url"],
        "currency_code": "HKD",
        "calls_per_minute": 1000,
    }
    credentials = dict(announced["credentials"]) | changes.pop("credentials", {})
    given = NewChannel(**{**new, **changes})  # type: ignore[typeddict-item]
    made: ChannelRecord = await process.change(
        channel_records.connect_channel, process.clients.seals, given, credentials
    )
    return made


async def channel(process: BookingProcess, code: str) -> ChannelRecord:
    async with process.db.transaction() as tx:
        return await channel_records.CHANNELS.get(tx, code)


async def end(process: BookingProcess, vendor: str, *booking_ids: str) -> None:
    """Does all that is asked for, as a server does, until the channel has ended."""
    for _ in range(MOST_LOOKS):
        if not await process.run(DISCONNECT, vendor):
            return
        await process.push(vendor)
        if await process.asked(FETCH):
            await process.fetch(vendor, ALL)
        for booking_id in booking_ids:
            if await process.book(vendor, booking_id):
                await process.wait(vendor, booking_id)
    raise AssertionError("it does not end")


def left(process: BookingProcess, vendor: str) -> set[int]:
    return {quantity(each) for each in process.known(vendor, "availability").values()}


async def secrets_of(process: BookingProcess, code: str) -> int:
    return await process.count(
        f"SELECT length(sealed_credentials) FROM channels WHERE channel_code = '{code}'"
    )


@pytest.mark.parametrize("vendor", CONNECTED)
async def test_a_channel_ends_when_it_knows_and_what_it_has_booked_is_seen_to(
    process: BookingProcess, vendor: str
) -> None:
    """Also a booking of the time until it knew; then nothing is called, and all that there was is
    there when the account is connected again.
    """
    await process.sell_at(vendor)
    assert left(process, vendor) != {0}
    assert (await disconnect(process, vendor)).state == "DISCONNECTING"
    process.buy(vendor, "B-1")
    assert await process.asked(PUSH) == [
        f"{vendor}:{each}" for each in ("AVAILABILITY", "PRICES", "STATIC")
    ]
    await process.work_out(vendor)  # what was asked for before does not undo it
    assert await process.run(DISCONNECT, vendor)
    await end(process, vendor, "B-1")
    assert left(process, vendor) == {0}
    ended = await channel(process, vendor)
    assert (ended.state, await secrets_of(process, vendor)) == ("REVOKED", 0)
    sold = await process.row(vendor, "B-1")
    assert (sold.state, process.theirs(vendor, "B-1")["status"]) == ("CONFIRMED", "confirmed")
    assert [each[1] for each in await process.orders(vendor, "B-1")] == ["PAID"]

    calls = len(process.vendors.simulator.books.requests(vendor))
    await process.push(vendor)
    await process.fetch(vendor, ALL)
    await process.book(vendor, "B-1")
    await process.work_out(vendor)
    assert await process.run(DISCONNECT, vendor) is None
    assert len(process.vendors.simulator.books.requests(vendor)) == calls
    with pytest.raises(DomainError) as refused:
        await process.clients.get(vendor)
    assert refused.value.reason is Reason.REVOKED
    assert await disconnect(process, vendor) == ended

    again = await connect(process, vendor)
    assert (again.state, again.credentials_version) == ("ACTIVE", ended.credentials_version + 1)
    await process.work_out(vendor)
    await process.push(vendor)
    assert left(process, vendor) != {0}
    process.vendors.simulator.books.cancel(vendor, "B-1", {})
    await process.settle(vendor, "B-1", ALL)
    assert (await process.row(vendor, "B-1")).state == "CANCELLED"
    actions = audit_events.c.action
    async with process.db.transaction() as tx:
        found = await tx.scalars(
            audit_events.select()
            .with_only_columns(actions)
            .where(audit_events.c.resource == "channel")
            .order_by(audit_events.c.occurred_time)
        )
        assert list(found) == ["create", "disconnect", "revoke", "connect"]


async def test_bookings_that_are_not_over_are_named(process: BookingProcess) -> None:
    """They keep the channel, unless it is said that they are kept; twice is as once."""
    await process.sell_at("ctrip")
    process.buy("ctrip", "B-1")
    await process.settle("ctrip", "B-1")
    process.buy("ctrip", "B-2")
    await process.fetch("ctrip")
    with pytest.raises(DomainError) as refused:
        await disconnect(process, "ctrip")
    assert refused.value.reason is Reason.IN_USE
    assert refused.value.metadata["used_by"] == "B-1, B-2"
    assert (await channel(process, "ctrip")).state == "ACTIVE"
    assert await process.asked(DISCONNECT) == []
    asked = await disconnect(process, "ctrip", keep_bookings=True)
    assert await disconnect(process, "ctrip") == asked
    await end(process, "ctrip", "B-1", "B-2")
    assert (await channel(process, "ctrip")).state == "REVOKED"
    for booking_id in ("B-1", "B-2"):
        assert (await process.row("ctrip", booking_id)).state == "CONFIRMED"
        assert [each[1] for each in await process.orders("ctrip", booking_id)] == ["PAID"]


async def test_what_cannot_be_called_is_ended_at_once(process: BookingProcess) -> None:
    await process.sell_at("expedia")
    process.vendors.simulator.rotate("expedia")
    await disconnect(process, "expedia")
    assert any(await process.push("expedia"))
    assert await process.run(DISCONNECT, "expedia")
    assert (await channel(process, "expedia")).state == "DISCONNECTING"
    assert (await disconnect(process, "expedia", at_once=True)).state == "REVOKED"
    assert await secrets_of(process, "expedia") == 0
    assert await process.run(DISCONNECT, "expedia") is None
    assert await process.push("expedia") == [None] * 3
    assert left(process, "expedia") != {0}


async def test_an_ending_is_taken_back(process: BookingProcess) -> None:
    await process.sell_at("booking_com")
    seals = process.clients.seals
    await disconnect(process, "booking_com")
    await process.push("booking_com")
    assert left(process, "booking_com") == {0}
    with pytest.raises(DomainError, match="is being disconnected"):
        await process.change(channel_records.set_paused, seals, "booking_com", paused=True)
    await process.change(channel_records.set_paused, seals, "booking_com", paused=False)
    assert await process.run(DISCONNECT, "booking_com") is None
    await process.work_out("booking_com")
    await process.push("booking_com")
    assert left(process, "booking_com") != {0}


async def test_an_account_that_another_channel_has_sells_on(process: BookingProcess) -> None:
    """What is its own is not made 0 by the end of the other; nor is what the other has sold sold a
    second time. Seen red without the account's hash: there were two orders.
    """
    await process.sell_at("expedia")
    process.buy("expedia", "B-1")
    await process.settle("expedia", "B-1")
    seals = process.clients.seals
    await process.change(channel_records.set_paused, seals, "expedia", paused=True)
    await process.sell_at("expedia", code="EXP-2")
    assert (await disconnect(process, "expedia", keep_bookings=True)).state == "REVOKED"
    await process.push("expedia")
    assert left(process, "expedia") != {0}
    await process.fetch("EXP-2", ALL)
    await process.book("EXP-2", "B-1")
    assert "connect expedia" in (await process.row("EXP-2", "B-1")).fault
    assert await process.count("SELECT count(*) FROM orders") == 1


async def test_what_is_wrong_is_refused(process: BookingProcess) -> None:
    await process.sell_at("expedia")
    with pytest.raises(DomainError) as refused:
        await disconnect(process, "NONE")
    assert refused.value.reason is Reason.NOT_FOUND
    await disconnect(process, "expedia", at_once=True)
    await process.sql(PARTNERS)
    seals = process.clients.seals
    for change, arguments in (
        (channel_records.set_paused, {"paused": False}),
        (channel_records.update_channel, {"values": {"currency_code": "CNY"}}),
        (channel_records.rotate_credentials, {"credentials": {}}),
    ):
        with pytest.raises(DomainError) as refused:
            await process.change(change, seals, "expedia", **arguments)
        assert refused.value.reason is Reason.REVOKED
    for wrong in ({"credentials": {"supplier_id": "another"}}, {"partner_code": "CP"}):
        with pytest.raises(DomainError, match="another account or partner"):
            await connect(process, "expedia", **wrong)
    assert (await connect(process, "expedia")).state == "ACTIVE"


async def test_killed_at_each_step_of_an_end(process: BookingProcess, fuse: Fuse) -> None:
    """Another process goes on: the vendor knows that nothing is left before the credentials are
    gone, and has no booking that we do not know.
    """
    await process.sell_at("ctrip")
    was_killed, step = True, -1
    while was_killed:
        step += 1
        booking_id = f"B-{step}"
        process.buy("ctrip", booking_id)
        fuse.left, was_killed = step, False
        try:
            await disconnect(process, "ctrip", keep_bookings=True)
            await end(process, "ctrip", booking_id)
        except KilledError:
            was_killed = True
        fuse.left = -1
        if (await channel(process, "ctrip")).state == "ACTIVE":
            await disconnect(process, "ctrip", keep_bookings=True)
        await end(process, "ctrip", booking_id)
        assert left(process, "ctrip") == {0}
        assert (await process.row("ctrip", booking_id)).state == "CONFIRMED"
        assert process.theirs("ctrip", booking_id)["confirms"] == 1
        assert (await channel(process, "ctrip")).state == "REVOKED"
        await connect(process, "ctrip")
        await process.work_out("ctrip")
        await process.push("ctrip")
        assert left(process, "ctrip") != {0}
        process.vendors.simulator.books.cancel("ctrip", booking_id, {})
        await process.settle("ctrip", booking_id, ALL)
    assert step > 10


async def test_a_booking_that_does_not_go_on_is_named_and_tried_again_less_often(
    process: BookingProcess,
) -> None:
    """It is said which one holds the end up, and why; when that is mended the channel ends by
    itself.
    """
    await process.sell_at("ctrip")
    process.buy("ctrip", "B-1", car_id="NONE")
    await process.fetch("ctrip")
    await process.book("ctrip", "B-1")
    await disconnect(process, "ctrip", keep_bookings=True)
    await process.push("ctrip")
    asked = await process.run(DISCONNECT, "ctrip")
    assert asked
    found = await channel(process, "ctrip")
    async with process.db.transaction() as tx:
        waits = await disconnecting.waits_of(tx, found, today=timetable.today())
        of_another = await disconnecting.waits_of(
            tx, replace(found, state="ACTIVE"), today=timetable.today()
        )
    assert (waits is None, of_another) == (False, None)
    assert waits is not None
    ((booking_id, state, fault),) = waits.held_up
    assert (booking_id, state, waits.unfinished, waits.on_sale) == ("B-1", "RECEIVED", 1, 0)
    assert "NONE" in fault
    assert await process.asked(BOOK) == ["ctrip:B-1"]


def test_the_longer_it_waits_the_later_it_looks() -> None:
    waited = [timedelta(seconds=each) for each in (-1, 0, 49, 51, 600, 3000, 3001, 10**6)]
    looks = [disconnecting.look_seconds(each) for each in waited]
    assert looks == [5, 5, 5, 5.1, 60, 300, 300, 300]


async def test_a_stale_working_out_writes_nothing(
    process: BookingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that read the channel before it was disconnected, and writes after. Seen red without the
    second look at the channel.
    """
    await process.sell_at("ctrip")
    await process.sql("UPDATE stocks SET total = total + 7")
    in_transaction = Database.in_transaction

    async def late(db: Database, work: Any) -> Any:
        monkeypatch.setattr(Database, "in_transaction", in_transaction)
        await disconnect(process, "ctrip")
        return await in_transaction(db, work)

    monkeypatch.setattr(Database, "in_transaction", late)
    await process.run(WORK_OUT, "ctrip")
    assert (
        await process.count("SELECT max(wanted) FROM channel_values WHERE what = 'AVAILABILITY'")
        == 0
    )
