"""docs/accuracy.md in small: bounds and intervals hold where the truth is known, and the view computes them."""

import json
from datetime import datetime, timedelta

import numpy as np
import pytest

from infra import schema
from infra.local.servers import sql, trino
from infra.vocabulary import RATED
from tests.harness import views_oracle
from tests.harness.interval_oracle import availability_interval
from tests.harness.views_oracle import Row, Rows
from tests.measure import intervals
from tests.measure.coverage import SIZES, Held, hold_alike, hold_common, hold_period
from tests.measure.seen import bias_at_openings, late_and_early, see
from tests.measure.worlds import LENGTHS, SLOT, STORES, Bools, Counts, World, count, counted, draw, look

KEY = ("country", "period", "since", "scope", "region", "chain")
FIRST_DAY = datetime(2026, 9, 28)  # a Monday; the third day begins a month and a quarter
DAYS = 4
WORLDS = [
    (stores, lengths)
    for stores in ("varied", "one in twenty is bad")
    for lengths in ("exponential, 2 min", "exponential, 45 min", "exponential, 4 h")
]


@pytest.mark.parametrize("lengths", LENGTHS)
def test_every_outage_s_length_is_inside_its_bounds(lengths: str) -> None:
    rng = np.random.default_rng(1)
    world = draw(rng, STORES["varied"](rng, 100), LENGTHS[lengths], 60)
    for after in (0.0, 1.0, 450.0, 899.0):
        found = see(world, after)
        assert len(found.span) > 100
        assert found.inside == 1
        assert np.all(found.at_most - found.at_least <= 2 * SLOT)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_an_outage_is_hit_with_the_probability_of_its_length_in_slots(lengths: str) -> None:
    rng = np.random.default_rng(2)
    world = draw(rng, STORES["all alike"](rng, 300), LENGTHS[lengths], 91)
    expected = np.minimum(1, LENGTHS[lengths].draw(rng, 200_000) / SLOT).mean()
    found = see(world, 123.0)
    near = 4 * np.sqrt(expected * (1 - expected) / found.true) + 0.01
    assert abs(found.hit / found.true - expected) < near
    # A few are told together with their neighbours.
    assert 0.9 * found.hit < found.told <= found.hit


def test_availability_as_seen_is_the_true_one_on_average() -> None:
    for stores, lengths in WORLDS:
        pool = counted(np.random.default_rng(3), 2000, STORES[stores], LENGTHS[lengths], 30)
        seen, true = pool.bad.sum() / pool.looks.sum(), pool.lost.sum() / SLOT / pool.looks.sum()
        assert abs(seen - true) < 0.0005, (stores, lengths)


@pytest.fixture(scope="module")
def held() -> dict[str, Held]:
    """How often the intervals hold, in a few kinds of worlds."""
    found = {name: Held() for name in ("alike", "naive", "period", "long run")}
    for number, world in enumerate(WORLDS):
        rng = np.random.default_rng([4, number])
        pool = counted(rng, 2000, STORES[world[0]], LENGTHS[world[1]], 91)
        hold_alike(rng, pool, world, 300, found["alike"], found["naive"])
        hold_period(rng, pool, world, found["period"], found["long run"])
    return found


@pytest.mark.parametrize("size", SIZES)
def test_low_and_high_hold_the_availability_of_stores_like_these(held: dict[str, Held], size: int) -> None:
    least, most = (0.96, 1.0) if size < 100 else (0.94, 0.99) if size == 100 else (0.93, 0.97)
    assert least <= held["alike"].share(size=size) <= most
    for stores, lengths in WORLDS:
        assert held["alike"].share(reliability=stores, lengths=lengths, size=size) > 0.91


def test_an_interval_over_looks_would_not_hold_it(held: dict[str, Held]) -> None:
    assert held["naive"].share(lengths="exponential, 4 h") < 0.5


@pytest.mark.parametrize("size", [size for size in SIZES if size <= 1000])
def test_the_period_s_ends_hold_what_the_period_was(held: dict[str, Held], size: int) -> None:
    for stores, lengths in WORLDS:
        assert held["period"].share(reliability=stores, lengths=lengths, size=size) > 0.93


def test_neither_interval_knows_of_a_failure_of_all_stores() -> None:
    rng = np.random.default_rng(5)
    pool = counted(rng, 2000, STORES["varied"], LENGTHS["exponential, 45 min"], 7)
    quiet, failed = (hold_common(rng, pool, 1000, minutes, 300) for minutes in (0, 20))
    assert min(quiet) > 0.92
    assert failed[0] < 0.6
    assert failed[1] < 0.1


def test_a_look_at_the_minute_of_opening_counts_a_late_store_for_a_whole_slot() -> None:
    comes, goes = late_and_early(np.random.default_rng(6), 200_000, 10, 180, 0)
    # 1 slot of 40, instead of 3 minutes of 600.
    assert bias_at_openings(comes, goes, 10, 0) == pytest.approx(3 / 600 - 1 / 40, abs=0.001)
    assert abs(bias_at_openings(comes, goes, 10, 300)) < 0.001


def test_the_quantiles_are_those_of_printed_tables() -> None:
    # Student's, two-sided 95 %; below 2 degrees of freedom ours are larger.
    for freedom, table in ((2, 4.303), (4, 2.776), (10, 2.228), (30, 2.042), (1000, 1.962)):
        assert table * 0.999 < intervals.student(np.array([freedom])) < table * 1.05
    assert intervals.student(np.array([1.0])) > 12.706
    # Limits of a Poisson mean, two-sided 95 %.
    for events, lower, upper in ((1, 0.0253, 5.572), (5, 1.623, 11.668), (20, 12.217, 30.888)):
        assert intervals.poisson(np.array([events]), -1.96) == pytest.approx(lower, abs=0.02)
        assert intervals.poisson(np.array([events + 1]), 1.96) == pytest.approx(upper, abs=0.02)
    assert intervals.poisson(np.array([1]), 1.96) == pytest.approx(3.689, abs=0.025)


def test_view_oracle_and_simulation_give_the_same_intervals(engine: sql.Engine) -> None:
    rng = np.random.default_rng(7)
    # Stores that are never out, nearly always, and some in between; the last is alone in its chain.
    unavailability = np.array([1e-9, 1e-9, 0.999999, 0.999999, 0.05, 0.1, 0.2, 0.3, 0.1, 0.2])
    chains = ["good", "good", "bad", "bad", *["mixed"] * 4, None, "alone"]
    world = draw(rng, unavailability, LENGTHS["exponential, 45 min"], DAYS)
    bad = look(world, 450.0)
    rows = rows_of(world, bad, chains)
    expected = keyed(availability_interval({"store_availability": rows}))
    found = keyed(ask(engine, rows))
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert views_oracle.is_same(row, expected[key]), (row, expected[key])
    week = {row["chain"]: row for row in found.values() if row["period"] == "week" and row["scope"] != "region"}
    assert (week["good"]["high"], week["bad"]["low"], week["alone"]["low"]) == (1, 0, None)
    counts = count(world, bad)
    for chain in ("good", "bad", "mixed"):
        own = counts.between(0, DAYS).of(np.array([[n for n, name in enumerate(chains) if name == chain]]))
        assert ends(week[chain]) == pytest.approx(simulated(own), rel=1e-9)


def rows_of(world: World, bad: Bools, chains: list[str | None]) -> Rows:
    """The world's looks as rows of store_availability. Stores open at 05:00, and are closed at night."""
    rows: Rows = []
    looks = iter(bad)
    for store, slots in enumerate(world.slots):
        for day in range(world.days):
            opening = FIRST_DAY + timedelta(days=day, hours=5)
            for number in range(slots):
                slot = opening + number * views_oracle.SLOT
                rows.append(
                    {"country": "es", "day": f"{slot:%Y-%m-%d}", "slot": slot, "store_id": f"{store}"}
                    | {"region": f"ES-{store % 3}", "chain": chains[store]}
                    | {"status": RATED[1] if next(looks) else RATED[0]}
                )
    return rows


def ask(engine: sql.Engine, rows: Rows) -> Rows:
    """The view's answer on these rows, which take the place of its table."""
    names = list(rows[0])
    # One text, because the engine takes long to plan many values.
    text = json.dumps([[row[name] and f"{row[name]}" for name in names] for row in rows])
    (view,) = (one for one in schema.views() if one.name == "availability_interval")
    columns = ", ".join("cast(slot as timestamp(3)) as slot" if name == "slot" else name for name in names)
    row = ", ".join(f"{name} varchar" for name in names)
    table = f"select {columns} from unnest(cast(json_parse('{text}') as array(row({row}))))"
    statement = view.sql.replace("with rated as", f"with store_availability as ({table}),\nrated as", 1)
    return sql.run(engine, statement, catalog=trino.CATALOG).dicts


def keyed(rows: Rows) -> dict[tuple[object, ...], Row]:
    """The rows by key."""
    found = {tuple(row[name] for name in KEY): row for row in rows}
    assert len(found) == len(rows)
    return found


def ends(row: Row) -> list[float]:
    """The ends of a row's two intervals."""
    return [row[name] for name in ("low", "high", "period_low", "period_high")]


def simulated(group: Counts) -> list[float]:
    """The same, as the simulation computes them."""
    found = (*intervals.alike(group.looks, group.bad), *intervals.period(group))
    return [float(end[0]) for end in found]
