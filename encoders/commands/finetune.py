"""`python -m encoders finetune`: fine-tune the relevance model on a log."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from behavior.errors import InputError
from behavior.files import atomic_path, refuse_existing
from encoders.commands.common import named_encoder, print_table
from encoders.finetuning import FinetuneConfig
from encoders.tuning.config import TuningConfig
from pipeline.config import SourceOptions
from pipeline.data import read_source

if TYPE_CHECKING:
    from encoders.report import RelevanceReport
    from encoders.text import TextEncoder

__all__ = ["Finetune"]


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Fine-tune the relevance model on the training part of a log, and say how it did on held-out queries."""

    out: Path
    """Folder to write the model to; it must not exist."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour."""
    encoder: str = "minilm"
    """'minilm', a hub name, a model folder, or 'hash' (no BERT; needs --mode heads)."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda'."""
    kind: Literal["bi", "cross"] = "bi"
    """'bi' encodes queries and items apart: the relevance model; 'cross' reads them together: finer and far dearer, to
    re-order candidates or to teach. It learns as `--tuning` says."""
    config: Annotated[FinetuneConfig, tyro.conf.arg(name="")] = field(default_factory=FinetuneConfig)
    """How to train."""
    checkpoints: Path | None = None
    """Folder for TensorBoard and checkpoints of the BERT's training; a stopped run that is started again with it goes
    on."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Fine-tune, save the model, print how it did before and after."""
        from encoders.cache import EmbeddingCache
        from encoders.finetuning import finetune

        refuse_existing(self.out)
        self._check()
        encoder = named_encoder(self.encoder, self.device)
        if self.kind == "cross":
            self._cross(encoder)
            return
        shop = read_source(self.source, progress=not self.quiet)
        model, report = finetune(
            encoder,
            shop.catalog,
            shop.train,
            shop.valid,
            self.config,
            truth=None if shop.truth is None else shop.truth.relevance,
            cache=EmbeddingCache(),
            folder=self.checkpoints,
            progress=not self.quiet,
        )
        if not _is_first_process():
            return
        model.save(self.out)
        _write_report(self.out, report)
        print_table(
            f"{report.n_queries} held-out queries, {report.n_pairs} pairs; trained on {report.n_train_pairs} pairs "
            f"in {report.seconds:.0f} s",
            ("measure", "before", "after"),
            [(name, f"{before:.3f}", f"{after:.3f}") for name, before, after in report.rows()],
        )
        if report.known_rows():
            print_table(
                "queries of the log, by its later sessions",
                ("measure", "before", "after"),
                [(name, f"{before:.3f}", f"{after:.3f}") for name, before, after in report.known_rows()],
            )
        print(f"relevance model: {self.out}")

    def _check(self) -> None:
        """Refuse options of the BERT's training where it is not trained: they would do nothing, in silence."""
        if self.kind == "cross" or self.config.mode == "full":
            return
        asked = [
            f"--tuning.{entry.name.replace('_', '-')}"
            for entry in fields(TuningConfig)
            if getattr(self.config.tuning, entry.name) != entry.default
        ]
        if self.checkpoints is not None:
            asked.append("--checkpoints")
        if asked:
            raise InputError(
                f"{asked[0]} is for the training of the BERT's weights, and mode {self.config.mode!r} leaves them",
                where="finetune",
                mend="add --mode full (or --kind cross), or leave the option out",
            )

    def _cross(self, encoder: TextEncoder) -> None:
        from encoders.tuning.from_log import finetune_cross

        shop = read_source(self.source, progress=not self.quiet)
        model, report, history = finetune_cross(
            encoder,
            shop.catalog,
            shop.train,
            self.config,
            folder=self.checkpoints,
            progress=not self.quiet,
        )
        if not _is_first_process():
            return
        model.save(self.out)
        _write_report(self.out, report)
        print_table(
            f"{report.n_queries} held-out queries, {report.n_pairs} pairs that were shown for them; trained on "
            f"{report.n_train_pairs} pairs in {history.steps} of {history.planned} steps, {report.seconds:.0f} s",
            ("measure", "cosine before", "cross-encoder"),
            [(name, f"{one:.3f}", f"{two:.3f}") for name, one, two in report.rows()],
        )
        print(f"cross-encoder: {self.out}")


def _write_report(folder: Path, report: RelevanceReport) -> None:
    with atomic_path(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")


def _is_first_process() -> bool:
    """Whether this process writes and speaks: under `torchrun` or `accelerate launch`, the first one alone."""
    return os.environ.get("RANK", "0") == "0"
