"""Keeps generated logs on disk, keyed by configuration and by the sources that made them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from behavior.catalog import Catalog
from behavior.errors import InputError
from behavior.files import atomic_path, cache_home
from behavior.log import InteractionLog
from store.config import StoreConfig
from store.log_maker import LogFrames

__all__ = ["cached_log", "source_digest"]

_ROOT = Path(__file__).resolve().parent.parent
_SOURCES = (
    "store/*.py",
    "store/*/*.py",
    "simulators/kernels/rng.py",
    "agents/score_policy.py",
    "agents/plackett_luce.py",
    "agents/kernels/*.py",
)


def source_digest() -> str:
    """Digest of every source file that the generated store depends on."""
    digest = hashlib.sha256()
    for source in sorted({path for pattern in _SOURCES for path in _ROOT.glob(pattern)}):
        digest.update(source.relative_to(_ROOT).as_posix().encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


def cached_log(
    name: str,
    config: StoreConfig,
    make: Callable[[], LogFrames],
    catalog: Catalog,
    *,
    cache: bool,
    key: str = "",
) -> InteractionLog:
    """The log of a store: from the cache where it is there, else made, and kept when `cache` is set.

    Args:
        name: Of the store, and in the log's summary.
        config: Of the store.
        make: Makes the two tables.
        catalog: The shop's catalogue, by which the log is validated.
        cache: Whether to use the cache at all.
        key: What else the log depends on.
    """
    if not cache:
        return _log(make(), name, catalog)
    text = json.dumps([name, dataclasses.asdict(config), source_digest(), key], sort_keys=True)
    folder = cache_home() / "store" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    rows, candidates = folder / "log.parquet", folder / "log.candidates.parquet"
    frames = _read(rows, candidates)
    if frames is None:
        frames = make()
        try:
            # Whole or not at all: two processes may open the same store at once.
            for frame, path in ((frames.candidates, candidates), (frames.rows, rows)):
                with atomic_path(path) as temporary:
                    frame.to_parquet(temporary, index=False)
        except (InputError, OSError) as error:
            warnings.warn(f"the store's log cannot be kept for next time: {error}", UserWarning, stacklevel=2)
    return _log(frames, name, catalog)


def _read(rows: Path, candidates: Path) -> LogFrames | None:
    """The kept tables; None where they are not there or damaged."""
    if not (rows.exists() and candidates.exists()):
        return None
    try:
        return LogFrames(rows=pd.read_parquet(rows), candidates=pd.read_parquet(candidates))
    except (OSError, ValueError) as error:
        warnings.warn(f"damaged log in {rows.parent}, made anew: {error}", UserWarning, stacklevel=2)
        return None


def _log(frames: LogFrames, name: str, catalog: Catalog) -> InteractionLog:
    return InteractionLog.from_frame(
        frames.rows, candidates=frames.candidates, source=f"{name} store", catalog=catalog
    )
