"""What a schedule file may say, and when a notebook is due, over changes of the clocks too."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from infra.workbench.hub.schedules import Schedule, Unreadable, parse

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def madrid(cron: str) -> Schedule:
    return parse(f'schedule = "{cron}"\ntimezone = "Europe/Madrid"\n'.encode())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minutes(schedule: Schedule, first: str, hours: int) -> list[str]:
    """The instants that a scheduler finds due which looks every minute, since it last did."""
    start = at(first)
    looks = [start + timedelta(minutes=number) for number in range(hours * 60 + 1)]
    found = [schedule.due(before, now) for before, now in itertools.pairwise(looks)]
    return [f"{one:%H:%M}" for one in found if one]


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("cron", "autumn", "spring"),
    [
        # In Madrid, 25 October 2026 has 2:00 to 3:00 twice, from 0:00 and from 1:00 UTC; 28 March 2027 has none of it.
        ("30 2 * * *", ["00:30"], ["01:00"]),
        ("0 * * * *", ["23:00", "00:00", "01:00", "02:00", "03:00"], ["23:00", "00:00", "01:00", "02:00", "03:00"]),
        ("30 1,3 * * *", ["23:30", "02:30"], ["00:30", "01:30"]),
    ],
)
def test_a_change_of_the_clocks_neither_drops_nor_doubles_a_daily_run(
    cron: str, autumn: list[str], spring: list[str]
) -> None:
    assert minutes(madrid(cron), "2026-10-24T22:50", 5) == autumn
    assert minutes(madrid(cron), "2027-03-27T22:50", 5) == spring


@pytest.mark.parametrize("day", ["2026-10-25", "2027-03-28", "2026-11-26"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "*/7 * * * *", "0 3 * * *", "59 23 * * 0"])
def test_whether_a_run_is_due_does_not_depend_on_when_one_looks(cron: str, day: str) -> None:
    schedule, start = madrid(cron), at(f"{day}T00:00") - timedelta(hours=3)
    instants, now = [], start
    while (following := schedule.following(now)) and following <= start + timedelta(days=1):
        instants.append(following)
        now = following
    for number in range(0, 24 * 60, 13):
        look = start + timedelta(minutes=number)
        assert schedule.due(start, look) == max((one for one in instants if one <= look), default=None), look


def test_only_the_newest_of_many_missed_runs_is_due() -> None:
    assert madrid("* * * * *").due(LONG_AGO, at("2026-11-26T12:00")) == at("2026-11-26T12:00")
    assert madrid("0 8 1 * *").due(LONG_AGO, at("2026-11-26T12:00")) == at("2026-11-01T07:00")
    assert madrid("0 8 29 2 *").due(LONG_AGO, at("2026-11-26T12:00")) == at("2024-02-29T07:00")


def test_nothing_is_due_for_an_instant_before_the_schedule_was_saved() -> None:
    saved = at("2026-11-26T12:00")
    assert madrid("0 8 * * *").due(saved, saved + timedelta(hours=1)) is None
    assert madrid("0 8 * * *").due(saved, saved + timedelta(days=1)) == at("2026-11-27T07:00")


def test_dates_are_those_of_the_due_instant_in_its_zone() -> None:
    text = 'schedule = "30 0 * * *"\ntimezone = "Europe/Madrid"\n[parameters]\n'
    text += 'days = ["{today}", "{yesterday}", "since {monday}"]\nother = [1, 2.5, true, "x"]\nday = 2026-01-02\n'
    values = parse(text.encode()).values(at("2026-11-22T23:30"))  # Monday 00:30 in Madrid
    assert values["days"] == ["2026-11-23", "2026-11-22", "since 2026-11-16"]
    assert (values["other"], values["day"]) == ([1, 2.5, True, "x"], "2026-01-02")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schedule = ", "This is no TOML"),
        ("\ufffd\x00", "This is no TOML"),
        ("", "five fields"),
        ('schedule = "* * * *"', "five fields"),
        ('schedule = "0 0 7 * * 1"', "five fields"),
        ('schedule = "61 7 * * 1"', "does not work"),
        ('schedule = "0 7 31 2 *"', "does not work|never comes"),
        ('schedule = "0 7 * * 1"\ntimezone = "Europe/Nowhere"', "no time zone 'Europe/Nowhere'"),
        ('schedule = "0 7 * * 1"\ntimezone = "../../etc/passwd"', "no time zone"),
        ('schedule = "0 7 * * 1"\ncron = "x"', "no setting 'cron'"),
        ('schedule = "0 7 * * 1"\ntimeout_minutes = 361', "1 to 360"),
        ('schedule = "0 7 * * 1"\ntimeout_minutes = true', "1 to 360"),
        ('schedule = "0 7 * * 1"\nreaders = "ben"', "readers is a list"),
        ('schedule = "0 7 * * 1"\nreaders = ["../ben"]', "'../ben' in readers"),
        ('schedule = "0 7 * * 1"\ntell = ["ana"]', "'ana' in tell"),
        ('schedule = "0 7 * * 1"\ntell = ["a@b\\r\\nBcc: x@y"]', "in tell"),
        ('schedule = "0 7 * * 1"\n[parameters]\nday = "{tomorrow}"', "{tomorrow} is no date"),
        ('schedule = "0 7 * * 1"\n[parameters]\n"a b" = 1', "no name of a variable"),
        ('schedule = "0 7 * * 1"\nparameters = 1', "parameters is a table"),
        ('schedule = "0 7 * * 1"\n[parameters]\nx = {a = 1}', "A parameter is text"),
    ],
)
def test_a_schedule_that_cannot_be_read_says_why(text: str, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        parse(text.encode())
