"""Proves that a server of an earlier commit upgrades in place: `make upgrade FROM=<commit>`.

The earlier server makes data in every state that its callers can bring about, and is killed in the
middle of its work. Today's takes over its data folder and goes on: what was shown is shown, what
was begun is finished, keys, log-ins, QR codes, page tokens and repeats still count, and the
consistency checks find nothing.

    python -m tests.e2e.upgrade path/to/earlier/checkout path/for/data

The checkout has its own environment (`make .venv/.installed` there).
"""

import itertools
import json
import logging
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import grpc
import httpx2
from deeptravel.admin.v1 import admin_service_pb2
from deeptravel.ota.v1 import ota_service_pb2
from deeptravel.redemption.v1 import redemption_service_pb2
from deeptravel.ticketing.v1 import ticketing_service_pb2
from google.protobuf import json_format, message_factory
from google.rpc import error_details_pb2, status_pb2

from tests.support.free_ports import free_port
from tests.support.server_process import ServerProcess

Json = dict[str, Any]
SECONDS, WAIT_SECONDS = 30.0, 60.0
HONG_KONG = ZoneInfo("Asia/Hong_Kong")
TEXT = re.compile(r"_(en|zh)$|\.explanation\.")
"""Sentences for people, which may be said better by now."""
SERVICES = {
    name: module.DESCRIPTOR.services_by_name[f"{name}Service"]
    for name, module in (
        ("Admin", admin_service_pb2),
        ("Ota", ota_service_pb2),
        ("Redemption", redemption_service_pb2),
        ("Ticketing", ticketing_service_pb2),
    )
}


log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A call that was refused, by its reason."""


class Caller:
    """Calls of one service over gRPC, in JSON, with somebody's credentials."""

    def __init__(self, channel: grpc.Channel, service: str, *metadata: tuple[str, str]) -> None:
        self.channel = channel
        self._service = SERVICES[service]
        self._metadata = metadata

    def __call__(self, method_name: str, **fields: Any) -> Json:
        """The answer. Raises RefusedError."""
        method = self._service.methods_by_name[method_name]
        request = message_factory.GetMessageClass(method.input_type)()
        json_format.ParseDict(fields, request)
        call: Any = self.channel.unary_unary(
            f"/{self._service.full_name}/{method_name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        try:
            answer = call(request, metadata=self._metadata, timeout=SECONDS)
        except grpc.RpcError as error:
            raise RefusedError(f"{method_name}: {_reason(error)}") from error
        plain: Json = json_format.MessageToDict(answer, preserving_proto_field_name=True)
        return plain


def _reason(error: Any) -> str:
    status = status_pb2.Status()
    info = error_details_pb2.ErrorInfo()
    trailers = dict(error.trailing_metadata() or ())
    status.ParseFromString(trailers.get("grpc-status-details-bin", b""))
    for detail in status.details:
        detail.Unpack(info)
    return f"{info.reason or error.code()} {error.details()}"


def until(what: str, holds: Callable[[], bool]) -> None:
    """Waits for something."""
    end = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.1)


class Call(NamedTuple):
    """A call that the earlier server answered."""

    service: str
    who: str
    method: str
    fields: Json
    answer: Json


@dataclass
class Memory:
    """What the earlier server said, to be asked of today's."""

    tokens: dict[str, str] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)
    tickets: dict[str, list[Json]] = field(default_factory=dict)
    qr: dict[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    pages: list[Call] = field(default_factory=list)
    bill: str = ""
    quote: str = ""


class Proof:
    """One folder of data, and the callers of whichever server runs over it."""

    def __init__(self, server: ServerProcess, memory: Memory) -> None:
        self.server = server
        self.memory = memory
        self.channel = grpc.insecure_channel(server.target)
        merchant = json.loads((server.data_dir / "wechat" / "merchant.json").read_text())
        self._wechat = httpx2.Client(base_url=merchant["url"], timeout=SECONDS)
        self._credentials = server.credentials
        self._persons = itertools.count(1)

    def close(self) -> None:
        """Ends its connections."""
        self.channel.close()
        self._wechat.close()

    def switch(self, **values: Any) -> None:
        """What WeChat does wrong."""
        self._wechat.put("/simulator/switches", json=values).raise_for_status()

    # who calls

    def bearer(self, service: str, name: str) -> Caller:
        """Somebody who is logged in since the earlier server."""
        token = self.memory.tokens[name]
        return Caller(self.channel, service, ("authorization", f"Bearer {token}"))

    def partner(self) -> Caller:
        """The partner CP, by his API key."""
        return Caller(self.channel, "Ota", ("x-api-key", self._credentials["partner_api_key"]))

    def anybody(self, service: str) -> Caller:
        """Nobody."""
        return Caller(self.channel, service)

    def log_in(self) -> None:
        """A traveller, an operator, a supervisor and the administrator."""
        tokens, gate = self.memory.tokens, self.anybody("Redemption")
        code = {"code": f"traveller-{uuid.uuid4().hex}"}
        tokens["traveller"] = self.anybody("Ticketing")("TravellerLogin", **code)["access_token"]
        terminal = self._credentials["terminal_device_id"]
        for name in ("operator", "supervisor"):
            person = {**self._credentials[name], "terminal_device_id": terminal}
            tokens[name] = gate("OperatorLogin", **person)["access_token"]
        administrator = self._credentials["admin"]
        tokens["admin"] = self.anybody("Admin")("AdminLogin", **administrator)["access_token"]

    # what they do

    def change(self, service: str, who: str, method: str, **fields: Any) -> Json:
        """A changing call, whose repeat is asked of today's server."""
        fields = {"request_id": uuid.uuid4().hex, **fields}
        answer = self.caller(service, who)(method, **fields)
        self.memory.calls.append(Call(service, who, method, fields, answer))
        return answer

    def caller(self, service: str, who: str) -> Caller:
        """One of those who call, by name."""
        return self.partner() if who == "partner" else self.bearer(service, who)

    def travel(self, method: str, **fields: Any) -> Json:
        """A reading call of the traveller's."""
        return self.bearer("Ticketing", "traveller")(method, **fields)

    def act(self, method: str, **fields: Any) -> Json:
        """A changing call of the traveller's."""
        return self.change("Ticketing", "traveller", method, **fields)

    def offers(self, days: int, kind: str) -> list[Json]:
        """What two adults can buy."""
        day = datetime.now(HONG_KONG).date() + timedelta(days=days)
        found: list[Json] = self.travel(
            "SearchOffers",
            origin_city_code="SZX",
            destination_city_code="HKG",
            travel_date=day.isoformat(),
            passengers=["CUSTOMER_TYPE_ADULT"] * 2,
            kinds=[kind],
            available_only=True,
        )["offers"]
        assert found, kind
        return found

    def hold(self, name: str, offer: Json, size: int = 1) -> str:
        """An order that waits for its payment."""
        passengers = [
            {
                "name": f"Traveller {next(self._persons)}",
                "customer_type": "CUSTOMER_TYPE_ADULT",
                "document_type": "DOCUMENT_TYPE_PASSPORT",
                "document_number": f"E{uuid.uuid4().int % 10**8:08}",
            }
            for _ in range(size)
        ]
        items = [{"offer_id": offer["offer_id"]}]
        order = self.act("CreateOrder", items=items, passengers=passengers)["order"]
        self.memory.orders[name] = order["order_id"]
        return str(order["order_id"])

    def bill(self, order_id: str) -> str:
        """The payment's number."""
        return str(self.act("CreatePayment", order_id=order_id)["payment"]["out_trade_no"])

    def pay(self, number: str) -> None:
        """On the phone."""
        self._wechat.post(f"/simulator/pay/{number}", json={}).raise_for_status()

    def state(self, name: str) -> str:
        """Of an order."""
        found = self.travel("GetOrder", order_id=self.memory.orders[name])["order"]
        return str(found["state"]).removeprefix("ORDER_STATE_")

    def sell(self, name: str, offer: Json, size: int = 1) -> list[Json]:
        """A paid order; its tickets."""
        order_id = self.hold(name, offer, size)
        self.pay(self.bill(order_id))
        until(f"{name} is paid", lambda: self.state(name) == "PAID")
        found: list[Json] = self.travel("ListTickets", order_id=order_id)["tickets"]
        self.memory.tickets[name] = found
        return found

    def give_back(self, name: str, *codes: str) -> None:
        """Tickets of an order, or all."""
        order_id = self.memory.orders[name]
        asked = {"order_id": order_id, **({"ticket_codes": list(codes)} if codes else {})}
        quote = self.travel("QuoteRefund", **asked)["refund_quote"]
        self.act("RequestRefund", order_id=order_id, refund_quote=quote)

    def swap(self, name: str, of: Json, offer: Json) -> Json:
        """A ticket for another offer."""
        code = of["ticket_code"]
        quote = self.travel("QuoteChange", ticket_code=code, offer_id=offer["offer_id"])
        made = self.act("ChangeTicket", ticket_code=code, change_quote=quote["change_quote"])
        self.memory.orders[name] = made["order"]["order_id"]
        return made

    def status(self, ticket: Json) -> str:
        """Of a traveller's ticket."""
        found = self.travel("GetTicket", ticket_code=ticket["ticket_code"])["ticket"]["status"]
        return str(found).removeprefix("TICKET_STATE_")

    def activate(self, ticket_code: str) -> None:
        """A ticket of the partner's, sold."""
        self.change(
            "Ota",
            "partner",
            "ActivateTicket",
            ticket_code=ticket_code,
            customer={"name": "Ann Lee", "type": "CUSTOMER_TYPE_ADULT"},
            payment={
                "reference": f"PAY-{ticket_code}",
                "amount_minor": 29_800,
                "currency_code": "CNY",
            },
        )

    def redeem(self, qr_token: str, function_code: str) -> Json:
        """At the gate."""
        return self.change(
            "Redemption", "operator", "Redeem", qr_token=qr_token, function_code=function_code
        )


def make(proof: Proof) -> None:
    """Data in every state, on the earlier server."""
    proof.log_in()
    trains = sorted(
        proof.offers(3, "OFFER_KIND_TRAIN"), key=lambda each: int(each["price"]["total_minor"])
    )
    dear = trains[-1]
    cheaper = itertools.cycle(each for each in trains if each["price"] != dear["price"])
    _orders(proof, cheaper)
    _packages(proof)
    _refunds(proof, cheaper)
    _changes(proof, cheaper, dear)
    _partner(proof)
    _lists(proof)
    # money that is paid while nobody hears of it
    proof.switch(hold_notices=True)
    proof.pay(proof.bill(proof.hold("unheard", next(cheaper))))


def _orders(proof: Proof, cheaper: Iterator[Json]) -> None:
    """One that waits, one with a payment under way, one given up, and one paid."""
    memory = proof.memory
    proof.hold("waits", next(cheaper))
    memory.bill = proof.bill(proof.hold("billed", next(cheaper), 2))
    proof.act("CancelOrder", order_id=proof.hold("cancelled", next(cheaper)))
    proof.sell("paid", next(cheaper), 2)
    qr = proof.travel("IssueOrderQr", order_id=memory.orders["paid"])
    memory.qr["order"] = qr["encrypted_data"]
    memory.quote = proof.travel("QuoteRefund", order_id=memory.orders["paid"])["refund_quote"]


def _packages(proof: Proof) -> None:
    """One of which everything is used, and one of which something is."""
    package = next(
        each for each in proof.offers(0, "OFFER_KIND_PACKAGE") if each["product_id"] == 106
    )
    for name, size in (("package", 1), ("package-part", 2)):
        own = next(each for each in proof.sell(name, package, size) if not each.get("shared"))
        qr = proof.travel("IssueTicketQr", ticket_code=own["ticket_code"])["encrypted_data"]
        proof.memory.qr[name] = qr
        functions = [each["function_code"] for each in own["entitlements"]]
        for function_code in functions if name == "package" else functions[:1]:
            answer = proof.redeem(qr, function_code)
            assert answer["result"].endswith("SUCCESS"), answer


def _refunds(proof: Proof, cheaper: Iterator[Json]) -> None:
    """Of an order and of one ticket, given; one that needs manual resolution; one under way."""
    whole = proof.sell("refunded", next(cheaper))
    proof.give_back("refunded")
    until("a refund", lambda: proof.status(whole[0]) == "REFUNDED")
    some = proof.sell("part-refunded", next(cheaper), 2)
    proof.give_back("part-refunded", some[0]["ticket_code"])
    until("a refund", lambda: proof.status(some[0]) == "REFUNDED")
    proof.switch(refund_outcome="ABNORMAL")
    proof.sell("abnormal", next(cheaper))
    proof.give_back("abnormal")
    admin = proof.bearer("Admin", "admin")
    until(
        "an abnormal refund",
        lambda: bool(admin("ListRefunds", state="REFUND_STATE_ABNORMAL").get("refunds")),
    )
    proof.switch(refund_outcome="SUCCESS", refund_seconds=3600)
    proof.sell("refunding", next(cheaper))
    proof.give_back("refunding")


def _changes(proof: Proof, cheaper: Iterator[Json], dear: Json) -> None:
    """One that is made, and one that waits for its payment."""
    (ticket,) = proof.sell("changed-of", dear)
    proof.swap("changed", ticket, next(cheaper))
    until("a change", lambda: proof.status(ticket) == "CHANGED")
    (ticket,) = proof.sell("changing-of", next(cheaper))
    made = proof.swap("changing", ticket, dear)
    assert made["order"]["state"].endswith("PENDING")


def _partner(proof: Proof) -> None:
    """Tickets that are sold, blocked, redeemed and taken back, and not active."""
    memory = proof.memory
    batch = proof.change("Ota", "partner", "BulkGenerateTickets", product_id=106, quantity=60)
    codes = [each["ticket_code"] for each in batch["tickets"]]
    memory.tickets["partner"] = batch["tickets"]
    for code, name in zip(codes, ("sold", "blocked", "reversed"), strict=False):
        proof.activate(code)
        memory.qr[name] = proof.partner()("IssueQr", ticket_code=code)["encrypted_data"]
    memory.qr["inactive"] = proof.partner()("IssueQr", ticket_code=codes[3])["encrypted_data"]
    proof.change("Admin", "admin", "BlockTicket", ticket_code=codes[1], comment="lost phone")
    redeemed = proof.redeem(memory.qr["reversed"], "ferry")
    proof.change(
        "Redemption",
        "supervisor",
        "ReverseRedemption",
        redemption_id=redeemed["redemption_id"],
        comment="wrong gate",
    )
    proof.change(
        "Admin",
        "admin",
        "CreateMerchant",
        merchant_code="OLD",
        display_name="Old Town",
        function_codes=["ferry"],
    )


def _lists(proof: Proof) -> None:
    """Second pages, whose tokens are asked again."""
    for service, who, method in (
        ("Ota", "partner", "ListTickets"),
        ("Ticketing", "traveller", "ListOrders"),
        ("Admin", "admin", "ListAuditEvents"),
        ("Redemption", "operator", "ListRedemptions"),
    ):
        caller = proof.caller(service, who)
        page: Json = {"page_size": 2}
        page["page_token"] = caller(method, **page)["next_page_token"]
        proof.memory.pages.append(Call(service, who, method, page, caller(method, **page)))


def shown(proof: Proof) -> Json:
    """All that is read."""
    memory = proof.memory
    found: Json = {}
    for name, order_id in memory.orders.items():
        found[f"order {name}"] = proof.travel("GetOrder", order_id=order_id)
        found[f"tickets {name}"] = proof.travel("ListTickets", order_id=order_id)
        found[f"refunds {name}"] = proof.travel("ListRefunds", order_id=order_id)
    found["tickets of the partner"] = proof.partner()("ListTickets", page_size=100)
    gate = proof.bearer("Redemption", "operator")
    for name, qr_token in memory.qr.items():
        found[f"look {name}"] = gate("DecryptQr", encrypted_data=qr_token)
    found["inventory"] = proof.partner()("GetInventory")
    return found


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """What was shown and is not any more, or is another; what is new in an answer is no fault."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            fault
            for key, value in old.items()
            for fault in (
                differences(value, new[key], f"{at}.{key}")
                if key in new
                else [f"{at}.{key} is gone"]
            )
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            fault
            for n, pair in enumerate(zip(old, new, strict=True))
            for fault in differences(*pair, f"{at}[{n}]")
        ]
    return [] if old == new or TEXT.search(at) else [f"{at}: {old!r} was, {new!r} is"]


def repeat(proof: Proof) -> None:
    """Every changing call of before gives its first answer, and every list goes on."""
    for call in (*proof.memory.calls, *proof.memory.pages):
        again = proof.caller(call.service, call.who)(call.method, **call.fields)
        # a page's token is bound to the page; a QR is sealed anew
        found = [
            each
            for each in differences(call.answer, again)
            if "encrypted_data" not in each and "next_page_token" not in each
        ]
        assert not found, (call.method, found)


def go_on(proof: Proof) -> None:
    """Finishes on today's server what was begun on the earlier one."""
    memory = proof.memory
    until("money nobody heard of pays its order", lambda: proof.state("unheard") == "PAID")
    proof.switch(hold_notices=False, refund_outcome="SUCCESS", refund_seconds=1)
    proof.pay(memory.bill)
    until("the order with a payment under way is paid", lambda: proof.state("billed") == "PAID")
    proof.pay(proof.bill(memory.orders["waits"]))
    until("the order that waits is paid", lambda: proof.state("waits") == "PAID")
    proof.pay(proof.bill(memory.orders["changing"]))
    until("the change that waits is paid", lambda: proof.state("changing") == "PAID")
    (ticket,) = memory.tickets["changing-of"]
    assert proof.status(ticket) == "CHANGED"
    try:
        proof.act("RequestRefund", order_id=memory.orders["paid"], refund_quote=memory.quote)
    except RefusedError as refusal:
        if "QUOTE_INVALID" not in str(refusal):  # the rules are others: nobody gets less unasked
            raise
        proof.give_back("paid")
    until("an order of before is given back", lambda: proof.state("paid") == "CANCELLED")
    admin = proof.bearer("Admin", "admin")
    (abnormal,) = admin("ListRefunds", state="REFUND_STATE_ABNORMAL")["refunds"]
    names = {"refund_id": abnormal["refund_id"]} if "refund_id" in abnormal else {}
    admin(
        "RetryRefund",
        request_id=uuid.uuid4().hex,
        **(names or {"order_id": memory.orders["abnormal"]}),
    )
    # gates: what is left is admitted, once, and nothing else
    part = next(each for each in memory.tickets["package-part"] if not each.get("shared"))
    functions = [each["function_code"] for each in part["entitlements"]]
    expected = [
        ("package-part", functions[0], "ALREADY_REDEEMED"),
        *(("package-part", each, "") for each in functions[1:2]),
        ("sold", "ferry", ""),
        ("sold", "ferry", "ALREADY_REDEEMED"),
        ("blocked", "ferry", "TICKET_BLOCKED"),
        ("reversed", "ferry", ""),
        ("inactive", "ferry", "TICKET_NOT_ACTIVE"),
    ]
    for name, function_code, reason in expected:
        answer = proof.redeem(memory.qr[name], function_code)
        got = answer.get("reason", "").removeprefix("REFUSAL_REASON_")
        assert got == reason, (name, function_code, reason, answer)
    code = memory.tickets["partner"][3]["ticket_code"]
    proof.activate(code)
    assert proof.redeem(memory.qr["inactive"], "ferry")["result"].endswith("SUCCESS")
    proof.sell("new", proof.offers(3, "OFFER_KIND_TRAIN")[0], 2)
    proof.give_back("new")


def main(checkout: Path, folder: Path) -> None:
    """Raises AssertionError and RefusedError where it does not hold."""
    memory = Memory()
    command: Sequence[str | Path] = [checkout / ".venv" / "bin" / "python", "-m", "server"]
    # WeChat sends its notices to where the earlier server was
    env = {"DEEPTRAVEL_HTTP_PORT": str(free_port())}
    with ServerProcess(data_dir=folder, command=command, cwd=checkout, env=env) as earlier:
        proof = Proof(earlier, memory)
        make(proof)
        before = shown(proof)
        states = sorted(
            {order["order"]["state"] for name, order in before.items() if name.startswith("order")}
        )
        log.info("made: orders %s, changing calls %s", states, len(memory.calls))
        proof.close()
        earlier.kill()
    with ServerProcess(data_dir=folder, env=env) as today:
        proof = Proof(today, memory)
        after = shown(proof)
        # nothing moves by itself but what was paid unheard
        moved = [
            name for name in before if "unheard" not in name and not name.startswith("look order")
        ]
        found = [fault for name in moved for fault in differences(before[name], after[name], name)]
        assert not found, found
        made = len(memory.calls)
        repeat(proof)
        log.info("%s calls have their first answers, %s lists go on", made, len(memory.pages))
        go_on(proof)
        proof.close()
        done = subprocess.run(
            [sys.executable, "-m", "server", "doctor", "--invariants"],
            env={"DEEPTRAVEL_DATA_DIR": str(folder), "PATH": ""},
            check=False,
        )
        assert done.returncode == 0
    log.info("everything is served")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
