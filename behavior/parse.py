"""From columns as files hold them to columns of one type; what cannot be turned is found by `schema` before."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = [
    "as_flag",
    "as_number",
    "as_text",
    "as_utc",
    "flag_or_nan",
    "is_numeric_column",
    "time_unit",
    "time_zone",
]

_TRUE = ("1", "true", "t", "yes", "1.0")
_FALSE = ("0", "false", "f", "no", "0.0")
# a zone is looked for behind a clock time only, so that the day of a bare date is not taken for an offset
_ZONE = r"\d:\d{2}[^Z+-]*?(Z|z| ?UTC| ?GMT|[+-]\d{2}(?::?\d{2})?)$"
_LAST_TIME = 2.0**63
"""Nanoseconds since 1970 that no longer fit 64 bits: in 2262, far behind any visit to a shop."""


def is_numeric_column(values: pd.Series) -> bool:
    """Whether the column holds numbers already (bools count)."""
    return pd.api.types.is_numeric_dtype(values.dtype)


def as_text(values: pd.Series) -> pd.Series:
    """Text, missing stays missing; whole numbers stored as floats lose their `.0`, as ids must."""
    if pd.api.types.is_float_dtype(values.dtype):
        known = values.dropna()
        if known.mod(1).eq(0).all():
            return values.astype("Int64").astype("string").astype("str")
    return values.astype("str").where(values.notna(), None).astype("str")


def as_number(values: pd.Series) -> pd.Series:
    """float64; what is no number becomes nan."""
    if is_numeric_column(values):
        return values.astype("float64")
    return pd.to_numeric(values, errors="coerce").astype("float64")


def flag_or_nan(values: pd.Series) -> pd.Series:
    """float64: 1 and 0 for the usual spellings of true and false, nan for anything else."""
    if is_numeric_column(values):
        number = values.astype("float64")
        return number.where(number.isin((0.0, 1.0)))
    text = values.astype("str").str.strip().str.lower()
    out = np.full(len(values), np.nan)
    out[text.isin(_TRUE).to_numpy()] = 1.0
    out[text.isin(_FALSE).to_numpy()] = 0.0
    return pd.Series(out, index=values.index)


def as_flag(values: pd.Series) -> pd.Series:
    """uint8 0 or 1; missing and unreadable count as 0 (`schema` refuses the latter before)."""
    return flag_or_nan(values).fillna(0.0).astype("uint8")


def time_zone(values: pd.Series) -> pd.Series:
    """The zone that each time carries: 'UTC', '+09:00', or '' where it carries none."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return pd.Series(str(values.dtype.tz), index=values.index)
    if is_numeric_column(values):
        return pd.Series("UTC", index=values.index)  # counted from 1970 UTC
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.Series("", index=values.index)
    text = values.astype("str").str.strip()
    numeric = pd.to_numeric(text, errors="coerce").notna()
    zone = text.str.extract(_ZONE, expand=False).fillna("").str.strip().str.upper()
    zone = zone.where(~zone.isin(("Z", "GMT", "+00:00", "+0000", "+00", "-00:00")), "UTC")
    return zone.where(~numeric, "UTC")


def as_utc(values: pd.Series, unit: int | None = None) -> pd.Series:
    """datetime64[ns, UTC]; what is no time becomes NaT.

    Args:
        values: Times as written, or numbers counted from 1970 UTC.
        unit: Nanoseconds that the numbers count; None: see `time_unit`.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        aware = values if isinstance(values.dtype, pd.DatetimeTZDtype) else values.dt.tz_localize("UTC")
        return _nanoseconds(aware.dt.tz_convert("UTC"))
    if is_numeric_column(values):
        return _from_numbers(values.astype("float64"), values, unit)
    text = values.astype("str").str.strip()
    number = pd.to_numeric(text, errors="coerce")
    if number.notna().any():
        as_int = pd.to_numeric(text.where(number.notna()), errors="coerce")
        counted = _from_numbers(number, as_int, unit)
        if number.notna().all():
            return counted
        written = _nanoseconds(
            pd.to_datetime(text.where(number.isna()), format="ISO8601", utc=True, errors="coerce")
        )
        return counted.where(number.notna(), written)
    return _nanoseconds(pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce"))


def time_unit(largest: float) -> int:
    """Nanoseconds in the unit (s, ms, µs, ns) that puts the column's `largest` number between 1973 and 5138."""
    return next((f for limit, f in ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3)) if largest < limit), 1)


def _from_numbers(size: pd.Series, exact: pd.Series, unit: int | None) -> pd.Series:
    factor = time_unit(float(size.abs().max()) if len(size) else 0.0) if unit is None else unit
    counted = size.to_numpy(np.float64)
    good = (counted >= 0) & (counted < _LAST_TIME / factor)  # false for nan, too
    out: NDArray[np.int64] = np.full(len(size), np.iinfo(np.int64).min, np.int64)
    if pd.api.types.is_integer_dtype(exact.dtype):
        out[good] = exact.to_numpy(np.int64)[good] * factor
    else:
        out[good] = np.round(counted[good] * factor).astype(np.int64)
    return pd.Series(pd.to_datetime(out, unit="ns", utc=True), index=size.index)


def _nanoseconds(times: pd.Series) -> pd.Series:
    # outside 1678..2262 nanoseconds overflow; such times are typing errors, not visits to a shop
    inside = times.notna() & (times.dt.year >= 1900) & (times.dt.year <= 2200)
    out: pd.Series = times.where(inside).dt.as_unit("ns")
    return out
