"""The server. Loading any part of it decides which tables of time zones the process uses."""

import zoneinfo

# Those of the locked package `tzdata`, on every machine: a system's may be years old, and a
# departure an hour wrong.
zoneinfo.reset_tzpath(to=())
zoneinfo.ZoneInfo.clear_cache()
