"""A catalogue and the log of what happened to it, from one name or path."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from behavior.catalog import Catalog
from behavior.columns import ColumnMap
from behavior.errors import InputError
from behavior.log import InteractionLog

if TYPE_CHECKING:
    from behavior.readers.formats import Format

__all__ = ["Dataset", "load"]


@dataclass(frozen=True)
class Dataset:
    """What a shop's logs say."""

    name: str
    catalog: Catalog
    log: InteractionLog


def load(
    name_or_path: str | Path,
    catalog: Path | str | Catalog | None = None,
    columns: ColumnMap | Path | str | None = None,
    repairs: Collection[str] = (),
    *,
    name: str | None = None,
    path: Path | str | None = None,
    candidates: Path | str | None = None,
    gap_minutes: float | None = None,
    positive_from: float | None = None,
    actions: Collection[str] = (),
    progress: bool = True,
) -> Dataset:
    """Read and validate catalogue and log.

    Args:
        name_or_path: `FORMAT:PATH` with a format of `behavior.readers.formats` (`python -m behavior formats` lists
            them), the name of a format (with `path`), or the file of a log of your own.
        catalog: The catalogue, or its file, folder or pattern; None: what the format says of its items.
        columns: Column names, or the mapping file that holds them.
        repairs: Repairs that may be made, by name.
        name: What to call it; None: the format's name, or the file's.
        path: Where the files of the format lie.
        candidates: The log's table of candidates; None: the one beside the log, if there is one.
        gap_minutes: Pause after which a new visit begins, for formats that do not know visits; None: 30.
        positive_from: Smallest rating (share watched) that counts as a click, for formats without clicks.
        actions: Names of events that the shop chose itself, as `theirs=ours`; ours are impression, click, purchase.
        progress: Show a bar where reading lasts longer than two seconds.

    Raises:
        InputError: A format that is not known, an option that it has no use for, or files or cells that are not what
            they must be.
    """
    from behavior.readers.formats import TABLES, format_of
    from behavior.readers.options import ReadOptions, action_names
    from behavior.readers.tables import column_map, read_catalog, read_log

    entry, place = format_of(name_or_path, path)
    given = {
        "catalog": catalog,
        "columns": columns,
        "candidates": candidates,
        "gap_minutes": gap_minutes,
        "positive_from": positive_from,
        "actions": tuple(actions) or None,
    }
    _refuse_useless(entry, given)
    names = column_map(columns)
    if entry is not TABLES:
        if not place.exists():
            raise InputError(
                "there is no such file or folder",
                where=str(place),
                mend=f"{entry.title} is read from {entry.path}",
            )
        own = catalog if catalog is None or isinstance(catalog, Catalog) else read_catalog(catalog, names)
        options = ReadOptions(
            repairs=tuple(repairs),
            catalog=own,
            gap_minutes=gap_minutes,
            positive_from=positive_from,
            actions=action_names(actions),
            progress=progress,
        )
        items, log = entry.read()(place, options)
        return Dataset(name or entry.name, items, log)
    if catalog is None:
        log = read_log(place, names, candidates=candidates, repairs=repairs, progress=progress)
        return Dataset(name or place.stem, _catalog_of(log), log)
    if not isinstance(catalog, Catalog):
        if not place.exists():  # told before a long catalogue is read
            raise InputError("the file does not exist", where=str(place), mend="check the path of the log")
        catalog = read_catalog(catalog, names, progress=progress)
    log = read_log(place, names, candidates=candidates, repairs=repairs, catalog=catalog, progress=progress)
    return Dataset(name or place.stem, catalog, log)


def _refuse_useless(entry: Format, given: Mapping[str, object]) -> None:
    """Raise for what the format has no use for: passed over in silence, it would seem to have been used."""
    useless = [option for option, value in given.items() if value is not None and option not in entry.takes]
    if useless:
        raise InputError(
            f"{entry.title} has no use for {', '.join(useless)}",
            where=entry.name,
            mend="leave it out; "
            + (f"it takes {', '.join(entry.takes)}" if entry.takes else "it takes repairs only"),
        )


def _catalog_of(log: InteractionLog) -> Catalog:
    """A catalogue of the items that the log names, in order of first appearance."""
    ids = log.rows["item_id"]
    if log.candidates is not None:
        ids = pd.concat([ids, log.candidates["item_id"]])
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": ids.unique()}), source=log.source)
    note = "no catalogue given: its items are those of the log, known by their ids alone"
    return replace(catalog, notes=(note,))
