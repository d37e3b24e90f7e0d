"""Small made-up GTFS feeds, of the shapes that public ones have."""

import io
import zipfile
from collections.abc import Mapping

FERRY_FEED = {
    # a ferry operator's, as a spreadsheet program saves it: byte order mark, CR LF, quotes
    "agency.txt": "\ufeffagency_id,agency_name,agency_url,agency_timezone\r\n"
    'STAR,"Star, Ferry",https://ferry.example,Asia/Hong_Kong\r\n',
    "stops.txt": "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station,zone_id,colour\n"
    "CENTRAL,Central,22.287,114.16,1,,,\n"
    "C7,Central Pier 7,22.2871,114.1601,0,CENTRAL,Z1,red\n"
    "TST,Tsim Sha Tsui,22.2939,114.1687,,,Z2,\n"
    "DB,Discovery Bay,22.2936,114.0168,0,,Z3,\n",
    "routes.txt": "route_id,agency_id,route_short_name,route_long_name,route_type\n"
    "R1,STAR,F1,Central - Tsim Sha Tsui,4\nR2,STAR,N,Night,1200\n",
    "calendar_dates.txt": "service_id,date,exception_type\n"
    "WEEK,{day0},1\nWEEK,{day1},1\nWEEK,{day2},1\nNIGHT,{day0},1\nNIGHT,{day1},1\n",
    "trips.txt": "route_id,service_id,trip_id,trip_short_name\n"
    "R1,WEEK,T1,f-101\nR1,WEEK,FREQ,\nR2,NIGHT,T2,\n",
    "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence,"
    "shape_dist_traveled,drop_off_type\n"
    "T1,7:05:00,7:05:00,C7,1,,\nT1,7:14:30,7:14:30,TST,5,,\n"
    "FREQ,08:00:00,08:00:00,C7,1,,\nFREQ,08:10:00,08:10:00,TST,2,,\n"
    "T2,25:10:00,25:10:00,C7,1,0,\nT2,,,TST,2,1,1\nT2,25:50:00,25:50:00,DB,3,4,\n",
    "frequencies.txt": "trip_id,start_time,end_time,headway_secs,exact_times\n"
    "FREQ,10:00:00,10:30:00,600,0\nFREQ,11:00:00,11:20:00,600,1\n",
    "translations.txt": "table_name,field_name,language,translation,record_id\n"
    "stops,stop_name,zh-Hant,中環,CENTRAL\nstops,stop_name,zh-Hans,中环,CENTRAL\n"
    "stops,stop_name,zh,尖沙咀,TST\n",
    "fare_attributes.txt": "fare_id,price,currency_type,payment_method,transfers\n"
    "SHORT,5.5,HKD,0,0\nLONG,46.30,HKD,0,0\n",
    "fare_rules.txt": "fare_id,route_id,origin_id,destination_id\n"
    "SHORT,R1,Z1,Z2\nLONG,R2,Z1,Z3\nLONG,R2,Z2,Z3\n",
    "shapes.txt": "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\n",
}
"""Three days on WEEK (a trip, two departures exactly timed and three about every ten minutes), two
nights (times past midnight, one filled in, where nobody gets off).
"""


def files(feed: Mapping[str, str], **values: str) -> dict[str, bytes]:
    """The files of a feed, with values in place of their names in braces."""
    filled = {}
    for name, text in feed.items():
        made = text
        for key, value in values.items():
            made = made.replace(f"{{{key}}}", value)
        filled[name] = made.encode()
    return filled


def changed(feed: Mapping[str, str], file: str, old: str, new: str) -> dict[str, str]:
    """The feed with another text in a file, which has the old one."""
    assert old in feed[file], (file, old)
    return {**feed, file: feed[file].replace(old, new)}


def zipped(content: Mapping[str, bytes]) -> bytes:
    """As a zip archive, the way others make them."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, each in content.items():
            archive.writestr(name, each)
    return made.getvalue()
