"""From a log to a relevance model: hold queries out, train, report before and after, keep the result on disk."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.files import atomic_path, cache_home
from behavior.steps import LoggedSteps
from encoders.cache import EmbeddingCache, encode_cached
from encoders.heads import HeadConfig, calibrate, fit_empty_query, fit_projection, zero_shot_heads
from encoders.known_queries import KnownQueriesConfig, fit_known_queries
from encoders.measures.held_out import compare_held_out
from encoders.pairs import PairCounts, concatenate, count_pairs, examination_by_position, merged
from encoders.relevance import Heads, KnownQueries, RelevanceModel, raw_tables
from encoders.report import RelevanceReport, judge_tables
from encoders.robustness import AdversaryConfig, against
from encoders.spelling import read_as
from encoders.text import TextEncoder, catalog_texts
from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["FinetuneConfig", "finetune", "finetune_cached", "held_out_queries"]

_VERSION = 10  # part of the cache key: raised whenever the same input gives another model


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Fine-tuning of the relevance model on a log."""

    mode: Literal["full", "heads", "none"] = "heads"
    """'full' trains the BERT as `tuning` says, then the layers on top; 'heads' only those layers, on cached
    embeddings; 'none' only calibrates the cosine (zero-shot)."""
    tuning: TuningConfig = field(default_factory=TuningConfig)
    """Training of the BERT, in mode 'full'."""
    heads: HeadConfig = field(default_factory=HeadConfig)
    """Learning of the layers on top."""
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    """Training against small steps of the embeddings: of queries for the layers on top, of word pieces for the BERT."""
    known: KnownQueriesConfig = field(default_factory=KnownQueriesConfig)
    """Vectors of their own for the queries of the log, unless mode is 'none'."""
    item_columns: tuple[str, ...] = ("title", "category")
    """Catalogue columns whose texts stand for an item."""
    spelling: bool = True
    """Read misspelt words of queries as the catalogue's words, where the encoder has a dictionary of its own to tell
    them from rare ones."""
    held_out: float = 0.15
    """Share of the queries kept out of training, on which the report is measured."""
    refit: bool = True
    """After the report, fit the layers on top once more on all queries, the held-out ones too."""
    seed: int = 0
    """Seed of the held-out queries, of sampling and of dropout."""


def held_out_queries(queries: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """Which of `queries` (Q,) are held out: decided by each query's text alone, never the empty one."""
    draws = [
        int.from_bytes(hashlib.sha256(f"{seed}\0{text}".encode()).digest()[:8], "big") for text in queries
    ]
    chosen = np.array(draws, np.float64) / 2.0**64 < share if draws else np.zeros(0)
    return chosen.astype(np.bool_) & np.array([bool(text.strip()) for text in queries], np.bool_)


def finetune(
    encoder: TextEncoder,
    catalog: Catalog,
    train: LoggedSteps,
    valid: LoggedSteps | None = None,
    config: FinetuneConfig | None = None,
    *,
    truth: NDArray[np.float32] | None = None,
    cache: EmbeddingCache | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> tuple[RelevanceModel, RelevanceReport]:
    """Fine-tune `encoder` (a copy of it) on `train`.

    Args:
        encoder: The text encoder to start from; mode 'full' needs a `BertEncoder`.
        catalog: The catalogue whose rows `train` refers to.
        train: Steps to learn from.
        valid: Later steps with the same queries; those of held-out queries join the report, the others say how good
            and how sure the model is of queries it knows.
        config: What to train.
        truth: True relevance (Q, I), only to be reported against, never learned from.
        cache: Where embeddings are kept.
        folder: For TensorBoard and checkpoints of the BERT's training (mode 'full'); None writes none.
        progress: Show bars.

    Returns:
        The model and its report.
    """
    config = config or FinetuneConfig()
    began = time.perf_counter()
    _check(catalog, train, valid, truth)
    learns = config.mode == "full" or (config.mode == "heads" and not _of_one_class(train))
    queries, items = list(train.queries), catalog_texts(catalog, config.item_columns)
    examination = examination_by_position(train)
    everything = count_pairs(train, examination)
    has_text = np.array([bool(text.strip()) for text in queries], np.bool_)
    out = held_out_queries(queries, config.held_out, config.seed)
    pairs = everything.take(has_text[everything.query] & ~out[everything.query])
    judged = [everything.take(out[everything.query])]
    later: PairCounts | None = None
    if valid is not None:
        later = count_pairs(valid, examination)
        later = later.take(has_text[later.query])
        judged.append(later.take(out[later.query]))
    held_out = merged(concatenate(judged))  # an item shown in both parts is one item to be ranked
    out_rows = np.flatnonzero(out)

    item, query = _encode(encoder, items, queries, cache, progress)
    heads = zero_shot_heads(item, query, pairs)
    zero_shot = raw_tables(item, query, heads)  # of the queries as they are written
    before = judge_tables(zero_shot, held_out, truth=truth, queries=out_rows)
    read = read_as(encoder, catalog, config.item_columns, queries) if config.spelling else queries
    if read != queries:
        item, query = _encode(encoder, items, read, cache, progress)
        heads = zero_shot_heads(item, query, pairs)
    if config.mode == "full":
        encoder, heads = _train_encoder(encoder, heads, read, items, pairs, config, folder, progress)
        item, query = _encode(encoder, items, read, cache, progress)
    started = heads
    if learns:
        heads = fit_projection(
            heads, item, query, pairs, config.heads, adversary=config.adversary, progress=progress
        )
    heads = calibrate(heads, item, query, pairs)
    tuned = raw_tables(item, query, heads)
    after = judge_tables(tuned, held_out, truth=truth, queries=out_rows)
    comparison = compare_held_out(zero_shot, tuned, held_out, everything, pairs, queries, truth=truth)
    if config.refit:
        known = everything.take(has_text[everything.query])
        if learns:
            heads = fit_projection(
                started, item, query, known, config.heads, adversary=config.adversary, progress=progress
            )
        heads = calibrate(heads, item, query, known)
    heads = fit_empty_query(heads, item, everything.take(~has_text[everything.query]), seed=config.seed)
    known_queries = KnownQueries.none(item.shape[1])
    learned = everything.take(has_text[everything.query]) if config.refit else pairs
    if learns and config.known.enabled:
        known_queries = fit_known_queries(
            heads, item, query, queries, learned, config.known, later=later, progress=progress
        )
    known_before = known_after = None
    if later is not None and learns:
        seen = np.unique(learned.query).astype(np.int64)
        again = later.take(np.isin(later.query, seen))
        whole = raw_tables(item, query, heads, known_queries, queries)
        known_before = judge_tables(zero_shot, again, truth=truth, queries=seen)
        known_after = judge_tables(whole, again, truth=truth, queries=seen)
    model = RelevanceModel(
        encoder,
        heads,
        item_columns=config.item_columns,
        cache=cache,
        known=known_queries,
        spelling=config.spelling,
    )
    report = RelevanceReport(
        before=before,
        after=after,
        n_queries=len(out_rows),
        n_pairs=held_out.n_pairs,
        n_train_pairs=pairs.n_pairs,
        seconds=time.perf_counter() - began,
        examination=tuple(float(value) for value in examination),
        known_before=known_before,
        known_after=known_after,
        comparison=comparison,
    )
    return model, report


def finetune_cached(
    encoder: TextEncoder,
    catalog: Catalog,
    train: LoggedSteps,
    valid: LoggedSteps | None = None,
    config: FinetuneConfig | None = None,
    *,
    truth: NDArray[np.float32] | None = None,
    cache: EmbeddingCache | None = None,
    cache_dir: Path | str | None = None,
    progress: bool = True,
) -> tuple[RelevanceModel, RelevanceReport]:
    """`finetune`, or its kept result where encoder, data and configuration are the same.

    Args:
        encoder: As in `finetune`.
        catalog: As in `finetune`.
        train: As in `finetune`.
        valid: As in `finetune`.
        config: As in `finetune`.
        truth: As in `finetune`.
        cache: As in `finetune`.
        cache_dir: Where models are kept; `$SLATEGYM_CACHE/relevance` or `~/.cache/slategym/relevance`.
        progress: Show bars.
    """
    config = config or FinetuneConfig()
    home = Path(cache_dir).expanduser() if cache_dir is not None else cache_home() / "relevance"
    folder = home / _key(encoder, catalog, train, valid, config, truth)
    device = str(getattr(encoder, "device", "cpu"))
    if (folder / "report.json").is_file():
        try:
            values = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            report = RelevanceReport.from_dict(values)
            return RelevanceModel.load(folder / "model", device=device, cache=cache), report
        except (InputError, ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"damaged relevance model in {folder}, trained anew: {error}", UserWarning, stacklevel=2
            )
    model, report = finetune(
        encoder, catalog, train, valid, config, truth=truth, cache=cache, progress=progress
    )
    try:
        model.save(folder / "model")
        # The report is written last: its presence says that the model is whole.
        with atomic_path(folder / "report.json") as temporary:
            temporary.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    except (InputError, OSError) as error:
        warnings.warn(
            f"the relevance model cannot be kept for the next run: {error}", UserWarning, stacklevel=2
        )
    return model, report


def _check(
    catalog: Catalog, train: LoggedSteps, valid: LoggedSteps | None, truth: NDArray[np.float32] | None
) -> None:
    if train.n_steps == 0:
        raise InputError("the training part of the log is empty", where="finetune(train=...)")
    highest = int(train.item.max(initial=-1))
    if highest >= catalog.n_items:
        raise InputError(
            f"the log shows item row {highest}, the catalogue ends at {catalog.n_items - 1}",
            where="finetune(train=...)",
            mend="make the steps with the same catalogue: log.to_steps(catalog)",
        )
    if valid is not None and valid.queries != train.queries:
        raise InputError(
            "train and valid number their queries differently",
            where="finetune(valid=...)",
            mend="cut both from one LoggedSteps, or give the same queries to log.to_steps",
        )
    expected = (len(train.queries), catalog.n_items)
    if truth is not None and truth.shape != expected:
        raise InputError(f"truth has shape {truth.shape}, expected {expected}", where="finetune(truth=...)")


def _of_one_class(train: LoggedSteps) -> bool:
    """Whether nothing or everything shown was clicked, and a warning if so: there is nothing to tell apart."""
    clicks = train.click[train.item >= 0]
    if not clicks.size or (clicks.any() and not clicks.all()):
        return False
    warnings.warn(
        f"in the training part of the log {'every' if clicks.all() else 'no'} shown item was clicked: nothing can be "
        "learned from labels of one class, and the relevance model keeps the encoder's own order",
        UserWarning,
        stacklevel=3,
    )
    return True


def _encode(
    encoder: TextEncoder, items: list[str], queries: list[str], cache: EmbeddingCache | None, progress: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    item = encode_cached(encoder, items, cache, progress=progress)
    query = encode_cached(encoder, queries, cache, progress=progress)
    query[[not text.strip() for text in queries]] = 0.0
    return item, query


def _train_encoder(
    encoder: TextEncoder,
    heads: Heads,
    queries: list[str],
    items: list[str],
    pairs: PairCounts,
    config: FinetuneConfig,
    folder: Path | None,
    progress: bool,
) -> tuple[TextEncoder, Heads]:
    from encoders.bert import BertEncoder

    if not isinstance(encoder, BertEncoder):
        raise InputError(
            f"mode 'full' trains the weights of a BERT, but the encoder is a {type(encoder).__name__}",
            where="FinetuneConfig.mode",
            mend="mode 'heads', or a BertEncoder",
        )
    from encoders.tuning.bi_encoder import tune_bi_encoder
    from encoders.tuning.from_log import kept_back

    # A copy learns: the caller's encoder may serve as the zero-shot baseline.
    settings = replace(config.tuning, seed=config.seed)
    examples, back = kept_back(Examples.from_counts(queries, items, pairs), settings)
    tuned = tune_bi_encoder(
        encoder,
        examples,
        settings,
        heads=heads,
        valid=back,
        wrap_loss=against(config.adversary),
        folder=folder,
        progress=progress,
    )
    return tuned.encoder, tuned.heads


def _key(
    encoder: TextEncoder,
    catalog: Catalog,
    train: LoggedSteps,
    valid: LoggedSteps | None,
    config: FinetuneConfig,
    truth: NDArray[np.float32] | None,
) -> str:
    """Digest of all that decides the result."""
    digest = hashlib.sha256(f"{_VERSION}\0{encoder.fingerprint}\0{json.dumps(asdict(config))}".encode())
    digest.update("\0".join(catalog_texts(catalog, config.item_columns)).encode("utf-8", "surrogatepass"))
    for steps in (train, valid):
        if steps is None:
            continue
        digest.update("\0".join(steps.queries).encode("utf-8", "surrogatepass"))
        for entry in fields(steps):
            if entry.name in ("query", "item", "click", "purchase"):
                array = np.ascontiguousarray(getattr(steps, entry.name))
                digest.update(f"{entry.name}{array.shape}".encode())
                digest.update(array.tobytes())
    if truth is not None:
        digest.update(np.ascontiguousarray(truth).tobytes())
    return digest.hexdigest()[:32]
