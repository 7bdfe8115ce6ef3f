"""Python's zoneinfo with the data of the PyPI package tzdata: the release that is built into the functions.

Python prefers the machine's own data, which may be any release. Import ZoneInfo from here, not from zoneinfo.
"""

import zoneinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import tzdata

zoneinfo.reset_tzpath(to=())
ZoneInfo.clear_cache()

RELEASE: str = tzdata.IANA_VERSION

__all__ = ["RELEASE", "ZoneInfo", "ZoneInfoNotFoundError", "available_timezones"]
