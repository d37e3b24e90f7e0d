#!/usr/bin/env bash
# ics 0.7.3 for Python (ics.py, Python 3.11): a calendar that was read and is written again.
#
# CALSCALE is optional in an iCalendar file; RFC 5545 section 3.7.1 knows one value, GREGORIAN.
#
# Guess: a calendar without CALSCALE is written without it, or with CALSCALE:GREGORIAN.
# Seen:  CALSCALE:GEORGIAN, a scale that does not exist. METHOD, which stood at the head, now
#        follows the last event. A calendar made anew has no CALSCALE; one that was read with
#        GREGORIAN keeps it. The library reads its own file without complaint.
#
# What to do: name CALSCALE:GREGORIAN in files that others pass on with this library, or set
# calendar.scale = "GREGORIAN" before writing: readers that check the value refuse the file.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ics==0.7.3 tatsu==5.7.4
cat > "$work/look.py" <<'PY'
import ics

LINES = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//example//EN
METHOD:PUBLISH
BEGIN:VEVENT
UID:1
DTSTAMP:20260101T000000Z
DTSTART:20270104T020000Z
END:VEVENT
END:VCALENDAR
"""
read = ics.Calendar(LINES)
written = read.serialize().splitlines()
print(*written, sep="\n")
assert "CALSCALE:GEORGIAN" in written, written
assert written.index("METHOD:PUBLISH") > written.index("END:VEVENT"), written
assert "CALSCALE" not in ics.Calendar().serialize()
read.scale = "GREGORIAN"
assert "CALSCALE:GREGORIAN" in read.serialize().splitlines()
assert len(ics.Calendar("\n".join(written)).events) == 1
PY
"$work/venv/bin/python" -W ignore "$work/look.py"
