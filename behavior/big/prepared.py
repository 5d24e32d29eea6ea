"""A prepared log: its parts in time as arrays, read a chunk at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from behavior.big.gather import chunk_path
from behavior.big.pages import steps_of
from behavior.catalog import Catalog
from behavior.errors import InputError
from behavior.split import PartRecord
from behavior.steps import LoggedSteps

__all__ = ["FORMAT", "Meta", "PreparedLog", "PreparedPart", "is_prepared", "open_prepared", "write_meta"]

FORMAT = 1
_META = "prepared.json"


@dataclass(frozen=True, kw_only=True)
class Meta:
    """What is said of a prepared log; `prepared.json`."""

    format: int
    """Of the files."""
    source: str
    """The log it was made of."""
    n_rows: int
    """Shown items."""
    n_clicks: int
    """Clicks."""
    n_purchases: int
    """Purchases."""
    n_users: int
    """Users."""
    single_impressions: bool
    """Rows are impressions whose pages are unknown."""
    context_names: tuple[str, ...]
    """Names of the context."""
    split: tuple[PartRecord, ...]
    """Sizes and boundaries of the parts in time."""
    chunks: Mapping[str, int]
    """Files of each part."""
    repaired: Mapping[str, int]
    """Rows touched by each repair."""
    notes: tuple[str, ...]
    """What was filled in or passed over while reading."""
    config: Mapping[str, Any]
    """The `BigLogConfig` by which it was made."""


@dataclass(frozen=True)
class PreparedPart:
    """Training, validation or test sessions in order of time, in files of whole sessions."""

    folder: Path
    record: PartRecord
    n_chunks: int
    queries: tuple[str, ...]
    meta: Meta

    @property
    def n_sessions(self) -> int:
        """Number of sessions."""
        return self.record.n_sessions

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return self.record.n_steps

    def chunk(self, place: int) -> LoggedSteps:
        """One file as steps; its sessions count from 0, users, items and queries as in the whole log."""
        return self._steps(_from_zero(self._records(place)))

    def chunks(self) -> Iterator[LoggedSteps]:
        """All files in order of time, one at a time: whatever takes a log takes each of them."""
        for place in range(self.n_chunks):
            yield self.chunk(place)

    def batches(
        self, n_pages: int, generator: np.random.Generator, *, mixed_chunks: int = 4
    ) -> Iterator[LoggedSteps]:
        """One pass over all sessions in random order, in batches of whole sessions, for training.

        Sessions are mixed among `mixed_chunks` files drawn at random at a time. Within a batch they count from 0 in
        the order drawn, not in order of time.

        Args:
            n_pages: Pages of a batch: sessions are added until there are as many; only a last batch has fewer.
            generator: The source of all randomness.
            mixed_chunks: Files held at a time.
        """
        left: list[NDArray[np.void]] = []
        order = generator.permutation(self.n_chunks)
        for begin in range(0, self.n_chunks, mixed_chunks):
            drawn = [self._records(int(place)) for place in order[begin : begin + mixed_chunks]]
            mixed = _shuffled(np.concatenate(drawn), generator)
            records = np.concatenate([*left, mixed])
            first = np.flatnonzero(np.append(True, np.diff(records["session"]) != 0))
            ends = np.append(first[1:], len(records))
            low = 0
            while low + n_pages <= len(records):
                high = int(ends[np.searchsorted(ends, low + n_pages)])
                yield self._steps(_from_zero(records[low:high]))
                low = high
            left = [records[low:]]
        if left and len(left[0]):
            yield self._steps(_from_zero(left[0]))

    def latest(self, n_impressions: int) -> LoggedSteps:
        """The latest whole sessions with at most `n_impressions` shown items, or the very last session.

        What fitting to a part of the log needs: a fit is given as much as memory and patience allow.
        """
        kept: list[NDArray[np.void]] = []
        room = n_impressions
        for place in reversed(range(self.n_chunks)):
            records = self._records(place)
            shown = (records["item"] >= 0).sum(axis=1)
            begins = np.append(True, np.diff(records["session"]) != 0)
            after = np.cumsum(shown[::-1])[::-1]
            fits = np.flatnonzero(begins & (after <= room))
            if len(fits):
                kept.append(records[fits[0] :])
                room -= int(after[fits[0]])
            if not len(fits) or fits[0] > 0:
                if not kept:
                    kept.append(records[np.flatnonzero(begins)[-1] :])
                break
        return self._steps(_from_zero(np.concatenate(kept[::-1])))

    def load(self) -> LoggedSteps:
        """All of it, for a part that fits into memory."""
        return self._steps(np.concatenate([self._records(place) for place in range(self.n_chunks)]))

    def _records(self, place: int) -> NDArray[np.void]:
        records: NDArray[np.void] = np.load(chunk_path(self.folder, self.record.name, place))
        return records

    def _steps(self, records: NDArray[np.void]) -> LoggedSteps:
        return steps_of(
            records,
            context_names=self.meta.context_names,
            queries=self.queries,
            single_impressions=self.meta.single_impressions,
        )


@dataclass(frozen=True)
class PreparedLog:
    """A log of any size, checked and split in time.

    It is a folder: `prepared.json`, `queries.parquet`, `catalog.parquet`, and a folder of records (`.npy`) for each of
    `train`, `valid` and `test`.
    """

    folder: Path
    meta: Meta

    @cached_property
    def catalog(self) -> Catalog:
        """The products."""
        from behavior.readers.tables import read_catalog

        return read_catalog(self.folder / "catalog.parquet", progress=False)

    @cached_property
    def queries(self) -> tuple[str, ...]:
        """Query texts by row."""
        return tuple(pd.read_parquet(self.folder / "queries.parquet")["text"].tolist())

    @property
    def train(self) -> PreparedPart:
        """The first sessions."""
        return self._part(0)

    @property
    def valid(self) -> PreparedPart:
        """Those after them."""
        return self._part(1)

    @property
    def test(self) -> PreparedPart:
        """The last sessions."""
        return self._part(2)

    def _part(self, place: int) -> PreparedPart:
        record = self.meta.split[place]
        return PreparedPart(self.folder, record, self.meta.chunks[record.name], self.queries, self.meta)


def is_prepared(place: Path | str) -> bool:
    """Whether `place` is a folder that `prepare_log` wrote."""
    return (Path(place) / _META).is_file()


def open_prepared(folder: Path | str) -> PreparedLog:
    """Open what `prepare_log` wrote.

    Raises:
        InputError: There is no prepared log, or one of another format.
    """
    folder = Path(folder)
    try:
        content = json.loads((folder / _META).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(
            f"this is no prepared log: {_META} cannot be read",
            where=str(folder),
            mend="prepare one with `python -m behavior prepare`",
        ) from error
    if content.get("format") != FORMAT:
        raise InputError(
            f"the prepared log has format {content.get('format')}, expected {FORMAT}",
            where=str(folder),
            mend="prepare it again",
        )
    content |= {name: tuple(content[name]) for name in ("context_names", "notes")}
    content["split"] = tuple(PartRecord(**record) for record in content["split"])
    return PreparedLog(folder, Meta(**content))


def write_meta(folder: Path, meta: Meta) -> None:
    """Write `prepared.json`."""
    (folder / _META).write_text(json.dumps(asdict(meta), indent=1) + "\n", encoding="utf-8")


def _from_zero(records: NDArray[np.void]) -> NDArray[np.void]:
    """The same pages, sessions counted from 0 in the order in which they stand."""
    out = records.copy()
    out["session"] = np.cumsum(np.append(False, np.diff(records["session"]) != 0))
    return out


def _shuffled(records: NDArray[np.void], generator: np.random.Generator) -> NDArray[np.void]:
    """Whole sessions in random order."""
    code = np.cumsum(np.append(False, np.diff(records["session"]) != 0))
    rank = generator.permutation(int(code[-1]) + 1)
    return records[np.argsort(rank[code], kind="stable")]
