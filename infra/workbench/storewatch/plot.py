"""Pictures of the lake's frames, in the dashboards' colours, which the colour-blind can tell apart."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from .errors import StorewatchError

STATUS_COLOURS = {
    "available": "#0072B2",
    "unavailable": "#D55E00",
    "unlisted": "#CC79A7",
    "unexpected": "#F0E442",
    "closed": "#F2F2F2",
    "orphan": "#000000",
    "unknown": "#999999",
    "missed": "#BBBBBB",
}
KIND_COLOURS = {
    "late_opening": "#E69F00",
    "early_closing": "#56B4E9",
    "whole_shift": "#000000",
    "mid_shift": "#009E73",
    "not known": "#999999",
}
_TIMES = ("slot", "hour", "day", "week")
_SLOTS = 96
_MOST_BARS = 40


def availability(frame: pd.DataFrame, *, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Availability over time, of `availability(…, by="slot"` or hour, day or week`)`.

    The band is between availability_low and availability_high: how much what was not seen can matter. Grey are the times at
    which nothing was seen; where nothing was scheduled the line has a gap. Call it again with `ax` for another period
    or country beside it.
    """
    named = [name for name in _TIMES if name in frame]
    if not named:
        raise StorewatchError(f"the frame has none of {', '.join(_TIMES)}: ask availability by one of them")
    ax = ax or _axes(3.5)
    times = pd.to_datetime(frame[named[0]])
    (line,) = ax.plot(times, frame["availability"], marker=".", label=label or "availability")
    colour = line.get_color() if label else STATUS_COLOURS["available"]
    line.set_color(colour)
    low, high = frame["availability_low"], frame["availability_high"]
    # A time alone between gaps has no area; the edge shows it.
    ax.fill_between(
        times, low, high, color=colour, alpha=0.25, linewidth=1, label=f"{label or 'availability'}, with the unseen"
    )
    step = times.diff().min() if len(times) > 1 else pd.Timedelta(minutes=15)
    unseen = frame["store_ticks"].fillna(0).to_numpy(dtype=float) == 0
    for number, begin in enumerate(times[unseen]):
        ax.axvspan(
            begin, begin + step, color=STATUS_COLOURS["missed"], linewidth=0, label="" if number else "nothing seen"
        )
    ax.set_ylim(min(0.88, ax.dataLim.y0 - 0.02), 1.005)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_ylabel("availability")
    ax.set_xlabel("UTC")
    ax.legend(loc="best")
    return ax


def outages(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """A bar an outage of `outages(…)`, coloured by its kind; of more than 40 those that lost the most minutes.

    The bar is what is certain, from the first bad look to the last; the thin line reaches to the looks around it. One that
    is still open ends with an arrow.
    """
    shown = frame.nlargest(_MOST_BARS, "lost_minutes").sort_values(["began_by", "store_id"]).reset_index(drop=True)
    ax = ax or _axes(1.2 + 0.22 * max(len(shown), 4))
    quarter = pd.Timedelta(minutes=15)
    kinds = shown["kind"].fillna("not known")
    for place, (_, row) in enumerate(shown.iterrows()):
        colour = KIND_COLOURS[kinds[place]]
        begin = row["began_by"] if pd.isna(row["began_after"]) else row["began_after"]
        end = row["ended_after"] if pd.isna(row["ended_by"]) else row["ended_by"]
        ax.plot([begin, end], [place, place], color=colour, linewidth=1)
        # A single bad look has no length of its own; it stands for its slot.
        ax.plot(
            [row["began_by"], max(row["ended_after"], row["began_by"] + quarter / 5)],
            [place, place],
            color=colour,
            linewidth=6,
            solid_capstyle="butt",
        )
        if row["is_open"]:
            ax.plot([end], [place], color=colour, marker=">")
    ax.set_yticks(range(len(shown)), [_store_name(row) for _, row in shown.iterrows()])
    ax.invert_yaxis()
    ax.set_xlabel("UTC")
    if len(shown) < len(frame):
        ax.set_title(f"the {len(shown)} of {len(frame)} outages that lost the most")
    _legend(ax, {kind: KIND_COLOURS[kind] for kind in KIND_COLOURS if (kinds == kind).any()})
    return ax


def slots(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The 96 slots of a day as a strip for each store, coloured by status: rows of judged_by or store_availability.

    A slot without a row was missed, or is still to come: it is hatched.
    """
    if missing := {"slot", "store_id", "status"} - set(frame):
        raise StorewatchError(f"the frame has no {', '.join(sorted(missing))}: select slot, store_id and status")
    if frame["slot"].dt.date.nunique() > 1:
        raise StorewatchError("the frame has more than one day: a strip shows the slots of one")
    stores = list(dict.fromkeys(frame["store_id"]))
    ax = ax or _axes(1.2 + 0.4 * max(len(stores), 1))
    ax.barh(range(len(stores)), _SLOTS, height=0.8, color="white", hatch="////", edgecolor=STATUS_COLOURS["missed"])
    numbers = frame["slot"].dt.hour * 4 + frame["slot"].dt.minute // 15
    for status, colour in STATUS_COLOURS.items():
        found = frame["status"] == status
        rows = [stores.index(store) for store in frame["store_id"][found]]
        ax.barh(rows, 1, left=numbers[found], height=0.8, color=colour, edgecolor="white", linewidth=0.3)
    ax.set_yticks(range(len(stores)), stores)
    ax.set_xticks(range(0, _SLOTS + 1, 8), [f"{hour:02}:00" for hour in range(0, 25, 2)])
    ax.set_xlim(0, _SLOTS)
    ax.invert_yaxis()
    ax.set_xlabel("UTC")
    seen = {status: colour for status, colour in STATUS_COLOURS.items() if (frame["status"] == status).any()}
    is_whole = len(frame) == _SLOTS * len(stores)
    _legend(ax, seen if is_whole else seen | {"missed": "white"})
    return ax


def _axes(height: float) -> Axes:
    return plt.subplots(figsize=(10, height), layout="constrained")[1]


def _legend(ax: Axes, colours: Mapping[str, str]) -> None:
    patches = [
        Patch(
            facecolor=colour,
            edgecolor="#BBBBBB",
            label=name.replace("_", " "),
            hatch="////" if colour == "white" else "",
        )
        for name, colour in colours.items()
    ]
    ax.legend(handles=patches, loc="upper left", bbox_to_anchor=(1, 1))


def _store_name(row: pd.Series) -> str:
    return row["store_id"] if pd.isna(row["name"]) else row["name"]
