"""The main job, step by step, as a partner and a gate do it: `python examples/main_job.py`.

It knows an address and the file of the demo credentials, and asks nothing else of the server. Exit
codes: 0 every step held, 1 one did not, 3 a file cannot be read.
"""

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

import segno
from deeptravel import CallError, Client, new_request_id, redemption, tickets
from rich.console import Console
from rich.text import Text

PRODUCT_ID = 106
WHITE_ON_BLACK, RESET = "\x1b[38;5;231;48;5;16m", "\x1b[0m"  # the blocks are the light modules
WRONG, CANNOT_RUN = 1, 3


class StepError(Exception):
    """A step did not hold; the text says what came instead."""


class Demo:
    """The whole job, printed on standard output."""

    def __init__(self, client: Client, credentials: dict[str, Any]) -> None:
        self._client = client
        self._credentials = credentials
        self._console = Console(highlight=False)
        self._step = 0

    def run(self) -> None:
        """Raises StepError and CallError."""
        ticket_code = self._make_batch()
        qr_text = self._issue_qr(ticket_code)
        terminal = self._log_in()
        self._refused(
            terminal.redemption.redeem(qr_token=qr_text, function_code="ferry"), "TICKET_NOT_ACTIVE"
        )
        self._activate(ticket_code)
        self._look(terminal, qr_text, ticket_code)
        self._redeem(terminal, qr_text, "ferry", "PARTIALLY_REDEEMED")
        self._redeem(terminal, qr_text, "gift", "USED")
        self._refuse_double_scan(terminal, qr_text)
        self._console.print(Text("\nEvery step held.", "bold green"))

    def _make_batch(self) -> str:
        self._begin("The partner makes a batch of 3 tickets of product 106 Premium 尊享套票")
        batch = self._client.ota.bulk_generate_tickets(
            product_id=PRODUCT_ID, quantity=3, distributor_id="demo"
        )
        self._expect(len(batch.tickets) == 3, f"{len(batch.tickets)} tickets")
        for ticket in batch.tickets:
            self._show(f"{ticket.ticket_code}  {_state(ticket.status)}")
        return batch.tickets[0].ticket_code

    def _issue_qr(self, ticket_code: str) -> str:
        self._begin(f"The partner prints the QR code of {ticket_code}")
        qr_text = self._client.ota.issue_qr(ticket_code=ticket_code).encrypted_data
        self._console.print(Text.from_ansi(_drawn(qr_text)), soft_wrap=True)
        self._show(qr_text)
        return qr_text

    def _log_in(self) -> Client:
        operator, device = self._credentials["operator"], self._credentials["terminal_device_id"]
        self._begin(f"The operator logs in at {device} and scans it before it is sold")
        return self._client.logged_in_operator(operator["username"], operator["password"], device)

    def _activate(self, ticket_code: str) -> None:
        self._begin("The partner sells it: customer and proof of payment activate it")
        sold = self._client.ota.activate_ticket(
            ticket_code=ticket_code,
            customer=tickets.CustomerInfo(name="张三", type=tickets.CUSTOMER_TYPE_ADULT),
            payment=tickets.PaymentProof(
                reference=new_request_id(), amount_minor=29_800, currency_code="CNY"
            ),
        )
        self._expect(_state(sold.status) == "ACTIVE", _state(sold.status))
        self._show(f"{sold.ticket_code}  {_state(sold.status)}  order {sold.order_id}")

    def _look(self, terminal: Client, qr_text: str, ticket_code: str) -> None:
        self._begin("The operator looks at the QR code, which consumes nothing")
        look = terminal.redemption.decrypt_qr(encrypted_data=qr_text)
        info = look.ticket_info
        uses = {each.function_code: each.remaining_uses for each in info.entitlements}
        self._expect(look.ticket_code == ticket_code, look.ticket_code)
        self._expect(uses == {"ferry": 1, "gift": 1}, str(uses))
        self._show(f"{look.ticket_code}  {_state(info.status)}  {info.customer_info.name}  {uses}")

    def _redeem(self, terminal: Client, qr_text: str, function_code: str, state: str) -> None:
        self._begin(f"The operator redeems {function_code}")
        answer = terminal.redemption.redeem(qr_token=qr_text, function_code=function_code)
        result = redemption.RedemptionResult.Name(answer.result)
        self._expect(result.endswith("SUCCESS"), f"{result}: {answer.explanation.en}")
        self._expect(_state(answer.ticket_status) == state, _state(answer.ticket_status))
        uses = {each.function_code: each.remaining_uses for each in answer.entitlements}
        self._show(f"admitted  {state}  {uses}")

    def _refuse_double_scan(self, terminal: Client, qr_text: str) -> None:
        self._begin("Somebody shows the same QR code for the ferry once more")
        answer = terminal.redemption.redeem(qr_token=qr_text, function_code="ferry")
        self._refused(answer, "ALREADY_REDEEMED")
        earlier = answer.earlier
        self._show(
            f"redeemed {earlier.redeemed_at.ToJsonString()} at {earlier.terminal_device_id},"
            f" {earlier.venue_code}"
        )
        self._expect(_state(answer.ticket_status) == "USED", _state(answer.ticket_status))

    def _refused(self, answer: redemption.RedeemResponse, reason: str) -> None:
        got = redemption.RefusalReason.Name(answer.reason).removeprefix("REFUSAL_REASON_")
        self._expect(got == reason, f"{got}: {answer.explanation.en}")
        self._console.print(Text(f"   refused: {got}", "bold red"))
        self._show(answer.explanation.en)
        self._show(answer.explanation.zh)

    def _begin(self, what: str) -> None:
        self._step += 1
        self._console.print()
        self._console.print(Text(f"{self._step}. {what}", "bold cyan"))

    def _show(self, text: str) -> None:
        self._console.print(Text(f"   {text}"), soft_wrap=True)

    def _expect(self, holds: bool, found: str) -> None:
        if not holds:
            raise StepError(f"step {self._step} did not hold: {found}")


def _state(number: "tickets.TicketState.ValueType") -> str:
    return tickets.TicketState.Name(number).removeprefix("TICKET_STATE_")


def _drawn(qr_text: str) -> str:
    """Half blocks for a terminal, black on white whatever its own colours."""
    out = io.StringIO()
    code = segno.make_qr(qr_text, error="M", mode="alphanumeric", boost_error=False)
    code.terminal(out, border=4, compact=True)
    return "".join(f"{WHITE_ON_BLACK}{line}{RESET}\n" for line in out.getvalue().splitlines())


def main() -> int:
    """Runs it against a server with demo data."""
    parser = argparse.ArgumentParser(prog="python examples/main_job.py", description=__doc__)
    parser.add_argument("--target", required=True, help="host:port of gRPC")
    parser.add_argument("--credentials", required=True, type=Path, help="demo-credentials.json")
    parser.add_argument("--tls-ca", type=Path, help="PEM of the authority to trust, if it has TLS")
    given = parser.parse_args()
    try:
        credentials = json.loads(given.credentials.read_text())
        authority = given.tls_ca.read_bytes() if given.tls_ca else None
    except (OSError, ValueError) as error:
        sys.stderr.write(
            f"the credentials or the CA for {given.target} cannot be read ({error}): load the demo"
            " data there (`deeptravel demo-data`) and name their file with --credentials\n"
        )
        return CANNOT_RUN
    try:
        with Client(
            given.target,
            api_key=credentials["partner_api_key"],
            plaintext=authority is None,
            root_certificates=authority,
        ) as client:
            Demo(client, credentials).run()
    except (StepError, CallError) as error:
        sys.stderr.write(f"{error}\n")
        return WRONG
    return 0


if __name__ == "__main__":
    sys.exit(main())
