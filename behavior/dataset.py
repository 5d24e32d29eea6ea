"""A catalogue and the log of what happened to it, from one name or path."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from behavior.catalog import Catalog
from behavior.columns import ColumnMap
from behavior.errors import InputError
from behavior.log import InteractionLog

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
    progress: bool = True,
) -> Dataset:
    """Read and validate catalogue and log.

    Args:
        name_or_path: `open-bandit` (with `path`), the folder of one of its campaigns, or the file of a log.
        catalog: The catalogue, or its file, folder or pattern; None: items are known by their ids alone.
        columns: Column names, or the mapping file that holds them.
        repairs: Repairs that may be made, by name.
        name: What to call it, and how to read it where it is the name of a published format.
        path: Folder of a published data set.
        candidates: The log's table of candidates; None: the one beside the log, if there is one.
        progress: Show a bar where reading lasts longer than two seconds.

    Raises:
        InputError: Files or cells that are not what they must be.
    """
    from behavior.readers.open_bandit import is_open_bandit, read_open_bandit
    from behavior.readers.tables import column_map, read_catalog, read_log

    place = Path(path if path is not None else name_or_path)
    if "open-bandit" in (str(name_or_path), name) or is_open_bandit(place):
        if str(place) == "open-bandit" and not place.exists():
            raise InputError(
                "the Open Bandit Dataset needs the folder of one campaign",
                where="open-bandit",
                mend="give its path, for example --data-path obd/random/all",
            )
        items, log = read_open_bandit(place, repairs=repairs, progress=progress)
        return Dataset(name or "open-bandit", items, log)
    names = column_map(columns)
    if place.is_dir():
        raise InputError(
            "this is a folder, expected the file of a log", where=str(place), mend="name the file in it"
        )
    if catalog is None:
        log = read_log(place, names, candidates=candidates, repairs=repairs, progress=progress)
        return Dataset(name or place.stem, _catalog_of(log), log)
    if not isinstance(catalog, Catalog):
        if not place.exists():  # told before a long catalogue is read
            raise InputError("the file does not exist", where=str(place), mend="check the path of the log")
        catalog = read_catalog(catalog, names, progress=progress)
    log = read_log(place, names, candidates=candidates, repairs=repairs, catalog=catalog, progress=progress)
    return Dataset(name or place.stem, catalog, log)


def _catalog_of(log: InteractionLog) -> Catalog:
    """A catalogue of the items that the log names, in order of first appearance."""
    ids = log.rows["item_id"]
    if log.candidates is not None:
        ids = pd.concat([ids, log.candidates["item_id"]])
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": ids.unique()}), source=log.source)
    note = "no catalogue given: its items are those of the log, known by their ids alone"
    return replace(catalog, notes=(note,))
