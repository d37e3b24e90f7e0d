"""The terminal against a real server with demo data."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from deeptravel import AsyncClient, Reason, ota, redemption, tickets
from deeptravel_terminal import demo, sync
from deeptravel_terminal.codes import Kind, Scanned
from deeptravel_terminal.gate import KEEPALIVE, Departure, Gate
from deeptravel_terminal.offline import Offline
from deeptravel_terminal.scan_line import LinkState, ScanFailedError
from deeptravel_terminal.store import Store
from deeptravel_terminal.views import Tone, looked, reason_of, redeemed

from tests.conftest import until

Real = tuple[str, dict[str, Any]]


async def sold_together(partner: AsyncClient, count: int) -> tuple[str, list[Scanned]]:
    """The order of tickets that were sold under one payment, and their QR codes."""
    batch = await partner.ota.bulk_generate_tickets(product_id=demo.PRODUCT_ID, quantity=count)
    codes = [each.ticket_code for each in batch.tickets]
    answers = [await partner.ota.issue_qr(ticket_code=code) for code in codes]
    sold = await partner.ota.activate_tickets(
        activations=[
            ota.TicketActivation(
                ticket_code=code,
                customer=tickets.CustomerInfo(name="张三", type=tickets.CUSTOMER_TYPE_ADULT),
                payment=tickets.PaymentProof(
                    reference=batch.batch_id, amount_minor=demo.PRICE_MINOR, currency_code="CNY"
                ),
            )
            for code in codes
        ]
    )
    qr_texts = [Scanned(Kind.TICKET_QR, each.encrypted_data) for each in answers]
    return sold.verdicts[0].order_id, qr_texts


def test_a_gate(real: Real) -> None:
    """Look, redeem, the second scan, history, reversal, and the order by its number."""
    address, known = real

    async def main() -> None:
        async with (
            AsyncClient(address, api_key=known["partner_api_key"], plaintext=True) as partner,
            AsyncClient(address, plaintext=True, channel_options=KEEPALIVE) as client,
        ):
            order_id, (first, second) = await sold_together(partner, 2)
            states: list[LinkState] = []
            gate = Gate(client, known["terminal_device_id"], lambda state, _: states.append(state))
            supervisor = known["supervisor"]
            await gate.log_in(supervisor["username"], supervisor["password"], Departure())
            await until(lambda: LinkState.ONLINE in states, 20)

            look = looked(await gate.look(first))
            assert (look.tone, look.headline[0]) == (Tone.LOOK, "张三  成人 adult")
            view = redeemed((await gate.redeem(first, "ferry", 1)).answer, "ferry", 1)
            assert view.tone is Tone.PASS
            again = (await gate.redeem(first, "ferry", 1)).answer
            assert again.reason == redemption.REFUSAL_REASON_ALREADY_REDEEMED
            assert redeemed(again, "ferry", 1).redemption_id == view.redemption_id

            await gate.reverse(view.redemption_id, "wrong gate")
            newest = (await gate.history())[0]
            assert newest.reversed_redemption_id == view.redemption_id

            party = await gate.party(Scanned(Kind.CODE, order_id))
            assert party.ticket_count == 2
            codes = [each.ticket_code for each in (await gate.party(second)).tickets]
            assert codes == [each.ticket_code for each in party.tickets]
            by_code = await gate.redeem_by_code(codes[0], "ferry", 1, "torn")
            assert by_code.answer.result == redemption.REDEMPTION_RESULT_SUCCESS
            await gate.log_out()
            with pytest.raises(ScanFailedError, match=Reason.UNAUTHENTICATED):
                await gate.history()

    asyncio.run(main())


def test_without_network(real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pack decides is what the server does; its verdicts, and the hashes of the chain."""
    monkeypatch.setattr(sync, "PAUSE_SECONDS", 0.1)
    address, known = real

    async def main() -> None:
        async with (
            AsyncClient(address, api_key=known["partner_api_key"], plaintext=True) as partner,
            AsyncClient(address, plaintext=True, channel_options=KEEPALIVE) as client,
        ):
            _, (first, second) = await sold_together(partner, 2)
            device = known["terminal_device_id"]
            store = Store(tmp_path / "terminal.db", device)
            gate = Gate(client, device, lambda *_: None, Offline(store))
            operator = known["operator"]
            await gate.log_in(operator["username"], operator["password"], Departure())
            await until(store.pack, 30)
            assert gate.fault == ""
            assert gate.offline
            online = await gate.redeem(first, "ferry", 1)
            assert online.pack_age is None

            decided = [
                gate.offline.decide(scanned, "ferry", 1) for scanned in (first, second, second)
            ]
            written = store.unsent(9)
            reasons = [reason_of(each.answer) for each in decided]
            assert reasons == ["ALREADY_REDEEMED", "", "ALREADY_REDEEMED"]
            view = redeemed(decided[1].answer, "ferry", 1)
            look = looked(await gate.look(second))
            assert view.ticket_code == look.ticket_code
            assert view.headline == look.headline[1:]  # but for the name
            assert all((each.pack_age or 0) < 600 for each in decided)

            await until(lambda: not store.unsent_count(), 30)
            verdicts = [redemption.UploadedScan.FromString(each[3]) for each in store.verdicts()]
            verdicts.reverse()
            assert [each.verdict for each in verdicts] == [
                redemption.OFFLINE_VERDICT_RECORDED,
                redemption.OFFLINE_VERDICT_ACCEPTED,
                redemption.OFFLINE_VERDICT_RECORDED,
            ]
            assert [each.scan_hash for each in verdicts] == [each.hash() for each in written]
            later = await gate.redeem(second, "ferry", 1)
            assert reason_of(later.answer) == "ALREADY_REDEEMED"
            await until(lambda: store.settled_uses() == 0, 30)  # the pack has them
            last = gate.offline.decide(second, "ferry", 1)
            assert reason_of(last.answer) == "ALREADY_REDEEMED"
            await gate.close()
            store.close()
        assert "张三".encode() not in (tmp_path / "terminal.db").read_bytes()

    asyncio.run(main())


def test_what_is_redeemed_elsewhere_is_pushed(
    real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into the pack, which nobody asks for again by the clock."""
    monkeypatch.setattr(sync, "PAUSE_SECONDS", 3600)
    address, known = real

    async def main() -> None:
        async with (
            AsyncClient(address, api_key=known["partner_api_key"], plaintext=True) as partner,
            AsyncClient(address, plaintext=True, channel_options=KEEPALIVE) as client,
        ):
            _, (scanned,) = await sold_together(partner, 1)
            device, operator = known["terminal_device_id"], known["operator"]
            store = Store(tmp_path / "terminal.db", device)
            gate = Gate(client, device, lambda *_: None, Offline(store))
            await gate.log_in(operator["username"], operator["password"], Departure())
            await until(store.pack, 30)
            assert gate.offline
            offline = gate.offline
            await until(lambda: not reason_of(offline.look(scanned, "ferry", 1).answer), 30)
            supervisor = known["supervisor"]
            other = await client.logged_in_operator(
                supervisor["username"], supervisor["password"], device
            )
            await other.redemption.redeem(qr_token=scanned.text, function_code="ferry")
            await until(
                lambda: reason_of(offline.look(scanned, "ferry", 1).answer) == "ALREADY_REDEEMED",
                30,
            )
            assert gate.fault == ""
            await gate.close()
            store.close()

    asyncio.run(main())


def test_the_scans_of_the_demo(real: Real) -> None:
    address, known = real

    async def main() -> None:
        async with AsyncClient(
            address, api_key=known["partner_api_key"], plaintext=True
        ) as partner:
            kinds = [each.kind async for each in demo.scans(partner, 0)]
        ours = [Kind.TICKET_QR] * 4
        assert kinds == [*ours, Kind.PAYMENT, Kind.BOARDING_PASS, Kind.DAMAGED]

    asyncio.run(main())
