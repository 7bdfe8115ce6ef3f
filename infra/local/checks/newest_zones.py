"""Asks PyPI whether a newer release of the time zone database is out than the one built into the functions."""

import re
import subprocess
import sys

from infra.local import zones

_SECONDS = 20


def advice() -> str:
    """One line for `make check`. Never fails: a new release must not break a build."""
    newest = newest_release()
    if newest is None:
        return f"IANA {zones.RELEASE} is built in; PyPI did not answer within {_SECONDS} s whether there is a newer one"
    if newest > zones.RELEASE:
        return (
            f"IANA {zones.RELEASE} is built in, and {newest} is out: update, or give it to countries with `make zones` "
            "(docs/zones.md says how)"
        )
    return f"IANA {zones.RELEASE} is built in, the newest release"


def newest_release() -> str | None:
    """The newest release of the package tzdata; None if PyPI does not answer."""
    command = [sys.executable, "-m", "pip", "index", "versions", "tzdata", "--disable-pip-version-check", "--retries=0"]
    try:
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS).stdout
    except (subprocess.SubprocessError, OSError):
        return None
    versions = [(int(year), int(number)) for year, number in re.findall(r"\b(20\d\d)\.(\d+)", said)]
    return release(*max(versions)) if versions else None


def release(year: int, number: int) -> str:
    """The release that a version of the package holds: 2026.6 is 2026f."""
    return f"{year}{chr(ord('a') + number - 1)}"
