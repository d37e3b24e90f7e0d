"""The documentation that the server shows: every call and reason is there, every link leads
somewhere, and every example is a valid request in each of its languages.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import protovalidate
import pytest
from deeptravel.admin.v1 import admin_service_pb2
from deeptravel.ota.v1 import ota_service_pb2
from deeptravel.redemption.v1 import redemption_service_pb2
from deeptravel.ticketing.v1 import ticketing_service_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2

from server.api.http import protojson
from server.api.http.application import HTTP_STATUSES
from server.api.http.documentation import documentation, static
from server.api.http.httprules import Routes
from server.api.http.protojson import Faults
from server.platform.errors import Reason

ROOT = Path(__file__).parents[2]
SERVICES = [
    file.DESCRIPTOR.services_by_name[name]
    for file, name in (
        (ota_service_pb2, "OtaService"),
        (ticketing_service_pb2, "TicketingService"),
        (redemption_service_pb2, "RedemptionService"),
        (admin_service_pb2, "AdminService"),
    )
]
METHODS: dict[str, MethodDescriptor] = {
    method.full_name: method for service in SERVICES for method in service.methods
}
WRITTEN = json.loads((ROOT / "generated/deeptravel/documentation.json").read_text())
PAGES: dict[str, dict[str, str]] = WRITTEN["pages"]
REQUESTS: dict[str, Any] = WRITTEN["requests"]
WEBHOOKS = {
    method.name
    for method in METHODS.values()
    for field in method.input_type.fields
    if field.message_type is not None and field.message_type.full_name == "google.api.HttpBody"
}
"""Which another server calls, with a body of its own making."""
READERS = ("partner", "traveller", "terminal", "administrator")
ROUTES = Routes(SERVICES)


def start(reader: str, language: str) -> str:
    """What the examples of a page begin with."""
    return str(re.findall(rf"```{language}\n(.*?)\n```", PAGES[reader]["markdown"], re.DOTALL)[0])


def examples(language: str, start: str, *readers: str) -> Iterator[tuple[str, str]]:
    """Method's name, and its example in a language, of the pages of some readers, or of all."""
    for reader in readers or READERS:
        for part in PAGES[reader]["markdown"].split("\n## ")[1:]:
            name = part.splitlines()[0]
            for text in re.findall(rf"```{language}\n(.*?)\n```", part, re.DOTALL):
                if text.startswith(start):
                    yield name, text


def expected(name: str, text: str) -> Any:
    (full,) = {each for each in REQUESTS if each.endswith(f".{name}") and service(text) in each}
    return GetMessageClass(METHODS[full].input_type), REQUESTS[full]


def service(text: str) -> str:
    found = re.search(r"deeptravel\.\w+\.v1\.\w+|client\.(\w+)\.", text)
    if found is None:
        return ""
    return f"deeptravel.{found[1]}.v1" if found[1] else found[0]


@pytest.mark.parametrize("name", METHODS)
def test_every_example_is_a_valid_request(name: str) -> None:
    request = json_format.ParseDict(REQUESTS[name], GetMessageClass(METHODS[name].input_type)())
    protovalidate.validate(request)


def test_every_call_is_on_a_page_in_every_language() -> None:
    for language, start in (("sh", "grpcurl"), ("python", ""), ("java", "")):
        shown = {name for name, _ in examples(language, start)}
        assert {method.name for method in METHODS.values()} - shown == WEBHOOKS, language


def test_the_commands_of_grpcurl() -> None:
    for name, text in examples("sh", "grpcurl"):
        words = shlex.split(text)
        body, (address, path) = words[words.index("-d") + 1], words[-2:]
        method = METHODS[path.replace("/", ".")]
        assert (address, method.name) == ("127.0.0.1:50051", name)
        fields = json.loads(body)
        if mask := fields.pop("update_mask", None):  # grpcurl takes its paths, and no text
            assert set(mask["paths"]) <= set(fields), text
        json_format.ParseDict(fields, GetMessageClass(method.input_type)())


def test_the_commands_of_curl() -> None:
    """The gateway finds the method, and reads what the example of grpcurl says too."""
    seen = set()
    for name, text in examples("sh", "curl "):
        words = shlex.split(text)
        url = urlsplit(next(word for word in words if word.startswith("http")))
        body = words[words.index("-d") + 1] if "-d" in words else ""
        verb = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
        found = ROUTES.find(verb, url.path)
        assert found is not None, text
        binding, texts = found
        message, faults = binding.request_type(), Faults()
        if body and not binding.takes_raw_body:
            assert binding.body == "*"
            protojson.read(protojson.loads(body.encode()), message, faults)
        binding.bind_query(url.query.encode(), message, faults)
        binding.bind_path(texts, message, faults)
        assert list(faults) == [], text
        full = binding.path.strip("/").replace("/", ".")
        assert METHODS[full].name == name
        if name not in WEBHOOKS:
            assert message == json_format.ParseDict(REQUESTS[full], binding.request_type()), text
        seen.add(full)
    assert len(seen) > 100


def test_the_python(tmp_path: Path) -> None:
    """Each runs after what its page begins with, with the package, in a process of its own, and
    sends what the others send.
    """
    shown = [
        (start(reader, "python"), name, text)
        for reader in READERS
        for name, text in examples("python", "", reader)
        if "client." in text and name not in WEBHOOKS
    ]
    program = """
import json, sys
from google.protobuf import json_format
from deeptravel._generated import services

class Recorder:
    def unary(self, method, request, timeout):
        self.sent = request
    def pages(self, method, request, timeout):
        self.sent = request
        return []
    def stream(self, method, request, timeout):
        self.sent = request
        return []
    def scan(self, method, requests, timeout):
        (self.sent,) = requests
        return []

class Recording:
    calls = Recorder()
    admin = services.AdminService(calls)
    ota = services.OtaService(calls)
    redemption = services.RedemptionService(calls)
    ticketing = services.TicketingService(calls)

sent = []
for start, text in json.load(sys.stdin):
    known = dict.fromkeys(
        ["API_KEY", "TOKEN", "USERNAME", "PASSWORD", "TERMINAL_DEVICE_ID"], "a-value"
    )
    exec(start.split("client = ")[0], known)
    known["client"] = Recording()
    exec(text, known)
    sent.append(json_format.MessageToDict(Recorder.sent, preserving_proto_field_name=True))
print(json.dumps(sent))
""".replace("self.sent", "Recorder.sent")
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([(start, text) for start, _, text in shown]),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "clients" / "python")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(shown) > 100
    for (_, name, text), sent in zip(shown, json.loads(done.stdout), strict=True):
        kind, request = expected(name, text)
        assert json_format.ParseDict(sent, kind()) == json_format.ParseDict(request, kind()), text


def test_the_statuses_over_json_are_the_gateways() -> None:
    for reason in Reason:
        found = re.search(r"`(\w+)`, over JSON HTTP (\d+)", PAGES[f"reasons/{reason}"]["markdown"])
        assert found is not None, reason
        status = HTTP_STATUSES.get(code_pb2.Code.Value(found[1]), 500)
        assert status == int(found[2]), reason


def test_every_reason_has_a_page_with_cause_and_cure() -> None:
    for reason in Reason:
        page = PAGES[f"reasons/{reason}"]["markdown"]
        _, cause, cure, calls = re.split(r"\n## (?:Cause|Cure|Calls that give it)\n", page)
        assert all(each.strip() for each in (cause, cure, calls)), reason
        assert cure.strip() != "The cause says it.", f"{reason}: its comment has no Remedy"


def test_every_link_leads_somewhere() -> None:
    pages = documentation()
    known = {
        "/docs/documentation.css",
        "/docs/partner.postman_collection.json",
        "/docs",
        "/docs/reference",
        "/openapi.json",
        "/llms.txt",
    }
    known |= {f"/docs/{name}" for name in PAGES} | {f"/docs/{name}.md" for name in PAGES}
    htmls = {name: pages.html(name) or "" for name in PAGES}
    anchors = {name: set(re.findall(r"id='([^']*)'", html)) for name, html in htmls.items()}
    for name, html in htmls.items():
        assert html
        for link in re.findall(r"href=['\"](/[^'\"#]*)(?:#([^'\"]*))?", html):
            path, anchor = link
            assert path in known | {"/docs/index.md", "/docs.md"}, (name, path)
            target = path.removeprefix("/docs/")
            assert not anchor or target not in PAGES or anchor in anchors[target], (name, link)
    linked = set(re.findall(r"\((/[^)]+)\)", pages.llms()))
    assert linked <= known | {"/docs.md"}
    assert {f"/docs/{name}.md" for name in PAGES if name != "index"} <= linked


def test_no_page_needs_another_host() -> None:
    for name in PAGES:
        html = documentation().html(name)
        assert html is not None
        assert re.findall(r"(?:src|action)=['\"](?!/)|@import|url\(|<style| style=", html) == []
        assert re.findall(r"<link [^>]*href='(?!/docs/)", html) == []
    assert re.findall(r"@import|url\(", static("documentation.css").decode()) == []
