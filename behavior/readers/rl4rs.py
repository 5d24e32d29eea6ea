"""RL4RS: slates of nine items in the shop of a game, and which of them were bought.

Wang et al. (2023), "RL4RS: A Real-World Dataset for Reinforcement Learning based Recommender System",
https://arxiv.org/abs/2110.11073; the columns are those that https://github.com/fuxiAIlab/RL4RS reads
(`rl4rs/utils/datautil.py`, `rl4rs/env/slate.py`), their meaning that of the "IEEE BigData Cup 2021: RL based RecSys"
page. Not tried on the real files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from behavior.catalog import Catalog
from behavior.columns import CatalogColumns
from behavior.errors import InputError
from behavior.faults import Fault, raise_faults
from behavior.log import InteractionLog
from behavior.readers.cells import number_cells, read_published, time_cells
from behavior.readers.options import ReadOptions

__all__ = ["read_rl4rs"]

_TITLE = "RL4RS"
_LOG = (
    "timestamp",
    "session_id",
    "sequence_id",
    "exposed_items",
    "user_feedback",
    "user_protrait",  # the files' own spelling
    "behavior_policy_id",
)
_ITEM = ("item_id", "item_vec", "price", "location")
_SPECIAL = ("special_item", "is_speical")  # the file's name, and the one in the code that reads it
_GROUPS = 10
"""The first ten features of a user are numbers of groups, the rest are measurements (`script/data_preprocess.py`)."""
_MOST_GROUPS = 50
_NO_ITEM = "0"


def read_rl4rs(path: Path, options: ReadOptions) -> tuple[Catalog, InteractionLog]:
    """Catalogue and log.

    Args:
        path: One of `rl4rs_dataset_{a,b}_{sl,rl}.csv`; `item_info.csv` lies beside it.
        options: `repairs` by name.

    Raises:
        InputError: A folder, no `item_info.csv`, or columns or cells that are not what the format says.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            "RL4RS has several logs (a: one slate a session, b: several; sl, rl: before and after reinforcement "
            "learning), whose sessions are numbered alike",
            where=str(path),
            mend=f"name one of them, for example rl4rs:{path / 'rl4rs_dataset_a_sl.csv'}",
        )
    catalog = _catalog(path.with_name("item_info.csv"))
    pages = read_published(path, _LOG, _TITLE, separator="@", progress=options.progress)
    pages["timestamp"] = time_cells(pages, "timestamp", path)
    pages["step"] = number_cells(pages, "sequence_id", path, least=1).astype("int64") - 1
    items = pages["exposed_items"].fillna("").str.split(",")
    bought = pages["user_feedback"].fillna("").str.split(",")
    _check_lists(pages, items, bought, path)
    context, notes = _context(pages, path)
    pages = pages.assign(item_id=items, click=bought, **context)
    pages = pages.drop(columns=["exposed_items", "user_feedback", "user_protrait", "sequence_id"])
    pages["position"] = items.map(lambda listed: list(range(len(listed))))
    rows = pages.explode(["item_id", "click", "position"], ignore_index=True)
    rows["item_id"] = rows["item_id"].str.strip()
    empty = rows["item_id"] == _NO_ITEM
    if empty.any():
        rows = rows[~empty]
        notes.append(f"{int(empty.sum()):,} places hold item {_NO_ITEM}, which is none: they are left empty")
    rows = rows.rename(columns={"behavior_policy_id": "policy_id"})
    log = InteractionLog.from_frame(
        rows.assign(purchase=rows["click"]),
        repairs=options.repairs,
        source=f"{path} (one row a shown item)",
        catalog=catalog,
    )
    return catalog, replace(
        log,
        source=str(path),
        notes=(
            *log.notes,
            "user_feedback says what was bought, and nothing of clicks: click and purchase are the same",
            "propensities are not in the files; policy_id is behavior_policy_id",
            "user_seqfeature (items used before) and item_feature (as in item_info.csv) are passed over",
            *notes,
        ),
    )


def _check_lists(pages: pd.DataFrame, items: pd.Series, bought: pd.Series, path: Path) -> None:
    length = items.map(len)
    # a cell that is empty splits into one empty text
    bad = (length != bought.map(len)) | (pages["exposed_items"].isna())
    raise_faults(
        [
            Fault(
                row=int(row) + 1,
                column="user_feedback",
                found=repr(str(pages["user_feedback"].loc[row])),
                expected=f"as many values as there are exposed_items ({length.loc[row]})",
                mend="the file may be damaged: fetch it again, or leave these rows out",
            )
            for row in pages.index[bad]
        ],
        str(path),
    )


def _context(pages: pd.DataFrame, path: Path) -> tuple[dict[str, pd.Series], list[str]]:
    """The user's features: groups as labels where they are few, measurements as numbers."""
    parts = pages["user_protrait"].fillna("").str.split(",", expand=True)
    names = [f"portrait_{n:02d}" for n in range(parts.shape[1])]
    parts.columns = pd.Index(names)
    out: dict[str, pd.Series] = {}
    left = []
    for name in names[:_GROUPS]:
        if parts[name].nunique() <= _MOST_GROUPS:
            out[f"context_{name}"] = "group " + parts[name].fillna("")
        else:
            left.append(name)
    for name in names[_GROUPS:]:
        out[f"context_{name}"] = number_cells(parts, name, path)
    if not left:
        return out, []
    return out, [f"groups of more than {_MOST_GROUPS} kinds are passed over: {', '.join(left)}"]


def _catalog(path: Path) -> Catalog:
    if not path.exists():
        raise InputError(
            "RL4RS needs item_info.csv beside its log",
            where=str(path),
            mend="put the two files into one folder",
        )
    frame = read_published(path, _ITEM, _TITLE, optional=_SPECIAL, separator=" ")
    vectors = frame["item_vec"].fillna("").str.split(",", expand=True)
    names = [f"vec_{n:02d}" for n in range(vectors.shape[1])]
    vectors.columns = pd.Index(names)
    numbers = pd.DataFrame({name: number_cells(vectors, name, path).astype(np.float64) for name in names})
    special = [name for name in _SPECIAL if name in frame]
    table = pd.concat([frame.drop(columns="item_vec"), numbers], axis=1)
    catalog = Catalog.from_frame(
        table,
        CatalogColumns(numeric=tuple(names), categorical=("location", *special)),
        str(path),
    )
    note = "location says in which third of the slate (1, 2, 3) an item may stand"
    return replace(catalog, notes=(*catalog.notes, note))
