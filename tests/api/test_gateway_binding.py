"""What a request says by path, query and body is what the RPC gets, whatever it says."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import grpc
import pytest
import pytest_asyncio
from deeptravel.ota.v1 import ota_service_pb2
from deeptravel.redemption.v1 import redemption_service_pb2
from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.api.admin import servicer_catalogue_files, servicer_gtfs
from server.api.http import answers, openapi, protojson
from server.api.ota import list_messages
from server.audit import exports
from server.notifications import calendar_entries
from server.partners import statement_files
from server.reports import report_csv
from tests.support import probe
from tests.support.messages import messages
from tests.support.probe import Setup

PROBE = probe.load()
EVERYTHING = PROBE.methods_by_name["Echo"].input_type
INNER = PROBE.methods_by_name["Name"].input_type
SERVICES = (
    ota_service_pb2.DESCRIPTOR.services_by_name["OtaService"],
    redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"],
)
METHODS = [
    method
    for service in SERVICES
    for method in service.methods
    if method.GetOptions().HasExtension(annotations_pb2.http)
]
IN_JSON = [
    method
    for method in METHODS
    for rule in [method.GetOptions().Extensions[annotations_pb2.http]]
    if rule.body in {"", "*"} and not rule.response_body
]
"""All but those that take a body, or answer a file, as it is."""
DOCUMENT = json.loads(openapi.document())

one_server_for_all_examples = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
a_segment = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda text: text not in {".", ".."}  # clients take these out of a path themselves
)


@pytest_asyncio.fixture
async def setup() -> AsyncIterator[Setup]:
    async with probe.running(PROBE, *SERVICES) as running:
        yield running


def violations(answer: Any) -> list[str]:
    """The fields a refusal names; asserts that it is one."""
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == 3
    details = {each["@type"].rpartition(".")[2]: each for each in answer.json()["details"]}
    assert details["ErrorInfo"]["reason"] == "INVALID_FIELD"
    return [each["field"] for each in details["BadRequest"]["field_violations"]]


async def good(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def parameters(message: Message, prefix: str = "") -> Any:
    """The message as query parameters, written without our code; None if it cannot be one."""
    written = json_format.MessageToDict(message, preserving_proto_field_name=True)
    found: list[tuple[str, str]] = []
    for name, value in written.items():
        part = getattr(message, name, None)
        items = value if isinstance(value, list) else [value]
        if isinstance(value, dict) and isinstance(part, Message):
            deeper = parameters(part, f"{prefix}{name}.")
            if not deeper or name == "anything":
                return None
            found += deeper
        elif any(isinstance(item, dict) for item in items):
            return None
        else:
            texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in items]
            found += [(f"{prefix}{name}", text) for text in texts]
    return found


@one_server_for_all_examples
@given(method=st.sampled_from(IN_JSON), data=st.data())
async def test_every_request_of_the_contract_arrives_as_it_was_sent(
    setup: Setup, method: MethodDescriptor, data: st.DataObject
) -> None:
    message = data.draw(messages(method.input_type))
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    path = getattr(rule, verb)
    for name in re.findall(r"{(\w+)}", path):
        text = data.draw(a_segment)
        setattr(message, name, text)
        path = path.replace(f"{{{name}}}", quote(text, safe=""))
    snake = data.draw(st.booleans())
    body = json_format.MessageToDict(message, preserving_proto_field_name=snake)
    query = None if rule.body else parameters(message)
    sent = {"json": body} if rule.body else {"params": query}
    answer = await setup.client.request(verb.upper(), path, **sent)
    assert answer.status_code == 200, answer.text
    assert setup.backend.calls[-1][0] == method.name
    assert setup.backend.last == message


@one_server_for_all_examples
@given(message=messages(EVERYTHING))
async def test_everything_comes_back_through_body_and_answer(
    setup: Setup, message: Message
) -> None:
    answer = await setup.client.post("/probe/echo", json=protojson.write(message))
    assert await good(answer) == json.loads(json.dumps(protojson.write(message)))
    assert setup.backend.last == message


@one_server_for_all_examples
@given(message=messages(EVERYTHING, 1))
async def test_everything_that_fits_goes_through_the_query(setup: Setup, message: Message) -> None:
    message.ClearField("value")
    query = parameters(message)
    if query is None or len(query) > 90:
        return
    await good(await setup.client.get("/probe/look", params=query))
    assert setup.backend.last == message


@one_server_for_all_examples
@given(name=a_segment, number=st.integers(-(2**31), 2**31 - 1), shelf=a_segment, book=a_segment)
async def test_paths_are_unescaped_once_and_in_their_segments(
    setup: Setup, name: str, number: int, shelf: str, book: str
) -> None:
    await good(await setup.client.get(f"/probe/deep/{quote(name, safe='')}"))
    assert setup.backend.last.inner.inner.text == name
    spanning = "/".join(("shelves", quote(shelf, safe=""), "books", quote(book, safe="")))
    await good(await setup.client.get(f"/probe/{spanning}/pages/{number}"))
    kept = [part.replace("/", "%2F") for part in (shelf, book)]
    assert setup.backend.last.text == f"shelves/{kept[0]}/books/{kept[1]}"
    assert setup.backend.last.number == number


@one_server_for_all_examples
@given(body=st.binary(max_size=60) | messages(EVERYTHING).map(lambda m: m.SerializeToString()))
async def test_no_bytes_are_a_fault_of_the_server(setup: Setup, body: bytes) -> None:
    answer = await setup.client.post("/probe/echo", content=body)
    if answer.status_code != 200:
        assert violations(answer)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
)
# deferred, not recursive: that one now and then takes its own recursion for none
JSON: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        SCALARS
        | st.lists(JSON, max_size=3)
        | st.dictionaries(st.sampled_from([f.name for f in EVERYTHING.fields]), JSON, max_size=4)
        | st.dictionaries(st.sampled_from([f.json_name for f in INNER.fields]), JSON, max_size=4)
    )
)


@one_server_for_all_examples
@given(value=JSON)
async def test_no_json_is_a_fault_of_the_server(setup: Setup, value: Any) -> None:
    text = json.dumps(value)
    answer = await setup.client.post("/probe/echo", content=text.replace("Infinity", "1e999"))
    if answer.status_code != 200:
        assert violations(answer)


@one_server_for_all_examples
@given(
    verb=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "BREW"]),
    path=st.lists(
        st.sampled_from(
            ["qr", "ota", "tickets", "venue", "scan", "probe", "look", "%", "%ff", "%2F"]
        )
        | a_segment.map(lambda text: quote(text, safe="")),
        max_size=5,
    ),
    query=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?")),
)
async def test_no_path_or_query_is_a_fault_of_the_server(
    setup: Setup, verb: str, path: list[str], query: str
) -> None:
    scope = {
        "type": "http",
        "method": verb,
        "path": "/none of the pages",
        "raw_path": ("/" + "/".join(path)).encode(),
        "query_string": query.encode(),
        "headers": [],
    }
    sent: list[Any] = []

    received: list[Any] = [{"type": "http.request", "body": b""}]

    async def receive() -> Any:
        return received.pop() if received else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await setup.app(scope, receive, send)
    assert sent[0]["status"] in {200, 400, 404, 405, 422}
    if sent[0]["status"] != 200:
        assert json.loads(sent[1]["body"])["code"] in {3, 5}


@pytest.mark.parametrize(
    ("verb", "path", "method", "values"),
    [
        ("POST", "/probe/fixed", "Name", {"text": ""}),
        ("POST", "/probe/other", "Name", {"text": "other"}),
        ("POST", "/probe/a:turn", "Name", {"text": "a"}),
        ("POST", "/probe/a%3Aturn", "Name", {"text": "a"}),
        ("POST", "/probe/a%2Fb:turn", "Name", {"text": "a/b"}),
        ("POST", "/probe/a:b", "Name", {"text": "a:b"}),
        ("POST", "/%70robe/100%25", "Name", {"text": "100%"}),
        ("POST", "/probe/%2541", "Name", {"text": "%41"}),
        ("POST", "/probe/a+b", "Name", {"text": "a+b"}),
        ("REPORT", "/probe/fixed", "Name", {"text": ""}),
        ("GET", "/probe/all/a/b%2Fc/d", "Name", {"text": "a/b%2Fc/d"}),
        ("GET", "/probe/all/", "Name", {"text": ""}),
        ("GET", "/probe/deep/x?number=5&tags=a&tags=b+c", "Name", {"number": 5}),
        ("HEAD", "/probe/look?small=5", "Look", {"small": 5}),
        ("GET", "/probe/look?someText=%C3%A9&truth=true&colour=red", "Look", {"some_text": "é"}),
        ("GET", "/probe/look?some_text=", "Look", {"some_text": ""}),
        ("POST", "/qr/decrypt", "DecryptQr", {}),
        ("POST", "/qr/OTA-CP-20251103-000001", "IssueQr", {"rotate": False}),
        ("POST", "/ota/tickets:activate", "ActivateTickets", {}),
        ("POST", "/ota/tickets%3Aactivate", "ActivateTickets", {}),
        ("POST", "/ota/tickets/bulk-generate", "BulkGenerateTickets", {}),
    ],
)
async def test_paths_find_their_method(
    setup: Setup, verb: str, path: str, method: str, values: dict[str, Any]
) -> None:
    answer = await setup.client.request(verb, path)
    assert answer.status_code == 200, answer.text
    assert setup.backend.calls[-1][0] == method
    assert {name: getattr(setup.backend.last, name) for name in values} == values


@pytest.mark.parametrize(
    ("verb", "path", "status", "allow"),
    [
        ("GET", "/probe/fixed", 405, "POST, REPORT"),
        ("DELETE", "/probe/look", 405, "GET, POST"),
        ("GET", "/venue/scan", 405, "POST"),
        ("POST", "/healthz", 405, "GET, HEAD"),
        ("DELETE", "/healthz", 405, "GET, HEAD"),
        ("GET", "/nowhere", 404, None),
        ("POST", "/qr/", 404, None),
        ("POST", "/qr/a/b", 404, None),
        ("POST", "/venue/scan/", 404, None),
        ("GET", "/VENUE/scan", 404, None),
    ],
)
async def test_what_is_not_there_is_refused(
    setup: Setup, verb: str, path: str, status: int, allow: str | None
) -> None:
    answer = await setup.client.request(verb, path)
    assert answer.status_code == status
    assert answer.headers.get("allow") == allow
    assert answer.json()["details"]


@pytest.mark.parametrize(
    ("verb", "path", "body", "fields"),
    [
        ("GET", "/probe/look?smal=1", None, ["smal"]),
        ("GET", "/probe/look?inner=1", None, ["inner"]),
        ("GET", "/probe/look?inner.texts=1", None, ["inner.texts"]),
        ("GET", "/probe/look?many.text=1", None, ["many.text"]),
        ("GET", "/probe/look?counts=1", None, ["counts"]),
        ("GET", "/probe/look?anything=1", None, ["anything"]),
        ("GET", "/probe/look?small=", None, ["small"]),
        ("GET", "/probe/look?small=1&small=1", None, ["small"]),
        ("GET", "/probe/look?some_text=a&someText=a", None, ["some_text"]),
        ("GET", "/probe/look?truth=1&numbers=1&numbers=x", None, ["truth", "numbers[1]"]),
        ("GET", "/probe/look?colour=green&at_time=now", None, ["colour", "at_time"]),
        ("GET", "/probe/look?inner.inner.number=x", None, ["inner.inner.number"]),
        ("GET", "/probe/look?some_text=%ff", None, ["query"]),
        ("GET", "/probe/look?" + "numbers=1&" * 101, None, ["query"]),
        ("GET", "/probe/look", "{}", ["body"]),
        ("GET", "/probe/shelves/a/books/b/pages/x", None, ["number"]),
        ("GET", "/probe/deep/%ff", None, ["inner.inner.text"]),
        ("GET", "/probe/deep/a?inner.inner.text=b", None, ["inner.inner.text"]),
        ("POST", "/probe/a", '{"text": "b"}', ["text"]),
        ("POST", "/probe/a?number=1", "{}", ["number"]),
        ("PUT", "/probe/part/1?inner.text=a", "{}", ["inner.text"]),
        ("PUT", "/probe/part/1", '{"text": 1, "more": 2}', ["inner.text", "inner.more"]),
        ("PUT", "/probe/part/x", "{}", ["small"]),
        ("PUT", "/probe/parts", '[{}, {"number": "x"}]', ["many[1].number"]),
        ("PUT", "/probe/parts", "{}", ["many"]),
        ("PUT", "/probe/texts", "5", ["some_text"]),
        ("POST", "/probe/echo", "[]", ["body"]),
        ("POST", "/probe/echo", '{"a": 1,}', ["body"]),
        (
            "POST",
            "/ota/tickets:activate",
            '{"request_id": 5, "activations": [{}, {"payment": {"amount_minor": "1.5"}}]}',
            ["request_id", "activations[1].payment.amount_minor"],
        ),
        (
            "POST",
            "/ota/tickets/bulk-generate",
            '{"quantity": "many", "activation": {"customer": {"nam": "x", "type": "cat"}}}',
            ["quantity", "activation.customer.nam", "activation.customer.type"],
        ),
    ],
)
async def test_each_fault_of_a_request_is_named(
    setup: Setup, verb: str, path: str, body: str | None, fields: list[str]
) -> None:
    answer = await setup.client.request(verb, path, content=body)
    assert violations(answer) == fields
    assert setup.backend.calls == []


async def test_a_field_can_be_the_whole_body(setup: Setup) -> None:
    answer = await setup.client.put("/probe/part/7?fine=0.5", json={"text": "a", "number": 1})
    assert await good(answer) == {"text": "a", "number": 1, "tags": []}
    assert (setup.backend.last.small, setup.backend.last.fine) == (7, 0.5)
    answer = await setup.client.put("/probe/parts", json=[{"text": "a"}, {}])
    assert [each["text"] for each in await good(answer)] == ["a", ""]
    assert await good(await setup.client.put("/probe/texts", json="alone")) == "alone"
    assert await good(await setup.client.put("/probe/part/7", json=None)) is None
    assert not setup.backend.last.HasField("inner")


SIGNED = {
    "Wechatpay-Timestamp": "1554208460",
    "Wechatpay-Nonce": "EWASFKDUSKDNWBRRTMVFPEOLEADODCFK",
    "Wechatpay-Signature": "SGVsbG8+/w==" * 29,
    "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
    "Wechatpay-Serial": "PUB_KEY_ID_0000000000000024101100397200000006",
    "Request-ID": "08F78BB5AF0610D302189BB6",
}
NAMED = {name.lower(): value for name, value in SIGNED.items()}


@pytest.mark.parametrize("path", ["/probe/hook", "/probe/files/a"])
@pytest.mark.parametrize("content_type", ["application/json", "text/xml; charset=gbk", "a", ""])
async def test_a_webhook_arrives_with_what_was_signed(
    setup: Setup, path: str, content_type: str
) -> None:
    body = b'{ "id":"EV-1",  "n": 1.0e2, "n": 2, "\\u4e2d": "\xd6\xd0" }\r\n'
    answer = await setup.client.post(
        path, content=body, headers=SIGNED | {"Content-Type": content_type}
    )
    assert answer.status_code == 200
    raw = getattr(setup.backend.last, "file", setup.backend.last)
    assert (raw.data, raw.content_type) == (body, content_type)
    assert setup.backend.metadata.items() >= NAMED.items()


async def test_what_is_signed_is_given_once(setup: Setup) -> None:
    twice = [(name, value) for name, value in SIGNED.items() for _ in range(2)]
    answer = await setup.client.post("/probe/hook", content=b"{}", headers=twice)
    assert sorted(violations(answer)) == sorted(NAMED)
    assert setup.backend.calls == []


async def test_headers_of_webhooks_go_to_webhooks_alone(setup: Setup) -> None:
    await good(await setup.client.post("/probe/echo", json={}, headers=SIGNED))
    assert not setup.backend.metadata.keys() & NAMED


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, 401),
        (grpc.StatusCode.INVALID_ARGUMENT, 400),
        (grpc.StatusCode.UNAVAILABLE, 503),
    ],
)
async def test_a_webhook_that_fails_has_a_status_of_its_own(
    setup: Setup, code: grpc.StatusCode, status: int
) -> None:
    async def refuse(_request: Any, context: Any) -> Any:
        await context.abort(code, "no")

    setup.backend.answers["Hook"] = refuse
    answer = await setup.client.post("/probe/hook", content=b"{}", headers=SIGNED)
    assert (answer.status_code, answer.json()["code"]) == (status, code.value[0])


async def test_a_webhook_taken_needs_no_words(setup: Setup) -> None:
    async def take(request: Any, _context: Any) -> Any:
        return type(request)()

    setup.backend.answers["Hook"] = take
    answer = await setup.client.post("/probe/hook", content=b"{}", headers=SIGNED)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_raw_bodies_pass_as_they_are(setup: Setup) -> None:
    body = b"<xml>\xff\x00</xml>"
    answer = await setup.client.post(
        "/probe/hook", content=body, headers={"content-type": "text/xml"}
    )
    assert (answer.content, answer.headers["content-type"]) == (body, "text/xml")
    answer = await setup.client.post("/probe/files/a?note=b", content=body)
    assert (answer.content, answer.headers["content-type"]) == (body, "application/octet-stream")
    assert (setup.backend.last.name, setup.backend.last.note) == ("a", "b")
    answer = await setup.client.post("/probe/hook", headers={"content-type": "text/plain"})
    assert answer.content == b""


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('{get: "/x/{nothing}"}', "nothing"),
        ('{get: "/x/{inner}"}', "inner"),
        ('{get: "/x/{tags}"}', "tags"),
        ('{post: "/x" body: "nothing"}', "nothing"),
        ('{get: "/x" response_body: "nothing"}', "nothing"),
        ('{get: "/x" additional_bindings {get: "/x"}}', "bound already"),
        ('{get: "/x/{text}" additional_bindings {get: "/x/{number}"}}', "bound already"),
        ("{}", "no method and path"),
    ],
)
async def test_an_annotation_that_cannot_work_stops_the_start(rule: str, words: str) -> None:
    source = f"""
    syntax = "proto3"; package faulty; import "google/api/annotations.proto";
    message Inner {{ string text = 1; int32 number = 2; Inner inner = 3; repeated string tags
    = 4; }}
    service Faulty {{ rpc Do(Inner) returns (Inner) {{ option (google.api.http) = {rule}; }} }}
    """
    name = f"f{abs(hash(rule))}"
    faulty = probe.service(source.replace("package faulty", f"package {name}"), f"{name}.proto")
    with pytest.raises(ValueError, match=words):
        async with probe.running(faulty):
            pass


# --------------------------------------------------------------------------- the OpenAPI document


def misfits(value: Any, schema: Any, at: str = "") -> list[str]:
    """Where a value is not as its schema says; knows what our document uses."""
    if "$ref" in schema:
        return misfits(value, DOCUMENT["components"]["schemas"][schema["$ref"].split("/")[-1]], at)
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": float | int,
    }
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if not any(isinstance(value, kinds[kind]) for kind in wanted):
        return [f"{at}: {value!r} is no {wanted}"]
    found = []
    if "enum" in schema and value.upper() != "UNSPECIFIED" and value not in schema["enum"]:
        found.append(f"{at}: not in {schema['enum']}")
    if isinstance(value, list):
        return found + [
            fault
            for index, item in enumerate(value)
            for fault in misfits(item, schema["items"], f"{at}[{index}]")
        ]
    if isinstance(value, dict):
        properties = schema["properties"]
        found += [
            f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value
        ]
        found += [f"{at}.{name} is unknown" for name in value if name not in properties]
        for name in value.keys() & properties.keys():
            found += misfits(value[name], properties[name], f"{at}.{name}")
    return found


def operation(method: MethodDescriptor) -> Any:
    name = f"{method.containing_service.name}_{method.name}"
    return next(
        each
        for item in DOCUMENT["paths"].values()
        for each in item.values()
        if each["operationId"] == name
    )


@settings(deadline=None)
@given(method=st.sampled_from(IN_JSON), data=st.data())
def test_answers_are_as_the_document_says(method: MethodDescriptor, data: st.DataObject) -> None:
    message = data.draw(messages(method.output_type, 3))
    (content,) = operation(method)["responses"]["200"]["content"].values()  # one, or a line of it
    schema = content["schema"]
    assert misfits(json.loads(json.dumps(protojson.write(message))), schema) == []


async def test_the_document_and_its_page_show_every_path(setup: Setup) -> None:
    document = await good(await setup.client.get("/openapi.json"))
    page = await setup.client.get("/docs/reference")
    assert page.headers["content-type"].startswith("text/html")
    for method in METHODS:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        path = getattr(rule, rule.WhichOneof("pattern"))
        assert rule.WhichOneof("pattern") in document["paths"][path]
        assert path in page.text
    # from here alone, and no script or style within the page
    assert not re.findall(r"(?:src|href)='(?!/|#)|@import|url\(|<script(?! src='/)", page.text)
    scan = document["paths"]["/venue/scan"]["post"]
    assert scan["security"] == [{"access_token": []}]
    assert {"200", "422", "400", "default"} <= scan["responses"].keys()
    request = document["components"]["schemas"]["RedeemRequest"]
    assert request["required"] == ["qr_token", "function_code"]
    assert request["properties"]["function_code"]["maxLength"] == 32
    result = document["components"]["schemas"]["RedemptionResult.lower_case"]
    assert result["enum"][:2] == ["success", "reject"]


def test_what_is_downloaded_has_the_ending_of_its_kind() -> None:
    """A telephone opens no calendar entry without. Seen red with `calendar`, not `calendar.ics`."""
    kinds = {
        *(calendar_entries.CONTENT_TYPE, report_csv.CONTENT_TYPE, servicer_gtfs.ZIP),
        *(servicer_catalogue_files.YAML, servicer_catalogue_files.ZIP),
        *(*exports.CONTENT_TYPES.values(), *list_messages.MEDIA_TYPES.values()),
        *(kind for kind, _ in statement_files._FORMATS.values()),
    }
    assert {kind.partition(";")[0] for kind in kinds} == answers.FILE_ENDINGS.keys()
