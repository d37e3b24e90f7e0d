#!/usr/bin/env bash
# pygtfs 0.1.11 (Python 3.11): a feed whose names are translated.
#
# GTFS's translations.txt has had table_name, field_name, language, translation and record_id (or
# field_value) since 2020; before that, Google's own extension had trans_id, lang and translation.
#
# Guess: a loader that knows nothing of the newer columns leaves the file out; stops, routes and
#        times are loaded.
# Seen:  the file is taken for the old extension, whose trans_id it lacks: append_feed raises
#        IntegrityError "NOT NULL constraint failed: translations.trans_id", and of the whole feed
#        nothing is kept. The same feed without translations.txt is loaded.
#
# What to do: give such a reader the feed without translations.txt; all names have the feed's own
# language then.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pygtfs==0.1.11
mkdir "$work/feed"
cd "$work/feed"
printf 'agency_id,agency_name,agency_url,agency_timezone\nA,A,https://example.com,Asia/Hong_Kong\n' > agency.txt
printf 'stop_id,stop_name,stop_lat,stop_lon\nC,Central,22.287,114.16\nT,Tsim Sha Tsui,22.294,114.169\n' > stops.txt
printf 'route_id,agency_id,route_short_name,route_type\nR,A,R,4\n' > routes.txt
printf 'service_id,date,exception_type\nS,20270104,1\n' > calendar_dates.txt
printf 'route_id,service_id,trip_id\nR,S,T1\n' > trips.txt
cat > stop_times.txt <<'CSV'
trip_id,arrival_time,departure_time,stop_id,stop_sequence
T1,23:55:00,23:55:00,C,1
T1,24:05:00,24:05:00,T,2
CSV
cat > feed_info.txt <<'CSV'
feed_publisher_name,feed_publisher_url,feed_lang
A,https://example.com,en
CSV
printf 'table_name,field_name,language,translation,record_id\nstops,stop_name,zh,中環,C\n' > translations.txt
cp -r "$work/feed" "$work/plain"
rm "$work/plain/translations.txt"
cat > "$work/look.py" <<'PY'
import contextlib
import io
import sys

import pygtfs
from sqlalchemy.exc import IntegrityError


def load(path):
    schedule = pygtfs.Schedule(":memory:")
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            pygtfs.append_feed(schedule, path)
            said = "loaded"
        except IntegrityError as error:
            schedule.session.rollback()
            said = str(error.orig)
    return said, len(schedule.stops), len(schedule.stop_times)


plain, translated = load(sys.argv[1]), load(sys.argv[2])
print("without translations.txt:", plain)
print("with it:", translated)
assert plain == ("loaded", 2, 2), plain
assert translated == ("NOT NULL constraint failed: translations.trans_id", 0, 0), translated
PY
"$work/venv/bin/python" -W ignore "$work/look.py" "$work/plain" "$work/feed"
