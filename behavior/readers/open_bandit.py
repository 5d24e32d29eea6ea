"""The Open Bandit Dataset, as published: a folder with one campaign's impressions and its items.

Saito et al. (2020), "Open Bandit Dataset and Pipeline", https://arxiv.org/abs/2008.07146. A row is one impression
in one of three slots; rows cannot be regrouped into pages. Propensities are the true ones of the policy that ran.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pandas as pd

from behavior.catalog import Catalog
from behavior.columns import CatalogColumns, LogColumns
from behavior.errors import InputError
from behavior.log import InteractionLog
from behavior.readers.options import ReadOptions
from behavior.readers.raw import read_table

__all__ = ["read_open_bandit", "read_open_bandit_as"]

CAMPAIGNS = ("all", "men", "women")
_AFFINITY = "user-item_affinity_"


def read_open_bandit_as(path: Path, options: ReadOptions) -> tuple[Catalog, InteractionLog]:
    """`read_open_bandit`, as `behavior.readers.formats` calls it."""
    return read_open_bandit(path, repairs=options.repairs, progress=options.progress)


def read_open_bandit(
    folder: Path | str, *, repairs: Collection[str] = (), progress: bool = True
) -> tuple[Catalog, InteractionLog]:
    """Catalogue and log of one campaign under one policy.

    Each impression is a session of one step with one known slot (positions 1–3 become 0–2), on a recommendation
    page (empty query). User features become the context; item features become extra catalogue columns. The
    user-item affinities are passed over: a page of three would need those of all its candidates.

    Args:
        folder: As published, for example `obd/random/all`, with `all.csv` and `item_context.csv`.
        repairs: Repairs that may be made, by name.
        progress: Show a bar where reading lasts longer than two seconds.

    Raises:
        InputError: The folder or its files are not those of the data set.
    """
    folder = Path(folder)
    file = _impressions(folder)
    catalog = _catalog(folder / "item_context.csv")
    frame = read_table(file, progress=progress)
    affinities = [name for name in frame if str(name).startswith(_AFFINITY)]
    frame = frame.drop(columns=[*affinities, *(n for n in frame if str(n).startswith("Unnamed:"))])
    context = {f"context_{n}": str(n) for n in frame if str(n).startswith("user_feature_")}
    names = {"propensity": "propensity_score"} if "propensity_score" in frame else {}
    if (
        "propensity_score" not in frame and "action_prob" in frame
    ):  # the name in the data set's own description
        names = {"propensity": "action_prob"}
    log = InteractionLog.from_frame(
        frame,
        columns=LogColumns(names=names | context, single_impressions=True),
        repairs=(*(name for name in repairs if name != "positions-from-one"), "positions-from-one"),
        source=str(file),
        catalog=catalog,
    )
    # counting from 0 belongs to the format; it is no repair that the user asked for
    repaired = {name: count for name, count in log.repaired.items() if name != "positions-from-one"}
    notes = (*log.notes, "positions 1 to 3 (left, centre, right) are counted from 0")
    if affinities:
        notes += (f"{len(affinities)} columns '{_AFFINITY}*' are passed over",)
    return catalog, replace(log, repaired=repaired, notes=notes)


def _impressions(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(
            "there is no such folder",
            where=str(folder),
            mend="name the folder of one campaign, for example obd/random/all",
        )
    files = [folder / f"{name}.csv" for name in (folder.name, *CAMPAIGNS)]
    found = next((file for file in files if file.exists()), None)
    if found is None or not (folder / "item_context.csv").exists():
        held = ", ".join(sorted(p.name for p in folder.iterdir())[:10]) or "nothing"
        raise InputError(
            f"the folder is not a campaign of the Open Bandit Dataset; it holds {held}",
            where=str(folder),
            mend="name the folder with <campaign>.csv and item_context.csv, for example obd/random/all",
        )
    return found


def _catalog(file: Path) -> Catalog:
    frame = read_table(file, progress=False)
    frame = frame.drop(columns=[n for n in frame if str(n).startswith("Unnamed:")])
    features = [str(n) for n in frame if str(n).startswith("item_feature_")]
    numeric = tuple(n for n in features if pd.to_numeric(frame[n], errors="coerce").notna().all())
    return Catalog.from_frame(
        frame,
        CatalogColumns(numeric=numeric, categorical=tuple(n for n in features if n not in numeric)),
        str(file),
    )
