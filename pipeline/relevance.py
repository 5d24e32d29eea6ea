"""Second stage: the relevance model, and the tables and candidates made from it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.files import atomic_path
from encoders.features import CandidateTable, FeatureTables, RelevanceTables
from pipeline.config import TrainConfig
from pipeline.data import ShopData, n_candidates_for

if TYPE_CHECKING:
    from encoders.attributions import TextAttribution
    from encoders.build import RelevanceSource
    from encoders.report import RelevanceReport
    from encoders.retrieval.mixing import CandidateConfig
    from encoders.text import TextEncoder

__all__ = ["Relevance", "hidden_scores", "learn_relevance"]

_EXPLAINED = 3
"""Queries whose scores the report explains word by word."""

EMPTY_SCORE = np.float32(0.5)
"""What an agent sees in place of relevance where it is to see none."""


@dataclass(frozen=True, kw_only=True)
class Relevance:
    """What this stage leaves behind."""

    features: FeatureTables
    candidates: CandidateTable
    report: RelevanceReport | None  # None where products have no text
    words: tuple[TextAttribution, ...] = ()  # a few scores, word by word
    given: Path | None = None  # tables that the user brought

    def summary(self) -> str:
        """One line."""
        if self.given is not None:
            return f"tables of {self.given}"
        if self.report is None:
            return "item features (the products have no text)"
        before, after = self.report.before, self.report.after
        return (
            f"AUC {before.click_auc:.3f} -> {after.click_auc:.3f}, NDCG@10 {before.ndcg:.3f} -> {after.ndcg:.3f} "
            f"on {self.report.n_queries} held-out queries"
        )


def learn_relevance(config: TrainConfig, shop: ShopData, folder: Path) -> Relevance:
    """Fine-tune (or take from the cache, or from an earlier start of this run) and make the tables.

    Raises:
        InputError: An encoder that is not there, or that does not fit.
    """
    from encoders import load_candidates, load_features, save_candidates, save_features

    tables, chosen, judged = (
        folder / "features.npz",
        folder / "candidates.npz",
        folder / "relevance" / "report.json",
    )
    told = folder / "relevance" / "words.json"
    # The candidates are written last: their presence says that the stage was finished.
    if chosen.is_file():
        return Relevance(
            features=load_features(tables),
            candidates=load_candidates(chosen),
            report=_read_report(judged),
            words=_read_words(told),
            given=config.relevance.relevance_tables,
        )
    _shares(config, n_candidates_for(config, shop))  # refuses shares that cannot be, before minutes are spent
    if config.relevance.relevance_tables is not None:
        features, candidates = _given(config, shop)
        save_features(tables, features)
        save_candidates(chosen, candidates)
        return Relevance(
            features=features, candidates=candidates, report=None, given=config.relevance.relevance_tables
        )
    source: RelevanceSource
    zero_shot: RelevanceTables | None = None
    report: RelevanceReport | None = None
    if shop.has_text and config.relevance.encoder != "features":
        source, zero_shot, report = _from_text(config, shop, folder)
    else:
        source = _from_features(config, shop)
    features = _features(config, shop, source)
    candidates = _candidates(config, n_candidates_for(config, shop), features, zero_shot)
    save_features(tables, features)
    if report is not None:
        with atomic_path(judged) as temporary:
            temporary.write_text(json.dumps(report.as_dict(), indent=1) + "\n", encoding="utf-8")
    words = _explain(source, shop, candidates)
    if words:
        with atomic_path(told) as temporary:
            entries = [entry.as_dict() for entry in words]
            temporary.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    save_candidates(chosen, candidates)
    return Relevance(features=features, candidates=candidates, report=report, words=words)


def _given(config: TrainConfig, shop: ShopData) -> tuple[FeatureTables, CandidateTable]:
    """The tables that the user brought, where they are of this log and catalogue, and the run's share of candidates."""
    from encoders import load_candidates, load_features
    from encoders.build import log_popularity

    options, wanted = config.relevance, n_candidates_for(config, shop)
    folder = options.relevance_tables
    assert folder is not None
    if not options.as_candidates or options.popular_candidates or options.explored_candidates:
        raise InputError(
            "tables bring their candidates with them, so nothing else can choose them",
            where="--relevance-tables",
            mend="leave out --no-as-candidates, --popular-candidates and --explored-candidates",
        )
    features, found = load_features(folder / "features.npz"), load_candidates(folder / "candidates.npz")
    sizes, expected = (features.n_items, features.n_queries), (shop.catalog.n_items, len(shop.queries))
    # Popularity is made of every click in the training part of the log: another log, or another order of the items,
    # has another.
    same = sizes == expected and np.allclose(
        features.popularity, log_popularity(shop.train, shop.catalog.n_items)[0], rtol=1e-4
    )
    if not same or found.items.shape[0] != features.n_queries:
        raise InputError(
            f"these tables are of another log or catalogue: {sizes[0]:,} items and {sizes[1]:,} queries, and here are "
            f"{expected[0]:,} and {expected[1]:,}" + ("; the clicks differ" if sizes == expected else ""),
            where=str(folder),
            mend="make them anew with `python -m encoders export` or `fuse`, and the same --data and --catalog",
        )
    if found.items.shape[1] < wanted:
        raise InputError(
            f"these tables have {found.items.shape[1]} candidates a query, and the run is to rank {wanted}",
            where=str(folder),
            mend=f"make them anew with --n-candidates {wanted}, or run with --n-candidates {found.items.shape[1]}",
        )
    items = np.ascontiguousarray(found.items[:, :wanted])
    scores = found.scores[:, :wanted] if options.as_observation else hidden_scores(items)
    return features, CandidateTable(items=items, scores=np.ascontiguousarray(scores))


def _from_text(
    config: TrainConfig, shop: ShopData, folder: Path
) -> tuple[RelevanceSource, RelevanceTables | None, RelevanceReport]:
    from encoders import BertEncoder, EmbeddingCache, FinetuneConfig, HashEncoder, finetune_cached
    from encoders.tuning.config import TuningConfig

    options = config.relevance
    device = config.run.device
    encoder: TextEncoder = (
        HashEncoder() if options.encoder == "hash" else BertEncoder(options.encoder, device=device)
    )
    mode = "heads" if options.encoder == "hash" else options.finetune
    cache = EmbeddingCache()
    settings = FinetuneConfig(
        mode=mode, tuning=TuningConfig(max_pairs=options.finetune_pairs), seed=config.run.seed
    )
    # The truth of a demo store is reported against, never learned from.
    truth = shop.truth.relevance if shop.truth is not None else None
    progress = not config.run.quiet
    model, report = finetune_cached(
        encoder, shop.catalog, shop.train, shop.valid, settings, truth=truth, cache=cache, progress=progress
    )
    model.save(folder / "relevance" / "model")
    zero_shot = None
    if not options.as_candidates:
        plain = dataclasses.replace(settings, mode="none")
        untrained, _ = finetune_cached(
            encoder, shop.catalog, shop.train, shop.valid, plain, truth=truth, cache=cache, progress=progress
        )
        zero_shot = untrained.tables(shop.catalog, shop.queries, progress=progress)
    return model, zero_shot, report


def _explain(
    source: RelevanceSource, shop: ShopData, candidates: CandidateTable
) -> tuple[TextAttribution, ...]:
    """The best candidate and one from the middle for the most frequent queries, explained for the report.

    Nothing where the scores come from no texts, or where the library captum is not installed.
    """
    from encoders.attributions import HAS_CAPTUM, attribute_words
    from encoders.relevance import RelevanceModel
    from encoders.text import catalog_texts

    if not isinstance(source, RelevanceModel) or not HAS_CAPTUM:
        return ()
    asked = np.bincount(shop.train.query, minlength=len(shop.queries))
    frequent = [q for q in np.argsort(-asked, kind="stable").tolist() if shop.queries[q].strip() and asked[q]]
    texts = catalog_texts(shop.catalog, source.item_columns)
    found = []
    told = frequent[:_EXPLAINED]
    read = source.read(shop.catalog, [shop.queries[query] for query in told])
    for query, words in zip(told, read, strict=True):
        rows = candidates.items[query][candidates.items[query] >= 0]
        for row in dict.fromkeys((rows[0], rows[len(rows) // 2])) if len(rows) else ():
            explained = attribute_words(
                source, words, texts[row], permutations=5, known_as=shop.queries[query]
            )
            found.append(explained)
    return tuple(found)


def _read_words(path: Path) -> tuple[TextAttribution, ...]:
    from encoders.attributions import TextAttribution

    if not path.is_file():
        return ()
    return tuple(TextAttribution.from_dict(entry) for entry in json.loads(path.read_text(encoding="utf-8")))


def _from_features(config: TrainConfig, shop: ShopData) -> RelevanceSource:
    from encoders import fit_feature_relevance

    if any(query.strip() for query in shop.queries) and not shop.has_text:
        raise InputError(
            "the log has queries, but the catalogue has no titles or texts to match them with",
            where="--catalog",
            mend="give a catalogue with a title column (map it with --columns), or set --encoder features "
            "to rank by item features alone",
        )
    return fit_feature_relevance(shop.catalog, shop.train, seed=config.run.seed)


def _features(config: TrainConfig, shop: ShopData, source: RelevanceSource) -> FeatureTables:
    from encoders import build_features

    return build_features(
        shop.catalog,
        shop.queries,
        shop.train,
        source,
        width=config.relevance.width,
        progress=not config.run.quiet,
    )


def hidden_scores(items: NDArray[np.int32]) -> NDArray[np.float32]:
    """The scores (B, N) of an agent that is to see no relevance: all alike, 0 at padding."""
    return np.where(items >= 0, EMPTY_SCORE, np.float32(0.0))


def _shares(config: TrainConfig, n_candidates: int) -> CandidateConfig:
    from encoders import CandidateConfig

    return CandidateConfig(
        n_candidates=n_candidates,
        popular=config.relevance.popular_candidates,
        explore=config.relevance.explored_candidates,
        seed=config.run.seed,
    )


def _candidates(
    config: TrainConfig, n_candidates: int, features: FeatureTables, finder: RelevanceTables | None
) -> CandidateTable:
    """Candidates found by `finder` (None: by the fine-tuned model) and scored by the fine-tuned model.

    Where the agent is to see no scores, all are the same.
    """
    from encoders import build_candidates, mix_candidates
    from encoders.candidates import rescored

    options = config.relevance
    if options.popular_candidates or options.explored_candidates:
        given = features if finder is None else dataclasses.replace(features, relevance=finder)
        found = mix_candidates(given, _shares(config, n_candidates), progress=not config.run.quiet)
    else:
        found = build_candidates(features, n_candidates, relevance=finder)
    if not options.as_observation:
        return CandidateTable(items=found.items, scores=hidden_scores(found.items))
    if finder is None:
        return found
    return rescored(found, features.relevance)


def _read_report(path: Path) -> RelevanceReport | None:
    from encoders import RelevanceReport

    if not path.is_file():
        return None
    return RelevanceReport.from_dict(json.loads(path.read_text(encoding="utf-8")))
