#!/usr/bin/env bash
# gtfs-kit 13.0.1 (Python 3.11): when a day's service begins and ends, and how many trips a route has.
#
# The feed is valid: GTFS allows `7:05:00` beside `07:05:00`, and 25:10:00 is ten past one of the
# next morning. Of a trip with frequencies its own times only say how long it takes: it leaves at
# 10:00, 10:10 and 10:20, and not at 08:00.
#
# Guess: get_start_and_end_times() answers 7:05:00 and 25:50:00; compute_route_stats() counts four
#        trips of the route, or says that it leaves frequencies out.
# Seen:  the times are compared as text: the day begins at 08:00:00, a time at which nothing leaves,
#        and ends at 7:14:30. The route has two trips: the template of the frequency counts as a
#        departure, and its three departures do not.
#
# What to do: write times with two digits of hours, and frequencies as plain stop_times; both then
# come out right, also in this library.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check gtfs-kit==13.0.1
mkdir "$work/feed"
cd "$work/feed"
printf 'agency_id,agency_name,agency_url,agency_timezone\nA,A,https://example.com,Asia/Hong_Kong\n' > agency.txt
printf 'stop_id,stop_name,stop_lat,stop_lon\nC,Central,22.287,114.16\nT,Tsim Sha Tsui,22.294,114.169\n' > stops.txt
printf 'route_id,agency_id,route_short_name,route_type\nDAY,A,D,4\nNIGHT,A,N,4\n' > routes.txt
printf 'service_id,date,exception_type\nS,20270104,1\n' > calendar_dates.txt
printf 'route_id,service_id,trip_id\nDAY,S,T1\nDAY,S,FREQ\nNIGHT,S,T2\n' > trips.txt
cat > stop_times.txt <<'CSV'
trip_id,arrival_time,departure_time,stop_id,stop_sequence
T1,7:05:00,7:05:00,C,1
T1,7:14:30,7:14:30,T,2
FREQ,08:00:00,08:00:00,C,1
FREQ,08:10:00,08:10:00,T,2
T2,25:10:00,25:10:00,C,1
T2,25:50:00,25:50:00,T,2
CSV
printf 'trip_id,start_time,end_time,headway_secs\nFREQ,10:00:00,10:30:00,600\n' > frequencies.txt
cat > "$work/look.py" <<'PY'
import sys

import gtfs_kit

feed = gtfs_kit.read_feed(sys.argv[1], dist_units="km")
span = feed.get_start_and_end_times("20270104")
trips = gtfs_kit.compute_route_stats(feed, ["20270104"]).set_index("route_id")["num_trips"]
print("the day:", span, "trips:", dict(trips))
assert tuple(span) == ("08:00:00", "7:14:30"), span
assert trips["DAY"] == 2, trips
PY
"$work/venv/bin/python" -W ignore "$work/look.py" "$work/feed"
