"""An example of each call, as curl, grpcurl, Python and Java: what a reader copies.

Its values come from the table below, by the field's name; where that has none, from the field's
rules. A test holds that each is a valid request.
"""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from tools.example_values import DAY, OWN_VALUES, VALUES
from tools.openapi import RULES, Contract
from tools.python_client import RAW_BODY, iterator, paged, snake

Json = dict[str, Any]

HTTP, GRPC = "http://127.0.0.1:8080", "127.0.0.1:50051"
MOMENT, LATER = "2027-03-01T02:00:00Z", "2027-03-02T02:00:00Z"
BYTES = base64.b64encode(b"the file").decode()
"""Of a field of bytes, as JSON writes it."""
SIMPLE: dict[int, Any] = {FieldDescriptor.TYPE_BOOL: True, FieldDescriptor.TYPE_BYTES: BYTES}
OF_TRAVELLERS = {"order_id": "ORD-DT-20270301-000001", "ticket_code": "DIR-DT-20270301-000001"}
"""Codes of what is sold without a partner."""
UUID = "0b6f3e52-8a3c-4f0e-9d53-0c6f1f3b7a11"
CANDIDATES = (UUID, UUID.replace("-", ""), "CP", "4711", DAY, "09:30", "weekday", "code-1", "text")
"""For a field that the table does not have, the first that its pattern takes."""
GIVEN: dict[str, str] = {
    name: VALUES[name]
    for name in (
        *("batch_id", "encrypted_data", "endpoint_id", "event_id", "offer_id", "order_id"),
        *("redemption_id", "refresh_token", "refund_quote", "reservation_id", "session_code"),
        "ticket_code",
    )
}
"""What calls give and later ones take: where it stands in an example, a try puts in its own."""
SHOWN_TOO = {
    "AcknowledgeEventsRequest": ("cursor",),
    "AdvanceTestClockRequest": ("by_seconds",),
    "BulkGenerateTicketsRequest": ("distributor_id",),
    "CancelTicketsRequest": ("ticket_codes",),
    "ConnectChannelRequest": ("credentials",),
    "CreateChannelListingRequest": ("product_id",),
    "UpdateChannelRequest": ("calls_per_minute",),
    "UpdateChannelListingRequest": ("threshold",),
    "CreateAllotmentRequest": ("total",),
    "CreateDistributorRequest": ("commission_basis_points",),
    "CreateOperatorRequest": ("venue_codes",),
    "CreateVenueRequest": ("function_codes",),
    "CreateWebhookEndpointRequest": ("types",),
    "CustomerInfo": ("type",),
    "ExportTicketsRequest": ("format", "with_qr"),
    "Fare": ("amount_minor",),
    "ListAuditEventsRequest": ("resource", "name"),
    "ListBatchTicketsRequest": ("with_qr",),
    "ListDeparturesRequest": ("travel_date",),
    "ListRedemptionsRequest": ("ticket_code",),
    "ListReservationsRequest": ("status",),
    "ListTicketsRequest": ("page_size",),
    "LookupOrderRequest": ("encrypted_data",),
    "Passenger": ("document_type", "document_number"),
    "PaymentProof": ("amount_minor",),
    "ReassignTicketsRequest": ("ticket_codes", "distributor_id"),
    "RedeemManyRequest": ("all_or_nothing",),
    "RedeemRequest": ("function_code",),
    "ReplayWebhookDeliveriesRequest": ("after_cursor",),
    "ReserveInventoryRequest": ("hold_seconds",),
    "RotateWebhookSecretRequest": ("overlap_seconds",),
    "RouteFare": ("amount_minor",),
    "SearchOffersRequest": ("kinds", "available_only"),
    "SearchRentalsRequest": ("pick_up_location_id", "extras"),
    "SetAllotmentTermsRequest": ("hold_seconds", "max_hold_seconds", "release_days"),
    "SetRouteFaresRequest": ("fares",),
    "SetSandboxStockRequest": ("total",),
    "SimulateRedemptionRequest": ("qr_token", "function_code"),
    "StreamBatchTicketsRequest": ("with_qr",),
    "SummarizeRedemptionsRequest": ("time_from", "time_until", "group_by"),
    "UpdateWebhookEndpointRequest": ("types",),
}
"""Fields that a call does not need, and a reader wants to see."""
CHANGED = (
    *("display_name", "display_name_en", "total", "departure_clock", "fares", "grace_minutes"),
    *("calls_per_minute", "threshold"),
)
"""What an update mask names: the first that there is."""
SIGNED_BY = {
    "ReceivePartnerPayment": (
        *("webhook-id: msg_2027-03-01-1", "webhook-timestamp: $SECONDS"),
        "webhook-signature: v1,$SIGNATURE",
    ),
    "ReceiveWechatPayNotice": (
        *("Wechatpay-Timestamp: $SECONDS", "Wechatpay-Nonce: $NONCE"),
        *("Wechatpay-Serial: $SERIAL", "Wechatpay-Signature: $SIGNATURE"),
    ),
}
"""The headers of those who sign what they send, by method."""
RAW_BODIES = {
    "ReceivePartnerPayment": {
        "type": "payment.succeeded",
        "timestamp": MOMENT,
        "data": {
            "payment_reference": "PAY-20270301-1",
            "amount_minor": 29_800,
            "currency_code": "CNY",
            "customer": {"type": "ADULT", "name": "张三"},
            "ticket_codes": ["OTA-CP-20270301-000001"],
        },
    },
    "ReceiveWechatPayNotice": {
        "id": "EV-20270301020000000001",
        "event_type": "TRANSACTION.SUCCESS",
        "resource_type": "encrypt-resource",
        "resource": {
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": "…",
            "nonce": "…",
            "associated_data": "transaction",
        },
    },
}
"""What those send that call a method with a body of their own, by method."""
OBSERVER = """\
StreamObserver<%(answer)s> answers =
    new StreamObserver<>() {
      @Override
      public void onNext(%(answer)s answer) {
        System.out.println(answer);
      }

      @Override
      public void onError(Throwable error) {
        error.printStackTrace();
      }

      @Override
      public void onCompleted() {}
    };
"""
JAVA_INTEGERS = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}


@dataclass(frozen=True)
class Example:
    """One call in four languages.

    Attributes:
        request: as JSON of protobuf, with whole names of enums.
        curl: over HTTP.
        grpcurl: over gRPC.
        python: with the package `deeptravel`.
        java: with `com.deeptravel.client`.
    """

    request: Json
    curl: str
    grpcurl: str
    python: str
    java: str


class Examples:
    """Makes the examples of a contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def of(self, method: MethodDescriptor, header: str) -> Example:
        """The example of a method; `header` is what its caller shows."""
        request = self._message(method.input_type)
        if method.containing_service.name == "TicketingService":
            request |= {name: OF_TRAVELLERS[name] for name in request if name in OF_TRAVELLERS}
        return Example(
            request,
            self._curl(method, request, header),
            _grpcurl(method, request, header),
            self._python(method, request),
            self._java(method, request),
        )

    def _message(self, message: Descriptor, depth: int = 0) -> Json:
        shown: tuple[str, ...] = SHOWN_TOO.get(message.name, ())
        if "update_mask" in message.fields_by_name:
            shown = (_changed(message), "update_mask")
        found: Json = {}
        for field in message.fields:
            required = self._contract.option(field, RULES).required
            if not (required or field.name in shown or field.name == "request_id"):
                continue
            value = self._value(field, depth)
            found[field.name] = [value] if field.is_repeated else value
        if message.name == "SummarizeRedemptionsRequest":
            found["time_until"] = LATER
        for choice in message.oneofs:
            if len(choice.fields) > 1 and not any(each.name in found for each in choice.fields):
                field = choice.fields[0]
                found[field.name] = self._value(field, depth)
        return found

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        assert field.containing_type is not None, "a field of a message"
        own = f"{field.containing_type.name}.{field.name}"
        if own in OWN_VALUES:
            return OWN_VALUES[own]
        kind = field.message_type
        if kind is not None:
            known = {"Timestamp": MOMENT, "Duration": "60s"}
            if kind.name == "FieldMask":
                return _camel(_changed(field.containing_type))
            if kind.full_name.startswith("google.protobuf."):
                return known.get(kind.name, {})
            return self._message(kind, depth + 1)
        if field.enum_type is not None:
            wanted = str(VALUES.get(field.name))
            names = [value.name for value in field.enum_type.values]
            return wanted if wanted in names else names[1]
        rules = self._contract.option(field, RULES)
        rules = rules.repeated.items if field.is_repeated else rules
        if field.type == FieldDescriptor.TYPE_STRING:
            return _text(field, rules.string)
        if field.type in SIMPLE:
            return SIMPLE[field.type]
        value = VALUES.get(field.name, VALUES.get(field.name.removesuffix("s"), 1))
        return value if isinstance(value, int) else 1

    # ------------------------------------------------------------------------------ as commands

    def _curl(self, method: MethodDescriptor, request: Json, header: str) -> str:
        rule = self._contract.option(method, "google.api.http")
        verb = rule.WhichOneof("pattern")
        if verb is None:
            return ""
        path, left = getattr(rule, verb), self.as_gateway_reads(method.input_type, request)
        for name in re.findall(r"\{([^=}]+)", path):
            path = re.sub(rf"\{{{name}[^}}]*\}}", str(left.pop(name, "")), path)
        lines = [f"curl {'' if verb in {'get', 'post'} else f'-X {verb.upper()} '}{HTTP}{path}"]
        if not rule.body and left:
            query = "&".join(f"{name}={_query(value)}" for name, value in left.items())
            lines[0] = f"curl '{HTTP}{path}?{query}'"
        lines += [f'-H "{header}"'] if header else []
        lines += [f'-H "{each}"' for each in SIGNED_BY.get(method.name, ())]
        if rule.body:
            body = RAW_BODIES.get(method.name) or left
            text = json.dumps(body, ensure_ascii=False)
            lines += ["-H 'Content-Type: application/json'", f"-d '{text}'"]
        return " \\\n  ".join(lines)

    def as_gateway_reads(self, message: Descriptor, request: Json) -> Json:
        """The same in JSON as the gateway shows it: enums without their prefix."""
        found: Json = {}
        for name, value in request.items():
            field = message.fields_by_name[name]
            values = value if isinstance(value, list) else [value]
            if field.enum_type is not None:
                lower = self._contract.option(field, "deeptravel.common.v1.json_lower_case")
                prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
                values = [str(each).removeprefix(prefix) for each in values]
                values = [each.lower() for each in values] if lower else values
            elif field.message_type is not None and isinstance(values[0], dict):
                values = [self.as_gateway_reads(field.message_type, each) for each in values]
            found[name] = values if isinstance(value, list) else values[0]
        return found

    def _python(self, method: MethodDescriptor, request: Json) -> str:
        noun = method.containing_service.full_name.split(".")[1]
        items = _listed(method)
        name = snake(method.name) if items is None else iterator(method.name, items.name)
        call = f"client.{noun}.{name}"
        if method.client_streaming:
            text = _python_message(method.input_type, request)
            return f"for answer in {call}([{text}]):\n    print(answer)"
        given = _python_arguments(method.input_type, request)
        text = f"{call}(" + "".join(f"\n    {each}," for each in given) + ("\n)" if given else ")")
        if file := _file(method.output_type):
            inside = text.replace("\n", "\n    ")
            return (
                f'with open("{_file_name(request)}", "wb") as file:\n'
                f"    for part in {inside}:\n        file.write(part.{file.name}.data)"
            )
        if items is not None or method.server_streaming:
            return f"for each in {text}:\n    print(each)"
        return f"answer = {text}"

    def _java(self, method: MethodDescriptor, request: Json) -> str:
        grpc = f"{method.containing_service.name}Grpc"
        service = f"{grpc}.get{method.name}Method()"
        if method.client_streaming:
            built = _java_message(method.input_type, request, "    ")
            stub = f"{grpc}.newStub(client.channel()).{_camel(snake(method.name))}"
            return (
                f"{OBSERVER % {'answer': method.output_type.name}}var requests = {stub}(answers);\n"
                f"requests.onNext(\n    {built});\nrequests.onCompleted();"
            )
        built = _java_message(method.input_type, request, "        ")
        items, answers = _listed(method), method.output_type.name
        if items is not None:
            got = f"{answers}::get{_pascal(items.name)}List"
            return (
                f"for (var each :\n    client.pages(\n        {service},\n        {built},"
                f"\n        {got})) {{\n  System.out.println(each);\n}}"
            )
        if not method.server_streaming:
            return f"var answer =\n    client.call(\n        {service},\n        {built});"
        opened = f"client.stream(\n        {service},\n        {built})"
        if file := _file(method.output_type):
            path = f'Files.newOutputStream(Path.of("{_file_name(request)}"))'
            return (
                f"try (var file = {path};\n    var parts = {opened}) {{\n"
                f"  for (var part : parts) {{\n    part.get{_pascal(file.name)}().getData()"
                ".writeTo(file);\n  }\n}"
            )
        return f"try (var answers =\n    {opened}) {{\n  answers.forEach(System.out::println);\n}}"


def _listed(method: MethodDescriptor) -> FieldDescriptor | None:
    """What a list lists; None for all else, also for something whose parts come in pages."""
    return paged(method) if method.name.startswith(("List", "Search")) else None


def _file(answer: Descriptor) -> FieldDescriptor | None:
    """Of what a download sends: the field with the file's next bytes."""
    for field in answer.fields:
        if field.message_type is not None and field.message_type.full_name == RAW_BODY:
            return field
    return None


def _file_name(request: Json) -> str:
    return ("statement-2026-11" if "month" in request else "tickets") + ".csv"


def _text(field: FieldDescriptor, rules: Any) -> str:
    named = VALUES.get(field.name, VALUES.get(field.name.removesuffix("s")))
    found = named if isinstance(named, str) else _guess(field.name)
    if rules.pattern and not re.search(rules.pattern, found):
        return next((each for each in CANDIDATES if re.search(rules.pattern, each)), found)
    return found[: rules.max_len or None]


def _changed(message: Descriptor | None) -> str:
    assert message is not None, "an update mask is a field"
    return next(name for name in CHANGED if name in message.fields_by_name)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _pascal(name: str) -> str:
    return "".join(map(str.capitalize, name.split("_")))


def _guess(name: str) -> str:
    if name.endswith(("_id", "_ids")):
        return UUID
    return "CODE-1" if "code" in name else "text"


def _query(value: Any) -> str:
    if isinstance(value, list):
        return str(value[0])
    return str(value).lower() if isinstance(value, bool) else str(value)


def _grpcurl(method: MethodDescriptor, request: Json, header: str) -> str:
    lines = ["grpcurl -plaintext"]
    lines += [f'-H "{header}"'] if header else []
    lines += [f"-d '{json.dumps(_grpcurl_body(method, request), ensure_ascii=False)}'"]
    lines += [f"{GRPC} {method.containing_service.full_name}/{method.name}"]
    return " \\\n  ".join(lines)


def _grpcurl_body(method: MethodDescriptor, request: Json) -> Json:
    """grpcurl takes a FieldMask by its paths, and no text (findings/grpcurl-field-mask-text.sh)."""
    masks = {
        field.name
        for field in method.input_type.fields
        if field.message_type is not None and field.message_type.name == "FieldMask"
    }
    return {
        name: {"paths": [_changed(method.input_type)]} if name in masks else value
        for name, value in request.items()
    }


def _python_arguments(message: Descriptor, request: Json) -> list[str]:
    lines = []
    for name, value in request.items():
        field = message.fields_by_name[name]
        values = value if isinstance(value, list) else [value]
        texts = [_python_value(field, each) for each in values]
        lines.append(f"{name}=[{', '.join(texts)}]" if field.is_repeated else f"{name}={texts[0]}")
    return lines


def _python_value(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is not None:
        return f"{field.enum_type.full_name.split('.')[1]}.{value}"
    kind = field.message_type
    if field.type == FieldDescriptor.TYPE_BYTES:
        return repr(base64.b64decode(value))
    if kind is None:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
    if kind.name == "Timestamp":
        return f'datetime.fromisoformat("{value}")'
    if kind.name == "FieldMask":
        return f'FieldMask(paths=["{_changed(field.containing_type)}"])'
    return _python_message(kind, value)


def _python_message(message: Descriptor, request: Json) -> str:
    noun = message.full_name.split(".")[1]
    return f"{noun}.{message.name}({', '.join(_python_arguments(message, request))})"


def _java_message(message: Descriptor, request: Json, indent: str) -> str:
    lines = [f"{message.name}.newBuilder()"]
    for name, value in request.items():
        field = message.fields_by_name[name]
        camel = _pascal(name)
        verb = "add" if field.is_repeated else "set"
        for each in value if isinstance(value, list) else [value]:
            lines.append(f"    .{verb}{camel}({_java_value(field, each, indent + '    ')})")
    return f"\n{indent}".join([*lines, "    .build()"])


def _java_value(field: FieldDescriptor, value: Any, indent: str) -> str:
    if field.enum_type is not None:
        return f"{field.enum_type.name}.{value}"
    kind = field.message_type
    if kind is not None:
        if kind.name == "Timestamp":
            seconds = f'Instant.parse("{value}").getEpochSecond()'
            return f"Timestamp.newBuilder().setSeconds({seconds})"
        if kind.name == "FieldMask":
            return f'FieldMask.newBuilder().addPaths("{_changed(field.containing_type)}")'
        return _java_message(kind, value, indent)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return f'ByteString.copyFromUtf8("{base64.b64decode(value).decode()}")'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value}L" if field.cpp_type in JAVA_INTEGERS else str(value)
    return json.dumps(value, ensure_ascii=False)
