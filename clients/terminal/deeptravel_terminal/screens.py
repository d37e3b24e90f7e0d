"""The screens beside the main one: log-in, a party, history, and a question that needs words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from deeptravel import redemption
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from deeptravel_terminal.views import clock, reason_of


@dataclass(frozen=True)
class LogIn:
    """What an operator types."""

    username: str
    password: str
    departure: str


class LogInScreen(ModalScreen[LogIn | None]):
    """Name, password, departure; Enter goes on, Esc leaves."""

    AUTO_FOCUS = ""
    BINDINGS = [Binding("escape", "dismiss(None)")]  # noqa: RUF012 # as textual has it

    def __init__(self, device: str, username: str, departure: str, said: Sequence[str]) -> None:
        super().__init__()
        self._device, self._username, self._departure = device, username, departure
        self._said = said

    def compose(self) -> ComposeResult:
        """Its parts."""
        with Vertical(classes="box"):
            yield Label(f"登录 Log in · {self._device}", classes="heading")
            yield Label("\n".join(self._said), classes="said", markup=False)
            yield Label("用户名 user name")
            yield Input(self._username, id="username")
            yield Label("密码 password")
            yield Input(password=True, id="password")
            yield Label("车次 departure (G5711 2026-12-04，空为全部 empty: all)")
            yield Input(self._departure, id="departure")

    def on_mount(self) -> None:
        """Begins where something is missing."""
        self.query_one("#password" if self._username else "#username", Input).focus()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        values = {each.id: each.value for each in self.query(Input)}
        missing = next((name for name in ("username", "password") if not values[name]), None)
        if missing:
            self.query_one(f"#{missing}", Input).focus()
        else:
            self.dismiss(LogIn(values["username"], values["password"], values["departure"]))


class AskScreen(ModalScreen[str | None]):
    """A question that is answered in words; empty answers are none."""

    BINDINGS = [Binding("escape", "dismiss(None)")]  # noqa: RUF012

    def __init__(self, question: str, most: int = 200) -> None:
        super().__init__()
        self._question, self._most = question, most

    def compose(self) -> ComposeResult:
        """Its parts."""
        with Vertical(classes="box"):
            yield Label(self._question, markup=False)
            yield Input(max_length=self._most)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self.dismiss(event.value.strip())


class ListScreen(ModalScreen[str | None]):
    """Lines to choose one of, by arrows and Enter; F8 chooses all of them, which is `*`."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "dismiss(None)"),
        Binding("f8", "dismiss('*')"),
    ]

    def __init__(self, heading: str, lines: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._heading, self._lines = heading, lines

    def compose(self) -> ComposeResult:
        """Its parts."""
        with Vertical(classes="box wide"):
            yield Label(self._heading, classes="heading", markup=False)
            yield OptionList(*(Option(text, id=name) for name, text in self._lines), markup=False)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)


def history_lines(
    found: Sequence[redemption.Redemption], zone: tzinfo | None = None
) -> list[tuple[str, str]]:
    """Redemptions for a list, each with its id."""
    words = {
        redemption.REDEMPTION_RESULT_SUCCESS: "✓ 核销",
        redemption.REDEMPTION_RESULT_REJECT: "✗ 拒绝",
        redemption.REDEMPTION_RESULT_REVERSED: "↺ 撤销",
    }
    return [
        (
            each.redemption_id,
            (
                f"{clock(each.redeemed_at, zone)}  {words.get(each.result, '?')}"
                f"  {each.ticket_code or '-'}"
                f"  {each.function_code} ×{each.quantity}  {reason_of(each)}  {each.operator}"
            ),
        )
        for each in found
    ]
