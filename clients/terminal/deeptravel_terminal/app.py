"""The main screen: one field of colour, and what a scan came to."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from deeptravel import CallError, Reason
from rich.text import Text
from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Static

from deeptravel_terminal import glyphs, views
from deeptravel_terminal.camera import CameraError
from deeptravel_terminal.codes import Kind, Scanned, read
from deeptravel_terminal.gate import Departure, Gate
from deeptravel_terminal.offline import OF_ORDER, NotDecidedError
from deeptravel_terminal.scan_line import LinkState, ScanFailedError, UndecidedError
from deeptravel_terminal.screens import AskScreen, ListScreen, LogIn, LogInScreen, history_lines
from deeptravel_terminal.store import StoreError
from deeptravel_terminal.views import READY, Tone, View
from deeptravel_terminal.wedge import Wedge

COLOURS = {
    Tone.READY: "#202830",
    Tone.PASS: "#006b2d",
    Tone.STOP: "#b00020",
    Tone.LOOK: "#0b4f9e",
    Tone.FOREIGN: "#6a1b9a",
    Tone.WAIT: "#4a4a4a",
    Tone.NO_NETWORK: "#8a4b00",
    Tone.TAKEN_BACK: "#00606b",
    Tone.FAULT: "#8a4b00",
}
"""White on each has a contrast of 5 to 1 and more; who does not tell them apart reads the word."""
_LINKS = {
    LinkState.CONNECTING: "… 连接中 connecting",
    LinkState.ONLINE: "● 在线 online",
    LinkState.OFFLINE: "○ 断网 no network",
    LinkState.ENDED: "✗ 登录失效 log-in over",
}
HELP = "F1占用 F2查看 F3单号 F4记录 F5权益 F6次数 F7登录 F8离线 F9声音 F10退出"
MOST = 9
MOST_SHARES = 4
TOP_SECONDS = 5.0
"""Between two looks at the pack's age."""
Answer = TypeVar("Answer")


@dataclass
class Choice:
    """What the operator has set.

    Attributes:
        functions: which may be redeemed here; the first is redeemed until F5.
        looks_first: whether a scan is shown before Enter redeems it.
        quantity: uses a scan takes; 1 again after each.
        sounds: whether the bell rings: once for PASS, thrice for all that is no PASS.
    """

    functions: list[str]
    looks_first: bool = False
    quantity: int = 1
    sounds: bool = True

    @property
    def function(self) -> str:
        """The one that is redeemed."""
        return self.functions[0]


@dataclass
class Given:
    """What a terminal starts with; an empty name or password is asked for."""

    username: str = ""
    password: str = field(default="", repr=False)
    departure: str = ""
    note: str = ""
    scans: "AsyncIterator[Scanned] | None" = None


class TerminalApp(App[None]):
    """A scanner terminal.

    Args:
        gate: the server.
        choice: what is set at first.
        given: log-in, and scans that come from elsewhere than the keyboard.
        clock: seconds that only go forward.
    """

    CSS = """
    Screen { layout: vertical; color: white; }
    #top { height: 2; }
    #keys { height: 1; }
    #top, #keys { background: black; color: white; padding: 0 1; }
    #big { height: 8; margin: 0 2 0 2; }
    #text { height: 1fr; padding: 0 2; }
    ModalScreen { align: center middle; }
    .box { width: 62; height: auto; max-height: 90%; background: #101418; border: heavy white;
           padding: 0 1; }
    .wide { width: 96%; height: 90%; }
    .heading { text-style: bold; }
    .said { color: #ffb4a9; }
    OptionList { height: 1fr; background: #101418; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [  # noqa: RUF012 # as textual has it
        Binding("f1", "leases"),
        Binding("f2", "mode", priority=True),
        Binding("f3", "party"),
        Binding("f4", "history"),
        Binding("f5", "function"),
        Binding("f6", "quantity"),
        Binding("f7", "log_in"),
        Binding("f8", "verdicts"),
        Binding("f9", "sound", priority=True),
        Binding("f10,ctrl+q", "quit", priority=True),
    ]

    def __init__(
        self,
        gate: Gate,
        choice: Choice,
        given: Given | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.gate = gate
        self.choice = choice
        self._given = given or Given()
        self._clock = clock
        self._wedge = Wedge()
        self._looked: Scanned | None = None  # which Enter redeems
        self._for_party = False
        self._link, self._said = LinkState.CONNECTING, ""
        self.view = READY
        self.shown = 0
        gate.changed = self._link_changed

    def compose(self) -> ComposeResult:
        """Two lines, the field, a line."""
        yield Static(id="top", markup=False)
        yield Static(id="big", markup=False)
        yield Static(id="text", markup=False)
        yield Static(HELP, id="keys", markup=False)

    def on_mount(self) -> None:
        """Logs in, and begins to scan."""
        self.show(READY)
        if self._given.username and self._given.password:
            self._log_in(LogIn(self._given.username, self._given.password, self._given.departure))
        else:
            self.action_log_in()
        if self._given.scans:
            self._follow(self._given.scans)
        if self.gate.offline:
            self.set_interval(TOP_SECONDS, self._show_top)

    # what is shown

    def show(self, view: View) -> None:
        """Shows it, and rings."""
        self.view = view
        self.shown += 1
        main = self.screen_stack[0]
        main.styles.background = COLOURS[view.tone]
        for name, text in (("#big", _big(view)), ("#text", _words(view, self.choice))):
            part = main.query_one(name, Static)
            part.styles.background = COLOURS[view.tone]  # else its letters stand on the former one
            part.update(text)
        self._show_top()
        if self.choice.sounds and view.tone not in {Tone.READY, Tone.WAIT, Tone.LOOK}:
            for _ in range(1 if view.tone is Tone.PASS else 3):
                self.bell()

    def _show_top(self) -> None:
        choice, gate = self.choice, self.gate
        mode = "先看后核 look first" if choice.looks_first else "直接核销 redeem"
        mode = "扫订单 scan the order" if self._for_party else mode
        session = gate.session.departure if gate.session else None
        admits = f"{session.service_number} {session.travel_date}" if session else ""
        admits = admits.strip()
        quiet = "" if choice.sounds else "静音 mute"
        what = f"{choice.function} ×{choice.quantity}"
        lines = (
            (gate.device, gate.operator, admits, mode, what, quiet, self._given.note),
            (_LINKS[self._link], gate.standing()),
        )
        text = "\n".join("  ".join(part for part in parts if part) for parts in lines)
        self.screen_stack[0].query_one("#top", Static).update(text)

    def _link_changed(self, state: LinkState, said: str) -> None:
        self._link, self._said = state, said
        if self.is_running:
            self._show_top()
            if state is LinkState.ENDED:
                self.show(views.failed(Reason.UNAUTHENTICATED, said))

    # scans

    def on_key(self, event: events.Key) -> None:
        """Of the main screen: a scanner's characters, and Enter and Esc of the operator."""
        if len(self.screen_stack) > 1:
            return
        now = self._clock()
        if event.key == "escape":
            self._looked, self._for_party = None, False
            self.show(READY)
        elif event.key == "enter" and self._wedge.is_alone(now):
            self._confirm()
        elif character := _character(event):
            event.stop()
            event.prevent_default()
            if scan := self._wedge.key(character, now):
                self.scan(read(scan))

    def on_paste(self, event: events.Paste) -> None:
        """A scanner that pastes, or a terminal that makes a paste of what comes quickly."""
        if len(self.screen_stack) == 1:
            for scan in self._wedge.burst(f"{event.text}\r", self._clock()):
                self.scan(read(scan))

    @work(exclusive=False)
    async def _follow(self, scans: "AsyncIterator[Scanned]") -> None:
        try:
            async for scanned in scans:
                self.scan(scanned)
        except CameraError as error:
            self.show(views.failed("CAMERA", str(error)))
        except CallError as error:  # of the demo's partner
            self.show(views.failed(error.reason, error.message))

    def scan(self, scanned: Scanned) -> None:
        """A scan, of whatever device."""
        self._looked = None
        if not scanned.kind.is_ours:
            self.show(views.foreign(scanned.kind))
        elif scanned.kind is Kind.CODE and not scanned.is_order:
            self._for_party = False
            self._by_number(scanned.text)
        elif self._for_party or scanned.kind is Kind.CODE:
            self._for_party = False
            self._party(scanned)
        elif self.choice.looks_first:
            self._look(scanned)
        else:
            self._redeem(scanned)

    def _confirm(self) -> None:
        looked, self._looked = self._looked, None
        if looked:
            self._redeem(looked)

    @work(exclusive=False)
    async def _look(self, scanned: Scanned) -> None:
        self.show(views.waiting())
        choice = self.choice
        call = self.gate.look_anyhow(scanned, choice.function, choice.quantity)
        if (looked := await self._tried(call)) is not None:
            if looked.answer.explanation.check == OF_ORDER:
                self._party(scanned)
                return
            view = views.looked(looked.answer, self.gate.zone)
            self._looked = scanned if view.tone is Tone.LOOK else None
            age = looked.pack_age
            self.show(view if age is None else view.by_pack(age))

    @work(exclusive=False)
    async def _redeem(self, scanned: Scanned) -> None:
        function, quantity = self.choice.function, self.choice.quantity
        self.choice.quantity = 1
        self.show(views.waiting())
        outcome = await self._tried(self.gate.redeem(scanned, function, quantity))
        if outcome is None:
            return
        if outcome.answer.explanation.check == OF_ORDER:
            self._party(scanned)
            return
        view = views.redeemed(outcome.answer, function, quantity, self.gate.zone)
        if outcome.pack_age is not None:
            self.show(view.by_pack(outcome.pack_age))
            return
        self.show(view)
        shown = self.shown
        if view.ticket_code:  # the name comes with a look, for which no traveller waits
            try:
                looked = await self.gate.look(scanned)
            except CallError:
                return
            if self.shown == shown:
                self._complete(view.named(looked.ticket_info.customer_info))

    def _complete(self, view: View) -> None:
        """Shows what was shown with more of it; no sound."""
        self.view = view
        self.screen_stack[0].query_one("#text", Static).update(_words(view, self.choice))

    async def _tried(self, call: Awaitable[Answer]) -> Answer | None:
        """The answer; None if there is none, which is then on the screen."""
        try:
            return await call
        except UndecidedError as error:
            self.show(views.undecided(was_sent=error.was_sent))
        except (NotDecidedError, ScanFailedError) as error:
            self.show(views.failed(error.reason, error.message))
        except CallError as error:
            if error.reason or error.code.name not in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
                self.show(views.failed(error.reason or error.code.name, error.message))
            else:
                self.show(views.undecided(was_sent=False))
        return None

    # a party, history, reversal

    @work(exclusive=False)
    async def _party(self, scanned: Scanned) -> None:
        self.show(views.waiting())
        found = await self._tried(self.gate.party(scanned))
        if found is None:
            return
        if found.HasField("result"):
            self.show(views.refused_order(found))
            return
        self.show(READY)
        lines = [(each.ticket_code, views.party_line(each)) for each in found.tickets]
        heading = (
            f"{found.order_id}  {found.ticket_count} 张 tickets  {self.choice.function}\n"
            "F8 全部核销 redeem all · 回车 Enter 核销一张 one · Esc"
        )
        chosen = await self.push_screen_wait(ListScreen(heading, lines))
        if chosen is None:
            return
        function = self.choice.function
        codes = [chosen] if chosen != "*" else views.with_function(found.tickets, function)
        if not codes:
            self.show(views.nothing_left(function))
        elif scanned.kind is Kind.CODE:
            await self._redeem_by_codes(codes, function)
        else:
            call = self.gate.redeem_party(scanned, codes, function)
            if (outcome := await self._tried(call)) is not None:
                view = views.party_redeemed(outcome.answer, function)
                age = outcome.pack_age
                self.show(view if age is None else view.by_pack(age))

    @work(exclusive=False)
    async def _by_number(self, code: str) -> None:
        await self._redeem_by_codes([code], self.choice.function)

    async def _redeem_by_codes(self, codes: list[str], function: str) -> None:
        comment = await self.push_screen_wait(
            AskScreen(f"{codes[0]}\n无二维码核销的原因（主管）· why without a QR (supervisor)")
        )
        if comment is None:
            return
        for code in codes:
            call = self.gate.redeem_by_code(code, function, 1, comment)
            if (outcome := await self._tried(call)) is None:
                return
            view = views.redeemed(outcome.answer, function, 1, self.gate.zone)
            age = outcome.pack_age
            self.show(view if age is None else view.by_pack(age))
            if view.tone is not Tone.PASS:
                return
        if len(codes) > 1:
            self.show(views.party_by_codes(len(codes), function))

    def action_party(self) -> None:
        """F3: the number of an order or ticket, or the next scan is an order's."""
        self._for_party = not self._for_party
        self._type_order()

    @work(exclusive=True, group="order")
    async def _type_order(self) -> None:
        self._show_top()
        if not self._for_party:
            return
        typed = await self.push_screen_wait(
            AskScreen("订单号或票号；Esc 后扫订单码 · number of order or ticket; Esc: scan", 4096)
        )
        if typed is not None:
            self._for_party = False
            self.scan(read(typed))
        self._show_top()

    @work(exclusive=True, group="leases")
    async def action_leases(self) -> None:
        """F1: leases a share of the session's departure, or gives all back."""
        gate, function = self.gate, self.choice.function
        if self._link is not LinkState.ONLINE or gate.session is None:
            self.show(views.failed("LEASE_NEEDS_NETWORK", ""))
            return
        lines, heading = (
            [("0", "归还全部 give all back")],
            "占用须先按 F7 选车次 · F7: a departure first",
        )
        if gate.session.HasField("departure"):
            departure = gate.session.departure
            heading = (
                f"占用 Lease {departure.service_number} {departure.travel_date}  {function}  1 h"
            )
            lines += [
                (f"{share}/{shares}", f"第 {share} 份，共 {shares} 份 · share {share} of {shares}")
                for shares in range(1, MOST_SHARES + 1)
                for share in range(1, shares + 1)
            ]
        chosen = await self.push_screen_wait(ListScreen(f"{heading}\n回车 Enter · Esc", lines))
        if chosen == "0":
            if (given := await self._tried(gate.give_back())) is not None:
                self.show(views.given_back(given))
        elif chosen not in {None, "*"}:
            share, shares = map(int, str(chosen).split("/"))
            if (leased := await self._tried(gate.lease(share - 1, shares, function))) is not None:
                self.show(views.leased(leased, function, gate.zone))

    @work(exclusive=True, group="history")
    async def action_history(self) -> None:
        """F4: what was redeemed here; Enter takes one back."""
        found = await self._tried(self.gate.history())
        if found is None:
            return
        heading = "记录 History · 回车撤销（主管）Enter reverses (supervisor) · Esc"
        chosen = await self.push_screen_wait(
            ListScreen(heading, history_lines(found, self.gate.zone))
        )
        if chosen in {None, "*"}:
            return
        comment = await self.push_screen_wait(AskScreen("撤销原因 · why it is reversed"))
        if comment is None:
            return
        call = self.gate.reverse(str(chosen), comment)
        if (answer := await self._tried(call)) is not None:
            self.show(views.taken_back(answer))

    @work(exclusive=True, group="verdicts")
    async def action_verdicts(self) -> None:
        """F8: what was decided without network, with the server's verdicts."""
        if self.gate.offline is None:
            return
        try:
            found = self.gate.offline.store.verdicts()
        except StoreError as error:
            self.show(views.failed("STORE_BROKEN", str(error)))
            return
        lines = [(str(each[0]), views.verdict_line(*each, self.gate.zone)) for each in found]
        await self.push_screen_wait(ListScreen("离线核销 Decided offline · Esc", lines))
        self._show_top()

    # what the operator sets

    def action_mode(self) -> None:
        """F2: look first, or redeem at once."""
        self.choice.looks_first = not self.choice.looks_first
        self._looked = None
        self.show(READY)

    def action_function(self) -> None:
        """F5: the next function."""
        self.choice.functions.append(self.choice.functions.pop(0))
        self._show_top()

    def action_quantity(self) -> None:
        """F6: one use more, after the most 1 again."""
        self.choice.quantity = self.choice.quantity % MOST + 1
        self._show_top()

    def action_sound(self) -> None:
        """F9: bell on or off."""
        self.choice.sounds = not self.choice.sounds
        self._show_top()

    @work(exclusive=True, group="log-in")
    async def action_log_in(self) -> None:
        """F7: another operator or departure."""
        given = await self.push_screen_wait(
            LogInScreen(self.gate.device, self._given.username, self._given.departure, ())
        )
        if given:
            self._log_in(given)

    @work(exclusive=True, group="log-in")
    async def _log_in(self, given: LogIn) -> None:
        while True:
            said = await self._refused_log_in(given)
            if not said:
                return
            again = await self.push_screen_wait(
                LogInScreen(self.gate.device, given.username, given.departure, said)
            )
            if again is None:
                return
            given = again

    async def _refused_log_in(self, given: LogIn) -> tuple[str, ...]:
        """Why nobody is logged in now; empty if somebody is."""
        try:
            departure = Departure.read(given.departure)
            await self.gate.log_in(given.username, given.password, departure)
        except ValueError as error:
            return (str(error),)
        except NotDecidedError as error:
            return views.failed(error.reason, error.message).why
        except CallError as error:
            if error.reason:
                return views.failed(error.reason, error.message).why
            return ("服务器无法连接 · the server is not reached", error.message)
        self._given.username, self._given.departure = given.username, given.departure
        self.show(READY)
        return ()

    async def action_quit(self) -> None:
        """F10."""
        await self.gate.close()
        self.exit()


def _character(event: events.Key) -> str:
    """What a wedge typed; empty for a key that is none of its."""
    ends = {"enter": "\r", "ctrl+j": "\n", "tab": "\t", "ctrl+i": "\t", "ctrl+m": "\r"}
    return ends.get(event.key) or event.character or ""


def _big(view: View) -> Text:
    word, beside = glyphs.drawn(view.tone.zh), glyphs.drawn(view.beside or view.tone.en)
    lines = [f"{left}  {right}" for left, right in zip(word, beside, strict=True)]
    return Text("\n".join(lines), no_wrap=True, style="bold")


def _words(view: View, choice: Choice) -> Text:
    """What an operator reads first comes first: of a refusal why, and what to do."""
    text = Text()
    todo = tuple(f"→ {each}" for each in view.todo), "bold reverse"
    ticket = (view.headline, "bold"), (view.facts, "")
    for lines, style in ((view.why, "bold"), todo, *ticket) if view.why else (*ticket, todo):
        for line in lines:
            if line:
                text.append(f"{line}\n", style)
    if view is READY:
        text.append(f"{choice.function} ×{choice.quantity}\n", "bold")
    if view.ticket_code:
        text.append(view.ticket_code)
    return text
