"""The whole loop of a traveller, over gRPC and over JSON: search, hold, pay, show at the gate, give
back, change.

Against a server as `make run` starts it, with its demo data and the WeChat simulator beside it.
Every changing call is made twice, and the second answer is the first.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import httpx2
import pytest

from tests.support.server_process import ServerProcess, run_command
from tests.support.travel_clients import Client, Json, OverGrpc, OverJson, RefusedError
from tests.support.waiting import WAIT_SECONDS

HONG_KONG = ZoneInfo("Asia/Hong_Kong")
CHINESE, ENGLISH = re.compile("[\u4e00-\u9fff]"), re.compile("[A-Za-z]{2}")


def in_both(texts: Json, name: str) -> None:
    """A text for people is there in English and in Chinese."""
    assert ENGLISH.search(texts[f"{name}_en"]), texts
    assert CHINESE.search(texts[f"{name}_zh"]), texts


def refused(reason: str, call: Callable[..., Json], *arguments: Any, **fields: Any) -> RefusedError:
    """The refusal of a call."""
    with pytest.raises(RefusedError) as found:
        call(*arguments, **fields)
    assert found.value.reason == reason, found.value
    return found.value


def until(what: Callable[[], bool]) -> None:
    """Waits for something."""
    end = time.monotonic() + WAIT_SECONDS
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


class Traveller:
    """Somebody with a phone."""

    def __init__(self, client: Client, wechat: httpx2.Client, app_id: str) -> None:
        self.client = client
        self.wechat = wechat
        self.app_id = app_id
        self.call = client.call

    def twice(self, name: str, **fields: Any) -> Json:
        """A changing call, repeated; with other content under its id it is refused."""
        fields = {"request_id": uuid.uuid4().hex, **fields}
        first = self.call(name, **fields)
        assert self.call(name, **fields) == first, name
        return first

    def passengers(self, *names: str) -> list[Json]:
        """Adults whom nobody has seen before."""
        return [
            {
                "name": name,
                "customer_type": "adult",
                "document_type": "PASSPORT",
                "document_number": f"E{uuid.uuid4().int % 10**8:08}",
            }
            for name in names
        ]

    def order(self, offers: list[Json], names: list[str]) -> Json:
        """Quoted, ordered for all, watched and paid; as it is then."""
        items = [{"offer_id": offer["offer_id"]} for offer in offers]
        quote = self.call("QuoteOrder", items=items, passengers=["adult"] * len(names))
        wanted: Json = {"items": items, "passengers": self.passengers(*names)}
        total = int(quote["total_minor"])
        stale = refused(
            "PRICE_CHANGED",
            self.call,
            "CreateOrder",
            request_id=uuid.uuid4().hex,
            quoted_minor=total - 1,
            **wanted,
        )
        assert str(total) in stale.facts.values(), stale.facts
        request_id = uuid.uuid4().hex
        made = self.twice("CreateOrder", request_id=request_id, quoted_minor=total, **wanted)
        refused("IDEMPOTENCY_MISMATCH", self.call, "CreateOrder", request_id=request_id, **wanted)
        order = made["order"]
        assert (order["state"], int(order["total_minor"])) == ("PENDING", total)
        masked = {passenger["document_masked"] for passenger in order["passengers"]}
        assert all("*" in number for number in masked)
        for passenger in wanted["passengers"]:
            assert passenger["document_number"] not in json.dumps(made)
        return self.pay(order["order_id"])

    def pay(self, order_id: str) -> Json:
        """Asks for the payment, pays it on the phone, and waits for the order."""
        moves: list[Json] = []
        watching = threading.Thread(target=self._watch, args=(order_id, moves), daemon=True)
        watching.start()
        asked = self.twice("CreatePayment", order_id=order_id)
        payment, sign = asked["payment"], asked["pay_sign"]
        assert sign.keys() == {"time_stamp", "nonce_str", "package", "sign_type", "pay_sign"}
        phone = {
            "appId": self.app_id,
            "timeStamp": sign["time_stamp"],
            "nonceStr": sign["nonce_str"],
            "package": sign["package"],
            "signType": sign["sign_type"],
            "paySign": sign["pay_sign"],
        }
        forged = phone | {"package": "prepay_id=wx0"}
        number = payment["out_trade_no"]
        assert self.wechat.post(f"/simulator/pay/{number}", json={"payment": forged}).is_error
        paid = self.wechat.post(f"/simulator/pay/{number}", json={"payment": phone})
        assert paid.json()["trade_state"] == "SUCCESS", paid.text
        watching.join(WAIT_SECONDS)
        assert [move["event"] for move in moves] == ["order.created", "order.paid"]
        assert [move["sequence"] for move in moves] == [1, 2]
        known = self.call("GetPayment", order_id=order_id)["payment"]
        assert (known["state"], known["transaction_id"]) == (
            "SUCCEEDED",
            paid.json()["transaction_id"],
        )
        order: Json = self.call("GetOrder", order_id=order_id)["order"]
        assert order["state"] == "PAID"
        return order

    def _watch(self, order_id: str, moves: list[Json]) -> None:
        for move in self.client.watch(order_id=order_id):
            moves.append(move)
            if move["state"] != "PENDING":
                break

    def tickets(self, order_id: str) -> list[Json]:
        """The tickets of an order."""
        found: list[Json] = self.call("ListTickets", order_id=order_id)["tickets"]
        return found

    def status(self, ticket: Json) -> str:
        """What a ticket is now."""
        found = self.call("GetTicket", ticket_code=ticket["ticket_code"])["ticket"]
        return str(found["status"])


def search(call: Callable[..., Json], days: int, **more: Any) -> list[Json]:
    """What two adults can buy from Shenzhen to Hong Kong."""
    day = datetime.now(HONG_KONG).date() + timedelta(days=days)
    found = call(
        "SearchOffers",
        origin_city_code="SZX",
        destination_city_code="HKG",
        travel_date=day.isoformat(),
        passengers=["adult", "adult"],
        available_only=True,
        **more,
    )
    offers: list[Json] = found["offers"]
    assert offers
    for offer in offers:
        in_both(offer, "display_name")
        in_both(offer["policy"], "text")
        assert int(offer["price"]["total_minor"]) == sum(
            int(line["amount_minor"]) for line in offer["price"]["lines"]
        )
        assert offer["seats_left"] >= 2
    return offers


def look_around(traveller: Traveller) -> tuple[Json, Json, Json]:
    """Cities and offers, wrong questions on the way: a cheap train, a dear one, and a package
    for today.
    """
    call = traveller.call
    cities = call("ListHotCities")["cities"]
    assert {"SZX", "HKG"} <= {city["city_code"] for city in cities}
    for city in cities:
        in_both(city, "display_name")
    route = {"origin_city_code": "SZX", "destination_city_code": "HKG", "passengers": ["adult"]}
    wrong = refused("INVALID_FIELD", call, "SearchOffers", travel_date="tomorrow", **route)
    assert wrong.fields == ["travel_date"]
    wrong = refused("INVALID_FIELD", call, "SearchOffers", travel_date="2026-02-30", **route)
    assert wrong.fields == ["travel_date"]
    refused("NOT_FOUND", call, "GetProduct", product_id=4711)
    trains = search(call, 3, kinds=["TRAIN"], order_by="PRICE", nearby_days=1)
    cheap, dear = trains[0], trains[-1]
    assert int(cheap["price"]["total_minor"]) < int(dear["price"]["total_minor"])
    packages = search(call, 0, kinds=["PACKAGE"])
    package = next(offer for offer in packages if offer["product_id"] == 106)
    in_both(call("GetProduct", product_id=106), "display_name")
    return cheap, dear, package


def log_in(traveller: Traveller, offer: Json) -> None:
    """With codes that are wrong, then with one that is good, once."""
    items = [{"offer_id": offer["offer_id"]}]
    nobody = {"items": items, "passengers": traveller.passengers("张三"), "request_id": "1"}
    refused("UNAUTHENTICATED", traveller.call, "CreateOrder", **nobody)
    refused("LOGIN_FAILED", traveller.call, "TravellerLogin", code="invalid")
    code = f"traveller-{uuid.uuid4().hex}#1"
    token = traveller.call("TravellerLogin", code=code)
    assert token["expires_in_seconds"] > 0
    refused("LOGIN_FAILED", traveller.call, "TravellerLogin", code=code)
    traveller.client.token = token["access_token"]


def order_wrongly(traveller: Traveller, train: Json) -> None:
    """What is refused, with its reason and facts."""
    call, items = traveller.call, [{"offer_id": train["offer_id"]}]

    def create(reason: str, **fields: Any) -> RefusedError:
        given = {"items": items, "passengers": traveller.passengers("Ann Lee")} | fields
        return refused(reason, call, "CreateOrder", request_id=uuid.uuid4().hex, **given)

    assert create("INVALID_FIELD", passengers=[]).fields == ["passengers"]
    undocumented = [{"name": "Ann Lee", "customer_type": "adult"}]
    assert create("INVALID_FIELD", passengers=undocumented).fields
    twins = traveller.passengers("Ann Lee") * 2
    assert create("DUPLICATE_PASSENGER", passengers=twins).facts
    create("NOT_FOUND", items=[{"offer_id": "TR-1-0-0-1"}])
    create("PROMOTION_NOT_APPLICABLE", promotion_codes=["NO-SUCH-CODE"])
    refused("NOT_FOUND", call, "GetOrder", order_id="ORD-DT-20200101-000001")


def cancel(traveller: Traveller, train: Json) -> None:
    """An order that is given up, which cannot be paid then."""
    made = traveller.twice(
        "CreateOrder",
        items=[{"offer_id": train["offer_id"]}],
        passengers=traveller.passengers("王芳"),
    )
    order_id = made["order"]["order_id"]
    given_up = traveller.twice("CancelOrder", order_id=order_id)["order"]
    assert (given_up["state"], given_up["cancel_reason"]) == ("CANCELLED", "TRAVELLER")
    refused("ORDER_STATE_REFUSES", traveller.call, "CreatePayment", order_id=order_id)
    assert traveller.tickets(order_id) == []


def go_in(traveller: Traveller, gate: Client, terminal: str, tickets: list[Json]) -> None:
    """The traveller shows the tickets of a package, and every one of them is used up."""
    for ticket in tickets:
        code = ticket["ticket_code"]
        qr = traveller.call("IssueTicketQr", ticket_code=code)
        assert traveller.call("IssueTicketQr", ticket_code=code)["jti"] == qr["jti"]
        looked = gate.call("DecryptQr", encrypted_data=qr["encrypted_data"])
        assert looked["ticket_code"] == code
        for entitlement in ticket["entitlements"]:
            scan = {
                "qr_token": qr["encrypted_data"],
                "function_code": entitlement["function_code"],
                "quantity": entitlement["total_uses"],
                "terminal_device_id": terminal,
                "request_id": uuid.uuid4().hex,
            }
            admitted = gate.call("Redeem", **scan)
            assert admitted["result"] == "success", admitted
            assert gate.call("Redeem", **scan) == admitted
            again = gate.call("Redeem", **scan | {"request_id": uuid.uuid4().hex})
            assert again["result"] == "reject"
            assert ENGLISH.search(again["explanation"]["en"])
            assert CHINESE.search(again["explanation"]["zh"])
        assert traveller.status(ticket) == "USED"


def give_back(traveller: Traveller, order: Json, ticket: Json, redeemed: Json) -> None:
    """One ticket; those that were used cannot be, nor can it be twice."""
    order_id, codes = order["order_id"], [ticket["ticket_code"]]
    used = [redeemed["ticket_code"]]
    why = refused(
        "REFUND_REFUSED", traveller.call, "QuoteRefund", order_id=order_id, ticket_codes=used
    )
    assert why.facts["why"] == "REDEEMED"
    quote = traveller.call("QuoteRefund", order_id=order_id, ticket_codes=codes)
    (line,) = quote["tickets"]
    in_both(line, "rule")
    assert int(line["amount_minor"]) + int(line["fee_minor"]) == int(line["paid_minor"])
    asked = {"order_id": order_id, "request_id": uuid.uuid4().hex}
    wrong = "x" + quote["refund_quote"]
    refused("QUOTE_INVALID", traveller.call, "RequestRefund", refund_quote=wrong, **asked)
    refund = traveller.twice(
        "RequestRefund", order_id=order_id, refund_quote=quote["refund_quote"]
    )["refund"]
    assert refund["amount_minor"] == quote["amount_minor"]
    assert refund["state"] in ("PROCESSING", "SUCCEEDED")
    refused("REFUND_REFUSED", traveller.call, "QuoteRefund", order_id=order_id, ticket_codes=codes)
    until(lambda: traveller.status(ticket) == "REFUNDED")
    (listed,) = traveller.call("ListRefunds", order_id=order_id)["refunds"]
    assert (listed["refund_id"], listed["state"]) == (refund["refund_id"], "SUCCEEDED")
    payment = traveller.call("GetPayment", order_id=order_id)["payment"]
    assert payment["refunded_minor"] == quote["amount_minor"]


def change(traveller: Traveller, ticket: Json, to: Json, no_train: Json) -> Json:
    """Another train instead, which `no_train` is not; what is to be paid is paid, what comes back
    comes. The new ticket.
    """
    code = ticket["ticket_code"]
    same = refused(
        "CHANGE_REFUSED",
        traveller.call,
        "QuoteChange",
        ticket_code=code,
        offer_id=no_train["offer_id"],
    )
    assert same.facts["ticket_code"] == code
    quote = traveller.call("QuoteChange", ticket_code=code, offer_id=to["offer_id"])
    pay, back = int(quote.get("pay_minor", 0)), int(quote.get("refund_minor", 0))
    difference = int(quote["new_minor"]) + int(quote["fee_minor"]) - int(quote["old_minor"])
    assert (pay, back) == (max(0, difference), max(0, -difference))
    changed = traveller.twice("ChangeTicket", ticket_code=code, change_quote=quote["change_quote"])
    order_id = changed["order"]["order_id"]
    if pay:
        assert changed["order"]["state"] == "PENDING"
        assert traveller.status(ticket) == "CHANGING"
        traveller.pay(order_id)
    else:
        assert changed["order"]["state"] == "PAID"
        assert int(changed["refund"]["amount_minor"]) == back
    assert traveller.status(ticket) == "CHANGED"
    (new,) = traveller.tickets(order_id)
    assert (new["status"], new["changes_made"]) == ("ACTIVE", 1)
    assert traveller.call("GetOrder", order_id=order_id)["order"]["changes_ticket_code"] == code
    if back:
        until(
            lambda: (
                traveller.call("ListRefunds", order_id=order_id)["refunds"][0]["state"]
                == "SUCCEEDED"
            )
        )
    return new


def loop(traveller: Traveller, gate: Client, terminal: str) -> None:
    cheap, dear, package = look_around(traveller)
    log_in(traveller, package)
    order_wrongly(traveller, cheap)
    cancel(traveller, cheap)
    order = traveller.order([cheap, package], ["张三", "Ann Lee"])
    tickets = traveller.tickets(order["order_id"])
    trains = [ticket for ticket in tickets if "journey" in ticket]
    rest = [ticket for ticket in tickets if "journey" not in ticket]
    shared = [ticket for ticket in rest if ticket.get("shared")]
    assert (len(trains), len(rest) - len(shared)) == (2, 2)
    assert len(shared) == sum(bool(each.get("shared")) for each in package["entitlements"])
    assert [ticket["passenger"]["name"] for ticket in trains] == ["张三", "Ann Lee"]
    looked = traveller.call("IssueOrderQr", order_id=order["order_id"])
    assert gate.call("DecryptQr", encrypted_data=looked["encrypted_data"])
    go_in(traveller, gate, terminal, rest)
    give_back(traveller, order, trains[0], rest[0])
    new = change(traveller, trains[1], dear, package)
    ended = traveller.call("GetOrder", order_id=order["order_id"])["order"]
    assert ended["state"] == "COMPLETED"
    events = [move["event"] for move in traveller.client.watch(order_id=order["order_id"])]
    assert events[:2] == ["order.created", "order.paid"]
    assert {"ticket.refunding", "ticket.refunded", "ticket.changing", "ticket.changed"} < set(
        events
    )
    assert events[-1] == "order.completed"
    # the changed one may not be changed again for ever, but it is given back: its order is over, as
    # refunded
    quote = traveller.call("QuoteRefund", order_id=new["order_id"])
    traveller.twice("RequestRefund", order_id=new["order_id"], refund_quote=quote["refund_quote"])
    until(lambda: traveller.status(new) == "REFUNDED")
    ended = traveller.call("GetOrder", order_id=new["order_id"])["order"]
    assert (ended["state"], ended["cancel_reason"]) == ("CANCELLED", "REFUNDED")
    other = traveller.order([dear], ["李四"])
    (ticket,) = traveller.tickets(other["order_id"])
    change(traveller, ticket, cheap, package)
    ended = traveller.call("GetOrder", order_id=other["order_id"])["order"]
    assert (ended["state"], ended["cancel_reason"]) == ("CANCELLED", "REFUNDED")
    mine = [each["order_id"] for each in traveller.call("ListOrders")["orders"]]
    assert {order["order_id"], other["order_id"], new["order_id"]} < set(mine)
    assert len(mine) == 5


def assert_invariants_by_doctor(served: ServerProcess) -> None:
    """`deeptravel doctor --invariants` beside the running server."""
    at_the_same = {"DEEPTRAVEL_DATA_DIR": str(served.data_dir)}
    done = run_command("doctor", "--invariants", "--json", env=at_the_same)
    findings = json.loads(done.stdout)
    assert [each for each in findings if each["verdict"] != "ok"] == []
    assert done.returncode == 0


@pytest.fixture
def wechat(served: ServerProcess) -> Iterator[tuple[httpx2.Client, str]]:
    """The simulator beside the server, and the mini-program's number."""
    merchant = json.loads((served.data_dir / "wechat" / "merchant.json").read_text())
    with httpx2.Client(base_url=merchant["url"]) as client:
        yield client, merchant["settings"]["wechat_app_id"]


def operator(served: ServerProcess, client: Client) -> Client:
    """Somebody at a terminal."""
    credentials = served.credentials
    terminal = {"terminal_device_id": credentials["terminal_device_id"]}
    client.token = client.call("OperatorLogin", **credentials["operator"], **terminal)[
        "access_token"
    ]
    return client


def test_over_grpc(served: ServerProcess, wechat: tuple[httpx2.Client, str]) -> None:
    with grpc.insecure_channel(served.target) as channel:
        gate = operator(served, OverGrpc(channel))
        traveller = Traveller(OverGrpc(channel), *wechat)
        loop(traveller, gate, served.credentials["terminal_device_id"])
    assert_invariants_by_doctor(served)


def test_over_json(served: ServerProcess, wechat: tuple[httpx2.Client, str]) -> None:
    with httpx2.Client(base_url=served.url) as http:
        gate = operator(served, OverJson(http))
        traveller = Traveller(OverJson(http), *wechat)
        loop(traveller, gate, served.credentials["terminal_device_id"])
    assert_invariants_by_doctor(served)
