"""Predicted against realised return as a small picture, drawn in milliseconds (training waits for it)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.calibration import ValuePairs, calibrate

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

__all__ = ["draw_calibration"]

_PANEL, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 380, 340, 56, 54, 20, 46
_INK, _FAINT, _GRID, _PAPER = (32, 33, 36), (120, 124, 130), (228, 231, 235), (255, 255, 255)
_REALISED, _PREDICTED, _POINT = (47, 126, 216), (224, 123, 57), (200, 214, 232)
_MOST_POINTS = 400

Place = Callable[[float, float], tuple[float, float]]


def draw_calibration(pairs: ValuePairs, heading: str = "") -> NDArray[np.uint8]:
    """Two panels (340, 760, 3).

    Left: realised return against prediction, some pages as pale dots, tenths of the pages by prediction as dots with
    two standard errors, and the diagonal on which they lie where the values are right. Right: means of both by page
    number of the session.

    Args:
        pairs: At least one.
        heading: Put above, such as the user-steps so far.
    """
    from PIL import Image
    from PIL.ImageDraw import Draw

    picture = Image.new("RGB", (2 * _PANEL, _HEIGHT), _PAPER)
    draw = Draw(picture)
    small, bold = _font("DejaVuSans.ttf", 11), _font("DejaVuSans-Bold.ttf", 12)
    found = calibrate(pairs)
    slope = "" if np.isnan(found.slope) else f", slope {found.slope:.2f}"
    draw.text((10, 8), f"{heading}: value of {found.n:,} pages{slope}, error {found.error:.2f}", _INK, bold)

    # The bins fill the panel; single returns scatter far beyond it.
    means = np.concatenate([found.predicted, found.realised])
    low = float(min(means.min(), 0.0))
    high = float(max(1.3 * means.max(), low + 1.0))
    place = _axes(draw, small, 0, (low, high), (low, high), "predicted", "realised return")
    every = max(1, found.n // _MOST_POINTS)
    for x, y in zip(pairs.predicted[::every], pairs.realised[::every], strict=True):
        if low <= x <= high and low <= y <= high:
            px, py = place(float(x), float(y))
            draw.ellipse((px - 1.5, py - 1.5, px + 1.5, py + 1.5), _POINT)
    draw.line((place(low, low), place(high, high)), _FAINT, 1)
    for x, y, error in zip(found.predicted, found.realised, 2 * found.standard_error, strict=True):
        top, bottom = min(float(y + error), high), max(float(y - error), low)
        draw.line((place(float(x), top), place(float(x), bottom)), _REALISED, 2)
        _dot(draw, place(float(x), float(y)), _REALISED)

    steps = np.unique(pairs.step)
    predicted = np.array([pairs.predicted[pairs.step == step].mean() for step in steps])
    realised = np.array([pairs.realised[pairs.step == step].mean() for step in steps])
    both = np.concatenate([predicted, realised])
    span = (float(min(both.min(), 0.0)), float(max(both.max(), 1.0)))
    pages = (1.0, float(max(steps.max() + 1, 2)))
    place = _axes(draw, small, _PANEL, pages, span, "page of the session", "mean return from it on")
    for values, colour, name, across in (
        (realised, _REALISED, "realised", 0),
        (predicted, _PREDICTED, "predicted", 90),
    ):
        points = [place(float(step + 1), float(value)) for step, value in zip(steps, values, strict=True)]
        if len(points) > 1:
            draw.line(points, colour, 2)
        for point in points:
            _dot(draw, point, colour)
        draw.text((_PANEL + _LEFT + 100 + across, _TOP - 24), name, colour, small)
    return np.asarray(picture, np.uint8).copy()


def _axes(
    draw: ImageDraw,
    font: FreeTypeFont,
    left: int,
    x_span: tuple[float, float],
    y_span: tuple[float, float],
    x_name: str,
    y_name: str,
) -> Place:
    """Grid, ticks and names; gives the way from numbers to pixels."""
    (x0, x1), (y0, y1) = x_span, y_span
    x_left, x_right = left + _LEFT, left + _PANEL - _RIGHT
    y_top, y_bottom = _TOP, _HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x0) / (x1 - x0) * (x_right - x_left)
        up = (y - y0) / (y1 - y0) * (y_bottom - y_top)
        return x_left + across, y_bottom - up

    for tick in _ticks(x0, x1):
        x, _ = place(tick, y0)
        draw.line(((x, y_top), (x, y_bottom)), _GRID, 1)
        draw.text((x, y_bottom + 4), f"{tick:g}", _FAINT, font, anchor="ma")
    for tick in _ticks(y0, y1):
        _, y = place(x0, tick)
        draw.line(((x_left, y), (x_right, y)), _GRID, 1)
        draw.text((x_left - 5, y), f"{tick:g}", _FAINT, font, anchor="rm")
    middle = (x_left + x_right) / 2
    draw.text((middle, _HEIGHT - 22), x_name, _INK, font, anchor="ma")
    draw.text((left + 10, y_top - 24), y_name, _INK, font)
    return place


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to `high`."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(power * min((1, 2, 5, 10), key=lambda m: abs(m * power - rough)))
    return [float(t) for t in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]


def _dot(draw: ImageDraw, at: tuple[float, float], colour: tuple[int, int, int]) -> None:
    x, y = at
    draw.ellipse((x - 3, y - 3, x + 3, y + 3), colour)


@lru_cache(maxsize=2)
def _font(name: str, size: int) -> FreeTypeFont:
    # The same fonts as `envs.render`'s pictures.
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
