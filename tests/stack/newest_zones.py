"""Asks PyPI whether there is a newer release of the time zone database than the one that the functions are built with."""

import re
import subprocess
import sys

from stack import zones

_SECONDS = 20


def advice() -> str:
    """One line for `make check`. It never fails: a release that comes out must not break a build."""
    newest = newest_release()
    if newest is None:
        return f"IANA {zones.RELEASE} is built in; PyPI did not say within {_SECONDS} s whether there is a newer one"
    if newest > zones.RELEASE:
        return (
            f"IANA {zones.RELEASE} is built in, and {newest} is out: raise it, or give it to countries by `make zones` "
            "(docs/zones.md says how)"
        )
    return f"IANA {zones.RELEASE} is built in, and there is no newer one"


def newest_release() -> str | None:
    """The newest release that the package tzdata has; None if it cannot be asked."""
    command = [sys.executable, "-m", "pip", "index", "versions", "tzdata", "--disable-pip-version-check", "--retries=0"]
    try:
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS).stdout
    except (subprocess.SubprocessError, OSError):
        return None
    versions = [(int(year), int(number)) for year, number in re.findall(r"\b(20\d\d)\.(\d+)", said)]
    return release(*max(versions)) if versions else None


def release(year: int, number: int) -> str:
    """The release of a version of the package: 2026.6 holds 2026f."""
    return f"{year}{chr(ord('a') + number - 1)}"
