"""Write the documentation that the server shows, as Markdown: a page for each kind of reader with
an example of each call, a page for each reason, and the guides of docs/integrators.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.examples import GIVEN, OF_TRAVELLERS, Example, Examples
from tools.openapi import Contract
from tools.python_client import is_webhook

Json = dict[str, Any]

ERRORS = "deeptravel.common.v1.ErrorReason"
REFUSALS = "deeptravel.redemption.v1.RefusalReason"
GUIDES = ("first-call", "set-up", "webhooks", "grpcurl", "reading", "statements", "octo", "sandbox")
"""Of docs/integrators, in the order in which they are read."""
REMEDY = "Remedy:"
JAVA_IMPORTS = (
    "com.google.protobuf.ByteString",
    *("com.google.protobuf.FieldMask", "com.google.protobuf.Timestamp"),
    *("io.grpc.stub.StreamObserver", "java.nio.file.Files", "java.nio.file.Path"),
    "java.time.Instant",
)
"""What the examples use that is not of the contract."""
ANY_CALL = {
    *("INVALID_FIELD", "UNAUTHENTICATED", "ROLE_NOT_ALLOWED", "RATE_LIMITED", "SERVER_BUSY"),
    *("CONFLICT", "DATABASE_UNAVAILABLE", "SHUTTING_DOWN", "INTERNAL", "DEADLINE_EXCEEDED"),
}
"""Which any call may give, and no method's comment names."""
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""Over JSON, by the status of gRPC; a test holds them equal to the gateway's."""
READERS: dict[str, Json] = {
    "partner": {
        "title": "Partner",
        "who": "You sell tickets on your own platform, out of stock that is yours.",
        "roles": {"PARTNER"},
        "service": "OtaService",
        "header": "X-Api-Key: $API_KEY",
        "python": 'client = Client("127.0.0.1:50051", api_key=API_KEY, plaintext=True)',
        "java": 'DeepTravel.at("127.0.0.1:50051").apiKey(apiKey).plaintext().open()',
        "messages": ("ota", "redemption", "tickets"),
        "how": (
            "An administrator gives you an API key; it goes with each call in `x-api-key`. One of"
            " test mode (`dtk_test_…`) calls as your [sandbox](/docs/guides/sandbox): with test"
            " stock and test tickets alone."
        ),
    },
    "traveller": {
        "title": "Traveller",
        "who": "You build what travellers use: search, hold, pay, QR, refund, change.",
        "roles": {"TRAVELLER"},
        "service": "TicketingService",
        "header": "Authorization: Bearer $ACCESS_TOKEN",
        "python": 'client = Client("127.0.0.1:50051", access_token=TOKEN, plaintext=True)',
        "java": 'DeepTravel.at("127.0.0.1:50051").accessToken(token).plaintext().open()',
        "messages": ("ticketing", "tickets"),
        "given": OF_TRAVELLERS,
        "how": "`TravellerLogin` takes the code of `wx.login` and gives an access token.",
    },
    "terminal": {
        "title": "Terminal",
        "who": "You build a scanner: look at a QR, redeem it, take a redemption back.",
        "roles": {"OPERATOR", "SUPERVISOR"},
        "service": "RedemptionService",
        "header": "Authorization: Bearer $ACCESS_TOKEN",
        "python": (
            'client = Client("127.0.0.1:50051", plaintext=True).logged_in_operator(\n'
            "    USERNAME, PASSWORD, TERMINAL_DEVICE_ID\n)"
        ),
        "java": (
            'DeepTravel.at("127.0.0.1:50051").plaintext().open()\n'
            "        .loggedInOperator(username, password, terminalDeviceId)"
        ),
        "messages": ("redemption", "tickets"),
        "more_java": (
            *("admin.v1.AdminServiceGrpc", "admin.v1.GetDashboardRequest"),
            *("admin.v1.ReportRedemptionsRequest", "admin.v1.DownloadRedemptionReportRequest"),
        ),
        "how": "`OperatorLogin` takes name, password and terminal and gives an access token.",
    },
    "administrator": {
        "title": "Administrator",
        "who": "You run the platform: partners, products, stock, merchants, refunds, audit.",
        "roles": {"ADMIN"},
        "service": "AdminService",
        "header": "Authorization: Bearer $ACCESS_TOKEN",
        "python": 'client = Client("127.0.0.1:50051", access_token=TOKEN, plaintext=True)',
        "java": 'DeepTravel.at("127.0.0.1:50051").accessToken(token).plaintext().open()',
        "messages": ("admin", "redemption", "tickets"),
        "more_java": (
            *("ota.v1.StatementFormat", "ticketing.v1.RefundState"),
            *("ticketing.v1.NotificationKind", "ticketing.v1.NotificationLanguage"),
            "ticketing.v1.OfferKind",
        ),
        "more_python": ("ota", "ticketing"),
        "how": "`AdminLogin` takes name and password and gives an access token.",
    },
}


def documentation(described: FileDescriptorSet, guides: Path) -> Json:
    """The pages by path below /docs: title and Markdown; and the examples' requests by method."""
    return Documentation(Contract(described), guides).written()


class Documentation:
    """All pages of a contract."""

    def __init__(self, contract: Contract, guides: Path) -> None:
        self._contract = contract
        self._examples = Examples(contract)
        self._guides = guides
        self._methods = [each for service in contract.services for each in service.methods]
        self._reasons = dict(contract.values(ERRORS, "ERROR_REASON_"))

    def written(self) -> Json:
        """Everything, to be kept as JSON; `examples` have, by reader and name, what stands in the
        examples for what a call gives.
        """
        pages = dict(self._pages())
        requests = {
            method.full_name: self._examples.of(method, "").request for method in self._methods
        }
        given = {name: GIVEN | reader.get("given", {}) for name, reader in READERS.items()}
        return {"pages": pages, "requests": requests, "examples": given}

    def _pages(self) -> Iterator[tuple[str, Json]]:
        written = [
            *(self._guides / f"{name}.md" for name in GUIDES),
            self._guides.parent / "calling.md",
        ]
        guides = {each.stem: each.read_text() for each in written}
        yield "index", _page("DeepTravel Ticketing", self._index(guides))
        for name, reader in READERS.items():
            yield name, _page(reader["title"], self._reader(name, reader))
        for stem, text in guides.items():
            yield f"guides/{stem}", _page(_title(text), text)
        yield "reasons", _page("Reasons", self._all_reasons())
        for reason, comment in self._reasons.items():
            yield f"reasons/{reason}", _page(reason, self._reason(reason, comment))
        refusals = self._contract.values(REFUSALS, "REFUSAL_REASON_")
        yield "refusals", _page("Refused scans", _refusals(refusals))

    def _index(self, guides: dict[str, str]) -> str:
        lines = ["# DeepTravel Ticketing", "", "What are you?", ""]
        for name, reader in READERS.items():
            lines.append(f"- [{reader['title']}](/docs/{name}): {reader['who']}")
        lines += ["", "## Guides", ""]
        lines += [f"- [{_title(text)}](/docs/guides/{stem})" for stem, text in guides.items()]
        lines += [
            *("", "## To look things up", ""),
            "- [Reasons](/docs/reasons): why a call failed, and what to do, a page for each",
            "- [Refused scans](/docs/refusals): why a ticket was not admitted",
            "- [Reference](/docs/reference): every field of every call over JSON",
            "- [openapi.json](/openapi.json): the same for programs",
            "- [Postman collection](/docs/partner.postman_collection.json) of what partners call",
            "- [llms.txt](/llms.txt): all pages as Markdown; each has one beside it, with `.md`",
        ]
        return "\n".join([*lines, ""])

    def _reader(self, name: str, reader: Json) -> str:
        methods = [each for each in self._methods if self._is_for(each, reader)]
        lines = [f"# {reader['title']}", "", reader["who"], "", reader["how"], ""]
        lines += ["The examples in Python and Java begin with", ""]
        lines += _fence("python", _python_start(reader))
        lines += _fence("java", _java_start(reader))
        lines += ["| call | what it does |", "| --- | --- |"]
        for method in methods:
            what = _summary(self._contract.comment(method.full_name))
            lines.append(f"| [{method.name}](/docs/{name}#{method.name.lower()}) | {what} |")
        for method in methods:
            lines += ["", *self._method(method, reader)]
        return "\n".join([*lines, ""])

    def _is_for(self, method: MethodDescriptor, reader: Json) -> bool:
        roles = self._contract.roles(method)
        if "ANYONE" in roles:
            return bool(method.containing_service.name == reader["service"])
        return not roles.isdisjoint(reader["roles"])

    def _method(self, method: MethodDescriptor, reader: Json) -> Iterator[str]:
        roles = self._contract.roles(method)
        header = "" if "ANYONE" in roles else reader["header"]
        example = self._examples.of(method, header)
        yield f"## {method.name}"
        yield ""
        yield self._linked(self._contract.comment(method.full_name))
        yield ""
        if is_webhook(method):
            yield "Another server calls it, with a body that it signs:"
            yield ""
            yield from _fence("sh", example.curl)
        else:
            for language, text in _languages(example):
                yield from _fence(language, text)
        if example.curl:
            link = f"/docs/reference#{method.containing_service.name}_{method.name}"
            yield f"Every field: [reference]({link})."

    def _linked(self, comment: str) -> str:
        """The comment, with each reason leading to its page."""

        def link(found: re.Match[str]) -> str:
            reason = found[0]
            return f"[{reason}](/docs/reasons/{reason})" if reason in self._reasons else reason

        return re.sub(r"(?<![`\w.])[A-Z][A-Z_]{4,}(?![`\w])", link, comment)

    def _all_reasons(self) -> str:
        lines = ["# Reasons", "", "Why a call failed: the `reason` of the `google.rpc.ErrorInfo`"]
        lines[-1] += " in the details of its status, with the domain `deeptravel`."
        lines += [
            "",
            "| reason | status | what happened | what to do |",
            "| --- | --- | --- | --- |",
        ]
        for reason, comment in self._reasons.items():
            status, cause, remedy = split(comment)
            cells = [f"[{reason}](/docs/reasons/{reason})", f"`{status}`", cause, remedy]
            lines.append(f"| {' | '.join(each.replace('|', '/') for each in cells)} |")
        return "\n".join([*lines, ""])

    def _reason(self, reason: str, comment: str) -> str:
        status, cause, remedy = split(comment)
        shown = f"gRPC status `{status}`, over JSON HTTP {HTTP_STATUS[status]}."
        lines = [f"# {reason}", "", shown, "", "## Cause", "", cause]
        lines += [
            "",
            "## Cure",
            "",
            remedy or "The cause says it.",
            "",
            "## Calls that give it",
            "",
        ]
        if reason in ANY_CALL:
            lines.append("Any call.")
        for method in self._methods:
            if re.search(rf"\b{reason}\b", self._contract.comment(method.full_name)):
                lines += [
                    f"- [{method.name}](/docs/{name}#{method.name.lower()}) ({name})"
                    for name, reader in READERS.items()
                    if self._is_for(method, reader)
                ]
        if lines[-1] == "":
            lines.append("No method names it by itself; it belongs to what surrounds a call.")
        return "\n".join([*lines, ""])


def split(comment: str) -> tuple[str, str, str]:
    """Status, cause and remedy of a reason's comment."""
    status, _, rest = comment.partition(". ")
    cause, _, remedy = rest.partition(REMEDY)
    remedy = remedy.strip()
    return status, cause.strip(), remedy[:1].upper() + remedy[1:]


def _refusals(found: Iterator[tuple[str, str]]) -> str:
    lines = [
        "# Refused scans",
        "",
        "A refused scan is an answer: `result` REJECT with one of these",
    ]
    lines[-1] += " (HTTP 422), and an explanation in English and Chinese for the operator."
    lines += ["", "| reason | meaning |", "| --- | --- |"]
    lines += [f"| `{name}` | {comment} |" for name, comment in found]
    return "\n".join([*lines, ""])


def _python_start(reader: Json) -> str:
    """The imports of a page's examples, and its client."""
    nouns = sorted([*reader["messages"], *reader.get("more_python", ())])
    return (
        f"from datetime import datetime\n\nfrom deeptravel import Client, {', '.join(nouns)}\n"
        f"from google.protobuf.field_mask_pb2 import FieldMask\n\n{reader['python']}"
    )


def _java_start(reader: Json) -> str:
    classes = [f"{noun}.v1.*" for noun in reader["messages"]]
    classes = sorted(["client.DeepTravel", *classes, *reader.get("more_java", ())])
    imports = [f"import com.deeptravel.{name};" for name in classes]
    imports += [f"import {name};" for name in JAVA_IMPORTS]
    return "\n".join([*imports, "", f"DeepTravel client =\n    {reader['java']};"])


def _languages(example: Example) -> Iterator[tuple[str, str]]:
    if example.curl:
        yield "sh", example.curl
    yield "sh", example.grpcurl
    yield "python", example.python
    yield "java", example.java


def _fence(language: str, text: str) -> list[str]:
    return [f"```{language}", text, "```", ""]


def _summary(comment: str) -> str:
    """Its first sentence, or what stands before a colon."""
    end = re.search(r"(?<!e\.g)(?<!i\.e)[.:;](?=\s|$)", comment)
    return comment[: end.start() if end else None].replace("|", "/")


def _title(text: str) -> str:
    return text.splitlines()[0].removeprefix("# ")


def _page(title: str, text: str) -> Json:
    return {"title": title, "markdown": text}
