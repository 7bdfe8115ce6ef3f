"""A note's schedule as a file beside the notebook that the workbench's scheduler does not read until it is renamed.

A schedule that came over must not begin to run unseen: in Zeppelin it may have been dead for years, or still runs.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

# Beside X.ipynb, the scheduler reads X.schedule.toml only.
ON, OFF = ".schedule.toml", ".schedule.off.toml"
_USER = re.compile(r"[a-z][a-z0-9-]{0,30}")
# The scheduler takes {today} and the like for dates.
_DATE = re.compile(r"\{\w+\}")


def text(cron: str, quartz: str, timezone: str, stem: str, parameters: Mapping[str, Any], readers: list[str]) -> str:
    """The file's text: when, in which time zone, with which parameters, and who may read what a run gives."""
    lines = [
        f"# Zeppelin ran this note at {_line(quartz)}, in the time zone of its server.",
        f"# It does not run here until you rename this file to {_line(stem)}{ON}",
        f"schedule = {_value(cron)}",
        f"timezone = {_value(timezone)}",
    ]
    # Others are no users of the workbench by these names.
    if users := [name for name in readers if _USER.fullmatch(name)]:
        lines.append(f"readers = {_value(users)}")
    values = {key: value for key, value in parameters.items() if _fits(value)}
    if values:
        lines += ["", "[parameters]", *(f"{_value(key)} = {_value(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _fits(value: Any) -> bool:
    """Whether a schedule can give the value. What it leaves out keeps the notebook's own."""
    return isinstance(value, (str, int, float, list)) and not _DATE.search(str(value))


def _line(value: str) -> str:
    return " ".join(value.split())


def _value(value: Any) -> str:
    """A text, number or list of texts as TOML, which is JSON but for two things that JSON lets through."""
    encoded = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return encoded.encode("utf-8", "replace").decode()
