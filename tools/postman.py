"""Write a Postman collection of what partners call, from the examples of the documentation.

Paths keep the verb behind a variable (`{{ticket_code}}:verb`): Postman's own `:name` would take the
colon for a variable of its own.
"""

import json
import re
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from tools.examples import Examples
from tools.openapi import Contract

Json = dict[str, Any]

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
VARIABLES = {"base_url": "http://127.0.0.1:8080", "api_key": ""}
LEARNT = (
    *("batch_id", "order_id", "reservation_id", "ticket_code", "encrypted_data"),
    *("endpoint_id", "event_id", "redemption_id"),
)
"""Which later requests take from the answers of earlier ones."""
NAMED_OTHERWISE = {"qr_token": "encrypted_data"}
"""What a request calls something that an answer has under another name."""
BEGINS, ENDS = ("Create",), ("Delete", "Archive")
"""What such a call makes or ends is asked for by others, which come after or before it."""
LEARN = """\
const answer = pm.response.text().split("\\n")[0];
let found = {};
try { found = JSON.parse(answer); } catch { /* a picture, or nothing */ }
// what a call made is what the next ones are about; a list, and an order's QR, has others too
const isAboutOthers = /^(Get|List|Stream|IssueOrder)/.test(pm.info.requestName);
function learn(value) {
  if (value === null || typeof value !== "object") { return; }
  for (const [name, inner] of Object.entries(value)) {
    const isKnown = Boolean(pm.collectionVariables.get(name));
    if (%s.includes(name) && inner !== "" && !(isAboutOthers && isKnown)) {
      pm.collectionVariables.set(name, inner);
    }
    learn(inner);
  }
}
if (pm.response.code === 200) { learn(found); }
pm.test("answered, or refused with a reason", () => {
  const reason = found.details?.[0]?.reason ?? found.reason;
  pm.expect(pm.response.code === 200 || Boolean(reason), answer).to.equal(true);
  pm.expect(pm.response.code, answer).to.be.below(500);
});"""


def postman(contract: Contract, service: str) -> Json:
    """A collection with a request for each method of a service, in their order."""
    examples = Examples(contract)
    (found,) = [each for each in contract.services if each.name == service]
    methods = sorted(
        found.methods,
        key=lambda each: each.name.startswith(ENDS) - each.name.startswith(BEGINS),
    )
    items = [_item(contract, examples, method) for method in methods]
    variables = VARIABLES | dict.fromkeys(LEARNT, "")
    return {
        "info": {
            "name": "DeepTravel partners",
            "description": (
                "Each call of a partner once. Set `base_url` and `api_key`, best a key of test mode"
                " (`dtk_test_…`), whose stock and tickets are for trying; what a call gives, such"
                " as `batch_id`, is kept for the next ones. Every run makes new request ids.\n\n"
                + contract.comment(found.full_name)
            ),
            "schema": SCHEMA,
        },
        "variable": [{"key": name, "value": value} for name, value in variables.items()],
        "auth": {
            "type": "apikey",
            "apikey": [
                {"key": "key", "value": "X-Api-Key"},
                {"key": "value", "value": "{{api_key}}"},
                {"key": "in", "value": "header"},
            ],
        },
        "event": [
            {
                "listen": "test",
                "script": {
                    "type": "text/javascript",
                    "exec": (LEARN % json.dumps(LEARNT)).splitlines(),
                },
            }
        ],
        "item": items,
    }


def _item(contract: Contract, examples: Examples, method: MethodDescriptor) -> Json:
    rule = contract.option(method, "google.api.http")
    verb = rule.WhichOneof("pattern")
    shown = examples.of(method, "").request
    left = _with_variables(examples.as_gateway_reads(method.input_type, shown))
    path = getattr(rule, verb)
    for name in re.findall(r"\{([^=}]+)", path):
        path = re.sub(rf"\{{{name}[^}}]*\}}", str(left.pop(name, "")), path)
    query = [] if rule.body else [{"key": name, "value": _plain(left[name])} for name in left]
    asked = "&".join(f"{each['key']}={each['value']}" for each in query)
    request: Json = {
        "method": verb.upper(),
        "description": contract.comment(method.full_name),
        "header": [],
        "url": {
            "raw": "{{base_url}}" + path + (f"?{asked}" if asked else ""),
            "host": ["{{base_url}}"],
            "path": path.strip("/").split("/"),
            **({"query": query} if query else {}),
        },
    }
    if rule.body:
        request["header"] = [{"key": "Content-Type", "value": "application/json"}]
        text = json.dumps(left, ensure_ascii=False, indent=2)
        request["body"] = {"mode": "raw", "raw": text}
    return {"name": method.name, "request": request}


def _with_variables(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_variables(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, inner in value.items():
        if name == "request_id":
            found[name] = "{{$guid}}"
        elif (known := NAMED_OTHERWISE.get(name, name)) in LEARNT:
            found[name] = f"{{{{{known}}}}}"
        else:
            found[name] = _with_variables(inner)
    return found


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return str(value[0])
    return str(value).lower() if isinstance(value, bool) else str(value)
