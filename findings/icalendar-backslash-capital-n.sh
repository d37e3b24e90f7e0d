#!/usr/bin/env bash
# icalendar 7.3.2 (Python 3.11): a text with a backslash before a capital N.
#
# RFC 5545 section 3.3.11 writes a line break in a text as \n or \N, and a backslash as \\. So the
# text "Pier 3\North" (names exported from other programs have such separators) is Pier 3\\North.
#
# Guess: every text comes back from to_ical() and from_ical() as it was.
# Seen:  "Pier 3\North" comes back as "Pier 3", a line break and "orth": the writer takes \N in the
#        text itself for a line break that is already escaped. "Pier 3\north" is written rightly and
#        comes back, and so does every other letter. ical.js 2.2.1 writes both rightly.
#
# What to do: replace backslashes in names before they reach vText; no escaping of one's own helps.
set -euo pipefail
command -v npm >/dev/null || { echo "needs Node.js"; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check icalendar==7.3.2
cat > "$work/look.py" <<'PY'
import string

from icalendar import Event


def there_and_back(text):
    event = Event()
    event.add("location", text)
    return str(Event.from_ical(event.to_ical())["location"])


for text in ("Pier 3\\North", "Pier 3\\north", "Pier 3\\\\North"):
    print(repr(text), "->", repr(there_and_back(text)))
assert there_and_back("Pier 3\\North") == "Pier 3\north"
assert there_and_back("Pier 3\\\\North") == "Pier 3\\\north"
lost = [each for each in string.printable if there_and_back(f"a\\{each}b") != f"a\\{each}b"]
print("lost after a backslash:", lost)
assert "N" in lost and not set(lost) & (set(string.ascii_letters) - {"N"}), lost
PY
"$work/venv/bin/python" -W ignore "$work/look.py"
cd "$work"
npm install --silent --no-fund --no-audit --ignore-scripts ical.js@2.2.1
cat > look.mjs <<'JS'
import ICAL from "ical.js";
const event = new ICAL.Component("vevent");
event.updatePropertyWithValue("location", "Pier 3\\North");
const back = new ICAL.Component(ICAL.parse(event.toString())).getFirstPropertyValue("location");
console.log("ical.js:", JSON.stringify(back));
if (back !== "Pier 3\\North") throw new Error(back);
JS
node look.mjs
