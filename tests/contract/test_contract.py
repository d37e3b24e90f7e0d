"""What holds for every part of the contract, and the paths that were promised in JSON."""

import re
import subprocess
import sys
from typing import NamedTuple

import orjson
import pytest

from tests.support import described
from tests.support.described import ROOT, SECRET, Element, http, is_required, repeat, roles, rules

READING = re.compile(
    r"(Get|List|Lookup|Summarize|Decrypt|Download|StreamBatch|Export|Preview|Search|Quote|Watch"
    r"|Report(?=Redemptions|Sales))[A-Z]\w*"
)
"""Names of methods that change nothing."""

OPTIONAL_REQUEST_ID = {
    "Redeem": "seed 004 has none: the guard refuses a second scan, or its guard time does",
    "IssueQr": "only with `rotate` does it change anything",
    "IssueTicketQr": "likewise",
    "IssueOrderQr": "likewise",
    "CancelOrder": "a cancelled order stays cancelled and is answered again",
    "CreatePayment": "an order that is not paid has one payment, and that is answered again",
}
"""Where a request_id is taken but not required, and why a blind retry costs nothing."""

WITHOUT_MASK = {
    "UpdateWebhookEndpoint": "what a partner sets of it is sent whole",
    "UpdateNotificationPreferences": "all of it is sent",
    "UpdateConfigDraft": "its content is all of it, and its comment stays where none is sent",
    "UpdateNotificationTemplate": "publishes a new version, all of it",
}
"""Updates that say no fields, and why."""

KEPT = ("List", "Get", "Create", "Update", "Archive", "Unarchive")
"""What administrators do to what they keep."""

NOUNS = [
    "Partner",
    "PartnerKey",
    "Merchant",
    "Venue",
    "Terminal",
    "Operator",
    "Administrator",
    "Product",
    "Allotment",
    "City",
    "Stop",
    "Route",
    "Timetable",
    "Departure",
    "EntitlementTemplate",
    "Promotion",
    "HolidayCalendar",
    "CarCategory",
    "RentalLocation",
    "RentalExtra",
    "RentalFleet",
    "NotificationTemplate",
    "QrKey",
]
PLURALS = {"City": "Cities", "CarCategory": "CarCategories"}

OWN_WORDS = {
    "PartnerKey": {"Update": "CreatePartnerKey", "Archive": "RevokePartnerKey"},
    "Administrator": {"Archive": "RevokeAdministrator"},
    "Departure": {
        "Create": "CreateTimetable",
        "Update": "MoveDeparture",
        "Archive": "CancelDeparture",
    },
    "NotificationTemplate": {
        "Create": "UpdateNotificationTemplate",
        "Archive": "UpdateNotificationTemplate",
    },
    "QrKey": {
        "Create": "CompromiseQrKey",
        "Update": "CompromiseQrKey",
        "Archive": "CompromiseQrKey",
    },
}
"""What is called by another name: a key is not changed but replaced, and never comes back, no more
than an administrator or what was cancelled; templates of messages are there from the beginning, and
switched off; `deeptravel qr-keys` makes and revokes those of QR codes.
"""

PICTURES_OF_TOKENS = {"png", "svg", "raster"}
PERSONAL = {
    "deeptravel.tickets.v1.CustomerInfo.name",
    "deeptravel.admin.v1.ApplyAbnormalRefundRequest.bank_account",
    "deeptravel.admin.v1.AdminLoginRequest.code",
    "deeptravel.admin.v1.ApplyAbnormalRefundRequest.real_name",
    "deeptravel.admin.v1.ConfirmSecondFactorRequest.code",
    "deeptravel.admin.v1.ConfirmSecondFactorResponse.recovery_codes",
    "deeptravel.admin.v1.RenewRecoveryCodesRequest.code",
    "deeptravel.admin.v1.RenewRecoveryCodesResponse.recovery_codes",
    "deeptravel.admin.v1.EnrolSecondFactorResponse.otpauth_uri",
    "deeptravel.admin.v1.Traveller.openid",
    "deeptravel.admin.v1.Traveller.unionid",
    "deeptravel.admin.v1.ListTravellersRequest.openid",
    "deeptravel.ticketing.v1.Passenger.name",
    "deeptravel.ticketing.v1.Passenger.document_number",
    "deeptravel.ticketing.v1.OrderedPassenger.name",
    "deeptravel.ticketing.v1.CreateOrderRequest.contact_phone",
    "deeptravel.ticketing.v1.Order.contact_phone",
    "deeptravel.ticketing.v1.TravellerLoginRequest.code",
    "deeptravel.ticketing.v1.NotificationPreferences.email",
    "deeptravel.ticketing.v1.NotificationPreferences.phone",
    "deeptravel.ota.v1.ExportTicketsResponse.file",
    "deeptravel.admin.v1.GetOrderResponse.contact_phone",
    "deeptravel.admin.v1.OrderOverview.names",
    "deeptravel.admin.v1.OrderSearch.contact_phone",
    "deeptravel.admin.v1.OrderSearch.document_number",
    "deeptravel.admin.v1.OrderSearch.name",
    "deeptravel.admin.v1.OrderTraveller.document_masked",
    "deeptravel.admin.v1.OrderTraveller.name",
    "deeptravel.admin.v1.TicketOverview.customer_name",
}

OPERATORS = {"OPERATOR", "SUPERVISOR"}


class Path(NamedTuple):
    """A path of issue 2's table: who may call it, and the fields of request and answer; `?`
    marks optional ones.
    """

    verb: str
    path: str
    callers: set[str]
    request: str
    answer: str


PROMISED = [
    Path(
        *("POST", "/ota/tickets/bulk-generate", {"PARTNER"}),
        request="product_id quantity request_id distributor_id? activation?{customer payment}",
        answer="batch_id quantity tickets[ticket_code status] next_page_token",
    ),
    Path(
        *("POST", "/ota/tickets/{ticket_code}/activate", {"PARTNER"}),
        request="ticket_code request_id customer{name type?}"
        " payment{reference amount_minor? currency_code}",
        answer="ticket_code status order_id",
    ),
    Path(
        *("GET", "/ota/inventory", {"PARTNER"}),
        request="product_id?",
        answer="inventory[product_id total held sold available]",
    ),
    Path(
        *("GET", "/ota/tickets", {"PARTNER"}),
        request="status? batch_id? page_size? page_token?",
        answer="tickets[ticket_code status] next_page_token",
    ),
    Path(
        *("POST", "/qr/{ticket_code}", {"PARTNER"}),
        request="ticket_code rotate?",
        answer="ticket_code jti encrypted_data expire_time png",
    ),
    Path(
        *("POST", "/operators/login", {"ANYONE"}),
        request="username password terminal_device_id",
        answer="access_token refresh_token expires_in",
    ),
    Path(
        *("POST", "/validators/sessions", OPERATORS),
        request="terminal_device_id",
        answer="session_code",
    ),
    Path(
        *("POST", "/qr/decrypt", OPERATORS | {"PARTNER", "ADMIN"}),
        request="encrypted_data",
        answer="jti ticket_code ticket_info{ticket_type status customer_info{type name}"
        " entitlements[function_code remaining_uses]}",
    ),
    Path(
        *("POST", "/venue/scan", OPERATORS),
        request="qr_token function_code terminal_device_id? quantity? request_id? session_code?",
        answer="result ticket_status entitlements[function_code remaining_uses]"
        " performance_metrics{fraud_checks_passed} reason explanation{check en zh}",
    ),
    Path(
        *("GET", "/venue/analytics/redemptions", OPERATORS | {"ADMIN"}),
        request="jti? ticket_code? page_size? page_token?",
        answer="redemptions[ticket_code function_code jti result reason terminal_device_id"
        " redeemed_at] next_page_token",
    ),
]

METHODS = {element.name: element for element in described.of_kind("Method")}


def test_every_method_says_who_may_call_it() -> None:
    for method in METHODS.values():
        allowed = roles(method.proto)
        assert allowed, f"{method.name} has no access option"
        assert "UNSPECIFIED" not in allowed
        assert "ANYONE" not in allowed or allowed == ["ANYONE"], f"{method.name}: anyone is all"


def test_every_element_is_explained() -> None:
    assert [element.name for element in described.elements() if not element.comment] == []


def test_reasons_named_in_comments_exist() -> None:
    reasons = described.values("deeptravel.common.v1.ErrorReason")
    named = {}
    for name, method in METHODS.items():
        for listed in re.findall(r"Reasons: ([^.]*)", method.comment):
            unexplained = re.sub(r"\([^)]*\)", "", listed)
            named[name] = set(re.findall(r"\b[A-Z_]{4,}\b", unexplained))
    assert {"SOLD_OUT", "IDEMPOTENCY_MISMATCH"} <= named[
        "deeptravel.ota.v1.OtaService.BulkGenerateTickets"
    ]
    assert set().union(*named.values()) <= reasons.keys()


@pytest.mark.parametrize("promised", PROMISED, ids=lambda promised: promised.path)
def test_promised_path(promised: Path) -> None:
    found = [m for m in METHODS.values() if http(m.proto) == (promised.verb, promised.path)]
    assert len(found) == 1
    method = found[0].proto
    assert set(roles(method)) == promised.callers
    _has_fields(method.input_type, promised.request, required=True)
    _has_fields(method.output_type, promised.answer, required=False)


def _has_fields(message_type: str, wanted: str, *, required: bool) -> None:
    """Checks fields given as in PROMISED: `name?` optional, `name[…]` a list, `name{…}` a
    message.
    """
    fields = {f.name: f for f in described.messages()[message_type.lstrip(".")].field}
    for name, optional, shape in _split(wanted):
        assert name in fields, f"{message_type} has no {name}"
        field = fields.pop(name)
        is_list = field.label == field.LABEL_REPEATED
        assert is_list == shape.startswith("[")
        if required:
            assert is_required(field) != optional, f"{message_type}.{name}"
        if shape:
            _has_fields(field.type_name, shape[1:-1], required=required)
    if required:
        assert [name for name, field in fields.items() if is_required(field)] == []


def _split(wanted: str) -> list[tuple[str, bool, str]]:
    found, depth, start = [], 0, 0
    for index, character in enumerate(wanted + " "):
        depth += (character in "[{") - (character in "]}")
        if character == " " and not depth:
            match = re.fullmatch(r"(\w+)(\??)(.*)", wanted[start:index])
            assert match, wanted
            found.append((match[1], bool(match[2]), match[3]))
            start = index + 1
    return found


def test_every_http_path_is_in_the_openapi_document() -> None:
    document = orjson.loads((ROOT / "generated/deeptravel/openapi.json").read_bytes())
    described_there = {
        (verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs
    }
    annotated = [http(method.proto) for method in METHODS.values() if http(method.proto)[0]]
    assert len(annotated) == len(set(annotated))
    assert described_there == set(annotated)


def test_only_streams_have_no_http_path() -> None:
    without = [m.proto for m in METHODS.values() if not http(m.proto)[0]]
    assert all(method.client_streaming or method.server_streaming for method in without)


def test_get_changes_nothing_and_secrets_stay_out_of_urls() -> None:
    for method in METHODS.values():
        verb, _ = http(method.proto)
        request = described.messages()[method.proto.input_type.lstrip(".")]
        if verb == "GET":
            assert READING.fullmatch(method.proto.name), method.name
            assert not [field.name for field in request.field if _is_secret(field.name)]


def test_every_changing_method_takes_a_request_id() -> None:
    """Or its option says what becomes of a repeat."""
    optional = set()
    for method in METHODS.values():
        name = method.proto.name
        request = described.messages()[method.proto.input_type.lstrip(".")]
        found = [field for field in request.field if field.name == "request_id"]
        if READING.fullmatch(name):
            assert not found, f"{name} changes nothing"
            assert repeat(method.proto) == ("" if http(method.proto)[0] in ("GET", "") else "READS")
        elif not found:
            assert repeat(method.proto) in ("NO_FURTHER_EFFECT", "ANEW", "BY_MESSAGE"), name
        else:
            assert not repeat(method.proto), name
            assert rules(found[0]).string.max_len == 64, name
            if not is_required(found[0]):
                optional.add(name)
    assert optional == OPTIONAL_REQUEST_ID.keys()


def test_every_update_names_what_it_changes_and_what_was_read() -> None:
    """A version, and of an Update a field mask, or why not; a Set says all of what it is named
    after. That a stale version is refused, of each: `tests/api/test_admin_catalogue.py`, and of
    what administrators do not keep in its room.
    """
    without_mask = set()
    for method in METHODS.values():
        name = method.proto.name
        if not re.match("(Update|Set)[A-Z]", name):
            continue
        request = described.messages()[method.proto.input_type.lstrip(".")]
        fields = {field.name for field in request.field}
        # a version of what sells counts its changes by another name
        assert fields & {"version", "revision"}, f"{name} overwrites what it has not read"
        if name.startswith("Update") and "update_mask" not in fields:
            without_mask.add(name)
    assert without_mask == WITHOUT_MASK.keys()


def test_what_becomes_of_a_stale_version_is_said() -> None:
    """Of 19 methods that take one it was not."""
    for method in METHODS.values():
        request = described.messages()[method.proto.input_type.lstrip(".")]
        fields = {field.name for field in request.field}
        if "request_id" in fields and fields & {"version", "revision"}:
            assert "VERSION_MISMATCH" in method.comment, method.name


def test_all_that_administrators_keep_is_kept_alike() -> None:
    """Listed, read, created, changed, archived and taken back, but for OWN_WORDS."""
    service = "deeptravel.admin.v1.AdminService."
    names = {name.removeprefix(service) for name in METHODS if name.startswith(service)}
    missing: dict[str, set[str]] = {}
    for noun in NOUNS:
        for verb in KEPT:
            many = PLURALS.get(noun, f"{noun}s") if verb == "List" else noun
            if verb + many not in names:
                missing.setdefault(noun, set()).add(verb)
    for noun, words in OWN_WORDS.items():
        assert missing.pop(noun) - words.keys() <= {"Unarchive"}
        assert set(words.values()) <= names
    assert not missing


def test_every_list_is_paged() -> None:
    for method in METHODS.values():
        if not method.proto.name.startswith("List"):
            continue
        messages = described.messages()
        request = {f.name: f for f in messages[method.proto.input_type.lstrip(".")].field}
        answer = {f.name: f for f in messages[method.proto.output_type.lstrip(".")].field}
        sizes = rules(request["page_size"]).int32
        assert (sizes.gte, sizes.lte) == (1, 200)
        assert "page_token" in request
        assert "next_page_token" in answer


def test_requests_and_answers_are_named_after_their_methods() -> None:
    for method in METHODS.values():
        assert method.proto.input_type.endswith(f".{method.proto.name}Request")
        assert method.proto.output_type.endswith(f".{method.proto.name}Response")


def test_names_of_times_and_money() -> None:
    for field in described.of_kind("Field"):
        name = field.proto.name
        if field.proto.type_name == ".google.protobuf.Timestamp":
            assert re.fullmatch(r"(\w+_)?time(_from|_until)?|redeemed_at", name), field.name
        if ("amount" in name or "price" in name) and not field.proto.type_name:
            assert name.endswith("_minor"), field.name
            assert field.proto.type == field.proto.TYPE_INT64, field.name
        assert field.proto.type not in {field.proto.TYPE_FLOAT, field.proto.TYPE_DOUBLE}, field.name


def test_every_name_can_be_written_in_a_field_mask() -> None:
    """In JSON a mask's names are in lowerCamelCase, and no library finds the way back from `line2`
    to `line_2`.

    Three of four libraries refuse to print such a mask. Seen red with `city_2`.
    """
    wrong = {
        f"{parent.name}.{field.name}"
        for parent in described.of_kind("")
        for field in parent.proto.field
        if re.search(r"_[^a-z]|_$", field.name)
    }
    assert wrong == set()


def _is_secret(name: str) -> bool:
    return bool(SECRET.fullmatch(name)) or name in PICTURES_OF_TOKENS


def test_secrets_and_personal_data_are_redacted() -> None:
    def should_be(field: Element) -> bool:
        return _is_secret(field.proto.name) or field.name in PERSONAL

    fields = described.of_kind("Field")
    assert {field.name for field in fields} >= PERSONAL
    redacted = {field.name for field in fields if field.proto.options.debug_redact}
    assert redacted == {field.name for field in fields if should_be(field)}


def test_generated_code_is_what_the_protos_say() -> None:
    command = [sys.executable, "tools/generate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_java_gets_a_class_for_each_message_in_a_package_of_ours() -> None:
    """Without the options protoc nests all of a file in one class, `OrderOuterClass`. Seen red
    without them.
    """
    files = [file for file in described.files() if file.package.startswith("deeptravel.")]
    assert len(files) == len(list((ROOT / "protos/deeptravel").rglob("*.proto")))
    for file in files:
        assert file.options.java_package == f"com.{file.package}", file.name
        assert file.options.java_multiple_files, file.name
