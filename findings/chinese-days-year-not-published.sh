#!/usr/bin/env bash
# chinese-days 1.5.7 (Node.js 20) beside chinese-calendar 1.11.0 (Python 3.11): a year whose days off
# the State Council has not published when the package was made.
#
# The mainland's days off and the Saturdays worked in their place are decided year by year, late in
# the year before. That 1 October is National Day is law.
#
# Guess: for 1 October 2027, a Friday, both say that they do not know the year; or both know by law
#        that nobody works.
# Seen:  chinese-calendar raises NotImplementedError, "no available data for year 2027". chinese-days
#        answers: a working day, named "Friday", no holiday; and finds no holiday in the week that
#        follows but the weekend. So it does for New Year's Day and for years before its data, too.
#        Nothing in such an answer tells it from a known one.
#
# What to do: ask whether the package knows a day of that year that the law names (1 October), and
# treat the whole year as unknown where it does not.
set -euo pipefail
command -v npm >/dev/null || { echo "needs Node.js"; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check chinese-calendar==1.11.0
cd "$work"
npm install --silent --no-fund --no-audit --ignore-scripts chinese-days@1.5.7
cat > look.cjs <<'JS'
const assert = require("node:assert");
const module_ = require("chinese-days");
const days = module_.default ?? module_;
const seen = ["2026-10-01", "2027-10-01", "2028-01-03", "2003-10-01", "2027-01-01"].map((day) => [
  day, days.isWorkday(day), days.isHoliday(day), days.getDayDetail(day).name,
]);
for (const each of seen) console.log(...each);
assert.deepEqual(seen[0].slice(1), [false, true, "National Day,国庆节,3"]);
assert.deepEqual(seen[1].slice(1), [true, false, "Friday"]);
assert.deepEqual(seen[3].slice(1), [true, false, "Wednesday"]);
assert.deepEqual(seen[4].slice(1), [true, false, "Friday"]);
const week = days.getHolidaysInRange("2027-10-01", "2027-10-07", true);
console.log("holidays of the week:", week);
assert.deepEqual(week, ["2027-10-02", "2027-10-03"]);
JS
node look.cjs
cat > look.py <<'PY'
from datetime import date

import chinese_calendar

assert chinese_calendar.is_workday(date(2026, 10, 1)) is False
try:
    chinese_calendar.is_workday(date(2027, 10, 1))
except NotImplementedError as error:
    print("chinese-calendar:", error)
else:
    raise SystemExit("chinese-calendar knows 2027")
PY
venv/bin/python -W ignore look.py
