"""Numbers as people read them; the same in the console and in the report."""

from __future__ import annotations

import math

from evaluation.intervals import Interval

__all__ = ["a", "count", "number", "percent", "plus_minus", "share", "signed"]


def _decimals(scale: float, significant: int = 2) -> int:
    """Decimals that show `significant` digits of `scale`, between 0 and 5."""
    if not math.isfinite(scale) or scale <= 0:
        return 2
    return min(5, max(0, significant - 1 - math.floor(math.log10(scale))))


def a(noun: str) -> str:
    """A noun behind its article: `a page`, `an impression`."""
    return f"{'an' if noun[:1] in tuple('aeio') else 'a'} {noun}"


def number(value: float, digits: int = 3) -> str:
    """A number with about `digits` significant digits; empty where there is none."""
    if math.isnan(value):
        return ""
    return f"{value:,.{_decimals(abs(value), digits)}f}" if value else "0"


def count(value: float) -> str:
    """A whole number with thousands marks; empty where there is none."""
    return "" if math.isnan(value) else f"{value:,.0f}"


def percent(value: float) -> str:
    """A share as a percentage; empty where there is none."""
    if math.isnan(value):
        return ""
    return f"{100 * value:.0f} %"


def plus_minus(interval: Interval | None) -> str:
    """`value ±half-width`, with the digits that the uncertainty justifies; empty where there is no value."""
    if interval is None or math.isnan(interval.value):
        return ""
    half = interval.half_width
    if not math.isfinite(half):
        return f"{number(interval.value)} ±?"
    if max(abs(interval.value), half) < 5e-6:  # what is left of a difference of equals
        return "0.00 ±0.00"
    digits = _decimals(half) if half > 0 else _decimals(abs(interval.value), 3)
    return f"{interval.value:,.{digits}f} ±{half:,.{digits}f}"


def share(interval: Interval | None) -> str:
    """A share with its interval, `63 % (58–68)`; empty where there is none."""
    if interval is None or math.isnan(interval.value):
        return ""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return f"{percent(interval.value)} (?)"
    if interval.high == interval.low:
        return percent(interval.value)
    dash = "–" if interval.low >= 0 else " to "
    return f"{percent(interval.value)} ({100 * interval.low:.0f}{dash}{100 * interval.high:.0f})"


def signed(interval: Interval) -> str:
    """A difference with its ends, `+0.17 (-0.02 to +0.36)`, with the digits that the uncertainty justifies."""
    half = interval.half_width
    digits = _decimals(half) if half > 0 else _decimals(abs(interval.value), 3)
    return f"{interval.value:+.{digits}f} ({interval.low:+.{digits}f} to {interval.high:+.{digits}f})"
