#!/usr/bin/env bash
# python-escpos 3.1 (Python 3.11): a receipt's line with a price in yuan, in Chinese and in English.
#
# The documentation says that `text()` picks the printer's code page for every character, and puts
# "?" where there is none. Receipt printers sold for Chinese have GBK, two bytes a character; "¥"
# (U+00A5) is in the code page 437 of nearly every printer, and in no place of GBK, whose own is the
# wide "￥".
#
# Guess: the Chinese characters are sent as GBK, and for "¥" the code page is changed, or "?" sent.
# Seen:  a text with a common Chinese character is sent as GB18030 as a whole, with no change of code
#        page: "¥" becomes the four bytes 81 30 84 36, the second and fourth of which are the digits 0
#        and 6, so that a printer of GBK prints a 0 and a 6 in front of ¥150. Sent by itself, "¥150" is
#        9d 31 35 30, as it should be. Japanese without Chinese characters ("のりば") is "???", although
#        GB18030 has it, and the same beside 港 is right.
#
# What to do: write CNY, HK$ or the wide "￥" on receipts, and send prices in a call of their own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  python-escpos==3.1 pillow==12.0.0 setuptools==65.5.0
cat > "$work/look.py" <<'PY'
from escpos.printer import Dummy


def sent(text):
    printer = Dummy()
    printer.text(text)
    print(text, printer.output.hex(" "))
    return printer.output


assert sent("票价 ¥150") == "票价 ".encode("gbk") + b"\x810\x846" + b"150"
assert sent("¥150") == b"\x1bt\x00" + b"\x9d150"
assert sent("票价 ￥150") == "票价 ￥150".encode("gbk")
assert sent("のりば") == b"\x1bt\x00???"
assert sent("港 のりば") == "港 のりば".encode("gbk")
PY
"$work/venv/bin/python" "$work/look.py"
