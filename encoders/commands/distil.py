"""`python -m encoders distil`: a small, fast encoder that follows a fine-tuned or pretrained one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from behavior.files import atomic_path, refuse_existing
from encoders.commands.common import print_table
from encoders.distillation import DistilConfig
from pipeline.config import SourceOptions
from pipeline.data import read_source

__all__ = ["Distil"]


@dataclass(frozen=True, kw_only=True)
class Distil:
    """Put a small encoder in the place of a relevance model's BERT, and say what that costs in ranking quality."""

    model: Path
    """Folder that `finetune` wrote."""
    out: Path
    """Folder to write the small model to; it must not exist."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The shop whose texts are learned from."""
    config: Annotated[DistilConfig, tyro.conf.arg(name="")] = field(default_factory=DistilConfig)
    """Which pupil, and how it learns."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda'."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Learn, measure, write."""
        from behavior.errors import InputError
        from encoders.bert import BertEncoder
        from encoders.cache import EmbeddingCache
        from encoders.distillation import distil
        from encoders.pairs import count_pairs, examination_by_position
        from encoders.relevance import RelevanceModel
        from encoders.report import RelevanceReport, judge_tables
        from encoders.text import catalog_texts

        refuse_existing(self.out)
        cache, progress = EmbeddingCache(), not self.quiet
        model = RelevanceModel.load(self.model, device=self.device, cache=cache)
        if not isinstance(model.encoder, BertEncoder):
            raise InputError(
                f"a teacher is a BERT, and this model's encoder is a {type(model.encoder).__name__}",
                where=str(self.model),
                mend="fine-tune with --encoder minilm or another BERT",
            )
        shop = read_source(self.source, progress=progress)
        items = catalog_texts(shop.catalog, model.item_columns)
        pupil = distil(model.encoder, items, shop.queries, self.config, cache=cache, progress=progress)
        small = RelevanceModel(
            pupil,
            model.heads,
            item_columns=model.item_columns,
            cache=cache,
            known=model.known,
            spelling=model.spelling,
        )
        pairs = count_pairs(shop.test, examination_by_position(shop.train))
        truth = None if shop.truth is None else shop.truth.relevance
        before, after = (
            judge_tables(given.tables(shop.catalog, shop.queries, progress=progress), pairs, truth=truth)
            for given in (model, small)
        )
        report = RelevanceReport(
            before=before, after=after, n_queries=0, n_pairs=pairs.n_pairs, n_train_pairs=0, seconds=0.0
        )
        small.save(self.out)
        rows = report.rows()
        with atomic_path(self.out / "distilled.json") as temporary:
            values = {name: {"teacher": a, "pupil": b} for name, a, b in rows}
            temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        print_table(
            f"{pairs.n_pairs} pairs of the last sessions of the log",
            ("measure", "teacher", "pupil"),
            [(name, f"{a:.3f}", f"{b:.3f}") for name, a, b in rows],
        )
        print(f"relevance model: {self.out}")
