"""`python -m encoders`: fine-tune the relevance model on a log, evaluate it, export its tables."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from behavior.errors import InputError
from behavior.files import atomic_path, refuse_existing
from encoders.finetuning import FinetuneConfig
from pipeline.config import SourceOptions
from pipeline.data import read_source


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
    config: Annotated[FinetuneConfig, tyro.conf.arg(name="")] = field(default_factory=FinetuneConfig)
    """How to train."""
    quiet: bool = False
    """No progress bars."""


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


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write the feature and candidate tables of a model: what simulators and policies use in its place."""

    model: Path
    """Folder that `finetune` wrote."""
    out: Path
    """Folder to write `features.npz` and `candidates.npz` to; neither may exist."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour (its training part gives the popularity)."""
    width: int = 48
    """Width of the reduced vectors."""
    n_candidates: int = 50
    """Candidates per query."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda'."""
    quiet: bool = False
    """No progress bars."""


Command = (
    Annotated[Finetune, tyro.conf.subcommand("finetune")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Export, tyro.conf.subcommand("export")]
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it went well, 2 where the user has something to mend."""
    command = tyro.cli(Command, prog="python -m encoders", description=__doc__, args=arguments)
    try:
        if isinstance(command, Finetune):
            _finetune(command)
        elif isinstance(command, Evaluate):
            _evaluate(command)
        else:
            _export(command)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _finetune(command: Finetune) -> None:
    from encoders.cache import EmbeddingCache
    from encoders.finetuning import finetune

    refuse_existing(command.out)
    encoder = _encoder(command.encoder, command.device)
    shop = read_source(command.source, progress=not command.quiet)
    model, report = finetune(
        encoder,
        shop.catalog,
        shop.train,
        shop.valid,
        command.config,
        truth=None if shop.truth is None else shop.truth.relevance,
        cache=EmbeddingCache(),
        progress=not command.quiet,
    )
    model.save(command.out)
    with atomic_path(command.out / "report.json") as temporary:
        temporary.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    _table(
        f"{report.n_queries} held-out queries, {report.n_pairs} pairs; trained on {report.n_train_pairs} pairs "
        f"in {report.seconds:.0f} s",
        ("measure", "before", "after"),
        [(name, f"{before:.3f}", f"{after:.3f}") for name, before, after in report.rows()],
    )
    print(f"relevance model: {command.out}")


def _encoder(name: str, device: str) -> Any:
    if name == "hash":
        from encoders.text import HashEncoder

        return HashEncoder()
    from encoders.bert import BertEncoder

    return BertEncoder(name, device=device)


def _evaluate(command: Evaluate) -> None:
    import numpy as np

    from encoders.cache import EmbeddingCache
    from encoders.pairs import count_pairs, examination_by_position
    from encoders.relevance import RelevanceModel
    from encoders.report import RelevanceReport, judge_tables

    if command.json is not None:
        refuse_existing(command.json)
    model = RelevanceModel.load(command.model, device=command.device, cache=EmbeddingCache())
    shop = read_source(command.source, progress=not command.quiet)
    pairs = count_pairs(shop.test, examination_by_position(shop.train))
    has_text = np.array([bool(text.strip()) for text in shop.queries], np.bool_)
    pairs = pairs.take(has_text[pairs.query])
    tables = model.tables(shop.catalog, shop.queries, progress=not command.quiet)
    metrics = judge_tables(tables, pairs, truth=None if shop.truth is None else shop.truth.relevance)
    report = RelevanceReport(
        before=metrics, after=metrics, n_queries=0, n_pairs=pairs.n_pairs, n_train_pairs=0, seconds=0.0
    )
    measures = {name: value for name, value, _ in report.rows()}
    _table(
        f"{pairs.n_pairs} pairs of the last sessions of the log",
        ("measure", "value"),
        [(name, f"{value:.3f}") for name, value in measures.items()],
    )
    if command.json is not None:
        with atomic_path(command.json) as temporary:
            temporary.write_text(json.dumps(measures, indent=2) + "\n", encoding="utf-8")


def _export(command: Export) -> None:
    from encoders.build import build_features
    from encoders.cache import EmbeddingCache
    from encoders.candidates import build_candidates
    from encoders.relevance import RelevanceModel
    from encoders.storage import save_candidates, save_features

    paths = command.out / "features.npz", command.out / "candidates.npz"
    for path in paths:
        refuse_existing(path)
    model = RelevanceModel.load(command.model, device=command.device, cache=EmbeddingCache())
    shop = read_source(command.source, progress=not command.quiet)
    features = build_features(
        shop.catalog, shop.queries, shop.train, model, width=command.width, progress=not command.quiet
    )
    save_features(paths[0], features)
    save_candidates(paths[1], build_candidates(features, command.n_candidates))
    print(f"{paths[0]}: {features.n_items} items, {features.n_queries} queries\n{paths[1]}")


def _table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
