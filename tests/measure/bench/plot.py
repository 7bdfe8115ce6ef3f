"""The picture of `make bench`: bars on a logarithmic scale, drawn as SVG from the file of results."""

import math
from statistics import median
from xml.sax.saxutils import escape

from tests.measure.bench.report import SIDES, Results, figures

_WIDTH, _LEFT, _RIGHT = 760, 132, 92
_BAR, _GAP, _HEAD = 18, 6, 46
_COLOURS = ("#2563eb", "#6b7280", "#d97706")
_PANELS = {
    "warm": ("a warm run", "ms"),
    "first": ("first result of new processes", "ms"),
    "cpu": ("CPU of a warm run, without the servers'", "ms"),
    "memory": ("peak memory, of the largest function", "MiB"),
}


def svg(results: Results) -> str:
    """The whole picture."""
    found, panels, top = figures(results), [], 34
    for name, (title, unit) in _PANELS.items():
        values = [median(side) for side in found[name]]
        panels.append(f'<g transform="translate(0 {top})">\n{_panel(title, unit, values)}\n</g>')
        top += _HEAD + len(values) * (_BAR + _GAP) + 10
    setting = results["setting"]
    head = f"{setting['stores']:,} stores in one country: medians, logarithmic scales, shorter is better"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" font-family="sans-serif" font-size="13">\n'
        f'<title>{escape(head)}</title>\n<rect width="{_WIDTH}" height="{top}" fill="white"/>\n'
        f'<text x="12" y="24" font-size="15">{escape(head)}</text>\n' + "\n".join(panels) + "\n</svg>\n"
    )


def _panel(title: str, unit: str, values: list[float]) -> str:
    least, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    scale = (_WIDTH - _LEFT - _RIGHT) / (most - least)
    bottom = _HEAD + len(values) * (_BAR + _GAP) - 8
    parts = [f'<text x="12" y="18" font-weight="bold">{escape(title)}, {unit}</text>']
    for power in range(least, most + 1):
        x = _LEFT + (power - least) * scale
        parts.append(f'<line x1="{x:.1f}" y1="{_HEAD - 10}" x2="{x:.1f}" y2="{bottom}" stroke="#d1d5db"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{_HEAD - 14}" text-anchor="middle" font-size="11" fill="#4b5563">{10**power:,g}</text>'
        )
    for n, (side, value) in enumerate(zip(SIDES, values, strict=True)):
        y, length = _HEAD - 6 + n * (_BAR + _GAP), (math.log10(value) - least) * scale
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(side)}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="{_COLOURS[n]}"/>')
        parts.append(f'<text x="{_LEFT + length + 6:.1f}" y="{y + 13}">{_number(value)}</text>')
    return "\n".join(parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"
