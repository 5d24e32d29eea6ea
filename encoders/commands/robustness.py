"""`python -m encoders robustness`: what misspelt, shortened, reworded and stuffed texts cost a relevance model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from behavior.errors import InputError
from behavior.files import atomic_path, refuse_existing
from encoders.commands.common import print_table
from encoders.robustness.measure import RobustnessConfig
from pipeline.config import SourceOptions
from pipeline.data import read_source

__all__ = ["Robustness", "read_synonyms"]


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Measure a model on texts that are misspelt, shortened, reworded or stuffed, beside the texts as they are."""

    model: Path
    """Folder that `finetune` wrote."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour."""
    synonyms: Path | None = None
    """JSON file {word: [what people say in its place, ...]}; without it words are not exchanged. The demo store
    brings its own."""
    config: Annotated[RobustnessConfig, tyro.conf.arg(name="")] = field(default_factory=RobustnessConfig)
    """Which changes."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda'."""
    json: Path | None = None
    """Write the measures to this file as well; it must not exist."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Measure, print and write."""
        from encoders.cache import EmbeddingCache
        from encoders.pairs import count_pairs, examination_by_position
        from encoders.relevance import RelevanceModel
        from encoders.robustness.measure import measure_robustness
        from encoders.text import catalog_texts
        from store.vocabulary import synonyms_of_titles

        if self.json is not None:
            refuse_existing(self.json)
        synonyms: Mapping[str, Sequence[str]] | None = None
        if self.synonyms is not None:
            synonyms = read_synonyms(self.synonyms)
        model = RelevanceModel.load(self.model, device=self.device, cache=EmbeddingCache())
        shop = read_source(self.source, progress=not self.quiet)
        if synonyms is None and self.source.data == "demo":
            synonyms = synonyms_of_titles()
        pairs = count_pairs(shop.test, examination_by_position(shop.train))
        report = measure_robustness(
            model.encoder,
            model.heads,
            catalog_texts(shop.catalog, model.item_columns),
            shop.queries,
            truth=None if shop.truth is None else shop.truth.relevance,
            pairs=pairs,
            synonyms=synonyms,
            config=self.config,
            known=model.known,
            read=partial(model.read, shop.catalog),
            cache=model.cache,
            progress=not self.quiet,
        )
        print_table(
            f"{len(shop.queries)} queries; loss of NDCG@{self.config.k} with its 95 % interval over queries",
            ("change", "queries", "NDCG", "changed", "loss", "click AUC", "changed", "stuffed items' places"),
            [
                (
                    row.change,
                    str(row.n_queries),
                    f"{row.ndcg_before:.3f}",
                    f"{row.ndcg_after:.3f}",
                    f"{row.loss:.3f} ({row.loss_low:.3f} to {row.loss_high:.3f})",
                    f"{row.click_auc_before:.3f}",
                    f"{row.click_auc_after:.3f}",
                    "" if row.lift != row.lift else f"x {row.lift:.2f}",
                )
                for row in report.rows
            ],
        )
        if self.json is not None:
            with atomic_path(self.json) as temporary:
                temporary.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")


def read_synonyms(path: Path) -> dict[str, list[str]]:
    """The table of synonyms in a JSON file.

    Raises:
        InputError: No such file, or not {word: [word, ...]}.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"no readable JSON: {error}", where=str(path), mend='{"sofa": ["couch"]}') from error
    if not isinstance(table, dict) or not all(
        isinstance(words, list) and all(isinstance(word, str) for word in words) for words in table.values()
    ):
        raise InputError(
            "synonyms are not {word: [word, ...]}",
            where=str(path),
            mend='write {"sofa": ["couch", "settee"]}',
        )
    return table
