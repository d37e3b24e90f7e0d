#!/usr/bin/env bash
# protobuf 7.36.2 for Python: JSON of the greatest float that there is.
#
# A field of type float may hold 3.4028234663852886e+38, the greatest value of 32 bits; C and Python
# programs write it as "no upper limit". json_format writes a float with the fewest digits that name
# it, here 3.4028235e+38, which every reader of 32 bits takes for that same value.
#
# Guess: what MessageToJson writes, Parse reads: the message comes back as it was.
# Seen:  Parse raises ParseError "Float value too large at FloatValue.value": it compares the text as
#        a double with the greatest float, and the shortest text lies just above. The same with the
#        least one, -3.4028235e+38. The value next to the greatest one comes back, and so does the
#        greatest one written in full.
#
# What to do: a gateway that answers with JSON must not promise that its own answer can be sent back
# by json_format where a float may be at its limit: read the field's text as 32 bits before Parse, or
# have no float in the contract (whole minor units, whole seconds).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check protobuf==7.36.2
"$work/venv/bin/python" - <<'PY'
import struct

from google.protobuf import json_format
from google.protobuf.wrappers_pb2 import FloatValue

greatest, below = (struct.unpack("<f", bytes.fromhex(text))[0] for text in ("ffff7f7f", "feff7f7f"))


def comes_back(value: float) -> str:
    text = json_format.MessageToJson(FloatValue(value=value))
    try:
        again = json_format.Parse(text, FloatValue())
    except json_format.ParseError as error:
        return f"{text}: {error}"
    return f"{text}: {'same' if again.value == value else 'other'}"


seen = [comes_back(value) for value in (greatest, -greatest, below)]
seen.append(str(json_format.Parse("3.4028234663852886e+38", FloatValue()).value == greatest))
print(*seen, sep="\n")
assert seen == [
    "3.4028235e+38: Float value too large at FloatValue.value",
    "-3.4028235e+38: Float value too small at FloatValue.value",
    "3.4028233e+38: same",
    "True",
], "it is different now"
PY
