"""The log: what was shown to whom, and what they did; one row per shown item."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from behavior.columns import ColumnMap, LogColumns
from behavior.errors import InputError
from behavior.steps import LoggedSteps
from behavior.vocabulary import SINGLE_IMPRESSION

if TYPE_CHECKING:
    from behavior.catalog import Catalog
    from behavior.summary import LogSummary

__all__ = ["InteractionLog", "candidates_path"]


def _nothing_repaired() -> dict[str, int]:
    return {}


@dataclass(frozen=True)
class InteractionLog:
    """Logged sessions, validated.

    Columns of `rows`: `session_id`, `user_id` (text), `step` (int), `timestamp` (datetime64[ns, UTC]), `query`
    (text), `position` (int), `item_id` (text), `click`, `purchase` (uint8), then those of `dwell_seconds`,
    `price`, `policy_id`, `session_end`, `propensity`, `cascade_propensity`, `slate_propensity` and `context_*`
    that the file has. Rows stand in the file's order.
    """

    rows: pd.DataFrame
    candidates: pd.DataFrame | None = None
    """`session_id`, `step`, `rank`, `item_id`: what each page was chosen from; None where unknown."""
    single_impressions: bool = False
    """Rows are impressions whose pages are unknown: each is a step of its own."""
    source: str = ""
    """The file it came from."""
    repaired: Mapping[str, int] = field(default_factory=_nothing_repaired)
    """Rows touched by each repair that was asked for."""
    notes: tuple[str, ...] = ()
    """What was filled in or passed over while reading."""

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        candidates: pd.DataFrame | None = None,
        columns: ColumnMap | LogColumns | Mapping[str, object] | None = None,
        repairs: Collection[str] = (),
        source: str = "",
        catalog: Catalog | None = None,
        single_impressions: bool = False,
    ) -> InteractionLog:
        """From tables as files hold them.

        Args:
            frame: One row per shown item.
            candidates: Ordered candidates of each step.
            columns: How the columns are named: a `ColumnMap`, or `{our_name: their_name}` as in the section `log`
                of a mapping file.
            repairs: Repairs by name (`behavior.vocabulary.REPAIRS`) that may be made; each is counted.
            source: The file, for error messages.
            catalog: Where given, every item must be in it.
            single_impressions: Rows are impressions whose pages are unknown (Open Bandit).

        Raises:
            InputError: With every fault's row, column, value found, value expected and mend.
        """
        from behavior.log_table import tidy_log

        if isinstance(columns, LogColumns):
            columns = ColumnMap(log=columns)
        if not isinstance(columns, ColumnMap):
            columns = ColumnMap.from_dict({"log": columns or {}})
        table = tidy_log(
            frame,
            candidates,
            columns,
            repairs,
            source=source,
            catalog=catalog,
            single_impressions=single_impressions,
        )
        return cls(
            rows=table.rows,
            candidates=table.candidates,
            single_impressions=table.single_impressions,
            source=source,
            repaired=table.repaired,
            notes=table.notes,
        )

    def to_steps(
        self,
        catalog: Catalog,
        queries: Sequence[str] | None = None,
        context_names: Sequence[str] | None = None,
    ) -> LoggedSteps:
        """Regroup the rows into pages, as arrays.

        Args:
            catalog: Gives items their rows.
            queries: Query texts in row order; None: those of the log, by first appearance.
            context_names: Layout of the context, that of another log's steps; None: this log's own.

        Raises:
            InputError: A query that is not in `queries`, or an item that is not in the catalogue.
        """
        from behavior.regroup import regroup

        return regroup(self, catalog, queries, context_names)

    def summary(self) -> LogSummary:
        """Counts, rates by position, and what this log can support."""
        from behavior.summary import summarise

        return summarise(self)

    def write(self, path: Path | str) -> None:
        """Write Parquet or CSV, by suffix; candidates go beside it into `<stem>.candidates.<suffix>`.

        Raises:
            InputError: A file is already there, or the suffix is neither `.parquet` nor `.csv`.
        """
        from behavior.files import atomic_path

        path = Path(path)
        if path.suffix not in (".parquet", ".csv"):
            raise InputError(
                f"a log is not written as '{path.suffix}'", where=str(path), mend="choose .parquet or .csv"
            )
        rows = self.rows.assign(**{SINGLE_IMPRESSION: 1}) if self.single_impressions else self.rows
        tables = [(path, rows)]
        if self.candidates is not None:
            tables.append((candidates_path(path), self.candidates))
        for place, _ in tables:
            if place.exists():
                raise InputError(
                    "there is a file already", where=str(place), mend="choose another name, or move it"
                )
        for place, table in reversed(tables):  # the log last: where it is, its companion is
            with atomic_path(place) as temporary:
                if path.suffix == ".csv":
                    table.to_csv(temporary, index=False)
                else:
                    table.to_parquet(temporary, index=False)


def candidates_path(path: Path) -> Path:
    """Where the companion table of the log at `path` lies."""
    if path.suffix.lower() == ".gz":  # the reader asks for the suffix within
        return path.with_name(f"{candidates_path(path.with_suffix('')).name}{path.suffix}")
    return path.with_name(f"{path.stem}.candidates{path.suffix}")
