#!/usr/bin/env bash
# grpcio 1.85.1 (Python 3.11): how soon a client's stream ends when its peer does not answer any more,
# with `grpc.keepalive_time_ms` and `grpc.keepalive_timeout_ms` set.
#
# The relay between client and server goes on to take what comes and gives nothing on, as the kernel
# does for a process that hangs, and a router for a cable that is pulled out behind it. So TCP sees
# nothing wrong; the pings alone can. "grpc.keepalive_timeout_ms: the time that the sender of the
# keepalive ping waits for an acknowledgement" (doc/keepalive.md).
#
# Guess: with a ping after 1 s and a timeout of 1 s the stream ends after some 2 s, UNAVAILABLE.
# Seen:  it ends after 61 s, "ping timeout", as long as `grpc.http2.ping_timeout_ms` is left alone,
#        whose default is a minute. With that as 1 s it ends after 1 s.
#
# What to do: set both, and try it with a peer that hangs, not with one that is killed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check grpcio==1.85.1
cat > "$work/look.py" <<'PY'
import asyncio
import time

import grpc

KEEPALIVE = [
    ("grpc.keepalive_time_ms", 1_000),
    ("grpc.keepalive_timeout_ms", 1_000),
    ("grpc.http2.max_pings_without_data", 0),
]
ALLOWED = [
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 100),
    ("grpc.http2.max_ping_strikes", 0),
]
WAIT_SECONDS = 120


class Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details):
        async def echo(requests, context):
            async for each in requests:
                yield each

        return grpc.stream_stream_rpc_method_handler(echo)


async def seconds_until_it_ends(port, options):
    silent = asyncio.Event()

    async def one_way(reader, writer):
        while content := await reader.read(65536):
            if not silent.is_set():
                writer.write(content)

    async def relay(reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        both_ways = one_way(reader, there_writer), one_way(there_reader, writer)
        try:
            await asyncio.gather(*both_ways)
        except asyncio.CancelledError:
            pass  # the end of the script

    listening = await asyncio.start_server(relay, "127.0.0.1", 0)
    address = "127.0.0.1:%d" % listening.sockets[0].getsockname()[1]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call = channel.stream_stream("/a.B/C")()
        await call.write(b"x")
        assert await call.read() == b"x"
        silent.set()
        began = time.monotonic()
        try:
            await asyncio.wait_for(call.read(), WAIT_SECONDS)
        except grpc.aio.AioRpcError as error:
            return time.monotonic() - began, error.code().name, error.details()
        except (TimeoutError, asyncio.TimeoutError):
            return WAIT_SECONDS, "", "still open"


async def main():
    print("grpcio", grpc.__version__)
    server = grpc.aio.server(handlers=[Echo()], options=ALLOWED)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    also = [("grpc.http2.ping_timeout_ms", 1_000)]
    alone = await seconds_until_it_ends(port, KEEPALIVE)
    both = await seconds_until_it_ends(port, KEEPALIVE + also)
    print("keepalive_timeout_ms alone:     %.1f s, %s %s" % alone)
    print("with http2.ping_timeout_ms too: %.1f s, %s %s" % both)
    assert alone[0] > 30, alone
    assert both[0] < 15 and "ping timeout" in both[2], both
    await server.stop(None)


asyncio.run(main())
PY
timeout 200 "$work/venv/bin/python" "$work/look.py" 2> "$work/said" || { cat "$work/said"; exit 1; }
