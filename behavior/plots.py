"""Pictures of what a log can support, into a folder: rates, tail, visits, time, overlap, propensities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from behavior.errors import InputError
from behavior.files import disk_errors_named
from behavior.summary import LogSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from behavior.log import InteractionLog

__all__ = ["plot_log"]

_BLUE, _ORANGE, _GREY = "#2f7ed8", "#e07b39", "#8a8a8a"
_MOST_DAYS = 3
"""Logs shorter than this are drawn by the hour."""
_MOST_ITEMS = 40

_Drawing: TypeAlias = Callable[["Figure", "InteractionLog", LogSummary], None]


def plot_log(log: InteractionLog, summary: LogSummary, folder: Path) -> list[Path]:
    """Draw the pictures.

    Args:
        log: The log.
        summary: Its counts.
        folder: Made if it is not there; must hold nothing yet.

    Returns:
        The files (PNG), in order of their names.

    Raises:
        InputError: The folder holds something already, or cannot be written to.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "this holds something already", where=str(folder), mend="name a new or an empty folder"
        )
    drawings: dict[str, _Drawing] = {
        "rates-by-position": _draw_rates,
        "long-tail": _draw_tail,
        "visits": _draw_visits,
        "time": _draw_time,
        "overlap": _draw_overlap,
    }
    if summary.overlap.propensities:
        drawings["propensities"] = _draw_propensities
    files = []
    style: Any = {"axes.titlesize": 10, "axes.titlelocation": "left", "axes.spines.top": False}
    with disk_errors_named(folder), matplotlib.rc_context(style | {"axes.spines.right": False}):
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in drawings.items():
            figure = Figure(figsize=(7.2, 3.6), layout="constrained")
            FigureCanvasAgg(figure)
            draw(figure, log, summary)
            files.append(folder / f"{name}.png")
            figure.savefig(files[-1], dpi=110)
    return sorted(files)


def _draw_rates(figure: Figure, log: InteractionLog, summary: LogSummary) -> None:
    from matplotlib.ticker import MaxNLocator

    axes: Axes = figure.subplots()
    place = [row.position for row in summary.by_position]
    rate = np.array([row.click_rate for row in summary.by_position])
    low, high = np.array([row.click_interval for row in summary.by_position]).T
    # rounding may put the rate a hair outside its interval
    spread = np.maximum(np.stack([rate - low, high - rate]), 0)
    axes.errorbar(place, rate, yerr=spread, fmt="o", color=_BLUE, capsize=2, label="clicked (95 % interval)")
    axes.plot(place, [row.purchase_rate for row in summary.by_position], "s", color=_ORANGE, label="bought")
    axes.set(xlabel="position (0 is the first)", ylabel="share of the items shown", title="Rates by position")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def _draw_tail(figure: Figure, log: InteractionLog, summary: LogSummary) -> None:
    left, right = figure.subplots(1, 2)
    shown = np.sort(log.rows["item_id"].value_counts().to_numpy())[::-1]
    rank = np.arange(1, len(shown) + 1)
    left.loglog(rank, shown, color=_BLUE)
    left.set(xlabel="item, by how often it was shown", ylabel="impressions", title="Long tail")
    right.plot(rank / len(rank), np.cumsum(shown) / shown.sum(), color=_BLUE)
    right.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle="--")
    right.set(xlabel="share of the items", ylabel="share of the impressions", title="Dashed: all items alike")


def _draw_visits(figure: Figure, log: InteractionLog, summary: LogSummary) -> None:
    left, right = figure.subplots(1, 2)
    pages = log.rows.drop_duplicates(["session_id", "step"])
    length = pages.groupby("session_id", sort=False).size().to_numpy()
    users = pages.drop_duplicates("session_id").groupby("user_id", sort=False).size().to_numpy()
    for axes, counts, what, title in (
        (left, length, "steps in a session", f"{summary.n_sessions:,} sessions"),
        (right, users, "sessions of a user", f"{summary.n_users:,} users"),
    ):
        top = int(counts.max())
        bins = np.arange(0.5, top + 1.5) if top <= 50 else np.geomspace(1, top + 1, 40)
        axes.hist(counts, bins=bins.tolist(), color=_BLUE)
        axes.set(xlabel=what, ylabel="how many", title=title, yscale="log")
        if top > 50:
            axes.set_xscale("log")


def _draw_time(figure: Figure, log: InteractionLog, summary: LogSummary) -> None:
    axes: Axes = figure.subplots()
    unit, name = ("D", "day") if summary.pauses.days > _MOST_DAYS else ("h", "hour")
    when = log.rows["timestamp"].dt.floor(unit)
    table = log.rows.groupby(when)["click"].agg(["size", "sum"])
    whole = pd.date_range(table.index[0], table.index[-1], freq=unit)
    table = table.reindex(whole, fill_value=0)
    at = whole.tz_localize(None).to_numpy()
    axes.step(at, table["size"].to_numpy(), where="post", color=_BLUE, label="shown")
    axes.step(at, table["sum"].to_numpy(), where="post", color=_ORANGE, label="clicked")
    empty = table["size"].to_numpy() == 0
    if empty.any():
        axes.plot(
            at[empty], np.zeros(int(empty.sum())), "x", color=_GREY, markersize=4, label=f"empty {name}"
        )
    axes.set(xlabel="UTC", ylabel=f"rows in a {name}", title=f"Rows by {name}")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(frameon=False)


def _draw_overlap(figure: Figure, log: InteractionLog, summary: LogSummary) -> None:
    from matplotlib.ticker import MaxNLocator

    axes: Axes = figure.subplots()
    rows = log.rows
    items = rows["item_id"].value_counts().index[:_MOST_ITEMS]
    some = rows[rows["item_id"].isin(items)]
    table = pd.crosstab(some["item_id"], some["position"], normalize="index").reindex(index=items)
    table = table.reindex(columns=range(summary.slate_size), fill_value=0.0)
    image = axes.imshow(
        table.to_numpy(), aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="nearest"
    )
    axes.set(
        xlabel="position",
        ylabel=f"the {len(items)} items shown most",
        title=f"Where items stood ({summary.overlap.moved_rows:.0%} of the rows: items at several positions)",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(image, label="share of the item's impressions")


def _draw_propensities(figure: Figure, log: InteractionLog, summary: LogSummary) -> None:
    kinds = list(summary.overlap.propensities)
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds, strict=True):
        power = np.log10(log.rows[name].dropna().to_numpy(np.float64))
        axes.hist(power, bins=np.linspace(min(float(power.min()), -1.0), 0, 40).tolist(), color=_BLUE)
        axes.set(xlabel=f"log10 of {name}", ylabel="rows", yscale="log")
        axes.set_title(f"even policy: {summary.overlap.propensities[name].even_weight:.0%} of the rows")
