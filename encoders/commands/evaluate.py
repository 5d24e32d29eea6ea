"""`python -m encoders evaluate`: measure a relevance model on the test part of a log."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from behavior.files import atomic_path, refuse_existing
from encoders.commands.common import print_table
from pipeline.config import SourceOptions
from pipeline.data import read_source

__all__ = ["Evaluate"]


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a model on the test part of a log (its last sessions), or on the demo store's true relevance."""

    model: Path
    """Folder that `finetune` wrote."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda'."""
    json: Path | None = None
    """Write the measures to this file as well; it must not exist."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Measure, print and write."""
        import numpy as np

        from encoders.cache import EmbeddingCache
        from encoders.pairs import count_pairs, examination_by_position
        from encoders.relevance import RelevanceModel
        from encoders.report import RelevanceReport, judge_tables

        if self.json is not None:
            refuse_existing(self.json)
        model = RelevanceModel.load(self.model, device=self.device, cache=EmbeddingCache())
        shop = read_source(self.source, progress=not self.quiet)
        pairs = count_pairs(shop.test, examination_by_position(shop.train))
        has_text = np.array([bool(text.strip()) for text in shop.queries], np.bool_)
        pairs = pairs.take(has_text[pairs.query])
        tables = model.tables(shop.catalog, shop.queries, progress=not self.quiet)
        metrics = judge_tables(tables, pairs, truth=None if shop.truth is None else shop.truth.relevance)
        report = RelevanceReport(
            before=metrics, after=metrics, n_queries=0, n_pairs=pairs.n_pairs, n_train_pairs=0, seconds=0.0
        )
        measures = {name: value for name, value, _ in report.rows()}
        print_table(
            f"{pairs.n_pairs} pairs of the last sessions of the log",
            ("measure", "value"),
            [(name, f"{value:.3f}") for name, value in measures.items()],
        )
        if self.json is not None:
            with atomic_path(self.json) as temporary:
                temporary.write_text(json.dumps(measures, indent=2) + "\n", encoding="utf-8")
