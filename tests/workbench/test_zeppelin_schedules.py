"""Quartz's expressions and the five fields of cron come due at the same instants."""

import random
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.workbench.zeppelin.quartz import CronError, to_cron
from tests.workbench.zeppelin_notes import Imported, calculated, imported, note, one, paragraph, write

DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]

SAME = {
    "0 0 7 ? * MON": "0 7 * * 1",
    "0 0 0 * * ?": "0 0 * * *",
    "0 0/5 * * * ?": "*/5 * * * *",
    "0 3/20 * * * ?": "3,23,43 * * * *",
    "0 30 22-2 * * ?": "30 0-2,22,23 * * *",
    "0 0 12 1,15 JAN-MAR/2 ? *": "0 12 1,15 1,3 *",
    "0 0 8 ? * FRI-MON": "0 8 * * 0,1,5,6",
    "0 15 10 ? * 2-6": "15 10 * * 1-5",
    "30 0 6 * * ?": "0 6 * * *",
}
REFUSED = {
    "0 0 0 L * ?": "L, W and # (L) have no equal in cron",
    "0 0 0 ? * 6L": "L, W and # (6L) have no equal in cron",
    "0 0 0 ? * FRIL": "L, W and # (FRIL) have no equal in cron",
    "0 0 0 15W * ?": "L, W and # (15W) have no equal in cron",
    "0 0 0 ? * MON#2": "L, W and # (MON#2) have no equal in cron",
    "* 0 0 * * ?": "it runs at several seconds of a minute (*), or at none",
    "0/10 * * * * ?": "it runs at several seconds of a minute (0/10), or at none",
    "0 0 0 * * ? 2027": "it names a year (2027), which cron cannot",
    "0 7 * * 1": "it has 5 fields, not 6 or 7",
    "0 0 0 * * *": "not exactly one of its two days is ?, so that Zeppelin did not run it either",
    "0 0 0 30 2 ?": "its day is in none of its months",
    "0 61 0 * * ?": "'61' is not between 0 and 59",
    "0 0/90 0 * * ?": "the step of '0/90' is not between 1 and 59",
    "0 every 0 * * ?": "'EVERY' is not between 0 and 59",
    "0 ٣ 0 * * ?": "'٣' is not between 0 and 59",
    "0 0, 0 * * ?": "'' cannot be read",
}


@pytest.mark.parametrize("quartz", SAME)
def test_an_expression_is_written_as_five_fields(quartz: str) -> None:
    assert to_cron(quartz) == SAME[quartz]


@pytest.mark.parametrize("quartz", REFUSED)
def test_what_five_fields_cannot_say_is_refused_with_the_reason(quartz: str) -> None:
    with pytest.raises(CronError) as refused:
        to_cron(quartz)
    assert str(refused.value) == REFUSED[quartz]


def field(draw: random.Random, low: int, high: int, names: list[str]) -> str:
    """A random field."""

    def value() -> str:
        number = draw.randint(low, high)
        return names[number - low].lower() if names and draw.random() < 0.3 else str(number)

    def item() -> str:
        step = draw.randint(1, high)
        return draw.choice(
            [value(), f"{value()}-{value()}", f"{value()}/{step}", f"*/{step}", f"{value()}-{value()}/{step}"]
        )

    return "*" if draw.random() < 0.3 else ",".join(item() for _ in range(draw.choice([1, 1, 1, 2, 3])))


def expression(draw: random.Random) -> str:
    """A random expression that Quartz takes."""
    day, weekday = field(draw, 1, 31, []), "?"
    if draw.random() < 0.5:
        day, weekday = "?", field(draw, 1, 7, DAYS)
    fields = ["0", field(draw, 0, 59, []), field(draw, 0, 23, []), day, field(draw, 1, 12, MONTHS), weekday]
    return " ".join(fields + ["*"] * draw.choice([0, 1]))


def matches(text: str, value: int, low: int, high: int, names: list[str]) -> bool:
    """Whether Quartz's field has the value: each item walked step by step around its circle, as Quartz's manual says."""

    def number(word: str) -> int:
        return low + names.index(word.upper()) if word.upper() in names else int(word)

    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        at = number(first)
        end = number(last) if last else (high if step else at)
        while True:
            if at == value:
                return True
            distance = (end - at) % (high - low + 1)
            if distance < int(step or 1):
                break
            at = low + (at - low + int(step or 1)) % (high - low + 1)
    return False


def due(quartz: str, start: datetime, days: int) -> list[str]:
    """The minutes at which an expression is due, each minute asked by itself."""
    _, minute, hour, day, month, weekday = quartz.split()[:6]
    found = []
    for number in range(1, days + 1):
        date = start + timedelta(days=number)
        if not matches(month, date.month, 1, 12, MONTHS):
            continue
        if day != "?" and not matches(day, date.day, 1, 31, []):
            continue
        if weekday != "?" and not matches(weekday, date.isoweekday() % 7 + 1, 1, 7, DAYS):
            continue
        hours = [value for value in range(24) if matches(hour, value, 0, 23, [])]
        minutes = [value for value in range(60) if matches(minute, value, 0, 59, [])]
        found += [(date + timedelta(hours=h, minutes=m)).isoformat() for h in hours for m in minutes]
    return found


@pytest.mark.smoke
def test_random_expressions_are_due_at_the_same_minutes() -> None:
    draw = random.Random(20_261_126)
    cases: list[tuple[str, str, datetime, int]] = []
    while len(cases) < 600:
        quartz = expression(draw)
        start = datetime(2027, 12, 20, tzinfo=UTC) + timedelta(days=draw.randint(0, 800))
        try:
            cron = to_cron(quartz)
        except CronError as error:
            # The only reason that a valid expression of these has.
            assert str(error) == "its day is in none of its months"
            assert due(quartz, datetime(2027, 1, 1, tzinfo=UTC), 1500) == []
            continue
        cases.append((quartz, cron, start, 8))
    code = """
from datetime import datetime, timedelta
from cronsim import CronSim
result = []
for cron, start, days in given:
    start = datetime.fromisoformat(start) + timedelta(days=1)
    end, found = start + timedelta(days=days), []
    for at in CronSim(cron, start - timedelta(minutes=1)):
        if at >= end:
            break
        found.append(at.isoformat())
    result.append(found)
"""
    answers = calculated(code, [(cron, start.isoformat(), days) for _, cron, start, days in cases])
    busy = 0
    for (quartz, cron, start, days), answer in zip(cases, answers, strict=True):
        expected = due(quartz, start, days)
        assert answer == expected, (quartz, cron)
        busy += bool(expected)
    assert busy > 200


def scheduled(folder: Path, cron: str, *options: str) -> Imported:
    """A note with a schedule and a form, which ben may read."""
    answers = {"params": {"país": 'm"x\\\x7f', "n": "{today}"}, "forms": {}}
    asks = paragraph("%athena select '${país=es,es|mx}', ${n}", settings=answers)
    made = note(asks, config={"cron": cron, "cronExecutingUser": "ana", "cronExecutingRoles": "[]"})
    write(folder / "notes/Note_2ABCDEFGH.zpln", made)
    rights = {
        "authInfo": {"2ABCDEFGH": {"owners": ["ana"], "readers": ["Group A", "ben"], "writers": [], "runners": []}}
    }
    write(folder / "notes/conf/notebook-authorization.json", rights)
    return imported(folder / "notes", folder / "out", *options)


def test_a_schedule_comes_over_beside_the_notebook_and_is_off(tmp_path: Path) -> None:
    done = scheduled(tmp_path, "0 0 7 ? * MON", "--timezone", "Europe/Madrid")
    assert set(done.files()) == {"ana/Note.ipynb", "ana/Note.schedule.off.toml"}
    text = done.files()["ana/Note.schedule.off.toml"].decode()
    assert tomllib.loads(text) == {
        "schedule": "0 7 * * 1",
        "timezone": "Europe/Madrid",
        "readers": ["ben"],
        "parameters": {"país": 'm"x\\\x7f'},
    }
    assert "does not run here until you rename this file to Note.schedule.toml" in text
    why = (
        "its schedule '0 0 7 ? * MON' is '0 7 * * 1' now, and off: rename Note.schedule.off.toml to Note.schedule.toml"
    )
    assert why in done.whys()


def test_a_schedule_that_cannot_come_over_is_reported_and_the_note_comes(tmp_path: Path) -> None:
    done = scheduled(tmp_path, "0 0 7 ? * MON#1")
    assert set(done.files()) == {"ana/Note.ipynb"}
    assert "its schedule '0 0 7 ? * MON#1' was left out: L, W and # (MON#1) have no equal in cron" in done.whys()


def test_a_note_without_a_schedule_gets_none(tmp_path: Path) -> None:
    assert set(one(tmp_path, "%md x", config={"cron": ""}).files()) == {"ana/Note.ipynb"}
