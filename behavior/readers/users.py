"""What a table of users says of the user of each row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from behavior.readers.cells import read_published

__all__ = ["read_users", "user_context"]


def read_users(files: Sequence[Path], columns: Sequence[str], title: str) -> pd.DataFrame | None:
    """The tables of users, one below the other; None where there is none.

    Raises:
        InputError: A table cannot be read, or lacks `user_id`.
    """
    tables = [read_published(file, ("user_id",), title, optional=columns) for file in files]
    return pd.concat(tables, ignore_index=True) if tables else None


def user_context(
    rows: pd.DataFrame, users: pd.DataFrame | None, columns: Sequence[str]
) -> tuple[dict[str, pd.Series], list[str]]:
    """Columns `context_*` of the rows, as labels, and what is to be noted.

    Args:
        rows: With `user_id`.
        users: One row a user, with `user_id`; None: nothing is known of them.
        columns: Those to take, of those that are there. They hold names of groups: a value `1` becomes `is 1`, so
            that nothing takes it for a measurement; a user without a value gets the empty label.
    """
    if users is None:
        return {}, ["users: there is no table of users, nothing is known of them"]
    known = users.drop_duplicates("user_id").set_index("user_id")
    who = rows["user_id"].astype("str")
    unknown = int((~pd.Index(who.unique()).isin(known.index)).sum())
    notes = [f"users: nothing is known of {unknown:,} of them"] if unknown else []
    return {f"context_{name}": _label(who.map(known[name])) for name in columns if name in known}, notes


def _label(values: pd.Series) -> pd.Series:
    return ("is " + values.astype("str")).where(values.notna(), "")
