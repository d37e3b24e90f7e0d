"""What a scan takes at a terminal, from the scanner's text to the verdict, over the stream and by
the pack; and the upload of what was decided without network. For the repository's `make bench`.

    python -m tests.scan_times FOLDER < asked.json

It keeps its file in FOLDER, is asked by JSON (`target`, `device`, `username`, `password`, QR texts
`online` and `offline`), and prints JSON: milliseconds of each scan, and seconds.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from deeptravel import AsyncClient, redemption
from deeptravel_terminal import sync
from deeptravel_terminal.codes import read
from deeptravel_terminal.gate import KEEPALIVE, Departure, Gate
from deeptravel_terminal.offline import Offline, Outcome
from deeptravel_terminal.scan_line import LinkState
from deeptravel_terminal.store import Store

from tests.conftest import until

PACK_SECONDS = 600


async def timed(
    texts: list[str], decide: Callable[[str], Awaitable[Outcome]], *, offline: bool
) -> list[float]:
    """Milliseconds of each, one after the other. Raises RuntimeError for one that is refused."""
    taken = []
    gc.collect()
    for text in texts:
        began = time.perf_counter()
        outcome = await decide(text)
        taken.append((time.perf_counter() - began) * 1000)
        admitted = outcome.answer.result == redemption.REDEMPTION_RESULT_SUCCESS
        if not admitted or (outcome.pack_age is not None) is not offline:
            raise RuntimeError(f"not as it should be: {outcome}")
    return taken


async def measured(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """All of it, at one terminal."""
    sync.PAUSE_SECONDS = 3600.0  # nothing else is uploaded or asked for meanwhile
    states: list[LinkState] = []
    store = Store(folder / "terminal.db", asked["device"])
    offline = Offline(store)
    async with AsyncClient(asked["target"], plaintext=True, channel_options=KEEPALIVE) as client:
        gate = Gate(client, asked["device"], lambda state, _: states.append(state), offline)
        began = time.perf_counter()
        await gate.log_in(asked["username"], asked["password"], Departure())
        await until(lambda: LinkState.ONLINE in states and store.pack(), PACK_SECONDS)
        pack_seconds = time.perf_counter() - began

        async def by_stream(text: str) -> Outcome:
            return await gate.redeem(read(text), "ferry", 1)

        async def by_pack(text: str) -> Outcome:
            return offline.decide(read(text), "ferry", 1)

        online_ms = await timed(asked["online"], by_stream, offline=False)
        offline_ms = await timed(asked["offline"], by_pack, offline=True)
        caller = await client.logged_in_operator(
            asked["username"], asked["password"], asked["device"]
        )
        began = time.perf_counter()
        await sync.Sync(caller, offline, lambda: True, print)._upload()
        upload_seconds = time.perf_counter() - began
        await gate.close()
    verdicts = {redemption.UploadedScan.FromString(each[3]).verdict for each in store.verdicts()}
    if verdicts != {redemption.OFFLINE_VERDICT_ACCEPTED}:
        raise RuntimeError(f"not all accepted: {verdicts}")
    store.close()
    return {
        "pack_seconds": pack_seconds,
        "online_ms": online_ms,
        "offline_ms": offline_ms,
        "upload_seconds": upload_seconds,
    }


if __name__ == "__main__":
    found = asyncio.run(measured(json.load(sys.stdin), Path(sys.argv[1])))
    sys.stdout.write(json.dumps(found))
