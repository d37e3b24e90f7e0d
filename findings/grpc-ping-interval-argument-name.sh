#!/usr/bin/env bash
# grpcio 1.85.1 (Python 3.11, Linux): the server's channel argument for the least interval of pings.
#
# gRPC's keep-alive guide and its C header call the argument
# GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS. Every neighbour of it in the same table is
# spelled like its macro: GRPC_ARG_KEEPALIVE_TIME_MS is "grpc.keepalive_time_ms". So a good engineer
# writes "grpc.http2.min_recv_ping_interval_without_data_ms".
#
# Guess: pings every 0.2 s are welcome to a server that was given 100 ms under that name.
# Seen:  GOAWAY "too_many_pings" after the fourth. The macro's text has no "recv" in it:
#        "grpc.http2.min_ping_interval_without_data_ms". The other name is taken without a word and
#        does nothing, as every unknown argument is: the default of 5 minutes holds, and quiet streams
#        of clients that ask every 10 s (the fastest that grpc-java allows) die after half a minute.
#
# What to do: hold each name that is set against the strings of the compiled core in a test.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check grpcio==1.85.1
cat > "$work/pings.py" <<'PY'
import socket
import time
from concurrent import futures

import grpc

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + b"8 octets"


def pings_answered(name: str) -> int:
    """How many of 8 pings, 0.2 s apart, are acknowledged before GOAWAY or the end."""
    options = [("grpc.keepalive_permit_without_calls", 1), (name, 100)]
    server = grpc.server(futures.ThreadPoolExecutor(1), options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    answered = 0
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        stream = connection.makefile("rb")
        connection.sendall(PREFACE)
        for _ in range(8):
            try:
                connection.sendall(PING)
                kind, flags = None, 0
                while (kind, flags) != (6, 1):
                    head = stream.read(9)
                    if len(head) < 9 or head[3] == 7:
                        raise ConnectionError
                    stream.read(int.from_bytes(head[:3], "big"))
                    kind, flags = head[3], head[4]
            except OSError:
                break
            answered += 1
            time.sleep(0.2)
    server.stop(None).wait()
    return answered


as_the_macro = pings_answered("grpc.http2.min_recv_ping_interval_without_data_ms")
as_the_core = pings_answered("grpc.http2.min_ping_interval_without_data_ms")
print(f"named like the macro: {as_the_macro} of 8 pings answered; as the core reads it: {as_the_core}")
assert as_the_macro < 8, "the name of the macro works now"
assert as_the_core == 8, "the other name does not work any more"
PY
"$work/venv/bin/python" "$work/pings.py"
