#!/usr/bin/env bash
# ical-generator 10.2.0, read by node-ical 0.26.1 (Node.js 20): an event with a time zone.
#
# A Date is a moment, so a process in Tokyo and one in Hong Kong hold the same one; `timezone` says
# how the calendar or the event shows it.
#
# Guess: 02:00 UTC with timezone "Asia/Hong_Kong" is written as 10:00 of Hong Kong by both processes.
# Seen:  the process in Tokyo writes DTSTART;TZID=Asia/Hong_Kong:20270104T110000, an hour late: the
#        clock of the process under the name of the other zone. Set on the calendar alone, the zone
#        is left out of DTSTART, which floats, and DTSTAMP has lost its Z, though RFC 5545 wants UTC
#        there; "UTC" as the event's zone inside such a calendar floats, too. Without any zone all
#        is right: 20270104T020000Z.
#
# What to do: set no zone and let times be UTC; or give luxon's or moment-timezone's values.
set -euo pipefail
command -v npm >/dev/null || { echo "needs Node.js"; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit --ignore-scripts ical-generator@10.2.0 node-ical@0.26.1
cat > look.mjs <<'JS'
import ical from "ical-generator";
import node_ical from "node-ical";
const zone = { timezone: "Asia/Hong_Kong" };
const utc = { timezone: "UTC" };
for (const [calendar, event] of [[{}, {}], [{}, zone], [zone, {}], [zone, zone], [zone, utc]]) {
  const made = ical(calendar);
  made.createEvent({ id: "1", summary: "x", start: new Date("2027-01-04T02:00:00Z"), ...event });
  const text = made.toString();
  const [entry] = Object.values(node_ical.sync.parseICS(text)).filter((e) => e.type === "VEVENT");
  const stamp = /DTSTAMP:\d{8}T\d{6}(Z?)/.exec(text)[1] ? "stamp in UTC" : "stamp floats";
  console.log(/DTSTART[^\r]*/.exec(text)[0], entry.start.toISOString().slice(11, 16), stamp);
}
JS
TZ=Asia/Tokyo node look.mjs | tee tokyo
TZ=Asia/Hong_Kong node look.mjs | tee hong_kong
diff tokyo - <<'SEEN'
DTSTART:20270104T020000Z 02:00 stamp in UTC
DTSTART;TZID=Asia/Hong_Kong:20270104T110000 03:00 stamp in UTC
DTSTART:20270104T110000 02:00 stamp floats
DTSTART;TZID=Asia/Hong_Kong:20270104T110000 03:00 stamp floats
DTSTART:20270104T110000 02:00 stamp floats
SEEN
test "$(sed -n 2p hong_kong)" = "DTSTART;TZID=Asia/Hong_Kong:20270104T100000 02:00 stamp in UTC"
