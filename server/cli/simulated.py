"""What demos ask the simulator of channels."""

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from server.platform.errors import StartError

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.5


def until(look: Callable[[], list[Any]], what: str) -> list[Any]:
    """What `look` finds, as soon as it does. Raises StartError after WAIT_SECONDS."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(LOOK_SECONDS)
    raise StartError(
        f"after {WAIT_SECONDS:.0f} s it is not so yet that {what}; does the server run?"
    )


def get(url: str) -> list[Any]:
    """What the simulator shows."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - the simulator's
        found: list[Any] = json.loads(answer.read())
    return found


def post(url: str, content: dict[str, Any], *, method: str = "POST") -> Any:
    """What the simulator answers to a POST, or to a PUT."""
    body, headers = json.dumps(content).encode(), {"content-type": "application/json"}
    asked = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - as above
    with urllib.request.urlopen(asked) as answer:  # noqa: S310
        return json.loads(answer.read() or b"null")
