"""A relevance model joined with a fusion: whatever takes a relevance model takes it, tables and all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import RelevanceTables
from encoders.fusion.learning import Fold, FusionConfig, FusionModel, fit_fusion, folds_of
from encoders.fusion.modalities import Modalities, behaviour, read_modalities
from encoders.fusion.shares import Shares, take_shares
from encoders.pairs import PairCounts, count_pairs, examination_by_position
from encoders.relevance import RelevanceModel, tables_from_vectors

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["FusedRelevance", "LogOfModalities", "read_log"]


@dataclass(frozen=True, kw_only=True)
class FusedRelevance:
    """A text model with a fusion on top, for the items of one catalogue (a `RelevanceSource`)."""

    text: RelevanceModel
    fusion: FusionModel
    modalities: Modalities
    """What is known of the catalogue's items, in its order; those that the fusion was learned with."""
    shares: Shares = field(default_factory=Shares)
    """How much of the fusion was taken."""

    @property
    def fingerprint(self) -> str:
        """Digest of all that decides a score."""
        digest = hashlib.sha256(self.text.fingerprint.encode())
        for values in self.fusion.unit.state_dict().values():
            digest.update(np.ascontiguousarray(values.numpy()).tobytes())
        for name in self.modalities.names:
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(self.modalities.values[name]).tobytes())
        return f"fused-{digest.hexdigest()[:24]}"

    def of_words(self) -> FusedRelevance:
        """The same without what the text model learned of single queries; itself where it learned nothing of them."""
        words = self.text.of_words()
        return self if words is self.text else replace(self, text=words)

    def read(self, catalog: Catalog, queries: Sequence[str]) -> list[str]:
        """Queries (Q) as the text model reads them."""
        return self.text.read(catalog, queries)

    def embed(
        self, catalog: Catalog, queries: Sequence[str], *, progress: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The text model's unit vectors of items (I, D) and queries (Q, D)."""
        return self.text.embed(catalog, queries, progress=progress)

    def tables(self, catalog: Catalog, queries: Sequence[str], *, progress: bool = True) -> RelevanceTables:
        """The text model's dot products with the fused vectors appended."""
        item, query = self.embed(catalog, queries, progress=progress)
        base = tables_from_vectors(item, query, self.text.heads, self.text.known, queries)
        return self.fusion.tables(base, query, self.modalities)


@dataclass(frozen=True, kw_only=True)
class LogOfModalities:
    """What fusions of one log, one catalogue and one text model are fitted to."""

    text: RelevanceModel
    words: RelevanceTables
    """The text model without what it learned of single queries."""
    whole: RelevanceTables
    """The text model."""
    query: NDArray[np.float32]  # (Q, D) unit vectors of the text model
    later: PairCounts | None
    """Pairs of later sessions, which say how much of a fusion to take; None: all of it."""
    folds: list[Fold]
    modalities: Modalities
    """With behaviour from the whole log: where the fusion is used."""

    def fit(
        self, names: Sequence[str], config: FusionConfig | None = None, *, progress: bool = True
    ) -> FusedRelevance:
        """The text model joined with a fusion of the modalities `names` alone.

        Fitted beside what the words of queries say: what the model learned of single queries, it learned from the
        very clicks that are to be explained here, and would leave the modalities little to explain. How much of it
        is taken where both stand together, later sessions say.
        """
        cut = [replace(fold, modalities=fold.modalities.only(names)) for fold in self.folds]
        fusion = fit_fusion(self.words, self.query, cut, config, progress=progress)
        known = self.modalities.only(names)
        shares = Shares()
        if self.later is not None:
            shares = take_shares(fusion, self.whole, self.query, known, self.later)
        return FusedRelevance(text=self.text, fusion=fusion, modalities=known, shares=shares)


def read_log(
    text: RelevanceModel,
    catalog: Catalog,
    train: LoggedSteps,
    config: FusionConfig | None = None,
    *,
    valid: LoggedSteps | None = None,
    images: NDArray[np.float32] | None = None,
    progress: bool = True,
) -> LogOfModalities:
    """All that fusions are fitted to.

    Args:
        text: The text model; it stays as it is.
        catalog: The catalogue (I items).
        train: Steps to learn from.
        config: Folds and their seed.
        valid: Later steps with the same queries, which say how much of a fusion to take; None: all of it.
        images: Ready-made vectors (I, V), rows of nan where an item has none.
        progress: Show bars.

    Raises:
        InputError: A log without a step.
    """
    config = config or FusionConfig()
    if train.n_steps == 0:
        raise InputError("the training part of the log is empty", where="read_log(train=...)")
    item, query = text.embed(catalog, train.queries, progress=progress)
    examination, known = examination_by_position(train), read_modalities(catalog, images=images)
    with_text = np.array([bool(words.strip()) for words in train.queries], np.bool_)
    folds = folds_of(train, examination, known, queries=with_text, folds=config.folds, seed=config.seed)
    everything = known.with_behaviour(*behaviour(count_pairs(train, examination), catalog.n_items))
    later = None
    if valid is not None:
        later = count_pairs(valid, examination)
        later = later.take(with_text[later.query])
    return LogOfModalities(
        text=text,
        words=tables_from_vectors(item, query, text.heads),
        whole=tables_from_vectors(item, query, text.heads, text.known, train.queries),
        query=query,
        later=later,
        folds=folds,
        modalities=everything,
    )
