"""Python's zoneinfo on the PyPI package tzdata, so that the tests judge by the release the functions are built with.

Python prefers the machine's own zone data, which may be of any release. Import ZoneInfo from here and not from zoneinfo.
"""

import zoneinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import tzdata

zoneinfo.reset_tzpath(to=())
ZoneInfo.clear_cache()

RELEASE: str = tzdata.IANA_VERSION

__all__ = ["RELEASE", "ZoneInfo", "ZoneInfoNotFoundError", "available_timezones"]
