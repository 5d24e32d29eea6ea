"""A log larger than memory as the data of a run: the latest sessions of each part of what `prepare` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from behavior.errors import InputError
from pipeline.config import SourceOptions

if TYPE_CHECKING:
    from pipeline.data import ShopData

__all__ = ["LATEST", "read_prepared"]

LATEST = 1_000_000
"""Shown items of the training part that are read where nothing else is said."""


def read_prepared(source: SourceOptions) -> ShopData:
    """The catalogue and the latest sessions of each part, as many as `source` allows.

    Of the validation and test parts, too, only the latest are read, in proportion to their sessions; all of them where
    all of the training part is read.

    Raises:
        InputError: No prepared log, an option that only the preparation has a use for, or no whole session.
    """
    from behavior.big.prepared import open_prepared
    from pipeline.data import ShopData

    useless = {
        "--catalog": source.catalog,
        "--candidates": source.candidates,
        "--columns": source.columns,
        "--repairs": source.repairs,
        "--data-path": source.data_path,
        "--gap-minutes": source.gap_minutes,
        "--positive-from": source.positive_from,
        "--actions": source.actions,
    }
    for option, value in useless.items():
        if value:
            raise InputError(
                f"{option} is given with a prepared log, which was read and checked already",
                where=source.data,
                mend=f"leave it out, or give {option} to `python -m behavior prepare`",
            )
    most = LATEST if source.latest_impressions is None else source.latest_impressions
    log = open_prepared(source.data)
    wanted = (log.train, log.valid, log.test)
    train = log.train.latest(most)
    if train.n_sessions == log.train.n_sessions:
        parts = [train, log.valid.load(), log.test.load()]
    else:
        share = most / log.train.n_sessions
        parts = [train, *(part.latest(max(int(share * part.n_sessions), 1)) for part in wanted[1:])]
    notes = [
        *log.catalog.notes,
        *log.meta.notes,
        *(f"repair {name}: {count:,} rows" for name, count in log.meta.repaired.items()),
    ]
    read, whole = (sum(part.n_sessions for part in given) for given in (parts, wanted))
    if read < whole:
        notes.append(
            f"of {whole:,} sessions of the prepared log the latest {read:,} are learned from and judged by "
            f"({100 * read / whole:.3g} %)"
        )
    return ShopData(
        name=Path(source.data).stem,
        catalog=log.catalog,
        queries=log.queries,
        train=parts[0],
        valid=parts[1],
        test=parts[2],
        split=log.meta.split,
        notes=tuple(notes),
        truth=None,
    )
