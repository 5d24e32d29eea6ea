"""The log that policies are judged by, and who was trained on it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps

if TYPE_CHECKING:
    from pipeline.artifacts import OpenedRun
    from pipeline.config import SourceOptions
    from pipeline.data import ShopData

__all__ = ["JudgedLog", "Part", "check_not_trained_on", "read_judged_log", "same_source"]

Part = Literal["test", "valid", "train", "all"]


@dataclass(frozen=True, kw_only=True)
class JudgedLog:
    """The part of a log that judges."""

    steps: LoggedSteps
    """Its pages."""
    item_ids: tuple[str, ...]
    """I ids by item row."""
    queries: tuple[str, ...]
    """Q texts by query row."""
    sessions: NDArray[np.object_]
    """(S,) the log's own session ids by session number; empty where they are not known."""
    shop: ShopData | None
    """The whole shop that the log belongs to; None for a file that is judged as it is."""
    source: SourceOptions
    """Where it was read from."""
    notes: tuple[str, ...] = ()
    """What was done while reading."""


def same_source(mine: SourceOptions, other: SourceOptions) -> bool:
    """Whether two sources are the same log: the same files, read the same way."""

    def key(source: SourceOptions) -> dict[str, Any]:
        told = asdict(source)
        for name in ("data", "data_path", "catalog", "columns", "candidates"):
            value = told[name]
            if isinstance(value, Path) or (isinstance(value, str) and Path(value).exists()):
                told[name] = str(Path(value).resolve())
        return told

    return key(mine) == key(other)


def read_judged_log(
    source: SourceOptions,
    part: Part,
    run: OpenedRun | None,
    *,
    with_sessions: bool = False,
    progress: bool = True,
) -> JudgedLog:
    """The part of a log, its items and queries numbered as `run` numbers them where a run is given.

    Args:
        source: The log.
        part: By time, as a run splits it: the last 15 % of the sessions, the 15 % before, the first 70 %, or all.
        run: Whose policies are to be judged.
        with_sessions: Whether the sessions' own ids are wanted, for which a file is read once more.
        progress: Whether to show bars.

    Raises:
        InputError: A log that cannot be read, or one with items or queries that the run does not know.
    """
    from pipeline.data import read_source

    if run is not None and same_source(source, run.config.source):
        return _of_shop(run.shop, part, source, with_sessions=with_sessions)
    if run is None:
        return _of_shop(read_source(source, progress=progress), part, source, with_sessions=with_sessions)
    return _with_names_of(run, source, part, progress=progress)


def _of_shop(shop: ShopData, part: Part, source: SourceOptions, *, with_sessions: bool) -> JudgedLog:
    parts = {"train": shop.train, "valid": shop.valid, "test": shop.test}
    steps = _join(tuple(parts.values())) if part == "all" else parts[part]
    return JudgedLog(
        steps=steps,
        item_ids=tuple(shop.catalog.item_ids),
        queries=shop.queries,
        sessions=_session_names(shop, source, part) if with_sessions else np.empty(0, object),
        shop=shop,
        source=source,
        notes=shop.notes,
    )


def _with_names_of(run: OpenedRun, source: SourceOptions, part: Part, *, progress: bool) -> JudgedLog:
    """Another log of the same shop: its own split, the run's numbers."""
    from behavior.dataset import load
    from behavior.split import split_steps_by_time
    from evaluation.plain_observation import session_ids

    if source.data in ("demo", "icecat"):
        raise InputError(
            "the run was made of another store",
            where=f"--log {source.data}",
            mend="give --store-seed and --store-size as the run's config.yaml has them",
        )
    found = load(
        source.data,
        path=source.data_path,
        catalog=run.shop.catalog,
        columns=source.columns,
        candidates=source.candidates,
        repairs=source.repairs,
        progress=progress,
    )
    steps = found.log.to_steps(run.shop.catalog, run.shop.queries, run.shop.train.context_names)
    names = session_ids(found.log)
    if part != "all":
        split = split_steps_by_time(steps)
        at = split._fields.index(part)
        before = sum(one.n_sessions for one in split[:at])
        steps = split[at]
        names = names[before : before + steps.n_sessions]
    return JudgedLog(
        steps=steps,
        item_ids=tuple(run.shop.catalog.item_ids),
        queries=run.shop.queries,
        sessions=names,
        shop=None,
        source=source,
        notes=found.log.notes,
    )


def _session_names(shop: ShopData, source: SourceOptions, part: Part) -> NDArray[np.object_]:
    """The ids of a part's sessions, where its log can be had cheaply: in the store, or read again from one file."""
    from behavior.big.prepared import is_prepared
    from evaluation.plain_observation import session_ids

    nothing = np.empty(0, object)
    if shop.truth is not None:
        names = session_ids(shop.truth.log)
    elif is_prepared(source.data):
        return nothing
    else:
        from behavior.dataset import load

        names = session_ids(
            load(
                source.data,
                path=source.data_path,
                catalog=shop.catalog if source.catalog is not None else None,
                columns=source.columns,
                candidates=source.candidates,
                repairs=source.repairs,
                gap_minutes=source.gap_minutes,
                positive_from=source.positive_from,
                actions=source.actions,
                progress=False,
            ).log
        )
    sizes = {"train": shop.train.n_sessions, "valid": shop.valid.n_sessions, "test": shop.test.n_sessions}
    if len(names) != sum(sizes.values()):
        return nothing
    if part == "all":
        return names
    before = sum(list(sizes.values())[: list(sizes).index(part)])
    return names[before : before + sizes[part]]


def _join(parts: Sequence[LoggedSteps]) -> LoggedSteps:
    """Parts of one log, one after the other; sessions are numbered on."""
    arrays: dict[str, Any] = {}
    for field in dataclasses.fields(LoggedSteps):
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], np.ndarray):
            arrays[field.name] = np.concatenate(values)
    before = np.cumsum([0, *(part.n_sessions for part in parts)])
    arrays["session"] = np.concatenate([p.session + b for p, b in zip(parts, before, strict=False)])
    return dataclasses.replace(parts[0], **arrays)


def check_not_trained_on(run: Path, log: JudgedLog, *, same_log: bool, allow: bool) -> tuple[str, ...]:
    """Refuses, or warns of, a policy that has learned from the very sessions that are to judge it.

    The run's record of its split says when its training and validation sessions began.

    Args:
        run: The folder of the run.
        log: What judges.
        same_log: Whether it was read from where the run's log was read.
        allow: Warn, do not refuse.

    Returns:
        Warnings.

    Raises:
        InputError: Sessions of the run's training part are among those that judge.
    """
    record = _split_record(run)
    if record is None:
        return (
            f"{run.name}: the run keeps no record of its split; nobody can tell whether it was trained on what judges "
            "it.",
        )
    begins = np.append(True, log.steps.session[1:] != log.steps.session[:-1])
    start = log.steps.timestamp[begins]
    warnings = []
    for name in ("train", "valid"):
        part = next((one for one in record if one["name"] == name), None)
        if part is None:
            continue
        first, last = (pd.Timestamp(part[key]).value for key in ("first_start", "last_start"))
        # Sessions that began at the very last instant may belong to the part behind.
        inside = int(((start >= first) & (start < last)).sum())
        if not inside:
            continue
        what = (
            f"{inside:,} of the {len(start):,} sessions that are to judge {run.name} began while its "
            f"{'training' if name == 'train' else 'validation'} sessions did ({part['first_start']} to "
            f"{part['last_start']})"
        )
        if name == "train" and same_log and not allow:
            raise InputError(
                what + ": it was trained on them, and its figure would be too good",
                where=f"--policy {run}",
                mend="judge it by --part test or by a later log; --allow-trained-on judges it all the same, with a "
                "warning",
            )
        tail = (
            ": IT WAS TRAINED ON THEM" if same_log and name == "train" else ": it may have learned from them"
        )
        warnings.append(f"{what}{tail}; its figure flatters it.")
    return tuple(warnings)


def _split_record(run: Path) -> list[dict[str, Any]] | None:
    try:
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    split = record.get("split") if isinstance(record, dict) else None
    return split if isinstance(split, list) and all(isinstance(one, dict) for one in split) else None
