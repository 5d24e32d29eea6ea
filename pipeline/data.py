"""First stage: the catalogue and the log, split by time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from behavior.errors import InputError
from pipeline.config import AUTO, SourceOptions, TrainConfig

if TYPE_CHECKING:
    from behavior.catalog import Catalog
    from behavior.split import PartRecord
    from behavior.steps import LoggedSteps
    from store import Store

__all__ = ["ShopData", "load_shop", "n_candidates_for", "read_source"]

_RANK_ALL = 500
"""A catalogue of single impressions up to this size is ranked as a whole."""


@dataclass(frozen=True, kw_only=True)
class ShopData:
    """What the pipeline learns from, and, for a store whose truth is known, the truth it is judged by."""

    name: str
    catalog: Catalog
    queries: tuple[str, ...]  # Q texts
    train: LoggedSteps
    valid: LoggedSteps
    test: LoggedSteps
    notes: tuple[str, ...]  # what was derived or repaired while reading
    split: tuple[PartRecord, ...]  # sizes and boundaries in time of the whole log
    truth: Store | None  # handed to the judgement alone

    @property
    def has_text(self) -> bool:
        """Whether products have titles to encode."""
        return self.catalog.has_text

    def summary(self) -> str:
        """One line."""
        parts = (self.train, self.valid, self.test)
        read, whole = (sum(p.n_sessions for p in given) for given in (parts, self.split))
        share = "" if read == whole else f" (the latest {100 * read / whole:.3g} % of {whole:,})"
        return (
            f"{read:,} sessions{share}, {sum(p.n_steps for p in parts):,} pages, "
            f"{sum(int(p.click.sum()) for p in parts):,} clicks, {sum(int(p.purchase.sum()) for p in parts):,} "
            f"purchases; {self.catalog.n_items:,} items, {len(self.queries):,} queries"
        )


def load_shop(config: TrainConfig) -> ShopData:
    """`read_source` as a run is configured.

    Raises:
        InputError: As `read_source`; or a log that the simulator of the run cannot be fitted to, told before text
            encoders and learners have spent their time on it.
    """
    from simulators.fitting.checks import check_train
    from simulators.registry import BUILT_IN

    shop = read_source(config.source, progress=not config.run.quiet)
    if config.user.simulator == AUTO:  # the position-based model asks least of a log
        check_train("pbm", shop.train)
    elif config.user.simulator in BUILT_IN:  # a plug-in says itself what it needs
        check_train(config.user.simulator, shop.train)
    return shop


def read_source(source: SourceOptions, *, progress: bool = True) -> ShopData:
    """Read, validate and split.

    Raises:
        InputError: Files or rows that are not what they must be.
    """
    from behavior.big.prepared import is_prepared
    from behavior.split import split_steps_by_time
    from pipeline.prepared import read_prepared

    if is_prepared(source.data):
        return read_prepared(source)
    if source.latest_impressions is not None:
        raise InputError(
            "--latest-impressions is of a prepared log, and this is none",
            where=source.data,
            mend="leave it out: other logs are read whole; or `python -m behavior prepare` the log first",
        )
    truth: Store | None = None
    if source.data in ("demo", "icecat"):
        truth = _open_store(source)
        catalog, log, queries = truth.catalog, truth.log, truth.queries
        steps = log.to_steps(catalog, queries)
    else:
        from behavior.dataset import load

        dataset = load(
            source.data,
            path=source.data_path,
            catalog=source.catalog,
            columns=source.columns,
            candidates=source.candidates,
            repairs=source.repairs,
            gap_minutes=source.gap_minutes,
            positive_from=source.positive_from,
            actions=source.actions,
            progress=progress,
        )
        catalog, log = dataset.catalog, dataset.log
        steps = log.to_steps(catalog)
    split = split_steps_by_time(steps)
    notes = (
        *catalog.notes,
        *log.notes,
        *(f"repair {name}: {count:,} rows" for name, count in log.repaired.items()),
    )
    return ShopData(
        name=Path(source.data).stem,
        catalog=catalog,
        queries=steps.queries,
        train=split.train,
        valid=split.valid,
        test=split.test,
        split=split.record(),
        notes=notes,
        truth=truth,
    )


def _open_store(source: SourceOptions) -> Store:
    from store import StoreConfig, load_icecat, open_store, stock_store

    config = (
        StoreConfig(seed=source.store_seed)
        if source.store_size == "default"
        else StoreConfig.tiny(seed=source.store_seed)
    )
    if source.data == "demo":
        return open_store(config)
    if source.data_path is None:
        raise InputError(
            "--data icecat needs the folder of the products and ratings",
            where="--data-path",
            mend="download the Chorus Icecat data and name its folder with --data-path",
        )
    catalog, judgments = load_icecat(source.data_path)
    return stock_store(catalog, judgments, config)


def n_candidates_for(config: TrainConfig, shop: ShopData) -> int:
    """Candidates of a page; single impressions were chosen from the whole catalogue, so all of it is ranked there."""
    n_items = shop.catalog.n_items
    if shop.train.single_impressions and n_items <= _RANK_ALL:
        return n_items
    return min(config.task.n_candidates, n_items)
