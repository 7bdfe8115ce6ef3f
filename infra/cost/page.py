"""Writes the tables of docs/scale-and-cost.md, between marks, so that the page says what the script says."""

from collections.abc import Mapping, Sequence

from infra.cost.counts import counts
from infra.cost.month import HOURS, TICKS, Month, Prices, emr, measured
from infra.packaging import ROOT

PAGE = ROOT / "docs" / "scale-and-cost.md"
COUNTRIES = (1, 10, 30)


def months(architecture: str = "x86_64") -> list[Month]:
    """The cases of the page."""
    held, prices, counted = measured(), Prices.load(), counts()
    return [
        Month(counted, prices, run, number, int(stores), architecture)
        for stores, run in held["runs"].items()
        for number in COUNTRIES
    ]


def tables() -> dict[str, str]:
    """Every table of the page, by its mark."""
    return {
        "months": _months(),
        "emr": _emr(),
        "tick": _tick(),
        "counts": _counts(),
        "prices": _prices(),
    }


def _months() -> str:
    cases = months()
    head = ["US dollars a month", *(f"{one.countries} × {one.stores:,}" for one in cases)]
    rows = [[part, *(f"{one.parts[part]:,.2f}" for one in cases)] for part in cases[0].parts]
    rows.append(["**all**", *(f"**{one.total:,.2f}**" for one in cases)])
    rows.append(["all, after free allowances", *(f"{one.total - one.free:,.2f}" for one in cases)])
    rows.append(["all, with `arm64`", *(f"{one.total:,.2f}" for one in months("arm64"))])
    rows.append(["what a tick adds", *(f"{one.tick:.5f}" for one in cases)])
    return _table(head, rows)


def _emr() -> str:
    parts = emr(Prices.load())
    rows = [[name, f"{usd:,.2f}"] for name, usd in parts.items()]
    rows.append(["**all**", f"**{sum(parts.values()):,.2f}**"])
    return _table(["US dollars a month", f"{HOURS} hours"], rows)


def _tick() -> str:
    rows = []
    for stores, run in measured()["runs"].items():
        for name, found in run["functions"].items():
            requests = ", ".join(f"{n} {operation}" for operation, n in found["requests"].items()) or "-"
            told = [f"{int(stores):,}", f"`{name}`", str(found["calls"]), f"{1000 * found['seconds']:.0f}"]
            rows.append([*told, requests, f"{found['put_bytes']:,}", f"{found['log_bytes']:,}"])
    head = ["stores", "function", "calls", "ms each", "requests of all calls", "bytes put", "bytes logged"]
    return _table(head, rows)


def _counts() -> str:
    counted, sent = counts(), {len(run["metrics"]) for run in measured()["runs"].values()}
    per_country = counted.machines["tick"].each + counted.machines["country"].once
    rows = [
        ["metrics that alarms read", f"{counted.lake.metrics}", f"{counted.country.metrics}"],
        ["composite alarms", f"{counted.lake.composite}", f"{counted.country.composite}"],
        ["custom metrics while all is well", "0", f"{max(sent)}"],
        ["secrets", "0", "1"],
        ["states of a tick", f"{counted.machines['tick'].once}", f"{per_country}"],
    ]
    return _table(["", "shared", "a country"], rows)


def _prices() -> str:
    prices = Prices.load()
    rows = [[one.said, f"[page]({one.page})", one.read] for one in prices.each.values()]
    read = "\n".join(f"- {name}: {said}." for name, said in prices.sources.items())
    head = [f"US dollars, {prices.region}", "published", "read from"]
    return f"Read on {prices.read_on}:\n\n{read}\n\n{_table(head, rows)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rendered(text: str, made: Mapping[str, str]) -> str:
    """The page with its tables as they should be. A mark that is missing is an error of the page."""
    for name, table in made.items():
        mark, end = f"<!-- {name}: make cost -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(mark)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise ValueError(f"{PAGE} has no place for the table {name}: it needs the lines {mark} and {end}")
        text = f"{before}{mark}\n\n{table}\n\n{end}{after}"
    return text


def problems() -> list[str]:
    """Where the page differs from what `make cost` writes."""
    text = PAGE.read_text()
    return [] if text == rendered(text, tables()) else ["docs/scale-and-cost.md has other tables: run `make cost`"]


def summary() -> str:
    """What `make cost` prints."""
    lines = [f"a month of {TICKS:,} ticks, US dollars at list prices, and what a tick adds:"]
    cluster = sum(emr(Prices.load()).values())
    for one in months():
        lines.append(f"  {one.countries:>3} × {one.stores:>7,} stores  {one.total:>8.2f}  {one.tick:.5f}")
    return "\n".join([*lines, f"  an EMR cluster        {cluster:>8.2f}"])
