"""`python -m encoders evaluate`: all measures of a relevance model, beside those of another, with intervals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.files import atomic_folder, atomic_path, refuse_existing
from encoders.commands.common import later_pairs, named_encoder, print_table
from pipeline.config import SourceOptions
from pipeline.data import read_source

if TYPE_CHECKING:
    from encoders.features import RelevanceTables
    from encoders.measures.comparison import Comparison, MeasureRow
    from encoders.measures.fairness import GroupExposure
    from encoders.pairs import PairCounts
    from encoders.relevance import RelevanceModel
    from pipeline.data import ShopData

__all__ = ["Evaluate"]

_MOST_GROUPS = 12
_BY_GROUP = ("click AUC", "click log-loss", "NDCG@10 by clicks", "NDCG@10 by true relevance")
"""What is printed of head, torso, tail and what is new; files hold the rest."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a model on the test part of a log (its last sessions) and, where it is known, by true relevance.

    The test part is held out by time. What the model does on queries held out of its training stands in the
    `report.json` that `finetune` wrote beside it, and is printed first.
    """

    model: Path
    """Folder that `finetune` wrote."""
    against: str = ""
    """What to compare with: a model folder, or an encoder ('minilm', 'hash', ...) whose cosine is calibrated on the
    training part. By default the encoder that such models start from."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour."""
    group_by: str = ""
    """Catalogue column whose groups are to be shown as much as they deserve; by default brand, or category."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda'."""
    json: Path | None = None
    """Write the measures to this file as well; it must not exist."""
    out: Path | None = None
    """Write `evaluation.json`, `reliability.svg` and TensorBoard events to this folder; it must not exist."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Measure, print and write."""
        from encoders.cache import EmbeddingCache
        from encoders.measures.comparison import compare_tables
        from encoders.measures.ranking import require_library
        from encoders.pairs import count_pairs, examination_by_position
        from encoders.relevance import RelevanceModel

        for path in (self.json, self.out):
            if path is not None:
                refuse_existing(path)
        require_library()
        model = RelevanceModel.load(self.model, device=self.device, cache=EmbeddingCache())
        shop = read_source(self.source, progress=not self.quiet)
        learned = count_pairs(shop.train, examination_by_position(shop.train))
        has_text = np.array([bool(text.strip()) for text in shop.queries], np.bool_)
        pairs = later_pairs(shop, self.source.data)
        before = self._other(model, shop, learned.take(has_text[learned.query]))
        after = model.tables(shop.catalog, shop.queries, progress=not self.quiet)
        truth = None if shop.truth is None else shop.truth.relevance
        asked = np.bincount(learned.query, weights=learned.impressions, minlength=len(shop.queries))
        traffic = asked.astype(np.float64) * has_text
        shown = np.bincount(learned.item, weights=learned.impressions, minlength=shop.catalog.n_items)
        found = compare_tables(
            before,
            after,
            pairs,
            truth=truth,
            group_of=_query_groups(traffic),
            new_items=shown == 0.0,
        )
        exposure = self._exposure(before, after, shop, pairs, shown == 0.0, traffic, truth)
        self._print(found, exposure, pairs)
        self._write(found, exposure)

    def _other(self, model: RelevanceModel, shop: ShopData, learned: PairCounts) -> RelevanceTables:
        from encoders.cache import EmbeddingCache
        from encoders.heads import zero_shot_heads
        from encoders.relevance import RelevanceModel
        from encoders.text import HashEncoder

        if self.against and (Path(self.against) / "relevance.json").is_file():
            other = RelevanceModel.load(self.against, device=self.device, cache=EmbeddingCache())
        else:
            name = self.against or ("hash" if isinstance(model.encoder, HashEncoder) else "minilm")
            encoder = named_encoder(name, self.device)
            plain = _plain_model(encoder, model.item_columns)
            item, query = plain.embed(shop.catalog, shop.queries, progress=not self.quiet)
            other = _plain_model(encoder, model.item_columns, zero_shot_heads(item, query, learned))
        return other.tables(shop.catalog, shop.queries, progress=not self.quiet)

    def _exposure(
        self,
        before: RelevanceTables,
        after: RelevanceTables,
        shop: ShopData,
        pairs: PairCounts,
        new: NDArray[np.bool_],
        traffic: NDArray[np.float64],
        truth: NDArray[np.float32] | None,
    ) -> dict[str, GroupExposure]:
        from encoders.measures.fairness import compare_exposure

        frame = shop.catalog.frame
        column = self.group_by or ("brand" if "brand" in frame.columns else "category")
        if column not in frame.columns:
            raise InputError(
                f"the catalogue has no column {column!r}",
                where="--group-by",
                mend=f"choose among {', '.join(map(str, frame.columns))}",
            )
        group, names = _item_groups(frame[column].fillna("").astype(str).to_numpy())
        groups: dict[str, tuple[NDArray[np.int64], tuple[str, ...]]] = {f"by {column}": (group, names)}
        if new.any():
            groups["new items"] = (new.astype(np.int64), ("known items", "new items"))
        asked = np.unique(pairs.query).astype(np.int64)
        return {
            title: compare_exposure(
                before, after, pairs if truth is None else truth, members, names, asked, traffic=traffic + 1.0
            )
            for title, (members, names) in groups.items()
        }

    def _print(self, found: Comparison, exposure: dict[str, GroupExposure], pairs: PairCounts) -> None:
        from encoders.measures.held_out import MAIN

        header = ("measure", "queries", "before", "after", "difference, 95 % interval")
        stored = _stored_comparison(self.model)
        parts = [(f"held out by time: {pairs.n_pairs:,} pairs of the log's last sessions", found)]
        if stored is not None:
            parts.insert(0, ("queries held out of training, as measured by `finetune`", stored))
        for title, part in parts:
            print_table(title, header, _cells(r for r in part.rows if r.group == "all" and r.measure in MAIN))
            grouped = [r for r in part.rows if r.group != "all" and r.measure in _BY_GROUP]
            if grouped:
                print_table(f"{title}; by group", header, _cells(grouped))
        for title, group in exposure.items():
            print_table(f"exposure on first pages against merit, {title}", header, _cells(group.rows))
        if self.json is None and self.out is None:
            print(
                "every measure of every group, with the intervals of before and after: --out FOLDER or --json FILE"
            )

    def _write(self, found: Comparison, exposure: dict[str, GroupExposure]) -> None:
        stored = _stored_comparison(self.model)
        content: dict[str, Any] = {
            "held_out_by_time": found.as_dict(),
            "held_out_by_query": None if stored is None else stored.as_dict(),
            "exposure": {title: asdict(group) for title, group in exposure.items()},
        }
        text = json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n"
        if self.json is not None:
            with atomic_path(self.json) as temporary:
                temporary.write_text(text, encoding="utf-8")
        if self.out is not None:
            with atomic_folder(self.out) as folder:
                (folder / "evaluation.json").write_text(text, encoding="utf-8")
                _pictures(folder, found, exposure)


def _plain_model(encoder: Any, columns: tuple[str, ...], heads: Any = None) -> RelevanceModel:
    from encoders.cache import EmbeddingCache
    from encoders.relevance import Heads, RelevanceModel

    if heads is None:
        heads = Heads.plain(encoder.width, click_scale=1.0, purchase_scale=1.0, bias=(0.0, 0.0))
    return RelevanceModel(encoder, heads, item_columns=columns, cache=EmbeddingCache())


def _query_groups(traffic: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    from encoders.measures.comparison import traffic_groups

    return {**traffic_groups(traffic), "queries new since training": traffic == 0.0}


def _item_groups(values: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Numbers (I,) and names of the largest groups; the others are one group."""
    names, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    largest = np.argsort(-counts, kind="stable")[:_MOST_GROUPS]
    number = np.full(len(names), len(largest), np.int64)
    number[largest] = np.arange(len(largest))
    kept = tuple(str(names[g]) or "(none)" for g in largest)
    rest = len(names) - len(largest)
    return number[code], (*kept, f"{rest} others") if rest else kept


def _stored_comparison(model: Path) -> Comparison | None:
    """What `finetune` found on the queries that it held out."""
    from encoders.report import RelevanceReport

    try:
        values = json.loads((model / "report.json").read_text(encoding="utf-8"))
        return RelevanceReport.from_dict(values).comparison
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cells(rows: Iterable[MeasureRow]) -> list[tuple[str, ...]]:
    return [
        (row.measure if row.group == "all" else f"{row.measure}, {row.group}", *row.cells()) for row in rows
    ]


def _pictures(folder: Path, found: Comparison, exposure: dict[str, GroupExposure]) -> None:
    """The reliability plot, and TensorBoard events: step 0 before, step 1 after."""
    from torch.utils.tensorboard import SummaryWriter

    from encoders.measures.pictures import reliability_figure

    figure = reliability_figure({"before": found.reliability_before, "after": found.reliability_after})
    figure.savefig(folder / "reliability.svg")
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        writer.add_figure("relevance/reliability", figure, 1)
        rows = [*found.rows, *(row for group in exposure.values() for row in group.rows)]
        for row in rows:
            for step, side in enumerate((row.before, row.after)):
                if np.isfinite(side.value):
                    tag = f"relevance/{row.group}/{row.measure}"
                    writer.add_scalar(tag, side.value, step)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
