"""The products of a shop, as one validated table whose row numbers stand for them everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from behavior.columns import CatalogColumns, ColumnMap
from behavior.errors import InputError
from behavior.files import atomic_path
from behavior.parse import as_text

__all__ = ["Catalog"]


@dataclass(frozen=True)
class Catalog:
    """`I` products. Row number = item row, in every array of the project.

    Columns of `frame`: `item_id` (text, unique), `title`, `text`, `category` (text), `price` (float, nan
    unknown), then the extra columns named in `numeric_columns` (float, nan unknown) and `categorical_columns`
    (text, "" unknown).
    """

    frame: pd.DataFrame
    numeric_columns: tuple[str, ...] = ()
    categorical_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was derived, filled in or left out while reading."""
    source: str = ""
    """The file it came from."""

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        columns: ColumnMap | CatalogColumns | Mapping[str, Any] | None = None,
        source: str = "",
    ) -> Catalog:
        """From a table as a file holds it.

        Args:
            frame: One row per product.
            columns: How the columns are named: a `ColumnMap`, or `{our_name: their_name}` as in the section
                `catalog` of a mapping file.
            source: The file, for error messages.

        Raises:
            InputError: Missing columns, ids missing or twice, prices that are no prices; each with its row.
        """
        from behavior.catalog_table import tidy_catalog

        if isinstance(columns, ColumnMap):
            columns = columns.catalog
        if not isinstance(columns, CatalogColumns):
            columns = ColumnMap.from_dict({"catalog": columns or {}}).catalog
        table = tidy_catalog(frame, columns, source)
        return cls(
            frame=table.frame,
            numeric_columns=table.numeric,
            categorical_columns=table.categorical,
            notes=table.notes,
            source=source,
        )

    @property
    def n_items(self) -> int:
        """Number of products `I`."""
        return len(self.frame)

    @cached_property
    def item_ids(self) -> tuple[str, ...]:
        """Ids by item row."""
        return tuple(self.frame["item_id"].tolist())

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """Titles by item row."""
        return tuple(self.frame["title"].tolist())

    @cached_property
    def has_text(self) -> bool:
        """Whether products have titles or texts of their own, beyond their ids."""
        ids = self.frame["item_id"]
        return bool((self.frame["title"] != ids).any() or (self.frame["text"] != ids).any())

    @cached_property
    def _index(self) -> pd.Index:
        index: pd.Index = pd.Index(self.frame["item_id"])
        return index

    def rows(self, ids: Iterable[object]) -> NDArray[np.int32]:
        """Item rows of `ids` (any iterable of ids, compared as text); -1 where the catalogue lacks the id."""
        values = (
            ids if isinstance(ids, pd.Series | np.ndarray | pd.Index) else pd.Series(list(ids), dtype=object)
        )
        if pd.api.types.is_float_dtype(values.dtype):  # ids that passed through a column with gaps
            values = as_text(pd.Series(values))
        codes, unique = pd.factorize(np.asarray(values, dtype=object))
        wanted = pd.Index([str(value) for value in unique], dtype=self._index.dtype)
        known = np.append(self._index.get_indexer(wanted), -1).astype(np.int32)
        rows: NDArray[np.int32] = known[codes]
        return rows

    def write(self, path: Path | str) -> None:
        """Write Parquet or CSV, by suffix; it can be read again without a mapping.

        Raises:
            InputError: A file is already there, or the suffix is neither `.parquet` nor `.csv`.
        """
        path = Path(path)
        if path.suffix not in (".parquet", ".csv"):
            raise InputError(
                f"a catalogue is not written as '{path.suffix}'",
                where=str(path),
                mend="choose .parquet or .csv",
            )
        if path.exists():
            raise InputError(
                "there is a file already", where=str(path), mend="choose another name, or move it"
            )
        with atomic_path(path) as temporary:
            if path.suffix == ".csv":
                self.frame.to_csv(temporary, index=False)
            else:
                self.frame.to_parquet(temporary, index=False)
