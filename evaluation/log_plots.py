"""Pictures of a judgement by a log: every policy's figure with its interval, and how its weights overlap the log."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from behavior.files import atomic_path
from evaluation.formatting import a
from evaluation.log_judgement import LogJudgement
from evaluation.overlap_picture import draw_overlap
from evaluation.plots import STYLE, svg

__all__ = ["draw_figures", "draw_overlaps", "write_plots"]

_COLOURS = {"sound": "#3a9d5d", "doubtful": "#e07b39", "no support": "#a3261f"}


def draw_figures(found: LogJudgement) -> str:
    """The figure of each policy by the estimator of the ranking, best at the top; inline SVG, empty without figures.

    Colours say how far a figure is to be believed; the dashed line is the policy that made the log.
    """
    names = [name for name in reversed(found.ranking()) if found.figure(name) is not None]
    if not names:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 0.8 + 0.3 * len(names)), layout="constrained")
        axes = figure.subplots()
        seen: set[str] = set()
        for y, name in enumerate(names):
            one = found.figure(name)
            assert one is not None
            trust = one.diagnostics.trust
            ends = np.array([one.interval.low, one.interval.high])
            label = None if trust in seen else trust
            seen.add(trust)
            if np.isfinite(ends).all():
                axes.plot(ends, [y, y], color=_COLOURS[trust], linewidth=3, alpha=0.55)
            axes.plot([one.value], [y], "o", color=_COLOURS[trust], markersize=7, label=label)
        axes.axvline(found.logged.value, color=STYLE["text.color"], alpha=0.4, linewidth=1, linestyle="--")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel(f"reward {a(found.per)} by {found.chosen.upper()}, {found.level:.0%} interval")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.legend(
            frameon=False,
            fontsize=8.5,
            labelcolor=STYLE["text.color"],
            loc="center left",
            bbox_to_anchor=(1, 0.5),  # beside the picture: no corner of it is sure to be empty
        )
        return svg(figure, f"Figures of {len(names)} policies from the log; they are in the table.")


def draw_overlaps(found: LogJudgement) -> dict[str, str]:
    """By policy: shares of logged items, and of the policy's own choices, by importance weight; inline SVG."""
    return {
        name: draw_overlap(one.overlap, name)
        for name, one in found.policies.items()
        if one.overlap is not None
    }


def write_plots(found: LogJudgement, folder: Path) -> tuple[Path, ...]:
    """Writes the pictures as SVG files into `folder`."""
    pictures = {"figures": draw_figures(found)}
    pictures |= {f"overlap-{_plain(name)}": picture for name, picture in draw_overlaps(found).items()}
    written = []
    for name, picture in pictures.items():
        if not picture:
            continue
        path = folder / f"{name}.svg"
        # On a page of its own there is no text colour to inherit; the attribute makes it a file.
        text = picture.replace("<svg", '<svg color="#333333"', 1)
        if "xmlns=" not in text.split(">", 1)[0]:
            text = text.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        written.append(path)
    return tuple(written)


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
