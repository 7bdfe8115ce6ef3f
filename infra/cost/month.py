"""A month's bill: list prices times what is counted in the templates and what a tick was seen to use."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from infra.cost.counts import Counts

_FOLDER = Path(__file__).parent
PRICES = _FOLDER / "prices.toml"
# Written by `make bench-cost`.
MEASURED = _FOLDER / "measured.json"

DAYS = 31
TICKS = 96 * DAYS
HOURS = 24 * DAYS
_GB = 1e9
# Lambda gives a function a share of a processor that grows with its memory, and a whole one from here on.
_WHOLE_PROCESSOR_MB = 1769
# The local AWS answers at once. On AWS a request takes about this long, as if all were sent one after another.
_SECONDS_A_REQUEST = 0.03
# The daily work of a country, from docs/benchmarks.md (release build), with the four tables' 96 files, read and tagged.
_DAY_SECONDS_A_STORE = 0.0002
_DAY_GETS = 96 * 4 + 105
_DAY_PUTS = 96 * 4 + 20
# A compacted day is this much smaller than its ticks' files: docs/benchmarks.md. A year of such days is kept.
_COMPACTED = 15
_KEPT_DAYS = 365
# How long what a function puts is kept: lake.yaml. Snapshots of schedules, staged chunks, the tables' files.
_KEPT = {"plan": 30, "observe": 2, "merge": 7}
_TABLES = 7
# shared/runtime/src/secrets.rs: an hour.
_TICKS_A_READING = 4


@dataclass(frozen=True)
class Price:
    """A list price, and where it is from."""

    name: str
    usd: float  # of one
    said: str  # such as "0.025 per 1,000 state transitions"
    page: str
    read: str

    @classmethod
    def of(cls, name: str, entry: Mapping[str, Any]) -> "Price":
        """Reads one from prices.toml."""
        per = entry.get("per", 1)
        shown = f"{entry['usd']:.10f}".rstrip("0")
        shown = shown + "0" * max(0, 2 - len(shown.partition(".")[2]))
        said = f"{shown} per {per:,} {entry['unit']}" if per != 1 else f"{shown} {entry['unit']}"
        return cls(name, entry["usd"] / per, said, entry["page"], entry["read"])


@dataclass(frozen=True)
class Prices:
    """All prices of prices.toml."""

    region: str
    read_on: str
    sources: Mapping[str, str]
    each: Mapping[str, Price]

    @classmethod
    def load(cls, file: Path = PRICES) -> "Prices":
        """Reads the file."""
        held = tomllib.loads(file.read_text())
        prices = {
            name: Price.of(name, entry) for name, entry in held.items() if isinstance(entry, dict) and "usd" in entry
        }
        return cls(held["region"], str(held["read_on"]), held["read"], prices)

    def __call__(self, name: str, quantity: float) -> float:
        """What so many of something cost."""
        return self.each[name].usd * quantity


def measured() -> dict[str, Any]:
    """What `make bench-cost` has measured."""
    held: dict[str, Any] = json.loads(MEASURED.read_text())
    return held


@dataclass(frozen=True)
class Month:
    """A month of so many countries of so many stores."""

    counts: Counts
    prices: Prices
    run: Mapping[str, Any]  # what a tick of one country of so many stores uses
    countries: int
    stores: int
    architecture: str = "x86_64"

    @cached_property
    def parts(self) -> dict[str, float]:
        """US dollars by what is billed."""
        return {
            "alarms": self._alarms(),
            "metrics": self._metrics(),
            "state machines": self._machines(),
            "secrets": self._secrets(),
            "S3 requests": self._requests(),
            "S3 storage": self._storage(),
            "Lambda": self._lambda(),
            "logs": self._logs(),
            "Glue": self._glue(),
            "dashboard": self.prices("dashboards", self.counts.dashboards),
        }

    @property
    def total(self) -> float:
        """US dollars."""
        return sum(self.parts.values())

    @property
    def free(self) -> float:
        """What of it an account does not pay that uses these services for nothing else: AWS's lasting allowances."""
        free, parts = self.prices, self.parts
        time, calls = self._lambda_time_and_calls()
        return sum(
            [
                min(parts["alarms"], free("alarms", 10)),
                min(parts["dashboard"], free("dashboards", 3)),
                min(parts["state machines"], free("states", 4_000)),
                min(time, free(f"lambda_{self.architecture}", 400_000)),
                min(calls, free("lambda_requests", 1_000_000)),
                min(parts["logs"], free("logs", 5)),
                min(parts["Glue"], free("glue_requests", 1_000_000)),
            ]
        )

    @property
    def tick(self) -> float:
        """What one tick of all countries adds to the bill: what is billed by use, without the daily work."""
        used = self._machines(days=0) + self._requests(days=0) + self._lambda(days=0) + self._logs() + self._glue()
        reads = self.prices("secret_calls", self.countries * self._secret_reads)
        return (used + self.prices("metric_requests", self.countries * TICKS * self._sent)) / TICKS + reads

    @property
    def _functions(self) -> Mapping[str, Mapping[str, Any]]:
        return self.run["functions"]

    def _calls(self, function: str) -> int:
        """Invocations in a tick: dispatch is invoked once for all countries."""
        return int(self._functions[function]["calls"]) * (1 if function == "dispatch" else self.countries)

    def _requested(self, function: str, *names: str) -> float:
        """Requests of an invocation. dispatch reads an object for each country."""
        requests = self._functions[function]["requests"]
        found = sum(requests.get(name, 0) for name in names or requests)
        found /= self._functions[function]["calls"]
        return found + (self.countries - 1 if function == "dispatch" and (not names or "s3:Get" in names) else 0)

    @property
    def _sent(self) -> float:
        """PutMetricData requests of a country's tick."""
        return sum(one["requests"].get("cloudwatch:PutMetricData", 0) for one in self._functions.values())

    @property
    def _secret_reads(self) -> float:
        """In a country's tick. Each function's process reads its own, and holds it for an hour."""
        return sum(int(self._functions[name]["calls"]) for name in ("plan", "observe")) / _TICKS_A_READING

    def _alarms(self) -> float:
        metrics = self.counts.lake.metrics + self.countries * self.counts.country.metrics
        composite = self.counts.lake.composite + self.countries * self.counts.country.composite
        return self.prices("alarms", metrics) + self.prices("composite_alarms", composite)

    def _metrics(self) -> float:
        metrics = self.prices("metrics", self.countries * len(self.run["metrics"]))
        return metrics + self.prices("metric_requests", self.countries * TICKS * self._sent)

    def _machines(self, days: int = DAYS) -> float:
        machines, n = self.counts.machines, self.countries
        states = TICKS * (machines["tick"].once + n * (machines["tick"].each + machines["country"].once))
        country_day = machines["country-daily"]
        states += days * (machines["daily"].once + n * (machines["daily"].each + country_day.once + country_day.each))
        observed = TICKS * self._calls("observe")
        # Billed in 64 MB for each begun 100 ms.
        seconds = observed * (0.1 + self._seconds("observe"))
        express = self.prices("express_requests", observed) + self.prices("express_duration", seconds * 64 / 1024)
        return self.prices("states", states) + express

    def _secrets(self) -> float:
        reads = self.countries * TICKS * self._secret_reads
        return self.prices("secrets", self.countries) + self.prices("secret_calls", reads)

    def _requests(self, days: int = DAYS) -> float:
        puts = TICKS * sum(self._calls(name) * self._requested(name, "s3:Put", "s3:List") for name in self._functions)
        gets = TICKS * sum(self._calls(name) * self._requested(name, "s3:Get", "s3:Head") for name in self._functions)
        # The Distributed Map reads the manifest.
        gets += TICKS * self.countries
        puts += days * self.countries * _DAY_PUTS
        gets += days * self.countries * _DAY_GETS
        return self.prices("s3_puts", puts) + self.prices("s3_gets", gets)

    def _storage(self) -> float:
        day = {name: 96 * self.countries * int(self._functions[name]["put_bytes"]) for name in _KEPT}
        held = sum(day[name] * days for name, days in _KEPT.items()) + day["merge"] / _COMPACTED * _KEPT_DAYS
        return self.prices("s3_storage", held / _GB)

    def _seconds(self, function: str) -> float:
        """An invocation's time on AWS."""
        slower = max(1.0, _WHOLE_PROCESSOR_MB / self.counts.memory[function])
        return float(self._functions[function]["seconds"]) * slower + _SECONDS_A_REQUEST * self._requested(function)

    def _lambda(self, days: int = DAYS) -> float:
        return sum(self._lambda_time_and_calls(days))

    def _lambda_time_and_calls(self, days: int = DAYS) -> tuple[float, float]:
        memory = self.counts.memory
        calls = {name: TICKS * self._calls(name) for name in self._functions}
        used = sum(calls[name] * self._seconds(name) * memory[name] / 1024 for name in calls)
        # Once to find the days that are due, once for the day.
        compactions = days * self.countries
        used += compactions * self.stores * _DAY_SECONDS_A_STORE * memory["compact"] / 1024
        duration = self.prices(f"lambda_{self.architecture}", used)
        return duration, self.prices("lambda_requests", sum(calls.values()) + 2 * compactions)

    def _logs(self) -> float:
        written = sum(
            TICKS * found["log_bytes"] * (1 if name == "dispatch" else self.countries)
            for name, found in self._functions.items()
        )
        return self.prices("logs", written / _GB) + self.prices("log_storage", written / _GB)

    def _glue(self) -> float:
        asked = sum(
            TICKS * self.countries * n
            for found in self._functions.values()
            for name, n in found["requests"].items()
            if name.startswith("glue:")
        )
        objects = self.countries * _TABLES * _KEPT_DAYS
        return self.prices("glue_requests", asked) + self.prices("glue_objects", objects)


def emr(prices: Prices) -> dict[str, float]:
    """A month of the cluster that Storewatch replaces: three nodes day and night, which are enough for every case here."""
    nodes, disks = 3, 3 * 64
    return {
        "three m5.xlarge (one primary, two core)": prices("m5_xlarge", nodes * HOURS),
        "EMR on them": prices("emr_m5_xlarge", nodes * HOURS),
        "their disks, 64 GB each": prices("ebs", disks),
        "PostgreSQL for the Hive metastore, db.t3.large with 20 GB": prices("rds_t3_large", HOURS)
        + prices("rds_storage", 20),
        "one m5.xlarge for Zeppelin, with 64 GB": prices("m5_xlarge", HOURS) + prices("ebs", 64),
    }
