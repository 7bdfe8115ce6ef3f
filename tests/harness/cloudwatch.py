"""CloudWatch's alarms as AWS documents them, over points of metrics.

The local CloudWatch evaluates neither math nor silence, nor looks at dimensions. This does. The pages of the user guide:
"Alarm evaluation", "Alarm evaluation window", "Configuring how CloudWatch alarms treat missing data", "Using math
expressions with CloudWatch metrics" and "Composite alarms".
"""

import ast
import operator
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Metric = tuple[str, str, frozenset[tuple[str, str]]]  # namespace, name, dimensions
Points = Mapping[Metric, Sequence[tuple[float, float]]]  # seconds and value
Value = float | None

_STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Minimum": min,
    "Maximum": max,
    "Average": statistics.fmean,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
}
_OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
}


def metric_of(properties: Mapping[str, Any]) -> Metric:
    """The metric that an alarm, or a query of one, names."""
    dimensions = frozenset((entry["Name"], entry["Value"]) for entry in properties.get("Dimensions", []))
    return properties["Namespace"], properties["MetricName"], dimensions


@dataclass(frozen=True)
class CloudWatch:
    """Points of metrics, and what alarms make of them."""

    points: Points
    # Seconds from a point's time until an alarm sees it.
    delay: float = 0
    # AWS does not say how many periods more than it evaluates an alarm retrieves, to find data where some are missing, and
    # whether FILL fills a metric that has no data at all in that range.
    older_periods: int = 3
    fills_empty: bool = True

    def state(self, alarm: Mapping[str, Any], now: int) -> str:
        """The state of a metric alarm whose properties these are."""
        treatment = alarm["TreatMissingData"]
        assert treatment in ("breaching", "notBreaching"), treatment
        count = alarm["EvaluationPeriods"]
        breaches = _COMPARISONS[alarm["ComparisonOperator"]]
        # While some data are missing it looks at older ones, and only then treats what is missing as told.
        known = [value for value in self.values(alarm, now) if value is not None][:count]
        breaching = sum(breaches(value, float(alarm["Threshold"])) for value in known)
        if treatment == "breaching":
            breaching += count - len(known)
        return "ALARM" if breaching >= alarm.get("DatapointsToAlarm", count) else "OK"

    def values(self, alarm: Mapping[str, Any], now: int) -> list[Value]:
        """What the alarm retrieves, the newest first: its metric, or the one expression that it returns."""
        count = alarm["EvaluationPeriods"] + self.older_periods
        if "Metrics" not in alarm:
            return self._series(metric_of(alarm), alarm["Statistic"], alarm["Period"], count, now)
        series: dict[str, list[Value]] = {}
        for query in alarm["Metrics"]:
            if stat := query.get("MetricStat"):
                assert query["ReturnData"] is False
                series[query["Id"]] = self._series(metric_of(stat["Metric"]), stat["Stat"], stat["Period"], count, now)
        (expression,) = [query["Expression"] for query in alarm["Metrics"] if "Expression" in query]
        return _Expression(series, fills_empty=self.fills_empty).values(expression)

    def _series(self, metric: Metric, statistic: str, period: int, count: int, now: int) -> list[Value]:
        """A statistic per window, the newest first. Windows end at `now`, and slide with it."""
        seen = [(time, value) for time, value in self.points.get(metric, []) if time + self.delay <= now]
        series: list[Value] = []
        for number in range(count):
            end = now - number * period
            inside = [value for time, value in seen if end - period <= time < end]
            series.append(_STATISTICS[statistic](inside) if inside else None)
        return series


@dataclass(frozen=True)
class _Expression:
    """Metric math over series of the same length."""

    series: Mapping[str, list[Value]]
    fills_empty: bool

    def values(self, expression: str) -> list[Value]:
        """The expression's value in each window."""
        found = self._of(ast.parse(expression, mode="eval").body)
        assert isinstance(found, list), f"{expression} is no series"
        return found

    def _of(self, node: ast.expr) -> list[Value] | float:
        match node:
            case ast.Constant(value=int() | float() as value):
                return float(value)
            case ast.Name(id=name):
                return self.series[name]
            case ast.Call(func=ast.Name(id="FILL"), args=[filled, ast.Constant(value=int() as by)]):
                return self._fill(self._of(filled), by)
            case ast.BinOp(left=left, op=op, right=right):
                return _both(_OPERATIONS[type(op)], self._of(left), self._of(right))
        raise AssertionError(f"metric math is not modelled: {ast.unparse(node)}")

    def _fill(self, series: list[Value] | float, by: float) -> list[Value]:
        assert isinstance(series, list)
        if not self.fills_empty and all(value is None for value in series):
            return series
        return [by if value is None else value for value in series]


def _both(
    operation: Callable[[float, float], float], left: list[Value] | float, right: list[Value] | float
) -> list[Value]:
    """The operation in each window. It has no value where one side has none."""
    length = len(left) if isinstance(left, list) else len(right) if isinstance(right, list) else 0
    assert length, "one side must be a series"
    lefts = left if isinstance(left, list) else [left] * length
    rights = right if isinstance(right, list) else [right] * length
    return [None if a is None or b is None else operation(a, b) for a, b in zip(lefts, rights, strict=True)]


def rule_holds(rule: str, states: Mapping[str, str]) -> bool:
    """Whether the rule of a composite alarm holds."""
    text = re.sub(r'ALARM\("([^"]+)"\)', lambda match: str(states[match[1]] == "ALARM"), rule)
    text = re.sub(r"\b(AND|OR|NOT)\b", lambda match: match[1].lower(), text)

    def holds(node: ast.expr) -> bool:
        match node:
            case ast.Constant(value=bool() as value):
                return value
            case ast.BoolOp(op=ast.And(), values=values):
                return all(map(holds, values))
            case ast.BoolOp(op=ast.Or(), values=values):
                return any(map(holds, values))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not holds(operand)
        raise AssertionError(f"not part of a rule: {ast.unparse(node)}")

    return holds(ast.parse(text, mode="eval").body)


@dataclass
class Suppression:
    """When the actions of a composite alarm that has a suppressor are taken ("Suppressing composite alarm actions")."""

    wait: int
    extension: int
    _alarm_since: int | None = None
    _suppressed_until: float = 0
    _told: bool = False

    def rings(self, *, alarm: bool, suppressor: bool, now: int) -> bool:
        """Whether the alarm tells at this minute that it rings. It must be asked every minute."""
        if suppressor:
            self._suppressed_until = now + self.extension
        if not alarm:
            self._alarm_since, self._told = None, False
            return False
        if self._alarm_since is None:
            self._alarm_since = now
        quiet = suppressor or now < self._suppressed_until or now < self._alarm_since + self.wait
        if quiet or self._told:
            return False
        self._told = True
        return True
