#!/usr/bin/env bash
# bcbp 6.0.2 (npm, Node.js 20): a boarding pass of 31 December of a leap year, read after midnight.
#
# A boarding pass says the day of its flight by its number in the year, 366 here, without the year.
# It also says when it was issued: the last digit of the year, and the day. The library gives dates,
# reckoned from a reference year, which is the current one unless set.
#
# Guess: issued on 31 December 2028 for a flight of that day, it says so on 1 January 2029 as well:
#        for the day of issue is 31 December 2028 then, and 2029 has no day 366.
# Seen:  read in 2029 the flight is on 1 January 2029, a day after it left and a day after its own
#        day of issue, which is right. Read in 2028 both are right; so is a flight of day 61, issued
#        on day 60 of 2028, in either year.
#
# What to do: a pass that is shown at a gate is recognised by its form alone, and its date is
# not used.
set -euo pipefail
command -v npm >/dev/null || { echo "needs npm"; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit --ignore-scripts bcbp@6.0.2
cat > look.mjs <<'JS'
import assert from "node:assert";
import { decode, encode } from "bcbp";

const day = (date) => date.toISOString().slice(0, 10);

function read(issued, flight, year) {
  const leg = {
    operatingCarrierPNR: "ABC123", departureAirport: "HKG", arrivalAirport: "PEK",
    operatingCarrierDesignator: "CA", flightNumber: "0102", flightDate: new Date(flight),
    compartmentCode: "Y", seatNumber: "012A", checkInSequenceNumber: "0025", passengerStatus: "1",
  };
  const issuanceDate = new Date(issued);
  const pass = { legs: [leg], passengerName: "A/B", documentType: "B", issuanceDate };
  const text = encode({ data: pass });
  const { data } = decode(text, year);
  const said = [day(data.issuanceDate), day(data.legs[0].flightDate)];
  console.log(issued, flight, `read in ${year}:`, ...said);
  return said;
}
for (const year of [2028, 2029]) {
  assert.deepEqual(read("2028-02-29", "2028-03-01", year), ["2028-02-29", "2028-03-01"]);
}
assert.deepEqual(read("2028-12-31", "2028-12-31", 2028), ["2028-12-31", "2028-12-31"]);
assert.deepEqual(read("2028-12-31", "2028-12-31", 2029), ["2028-12-31", "2029-01-01"]);
JS
node look.mjs
