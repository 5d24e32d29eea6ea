"""From a product table as a file holds it to the canonical one: names, types, extras, and what was filled in."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import pandas as pd

from behavior.columns import CatalogColumns
from behavior.errors import InputError
from behavior.faults import Fault, missing_columns, raise_faults, suggest
from behavior.parse import as_number, as_text, is_numeric_column
from behavior.vocabulary import CATALOG_COLUMNS

__all__ = ["MOST_LEVELS", "CatalogTable", "matching", "tidy_catalog"]

MOST_LEVELS = 200
"""A text column with more distinct values than this (or than half of the products) is no category."""


@dataclass(frozen=True, kw_only=True)
class CatalogTable:
    """A tidy product table and what is to be said of it."""

    frame: pd.DataFrame
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    notes: tuple[str, ...]


def matching(patterns: tuple[str, ...], names: list[str]) -> list[str]:
    """The names that a pattern fits, in the order of the patterns, each once."""
    return list(dict.fromkeys(n for p in patterns for n in names if n == p or fnmatchcase(n, p)))


def tidy_catalog(frame: pd.DataFrame, columns: CatalogColumns, source: str) -> CatalogTable:
    """The canonical table.

    Raises:
        InputError: Columns that are missing, or cells that are not what they must be.
    """
    if frame.empty:
        raise InputError(
            "the catalogue has no rows", where=source or "catalog", mend="give at least one product"
        )
    frame = frame.reset_index(drop=True)
    frame.columns = frame.columns.astype(str)
    found = list(frame.columns)
    theirs = _their_names(columns, found, source)
    if "item_id" not in theirs:
        raise missing_columns(["item_id"], found, meanings=CATALOG_COLUMNS, table="catalog", source=source)
    _check_cells(frame, theirs, source)

    notes: list[str] = []
    item_id = as_text(frame[theirs["item_id"]]).str.strip()
    text = {
        name: _joined(frame, columns, name, theirs.get(name), source)
        for name in ("title", "text", "category")
    }
    out = pd.DataFrame({"item_id": item_id})
    out["title"] = _filled(text["title"], item_id, "title", "item_id", notes)
    out["text"] = _filled(text["text"], out["title"], "text", "title", notes)
    out["category"] = _filled(text["category"], pd.Series("", index=item_id.index), "category", "''", notes)
    if "price" in theirs:
        out["price"] = as_number(frame[theirs["price"]]) * columns.price_scale
        unknown = int(out["price"].isna().sum())
        if unknown:
            notes.append(f"price: unknown for {unknown:,} of {len(out):,} products")
    else:
        out["price"] = float("nan")
        notes.append("price: no such column, unknown for all products")

    joined = {name for patterns in columns.joined.values() for name in matching(patterns, found)}
    used = {*theirs.values(), *joined}
    if columns.numeric is not None or columns.categorical is not None:
        used -= set(matching((*(columns.numeric or ()), *(columns.categorical or ())), found))
    free = [n for n in found if n not in used and n != "" and not n.startswith("Unnamed:")]
    numeric = _numeric_extras(frame, free, columns, source, notes)
    categorical = _categorical_extras(frame, [n for n in free if n not in numeric], columns, source, notes)
    # an extra may carry one of our names (`price_cents` mapped to price beside their own `price`)
    label = {name: f"{name}_raw" if name in out.columns else name for name in [*numeric, *categorical]}
    extras = {label[name]: as_number(frame[name]) for name in numeric}
    extras |= {label[name]: as_text(frame[name]).fillna("") for name in categorical}
    return CatalogTable(
        frame=pd.concat([out, pd.DataFrame(extras, index=out.index)], axis=1),
        numeric=tuple(label[name] for name in numeric),
        categorical=tuple(label[name] for name in categorical),
        notes=tuple(notes),
    )


def _their_names(columns: CatalogColumns, found: list[str], source: str) -> dict[str, str]:
    theirs = dict(columns.names)
    absent = [(ours, name) for ours, name in theirs.items() if name not in found]
    absent += [
        (ours, pattern)
        for ours, patterns in columns.joined.items()
        for pattern in patterns
        if not matching((pattern,), found)
    ]
    if absent:
        lines = [f"  {ours}: '{name}' is no column. {suggest(name, found)}".rstrip() for ours, name in absent]
        raise InputError(
            "the mapping names columns that the catalogue lacks\n"
            + "\n".join(lines)
            + f"\n  columns found: {', '.join(found[:30])}",
            where=source or "catalog",
            mend="correct the section `catalog` of the mapping file",
        )
    taken = {*theirs.values()}
    for name in CATALOG_COLUMNS:
        if name not in theirs and name not in columns.joined and name in found and name not in taken:
            theirs[name] = name
    return theirs


def _check_cells(frame: pd.DataFrame, theirs: dict[str, str], source: str) -> None:
    from behavior.schema import CATALOG_RULES, find_faults

    ours = pd.DataFrame({name: frame[column] for name, column in theirs.items()}, index=frame.index)
    raise_faults(find_faults(ours, CATALOG_RULES, theirs), source or "catalog")


def _joined(
    frame: pd.DataFrame, columns: CatalogColumns, name: str, their: str | None, source: str
) -> pd.Series | None:
    if name not in columns.joined:
        return None if their is None else as_text(frame[their]).fillna("").str.strip()
    parts = [
        as_text(frame[n]).fillna("").str.strip() for n in matching(columns.joined[name], list(frame.columns))
    ]
    whole = parts[0]
    for part in parts[1:]:
        between = ((whole != "") & (part != "")).map({True: ". ", False: ""})
        whole = whole + between + part
    return whole


def _filled(values: pd.Series | None, default: pd.Series, name: str, by: str, notes: list[str]) -> pd.Series:
    if values is None:
        notes.append(f"{name}: no such column, taken from {by}" if by != "''" else f"{name}: no such column")
        return default.copy()
    empty = values == ""
    if empty.any() and by != "''":
        notes.append(f"{name}: empty for {int(empty.sum()):,} of {len(values):,} products, taken from {by}")
    return values.where(~empty, default)


def _wanted(patterns: tuple[str, ...], free: list[str], what: str, source: str) -> list[str]:
    for pattern in patterns:
        if not matching((pattern,), free):
            raise InputError(
                f"'{what}' names '{pattern}', which is no (free) column. {suggest(pattern, free)}".rstrip(),
                where=source or "catalog",
                mend="correct the section `catalog` of the mapping file",
            )
    return matching(patterns, free)


def _numeric_extras(
    frame: pd.DataFrame, free: list[str], columns: CatalogColumns, source: str, notes: list[str]
) -> list[str]:
    if columns.numeric is None:
        named = set(matching(columns.categorical or (), free))
        return [name for name in free if name not in named and _all_numbers(frame[name])]
    # a name listed as categorical is meant more than a pattern that happens to fit it
    wanted = [
        name
        for name in _wanted(columns.numeric, free, "numeric", source)
        if name in columns.numeric or name not in (columns.categorical or ())
    ]
    faults = [
        Fault(
            row=int(row) + 1,
            column=name,
            found=repr(frame[name].iloc[int(row)]),
            expected="a number",
            mend="correct the cells, or list the column under `categorical`",
        )
        for name in wanted
        for row in (as_number(frame[name]).isna() & frame[name].notna()).to_numpy().nonzero()[0]
    ]
    raise_faults(faults, source or "catalog")
    return wanted


def _all_numbers(values: pd.Series) -> bool:
    known = values.dropna()
    if known.empty:
        return False
    if is_numeric_column(values):
        return True
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return False
    return not _nested(known) and bool(as_number(known).notna().all())


def _nested(known: pd.Series) -> bool:
    return known.dtype == object and bool(known.map(lambda v: isinstance(v, list | dict)).any())


def _categorical_extras(
    frame: pd.DataFrame, free: list[str], columns: CatalogColumns, source: str, notes: list[str]
) -> list[str]:
    if columns.categorical is not None:
        return _wanted(columns.categorical, free, "categorical", source)
    kept: list[str] = []
    left: list[str] = []
    for name in free:
        known = frame[name].dropna()
        fits = (
            not known.empty and not _nested(known) and not pd.api.types.is_datetime64_any_dtype(known.dtype)
        )
        levels = known.astype("str").nunique() if fits else 0
        (kept if 1 < levels <= min(MOST_LEVELS, max(2, len(frame) // 2)) else left).append(name)
    if left and columns.numeric is None:
        shown = ", ".join(left[:10]) + (f" and {len(left) - 10:,} more" if len(left) > 10 else "")
        notes.append(f"columns left out (neither numbers nor few distinct values): {shown}")
    return kept
