#!/usr/bin/env bash
# date-holidays 3.37.0 (Node.js 20): holidays of Macau, and of the mainland.
#
# Guess: new Holidays("MO") throws if it does not know Macau; for "CN", holidays of type "public" are
#        the days on which nobody works.
# Seen:  Macau is not known, and nothing says so: getHolidays(2026) is an empty list, and isHoliday()
#        of 1 January false. For the mainland 8 March (women have half the day off), 4 May (the
#        young), 1 June (children) and 1 August (soldiers) are "public", just like 1 October; that 2
#        May, Labour Day's second day, is off is not known, nor any Saturday that is worked instead.
#
# What to do: compare with getCountries() before an answer is believed, and take the mainland's days
# from the State Council's yearly notice.
set -euo pipefail
command -v npm >/dev/null || { echo "needs Node.js"; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit --ignore-scripts date-holidays@3.37.0
cat > look.cjs <<'JS'
const assert = require("node:assert");
const Holidays = require("date-holidays");
const macau = new Holidays("MO");
const new_year = macau.isHoliday(new Date("2026-01-01T12:00:00+08:00"));
console.log("Macau:", macau.getHolidays(2026), new_year);
assert.deepEqual(macau.getHolidays(2026), []);
assert.equal(new_year, false);
assert.equal("MO" in new Holidays().getCountries(), false);
assert.equal(new Holidays("HK").getHolidays(2026).length, 17);
const mainland = new Map(
  new Holidays("CN").getHolidays(2026).map((day) => [day.date.slice(0, 10), day.type]),
);
console.log("mainland:", ...mainland.keys());
for (const day of ["03-08", "05-04", "06-01", "08-01", "10-01"])
  assert.equal(mainland.get(`2026-${day}`), "public", day);
assert.equal(mainland.has("2026-05-02"), false);
JS
node look.cjs
