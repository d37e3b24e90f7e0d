"""The screens as pictures, and what keys do. `RENEW_PICTURES=1 pytest tests/test_screens.py` draws
the pictures anew: look at what changed in a browser before you keep them.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest
from deeptravel import AsyncClient, CallError, redemption
from deeptravel_terminal import views
from deeptravel_terminal.app import Choice, Given, TerminalApp
from deeptravel_terminal.camera import CameraError
from deeptravel_terminal.codes import Kind, Scanned
from deeptravel_terminal.gate import Gate
from deeptravel_terminal.offline import Offline
from deeptravel_terminal.offline_rules import Asked, LocalUse, answer_of
from deeptravel_terminal.scan_line import LinkState
from deeptravel_terminal.store import Store
from deeptravel_terminal.stored_scans import StoredScan
from deeptravel_terminal.views import Tone, View
from textual import events
from textual.widgets import OptionList

from tests.conftest import DEVICE, FakeServer, a_look, a_verdict, an_answer, serving, until
from tests.samples import BOARDING, OURS, PAYMENT

PICTURES = Path(__file__).with_name("pictures")
HONG_KONG = timezone(timedelta(hours=8))
SIZE = (80, 24)
OFFLINE = redemption.OfflineScan(scan_id="a", admitted=True)
REASONS = redemption.RefusalReason.DESCRIPTOR.values_by_name.keys()


def picture_of(app: TerminalApp) -> str:
    """The screen as SVG, without fonts from elsewhere."""
    svg = app.export_screenshot(title="terminal", simplify=True)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"terminal-\d+", "terminal", svg) + "\n"


def require_picture(app: TerminalApp, name: str) -> None:
    kept, drawn = PICTURES / f"{name}.svg", picture_of(app)
    if os.environ.get("RENEW_PICTURES"):
        kept.write_text(drawn)
    assert kept.read_text() == drawn, f"{kept.name} looks otherwise; see the module's docstring"


VIEWS: dict[str, Callable[[], View]] = {
    "ready": lambda: views.READY,
    "pass": lambda: views.redeemed(an_answer(left=1), "ferry", 1, HONG_KONG).named(
        a_look().ticket_info.customer_info
    ),
    "stop": lambda: views.redeemed(an_answer(admitted=False), "ferry", 1, HONG_KONG),
    "stolen-key": lambda: views.redeemed(
        answer_of("QR_KEY_COMPROMISED", Asked("ferry", 1, 0), None, {}), "ferry", 1
    ).by_pack(600),
    "look": lambda: views.looked(a_look(), HONG_KONG),
    "foreign": lambda: views.foreign(Kind.PAYMENT),
    "no-network": lambda: views.undecided(was_sent=True),
    "offline": lambda: views.redeemed(an_answer(), "ferry", 1, HONG_KONG).by_pack(11_000),
    "fault": lambda: views.failed("UNAUTHENTICATED", ""),
}


class OnScreen:
    """An app over a server in this process, and what it rang."""

    def __init__(self, app: TerminalApp, pilot: Any) -> None:
        self.app, self.pilot = app, pilot

    async def scan(self, text: str, end: str = "enter") -> View:
        """Typed as a wedge types; what is on the screen when it is decided."""
        before = self.app.shown
        for character in text:
            self.app.post_message(events.Key(character, character))
        self.app.post_message(events.Key(end, None))
        await until(lambda: self.app.shown > before and self.app.view.tone is not Tone.WAIT)
        return self.app.view


def played(
    fake: FakeServer, play: Callable[[OnScreen], Any], choice: Choice | None = None
) -> list[int]:
    """Plays it before a screen of somebody logged in; how often the bell rang at each view."""
    rung: list[int] = []

    async def main() -> None:
        async with serving(fake) as address, AsyncClient(address, plaintext=True) as client:
            gate = Gate(client, DEVICE, lambda *_: None)
            ticks = iter(range(10**9))
            app = TerminalApp(
                gate,
                choice or Choice(["ferry", "gift"]),
                Given("operator", "right"),
                clock=lambda: next(ticks) / 1000,
            )
            app.bell = lambda: rung.append(app.shown)  # type: ignore[method-assign]
            async with app.run_test(size=SIZE) as pilot:
                await until(lambda: app._link is LinkState.ONLINE)
                await play(OnScreen(app, pilot))
                await gate.close()

    asyncio.run(main())
    return rung


def test_pictures(fake: FakeServer) -> None:
    async def play(on: OnScreen) -> None:
        for name, view in VIEWS.items():
            on.app.show(view())
            await on.pilot.pause()
            require_picture(on.app, name)
        await on.pilot.press("f7")
        await until(lambda: len(on.app.screen_stack) > 1)
        await on.pilot.pause()
        require_picture(on.app, "log-in")

    played(fake, play)


def test_a_picture_sees_another_word(fake: FakeServer) -> None:
    async def play(on: OnScreen) -> None:
        on.app.show(views.foreign(Kind.BOARDING_PASS))
        await on.pilot.pause()
        assert picture_of(on.app) != (PICTURES / "foreign.svg").read_text()

    played(fake, play)


def test_a_scan_redeems_and_its_name_follows(fake: FakeServer) -> None:
    """By keys alone: a scan, the same again, the codes of others, of which nothing is sent."""
    fake.answers["DecryptQr"] = a_look()
    seen = []

    async def play(on: OnScreen) -> None:
        seen.append(await on.scan(OURS))
        await until(lambda: "陈大文" in str(on.app.view.headline))
        seen.append(await on.scan(f"]q1{OURS.lower()}", "tab"))
        asked = len(fake.asked)
        await until(lambda: "陈大文" in str(on.app.view.headline))
        asked = len(fake.asked)
        for text in (PAYMENT, BOARDING, OURS[:90]):
            seen.append(await on.scan(text))
        assert len(fake.asked) == asked

    rung = played(fake, play)
    tones = [each.tone for each in seen]
    assert tones == [Tone.PASS, Tone.STOP, Tone.FOREIGN, Tone.FOREIGN, Tone.FOREIGN]
    assert [each.scan.qr_token for each in fake.scans] == [OURS, OURS]
    assert len({each.scan.request_id for each in fake.scans}) == 2
    assert sorted(rung.count(each) for each in set(rung)) == [1, 3, 3, 3, 3]


def test_scans_that_end_with_an_error(fake: FakeServer) -> None:
    """Of a camera, or of the demo whose server is not there: said, and the screen stays."""

    async def ends(error: Exception) -> AsyncIterator[Scanned]:
        yield Scanned(Kind.OTHER)
        raise error

    async def play(on: OnScreen) -> None:
        for error in (
            CameraError("ffmpeg ended: no such device"),
            CallError(grpc.StatusCode.UNAVAILABLE, "not reached"),
        ):
            on.app.show(views.READY)
            on.app._follow(ends(error))
            await until(lambda: on.app.view.tone is Tone.FAULT)
            assert str(error).rpartition(": ")[2] in str(on.app.view.why)

    played(fake, play)


def test_look_then_redeem(fake: FakeServer) -> None:
    """Enter redeems what was looked at, not the line feed of a scanner that sends both."""
    fake.answers["DecryptQr"] = a_look()

    async def play(on: OnScreen) -> None:
        await on.pilot.press("f2", "f6", "f9")
        assert (await on.scan(OURS)).tone is Tone.LOOK
        on.app.post_message(events.Key("ctrl+j", None))
        on.app.post_message(events.Key("enter", None))
        await on.pilot.pause()
        assert not fake.scans
        on.app._clock = lambda: 10.0**6
        await on.pilot.press("enter")
        await until(lambda: on.app.view.tone is Tone.STOP)  # two uses of one
        await on.pilot.press("enter")
        assert len(fake.scans) == 1
        await on.pilot.press("escape")
        assert on.app.view == views.READY

    assert played(fake, play) == []
    assert fake.scans[0].scan.quantity == 2


def test_a_party_by_its_qr(fake: FakeServer) -> None:
    found = redemption.LookupOrderResponse(order_id="ORD-DT-20261204-000001", ticket_count=2)
    for number, left in ((1, 1), (2, 1), (3, 0)):
        ticket = found.tickets.add(ticket_code=f"DIR-XH-20261204-00000{number}")
        ticket.ticket_info.CopyFrom(a_look().ticket_info)
        ticket.ticket_info.entitlements[0].remaining_uses = left
    fake.answers["LookupOrder"] = found
    results = [an_answer(), an_answer()]
    fake.answers["RedeemMany"] = redemption.RedeemManyResponse(results=results, all_redeemed=True)

    async def play(on: OnScreen) -> None:
        await on.pilot.press("f3")
        await until(lambda: len(on.app.screen_stack) > 1)
        await on.pilot.press("escape")
        await until(lambda: len(on.app.screen_stack) == 1)
        on.app.post_message(events.Paste(OURS))
        await until(lambda: len(on.app.screen_stack) > 1)
        await on.pilot.pause()
        require_picture(on.app, "party")
        await on.pilot.press("f8")
        await until(lambda: on.app.view.tone is Tone.PASS)
        assert on.app.view.beside == "×2"

    played(fake, play)
    (asked,) = [each for each in fake.asked if isinstance(each, redemption.RedeemManyRequest)]
    assert [each.ticket_code[-1] for each in asked.items] == ["1", "2"]
    assert asked.all_or_nothing
    assert {each.qr_token for each in asked.items} == {OURS}


def test_an_orders_qr_is_scanned_as_any_other(fake: FakeServer) -> None:
    """Its answer says that it does not name a ticket: these are listed, and F8 redeems them all."""
    refused = redemption.RedeemResponse(
        result=redemption.REDEMPTION_RESULT_REJECT,
        reason=redemption.REFUSAL_REASON_TICKET_NOT_FOUND,
    )
    refused.explanation.check = "ticket_code"
    fake.redeem_by = lambda scan: refused
    order = redemption.LookupOrderResponse(order_id="ORD-XH-20261204-000003", ticket_count=2)
    for code in ("DIR-XH-20261204-000017", "DIR-XH-20261204-000018"):
        order.tickets.add(ticket_code=code, ticket_info=a_look().ticket_info)
    fake.answers["LookupOrder"] = order
    fake.answers["RedeemMany"] = redemption.RedeemManyResponse(
        all_redeemed=True, results=[an_answer(), an_answer()]
    )

    async def play(on: OnScreen) -> None:
        for character in OURS:
            on.app.post_message(events.Key(character, character))
        on.app.post_message(events.Key("enter", None))
        await until(lambda: on.app.screen.query(OptionList))
        await on.pilot.press("f8")
        await until(lambda: on.app.view.tone is Tone.PASS)
        assert on.app.view.beside == "×2"
        for each in order.tickets:
            each.ticket_info.entitlements[0].remaining_uses = 0
        for character in OURS:
            on.app.post_message(events.Key(character, character))
        on.app.post_message(events.Key("enter", None))
        await until(lambda: on.app.screen.query(OptionList))
        await on.pilot.press("f8")
        await until(lambda: on.app.view.tone is Tone.STOP)
        assert "any ferry left" in on.app.view.why[1]

    played(fake, play)
    (party,) = [each for each in fake.asked if isinstance(each, redemption.RedeemManyRequest)]
    assert [each.ticket_code for each in party.items] == [e.ticket_code for e in order.tickets]
    assert {each.qr_token for each in party.items} == {OURS}


def test_a_ticket_by_its_number(fake: FakeServer) -> None:
    """F3 and its number: redeemed with a reason in words; no order is looked for."""
    same = an_answer().SerializeToString()
    fake.answers["RedeemByCode"] = redemption.RedeemByCodeResponse.FromString(same)

    async def play(on: OnScreen) -> None:
        await on.pilot.press("f3")
        await until(lambda: on.app.screen.query("Input"))
        await on.pilot.press(*"dir xh 20261204 000017", "enter")
        await until(lambda: "DIR-XH" in str(on.app.screen.query_one("Label").render()))
        await on.pilot.press(*"torn", "enter")
        await until(lambda: on.app.view.tone is Tone.PASS)

    played(fake, play)
    (asked,) = [e for e in fake.asked if isinstance(e, redemption.RedeemByCodeRequest)]
    assert (asked.ticket_code, asked.comment) == ("DIR-XH-20261204-000017", "torn")
    assert not [e for e in fake.asked if isinstance(e, redemption.LookupOrderRequest)]


def test_leases(fake: FakeServer) -> None:
    """F1: a share of the session's departure; what is another's is named; all given back."""
    session = redemption.OpenValidatorSessionResponse(session_code="s")
    session.departure.departure_id, session.departure.service_number = "335872", "G5711"
    session.departure.travel_date = "2026-12-04"
    leased = redemption.LeaseTicketsResponse()
    leased.tickets.add().lease_until_time.FromJsonString("2026-12-04T00:00:00Z")
    leased.tickets.add(
        ticket_code="OTA-CP-20261204-000017", reason=redemption.REFUSAL_REASON_LEASED_ELSEWHERE
    )
    fake.answers["OpenValidatorSession"] = session
    fake.answers["LeaseTickets"] = leased
    fake.answers["GiveBackLeases"] = redemption.GiveBackLeasesResponse(lease_count=1)

    async def play(on: OnScreen) -> None:
        await on.pilot.press("f1")
        await until(lambda: isinstance(on.app.focused, OptionList))
        await on.pilot.pause()
        require_picture(on.app, "leases")
        await on.pilot.press("down", "down", "down", "enter")
        await until(lambda: "leased: ferry × 1" in str(on.app.view.facts))
        assert "OTA-CP-20261204-000017  LEASED_ELSEWHERE" in on.app.view.facts
        await on.pilot.press("f1")
        await until(lambda: isinstance(on.app.focused, OptionList))
        await on.pilot.press("enter")
        await until(lambda: "given back: 1" in str(on.app.view.facts))
        on.app._link = LinkState.OFFLINE
        await on.pilot.press("f1")
        await until(lambda: on.app.view.tone is Tone.FAULT)

    played(fake, play)
    (asked,) = [e for e in fake.asked if isinstance(e, redemption.LeaseTicketsRequest)]
    assert (asked.departure_id, asked.share, asked.share_count) == (335872, 1, 2)
    assert asked.function_code == "ferry"


def test_verdicts(fake: FakeServer, tmp_path: Path) -> None:
    """F8, from the file, in the words of the server."""
    lines = [
        views.verdict_line(n, 1_796_256_000_000, "ferry", verdict)
        for n, verdict in enumerate((b"", a_verdict(OFFLINE).SerializeToString()), 1)
    ]
    assert "not sent yet" in lines[0]
    in_hong_kong = views.verdict_line(1, 1_796_256_000_000, "ferry", b"", HONG_KONG)
    assert "12-03 08:00" in in_hong_kong
    for word in ("冲突 conflict", "TERMINAL-CP-002", "merchant", "OTA-CP-20261204-000017"):
        assert word in lines[1]
    store = Store(tmp_path / "terminal.db", DEVICE)

    async def play(on: OnScreen) -> None:
        scan = StoredScan(0, "a", OURS, "ferry", 1, 0, 0, "", admitted=True)
        store.write_scan(scan, 1, LocalUse("ferry", 1, b"", 0))
        on.app.gate.offline = Offline(store)
        await on.pilot.press("f8")
        await until(lambda: on.app.focused is not None)
        shown = on.app.screen.query_one(OptionList)
        assert "not sent yet" in str(shown.get_option_at_index(0).prompt)
        await on.pilot.press("escape")

    played(fake, play)
    store.close()


def test_history_and_reversal(fake: FakeServer) -> None:
    event = redemption.Redemption(
        ticket_code="DIR-XH-20261204-000017",
        function_code="ferry",
        quantity=1,
        result=redemption.REDEMPTION_RESULT_SUCCESS,
        redemption_id="1" * 32,
        operator="operator",
    )
    fake.answers["ListRedemptions"] = redemption.ListRedemptionsResponse(redemptions=[event])
    fake.answers["ReverseRedemption"] = redemption.ReverseRedemptionResponse(ticket_code="X")

    async def play(on: OnScreen) -> None:
        await on.pilot.press("f4")
        await until(lambda: len(on.app.screen_stack) > 1)
        await on.pilot.press("down", "enter")
        await until(lambda: on.app.screen.query("Input"))
        await on.pilot.press(*"wrong", "enter")
        await until(lambda: on.app.view.tone is Tone.TAKEN_BACK)

    played(fake, play)
    (asked,) = [e for e in fake.asked if isinstance(e, redemption.ReverseRedemptionRequest)]
    assert (asked.redemption_id, asked.comment, len(asked.request_id)) == ("1" * 32, "wrong", 32)


def test_a_wrong_password_is_asked_for_again(fake: FakeServer) -> None:
    async def main() -> None:
        async with serving(fake) as address, AsyncClient(address, plaintext=True) as client:
            gate = Gate(client, DEVICE, lambda *_: None)
            app = TerminalApp(gate, Choice(["ferry"]), Given("operator", "wrong"))
            async with app.run_test(size=SIZE) as pilot:
                await until(lambda: app.focused is not None and app.focused.id == "password")
                await pilot.press(*"right", "enter")
                await until(lambda: app._link is LinkState.ONLINE)
                assert app.view == views.READY
                await gate.close()

    asyncio.run(main())


@pytest.mark.parametrize("name", sorted(REASONS))
def test_every_reason_says_what_to_do(name: str) -> None:
    answer = an_answer(admitted=False)
    answer.reason = redemption.RefusalReason.Value(name)
    assert len(views.redeemed(answer, "ferry", 1).todo) == 2


def test_a_reason_of_a_newer_server_is_a_refusal() -> None:
    answer = an_answer(admitted=False)
    answer.reason = 99  # type: ignore[assignment]
    view = views.redeemed(answer, "ferry", 1)
    assert (view.tone, view.todo) == (Tone.STOP, ("请呼叫主管", "Call a supervisor"))
