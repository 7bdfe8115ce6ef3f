"""The tables of `make bench` in Markdown, and its goals, from the file of results and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

Results = Mapping[str, Any]
STEPS = ("plan", "observe", "merge", "register")
SIDES = ("Storewatch", "the floor", "the Spark job")
_SERVERS = {"postgres": "PostgreSQL", "elasticsearch": "Elasticsearch", "aws": "the local AWS"}
# Goals at 10,000 stores, as ratios.
_FLOOR, _SPARK_FIRST, _SPARK_WARM, _SPARK_CPU, _SPARK_MEMORY = 1.5, 100, 12, 25, 30


def floor_kind(results: Results) -> str:
    """The cheaper of the two ways to read the live view."""
    kinds = [name for name in results if name.startswith("floor_")]
    return min(kinds, key=lambda kind: median(each(results, kind, "ms")))


def each(results: Results, side: str, name: str) -> list[float]:
    """A value of every warm round."""
    return [one[name] for one in results[side]]


def path(one: Mapping[str, Any]) -> float:
    """The critical path of a round."""
    return sum(one[name]["ms"] for name in STEPS)


def figures(results: Results) -> dict[str, list[list[float]]]:
    """What is compared: for each of the three sides its values, one a round."""
    floor, cold = floor_kind(results), results["cold"]
    ours = results["ours"]
    return {
        "warm": [[path(one) for one in ours], each(results, floor, "ms"), each(results, "spark", "ms")],
        "first": [
            [one["path_ms"] for one in cold],
            [one["floor"]["ms"] for one in cold],
            [one["spark"]["ms"] for one in cold],
        ],
        "cpu": [
            [sum(one[name]["cpu_ms"] for name in STEPS) for one in ours],
            each(results, floor, "cpu_ms"),
            each(results, "spark", "cpu_ms"),
        ],
        "memory": [
            [max(results["peak_mib"][name] for name in STEPS)],
            [results["peak_mib"]["floor"]],
            [results["peak_mib"]["spark"]],
        ],
        "unchanged": [
            [path(one) - one["plan"]["ms"] + plan[way] for one, plan in zip(ours, results["unchanged"], strict=True)]
            for way in results["unchanged"][0]
        ],
    }


def goals(results: Results) -> list[tuple[str, str, str, bool]]:
    """Each goal: what it is about, what is wanted, what was measured, and whether it is met."""
    found = figures(results)
    ours, floor, _ = (median(side) for side in found["warm"])
    first, _, spark_first = (median(side) for side in found["first"])
    cpu, _, spark_cpu = (median(side) for side in found["cpu"])
    memory, _, spark_memory = (side[0] for side in found["memory"])
    best = min(found["warm"][2])
    rows = [
        ("critical path, of the floor", f"at most {_FLOOR} ×", f"{ours / floor:.2f} ×", ours <= _FLOOR * floor),
        (
            "first result of new processes, against Spark",
            f"{_SPARK_FIRST} × less",
            f"{spark_first / first:.0f} × less",
            spark_first >= _SPARK_FIRST * first,
        ),
        (
            "critical path, against Spark's best warm run",
            f"{_SPARK_WARM} × less",
            f"{best / ours:.1f} × less",
            best >= _SPARK_WARM * ours,
        ),
        (
            "CPU of a run, against Spark",
            f"{_SPARK_CPU} × less",
            f"{spark_cpu / cpu:.1f} × less",
            spark_cpu >= _SPARK_CPU * cpu,
        ),
        (
            "memory, against Spark",
            f"{_SPARK_MEMORY} × less",
            f"{spark_memory / memory:.1f} × less",
            spark_memory >= _SPARK_MEMORY * memory,
        ),
    ]
    for way, values in zip(results["unchanged"][0], found["unchanged"], strict=True):
        value = median(values)
        rows.append(
            (f"`version` unchanged ({way}), of the floor", "below 1 ×", f"{value / floor:.2f} ×", value < floor)
        )
    return rows


def markdown(results: Results) -> str:
    """The whole report."""
    setting = results["setting"]
    said = (
        f"{setting['at']}, commit {setting['commit']}: {setting['stores']:,} stores in one country, {setting['rounds']} "
        f"rounds in turn after a few that do not count, {len(results['cold'])} of new processes. {setting['cores']} cores "
        f"({setting['cpu']}), {setting['memory_gib']} GiB, {setting['system']}, load {setting['load']:.1f} before. "
        f"PostgreSQL {setting['postgres']}, Elasticsearch {setting['elasticsearch']}, Spark {setting['spark']}, "
        f"{setting['rustc']}."
    )
    parts = [
        said,
        _sides(results),
        _functions(results),
        _floor(results),
        table(
            ["goal at 10,000 stores", "wanted", "measured", ""],
            [[a, b, c, "met" if met else "**not met**"] for a, b, c, met in goals(results)],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _sides(results: Results) -> str:
    found, floor = figures(results), floor_kind(results)
    machines = results["machines"]
    rows = [
        ["time of a warm run", *map(_spread, found["warm"])],
        ["the same through the local machines", _spread(machines["warm_ms"]), "", ""],
        ["first result of new processes", *map(_spread, found["first"])],
        ["the same through the local machines", _ms(machines["cold_ms"]), "", ""],
        *[
            [f"`version` unchanged ({way})", _spread(values), "", ""]
            for way, values in zip(results["unchanged"][0], found["unchanged"], strict=True)
        ],
        ["CPU of a warm run", *map(_spread, found["cpu"])],
        *[
            # The kernel counts a server's ended sessions in hundredths of a second, so only the mean says something.
            [
                f"CPU of {server} for it",
                *[_ms(_mean([one["servers"][name] for one in results[side]])) for side in ("ours", floor, "spark")],
            ]
            for name, server in _SERVERS.items()
        ],
        ["peak memory, of the largest function", *[f"{side[0]:,.0f} MiB" for side in found["memory"]]],
    ]
    return table(["median (least to most)", *SIDES], rows)


def _functions(results: Results) -> str:
    def cold(name: str, what: str) -> str:
        return _spread([one["functions"][name][what] for one in results["cold"]])

    rows = [
        [
            f"`{name}`" + (", the slowest chunk; CPU of all" if name == "observe" else ""),
            _spread([one[name]["ms"] for one in results["ours"]]),
            _spread([one[name]["cpu_ms"] for one in results["ours"]]),
            cold(name, "first_poll_ms"),
            cold(name, "first_answer_ms"),
            f"{results['peak_mib'][name]:.0f} MiB",
        ]
        for name in STEPS
    ]
    return table(["function", "warm", "CPU", "start to first poll", "start to first answer", "peak memory"], rows)


def _floor(results: Results) -> str:
    names = {"floor_sorted": "documents sorted by id", "floor_grouped": "ids grouped by online"}
    parts = ("connect_ms", "copy_ms", "read_ms", "write_ms")
    rows = [
        [names[kind], *[_spread(each(results, kind, part)) for part in parts], _spread(each(results, kind, "ms"))]
        for kind in names
    ]
    head = ["the floor with", "connect (not counted)", "COPY", "read", f"write {results['bytes']:,} bytes", "sum"]
    return table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _spread(values: Sequence[float]) -> str:
    form = _form(median(values))
    return f"{form(median(values))} ({form(min(values))} to {form(max(values))}) ms"


def _ms(value: float) -> str:
    return f"{_form(value)(value)} ms"


def _form(value: float) -> Callable[[float], str]:
    digits = 0 if value >= 20 else 1
    return lambda value: f"{value:,.{digits}f}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
