#!/usr/bin/env bash
# grpcurl 1.9.4 (Go 1.24 or later) against grpcio 1.85.1: how a FieldMask is written in a request.
#
# The JSON form of google.protobuf.FieldMask is one text, its paths joined by commas and in
# lowerCamelCase ("displayName,state"): protobuf's guide to JSON says so, and the libraries of every
# language, JSON gateways and OpenAPI documents take that and nothing else. grpcurl's requests are
# protobuf's JSON, and its other well-known types, such as Timestamp and Duration, are texts there.
#
# Guess: -d '{"mask": "displayName,state"}' is taken, and {"mask": {"paths": [...]}} refused.
# Seen:  the other way round. The text is refused before anything is sent (exit code 1, "bad input:
#        expecting start of JSON object"); the message's own fields are taken, with the paths as they
#        stand in the .proto ("display_name"). A Timestamp beside it is taken as a text.
#
# What to do: examples of calls with an update mask are written twice: for grpcurl with `paths`, for
# JSON over HTTP and the libraries as one text.
set -euo pipefail
command -v go >/dev/null || { echo "needs Go"; exit 3; }
work=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server"; chmod -R u+w "$work"; rm -rf "$work"' EXIT
GOPATH="$work/go" GOBIN="$work/bin" go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  grpcio==1.85.1 grpcio-tools==1.85.1 grpcio-reflection==1.85.1
cat > "$work/masks.proto" <<'PROTO'
syntax = "proto3";
package masks;
import "google/protobuf/field_mask.proto";
import "google/protobuf/timestamp.proto";
message Change {
  google.protobuf.FieldMask mask = 1;
  google.protobuf.Timestamp since = 2;
}
service Masks {
  rpc Echo(Change) returns (Change);
}
PROTO
cat > "$work/echo.py" <<'PY'
from concurrent import futures

import grpc
import masks_pb2
import masks_pb2_grpc
from grpc_reflection.v1alpha import reflection


class Masks(masks_pb2_grpc.MasksServicer):
    def Echo(self, request, context):
        print(list(request.mask.paths), request.since.seconds, flush=True)
        return request


server = grpc.server(futures.ThreadPoolExecutor(2))
masks_pb2_grpc.add_MasksServicer_to_server(Masks(), server)
names = (masks_pb2.DESCRIPTOR.services_by_name["Masks"].full_name, reflection.SERVICE_NAME)
reflection.enable_server_reflection(names, server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
PY
cd "$work"
venv/bin/python -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. masks.proto
venv/bin/python echo.py > seen &
server=$!
until test -s seen; do sleep 0.1; done
address="127.0.0.1:$(head -n 1 seen)"
call() { bin/grpcurl -plaintext -d "$1" "$address" masks.Masks/Echo; }

if call '{"mask": "displayName,state"}' > answer 2> error; then text=taken; else text=refused; fi
call '{"mask": {"paths": ["display_name", "state"]}, "since": "1970-01-01T00:00:07Z"}' > answer
echo "as one text: $text: $(cat error)"
echo "what the server got: $(tail -n +2 seen)"
test "$text" = refused
grep -q "expecting start of JSON object" error
test "$(tail -n +2 seen)" = "['display_name', 'state'] 7"
