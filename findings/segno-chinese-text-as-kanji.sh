#!/usr/bin/env bash
# segno 1.6.6, read by zxing-cpp 3.1.1 (Python 3.11): a QR code of a short Chinese name.
#
# `segno.make_qr(text)` picks mode and encoding by itself: Latin 1, Shift JIS, or else UTF-8, which
# QR readers recognise; `eci=True` names the encoding, so that a reader need not guess.
#
# Guess: names that Shift JIS lacks are drawn as bytes of UTF-8 and read as they were written, all the
#        more with encoding="utf-8" and eci=True.
# Seen:  many are, others not: 上环 (where ferries to Macau leave) is read as 荳顔識, 沈阳 as 豐磯亠.
#        The bytes of UTF-8 are tried as pairs of Shift JIS, and if each pair is in its range, the mode
#        for Japanese is taken and the ECI left out, without a word. With encoding="utf-8", also with
#        eci=True, so is 廈門; with "gb18030" 東門 and 嵊泗. Each is an answer of the mode rightly read:
#        no other reader can do better. 东京 in GB 18030 is named by ECI 29, and zxing-cpp, which reads
#        that as GB 2312, has it right, but loses 東 of 東京.
#
# What to do: mode="byte" with encoding="utf-8" for every text that is not ASCII, and read back what
# was drawn before it is printed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  segno==1.6.6 zxing-cpp==3.1.1 pillow==12.0.0
cat > "$work/look.py" <<'PY'
import io

import segno
import zxingcpp
from PIL import Image


def read(name, **how):
    code = segno.make_qr(name, **how)
    png = io.BytesIO()
    code.save(png, kind="png", scale=6, border=4)
    (found,) = zxingcpp.read_barcodes(Image.open(png).convert("L"))
    print(name, how, code.mode, "read as", found.text)
    return code.mode, found.text


for name in ("深圳", "澳门", "中环", "香港"):
    assert read(name)[1] == name
utf_8 = {"encoding": "utf-8", "eci": True}
for name, seen in (("上环", "荳顔識"), ("沈阳", "豐磯亠")):
    assert read(name) == read(name, **utf_8) == ("kanji", seen)
assert read("廈門")[1] == "廈門"
assert read("廈門", **utf_8) == ("kanji", "蟒磯摩")
gb = {"encoding": "gb18030", "eci": True}
assert read("東門", **gb) == ("kanji", "翻餤")
assert read("嵊泗", **gb) == ("kanji", "瞠胖")
assert read("东京", **gb) == ("byte", "东京")
assert read("東京", **gb) == ("byte", "\ufffd京")
for name in ("上环", "沈阳", "廈門", "東門", "嵊泗", "東京"):
    assert read(name, mode="byte", **utf_8) == ("byte", name)
PY
"$work/venv/bin/python" "$work/look.py"
