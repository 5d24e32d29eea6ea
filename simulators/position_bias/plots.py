"""Pictures of a position-bias report: examination by position, and what ties positions together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from behavior.errors import InputError
from behavior.files import disk_errors_named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simulators.position_bias.report import PositionBiasReport

__all__ = ["plot_report"]


def plot_report(report: PositionBiasReport, folder: Path) -> list[Path]:
    """Draw into `folder`, which is made if it is not there and must hold nothing yet.

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
    style: Any = {"axes.titlesize": 10, "axes.titlelocation": "left", "axes.spines.top": False}
    files = []
    with disk_errors_named(folder), matplotlib.rc_context(style | {"axes.spines.right": False}):
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in (("examination", _draw_examination), ("swaps", _draw_swaps)):
            figure = Figure(figsize=(7.2, 3.6), layout="constrained")
            FigureCanvasAgg(figure)
            draw(figure, report)
            files.append(folder / f"{name}.png")
            figure.savefig(files[-1], dpi=110)
    return files


def _draw_examination(figure: Figure, report: PositionBiasReport) -> None:
    from matplotlib.ticker import MaxNLocator

    axes = figure.subplots()
    at = report.known.reference
    place = np.arange(1, len(report.rates) + 1)
    axes.plot(place, report.rates / report.rates[at], color="#8a8a8a", linestyle=":", label="rate of clicks")
    weightings = [name for name in report.swaps if name.startswith("pooled")]
    for shift, way in enumerate(weightings):
        value, low, high = (
            np.array([getattr(f, end) for f in report.swaps[way]]) for end in ("value", "low", "high")
        )
        known = np.isfinite(value) & np.isfinite(low)
        error = np.maximum([(value - low)[known], (high - value)[known]], 0.0)
        axes.errorbar(
            place[known] + 0.08 * shift, value[known], error, marker="o", capsize=3, label=f"swaps, {way}"
        )
    for name, em in report.regression.items():
        axes.plot(place, em.examination / em.examination[at], marker=".", linestyle="--", label=f"EM, {name}")
    axes.set(xlabel="position", title=f"Examination relative to position {at + 1} (95 % intervals)")
    axes.set_ylim(bottom=0.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def _draw_swaps(figure: Figure, report: PositionBiasReport) -> None:
    axes = figure.subplots()
    tie = np.maximum(-report.known.information, 0.0)
    np.fill_diagonal(tie, np.nan)
    k = len(tie)
    image = axes.imshow(tie, cmap="Blues", vmin=0.0, extent=(0.5, k + 0.5, k + 0.5, 0.5))
    figure.colorbar(image, ax=axes, label="effective clicks")
    axes.set(
        xlabel="position", ylabel="position", title="Clicks on swapped items that tie two positions together"
    )
