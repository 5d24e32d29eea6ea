"""KuaiRec: how long users watched videos, for some users and videos nearly without gaps.

Gao et al. (2022), "KuaiRec: A Fully-observed Dataset and Insights for Evaluating Recommender Systems",
https://arxiv.org/abs/2202.10842; the columns are those of https://github.com/chongminggao/KuaiRec ("Data
Descriptions"). There are no clicks: from which share watched on a video counts as one is the user's choice. Not tried
on the real files.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from behavior.catalog import Catalog
from behavior.columns import CatalogColumns, LogColumns
from behavior.errors import InputError
from behavior.log import InteractionLog
from behavior.readers.cells import number_cells, read_published, time_cells
from behavior.readers.options import ReadOptions, positive_threshold
from behavior.readers.users import read_users, user_context
from behavior.readers.visits import into_visits

__all__ = ["read_kuairec"]

_TITLE = "KuaiRec"
_LOG = ("user_id", "video_id", "play_duration", "timestamp", "watch_ratio")
_CAPTIONS = "kuairec_caption_category.csv"
_USER = (
    "user_active_degree",
    "is_live_streamer",
    "is_video_author",
    "follow_user_num_range",
    "fans_user_num_range",
    "friend_user_num_range",
    "register_days_range",
)


def read_kuairec(path: Path, options: ReadOptions) -> tuple[Catalog, InteractionLog]:
    """Catalogue and log.

    Args:
        path: `big_matrix.csv` or `small_matrix.csv`; tables of videos and users are looked for beside it.
        options: `positive_from`, the smallest `watch_ratio` that counts as a click, must be given; `gap_minutes` cuts
            visits; `repairs` by name.

    Raises:
        InputError: No threshold, a folder, or columns or cells that are not what the format says.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            "KuaiRec has two logs: big_matrix.csv is what the app showed, in small_matrix.csv nearly every user was "
            "shown nearly every video",
            where=str(path),
            mend=f"name one of them, for example kuairec:{path / 'big_matrix.csv'}",
        )
    threshold = positive_threshold(
        options, title=_TITLE, what="the share watched (watch_ratio)", example="2.0, as its authors suggest"
    )
    frame = read_published(path, _LOG, _TITLE, progress=options.progress)
    untimed = frame["timestamp"].isna()
    notes = []
    if untimed.any():
        frame = frame[~untimed]
        notes.append(
            f"{int(untimed.sum()):,} rows without a time are left out: they have no place in any visit"
        )
    if frame.empty:
        raise InputError("no row has a time", where=str(path), mend="give the file as published")
    ratio = number_cells(frame, "watch_ratio", path, least=0)
    frame = frame.assign(
        click=(ratio >= threshold).astype("int64"),
        dwell_seconds=number_cells(frame, "play_duration", path, least=0) / 1000,
        timestamp=time_cells(frame, "timestamp", path),
        position=0,
    ).drop(columns=["play_duration", "watch_ratio"])
    frame, visits = into_visits(frame, options.gap_minutes)
    users = path.parent / "user_features.csv"
    known = read_users([users] if users.exists() else [], _USER, _TITLE)
    context, said = user_context(frame, known, _USER)
    catalog = options.catalog or _catalog(frame, path.parent)
    log = InteractionLog.from_frame(
        frame.assign(**context),
        columns=LogColumns(names={"item_id": "video_id"}, single_impressions=True),
        repairs=options.repairs,
        source=str(path),
        catalog=catalog,
    )
    return catalog, replace(
        log,
        notes=(
            *log.notes,
            visits,
            f"click is your choice: watch_ratio of at least {threshold:g}; the format has no clicks",
            "a row is one video watched: its page and its place are unknown (all places are written as 0)",
            *notes,
            *said,
        ),
    )


def _catalog(frame: pd.DataFrame, folder: Path) -> Catalog:
    """The videos of the log: captions and categories, or tags, where their tables lie beside it."""
    table = pd.DataFrame({"video_id": frame["video_id"].unique()})
    names, joined, notes = {"item_id": "video_id"}, {}, []
    captions, tags = folder / _CAPTIONS, folder / "item_categories.csv"
    if captions.exists():
        wanted = ("video_id", "caption", "topic_tag", "first_level_category_name")
        known = read_published(captions, wanted, _TITLE)
        table = table.merge(known.drop_duplicates("video_id"), how="left", on="video_id")
        names |= {"title": "caption", "category": "first_level_category_name"}
        joined = {"text": ("caption", "topic_tag")}
    elif tags.exists():
        known = read_published(tags, ("video_id", "feat"), _TITLE)
        known["feat"] = known["feat"].map(_list_as_label, na_action="ignore")
        table = table.merge(known.drop_duplicates("video_id"), how="left", on="video_id")
        names |= {"category": "feat"}
        notes.append("category: all tags of the video together, by their numbers; there are no titles")
    else:
        notes.append("no table of videos beside the log: they are known by their ids alone")
    columns = CatalogColumns(names=names, joined=joined, numeric=(), categorical=())
    catalog = Catalog.from_frame(table, columns, str(folder))
    notes.append("the catalogue holds the videos that the log shows, and no others")
    return replace(catalog, notes=(*catalog.notes, *notes))


def _list_as_label(written: str) -> str:
    """`[27, 9]` as `27 9`."""
    return " ".join(re.findall(r"\d+", written))
