"""KuaiRand: impressions of videos in the feeds of an app, some of them put there at random.

Gao et al. (2022), "KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly Exposed Videos",
https://arxiv.org/abs/2208.08696; the columns are those of https://github.com/chongminggao/KuaiRand ("Data
Descriptions"). A row is one impression; the page around it is unknown. Not tried on the real files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from behavior.catalog import Catalog
from behavior.columns import CatalogColumns, LogColumns
from behavior.errors import InputError
from behavior.log import InteractionLog
from behavior.readers.cells import number_cells, read_published, time_cells
from behavior.readers.options import ReadOptions
from behavior.readers.users import read_users, user_context
from behavior.readers.visits import into_visits

__all__ = ["read_kuairand"]

_TITLE = "KuaiRand"
_LOG = ("user_id", "video_id", "time_ms", "is_click", "play_time_ms", "is_rand", "tab")
_ITEM_NUMBERS = ("video_duration", "server_width", "server_height")
_ITEM_KINDS = ("video_type", "upload_type", "music_type")
_USER = (
    "user_active_degree",
    "is_lowactive_period",
    "is_live_streamer",
    "is_video_author",
    "follow_user_num_range",
    "fans_user_num_range",
    "friend_user_num_range",
    "register_days_range",
)


def read_kuairand(path: Path, options: ReadOptions) -> tuple[Catalog, InteractionLog]:
    """Catalogue and log.

    Args:
        path: The folder as published (or its `data`), of which all `log_*.csv` are read; or one of these files.
        options: `gap_minutes` cuts visits; `repairs` by name.

    Raises:
        InputError: Files, columns or cells that are not what the format says.
    """
    files = _log_files(Path(path))
    parts = []
    for file in files:
        part = read_published(file, _LOG, _TITLE, progress=options.progress)
        part["play_time_ms"] = number_cells(part, "play_time_ms", file, least=0) / 1000
        part["time_ms"] = time_cells(part, "time_ms", file)
        random = number_cells(part, "is_rand", file) == 1
        part["policy_id"] = random.map({True: "random", False: "standard"})
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True).rename(columns={"time_ms": "timestamp", "tab": "context_tab"})
    frame["context_tab"] = "tab " + frame["context_tab"].astype("str")  # a scenario's name, not a number
    frame, visits = into_visits(frame, options.gap_minutes)
    folder = files[0].parent
    users = read_users(sorted(folder.glob("user_features_*.csv")), _USER, _TITLE)
    context, notes = user_context(frame, users, _USER)
    catalog = _catalog(
        frame,
        sorted(folder.glob("video_features_basic_*.csv")),
        CatalogColumns(
            names={"item_id": "video_id", "category": "tag"}, numeric=_ITEM_NUMBERS, categorical=_ITEM_KINDS
        ),
        options,
    )
    source = str(path)
    log = InteractionLog.from_frame(
        frame.assign(position=0, **context),
        columns=LogColumns(
            names={"item_id": "video_id", "click": "is_click", "dwell_seconds": "play_time_ms"},
            single_impressions=True,
        ),
        repairs=options.repairs,
        source=source,
        catalog=catalog,
    )
    return catalog, replace(
        log,
        notes=(
            *(note for note in log.notes if not note.startswith("columns passed over")),
            visits,
            "a row is one impression of a feed: its page and its place are unknown (all places are written as 0)",
            "click is is_click: a tap where two columns are shown, a valid play where videos fill the screen",
            "policy_id tells impressions put in at random from the standard ones; the format states no propensities",
            "likes, follows, comments, forwards, hates and long views are passed over: a log has no columns for them",
            *notes,
        ),
    )


def _log_files(path: Path) -> list[Path]:
    """The log at `path`, or those in the folder (or its `data`)."""
    if not path.is_dir():
        return [path]
    for folder in (path, path / "data"):
        found = sorted(folder.glob("log_*.csv"))
        if found:
            return found
    held = ", ".join(sorted(p.name for p in path.iterdir())[:10]) or "nothing"
    raise InputError(
        f"the folder holds no log_*.csv of {_TITLE}; it holds {held}",
        where=str(path),
        mend="name the folder as published, or one of its log files",
    )


def _catalog(
    frame: pd.DataFrame, files: list[Path], columns: CatalogColumns, options: ReadOptions
) -> Catalog:
    """The videos that the log shows, with what their tables say; by their ids alone where there are no tables."""
    if options.catalog is not None:
        return options.catalog
    shown = pd.DataFrame({"video_id": frame["video_id"].unique()})
    wanted = {
        *columns.names.values(),
        *(name for several in columns.joined.values() for name in several),
        *(columns.numeric or ()),
        *(columns.categorical or ()),
    }
    known = [read_published(file, sorted(wanted), _TITLE, progress=options.progress) for file in files]
    if not known:
        catalog = Catalog.from_frame(shown, {"item_id": "video_id"})
        return replace(
            catalog, notes=("no table of videos beside the log: they are known by their ids alone",)
        )
    table = shown.merge(pd.concat(known).drop_duplicates("video_id"), how="left", on="video_id")
    catalog = Catalog.from_frame(table, columns, str(files[0]))
    note = "the catalogue holds the videos that the log shows, and no others"
    return replace(catalog, notes=(*catalog.notes, note))
