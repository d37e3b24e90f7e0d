"""A Redis cluster of real nodes, made by commands, whose nodes can be killed."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests.support.free_ports import free_port
from tests.support.tls_proxy import Authority
from tests.support.waiting import WAIT_SECONDS
from tools.dev.embedded.services import _valkey_binary

SLOTS = 16_384
NODE_TIMEOUT_MS = 1_000
START_SECONDS = WAIT_SECONDS
BUS = 10_000
"""So much above its port nodes talk to each other."""


@dataclass
class Node:
    """One node: its port, and its process."""

    port: int
    process: "subprocess.Popen[bytes]"

    def command(self, *words: Any) -> Any:
        """What the node answers."""
        with redis.Redis(port=self.port, socket_timeout=5) as client:
            return client.execute_command(*words)

    def kill(self) -> None:
        """As a crash."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)


@dataclass
class Cluster:
    """Three masters that share the slots evenly; a fourth node is the first one's replica.

    With TLS, `authority` is whose certificates they have, and clients come to `tls_ports`.
    """

    nodes: list[Node]
    authority: Authority | None = None
    tls_ports: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Names three of the nodes."""
        if self.authority:
            hosts = ",".join(f"127.0.0.1:{port}" for port in self.tls_ports[:3])
            return f"rediss+cluster://{hosts}?ssl_ca_certs={self.authority.certificate}"
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    def owner(self, key: str) -> Node:
        """The master of a key."""
        slot = int(self.nodes[1].command("CLUSTER KEYSLOT", key))
        return self.nodes[slot * 3 // SLOTS]

    def key_of(self, node: Node, made: Callable[[int], str]) -> str:
        """The first of the keys made of numbers that the node has."""
        return next(key for key in map(made, range(1000)) if self.owner(key) is node)

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Until the cluster has come to something."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if is_so():
                    return
            except redis.RedisError:
                pass
            assert time.monotonic() < deadline, "the cluster did not come to it"
            time.sleep(0.05)

    def is_ok(self, node: Node) -> bool:
        """Whether the node sees every slot served by four or three nodes that it knows."""
        info = node.command("CLUSTER INFO")
        served = info["cluster_state"] == "ok" and info["cluster_slots_ok"] == str(SLOTS)
        return served and self._is_known(node)

    def _is_known(self, node: Node) -> bool:
        return len(node.command("CLUSTER NODES")) == len(self.nodes)


def _start(folder: Path, *options: str) -> Node:
    """Starts a node, on other ports if somebody takes its own meanwhile."""
    folder.mkdir()
    for _ in range(5):
        node = _launch(folder, free_port(also=BUS), *options)
        deadline = time.monotonic() + START_SECONDS
        while node.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(redis.RedisError):
                if node.command("PING"):
                    return node
            time.sleep(0.02)
        node.process.kill()
        node.process.wait()
    raise AssertionError((folder / "log").read_text())


def _launch(folder: Path, port: int, *options: str) -> Node:
    arguments = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "save": "",
        "cluster-enabled": "yes",
        "cluster-node-timeout": str(NODE_TIMEOUT_MS),
        "cluster-require-full-coverage": "no",
        "cluster-replica-validity-factor": "0",
        "logfile": str(folder / "log"),
    }
    words = [
        f"{mark}{word}"
        for pair in arguments.items()
        for mark, word in zip(("--", ""), pair, strict=True)
    ]
    process = subprocess.Popen(
        [str(_valkey_binary()), *words, *options], cwd=folder, env={"PATH": os.defpath}
    )
    return Node(port, process)


@contextmanager
def running(folder: Path, *, replica: bool, tls: bool = False) -> Iterator[Cluster]:
    """A cluster, until the end of the block; with `replica` the first master has one."""
    nodes: list[Node] = []
    try:
        for number in range(4 if replica else 3):
            nodes.append(_start(folder / f"node-{number}"))
        cluster = Cluster(nodes)
        with ExitStack() as stack:
            if tls:
                cluster.authority = Authority(folder)
                before = cluster.authority.before(*(node.port for node in nodes))
                cluster.tls_ports = stack.enter_context(before)
                for node, port in zip(nodes, cluster.tls_ports, strict=True):
                    node.command("CONFIG SET", "cluster-announce-bus-port", node.port + 10_000)
                    node.command("CONFIG SET", "cluster-announce-port", port)
            _join(cluster, replica=replica)
            yield cluster
    finally:
        for node in nodes:
            node.process.kill()
            node.process.wait()


def _join(cluster: Cluster, *, replica: bool) -> None:
    nodes = cluster.nodes
    for number, node in enumerate(nodes):
        node.command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        if number < 3:
            first, last = -(-number * SLOTS // 3), -(-(number + 1) * SLOTS // 3) - 1
            node.command("CLUSTER ADDSLOTSRANGE", first, last)
        if number:
            node.command("CLUSTER MEET", "127.0.0.1", nodes[0].port)
    for node in nodes:
        cluster.wait(lambda node=node: cluster.is_ok(node))  # type: ignore[misc]
    if replica:
        name = nodes[0].command("CLUSTER MYID").decode()
        nodes[3].command("CLUSTER REPLICATE", name)
        cluster.wait(lambda: nodes[3].command("ROLE")[3] == b"connected")
