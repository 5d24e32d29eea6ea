"""`python -m encoders explain`: which words make an item score for a query."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from behavior.errors import InputError
from behavior.files import atomic_path, refuse_existing
from encoders.commands.common import print_table
from pipeline.config import SourceOptions
from pipeline.data import read_source

__all__ = ["Explain"]


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Say what each word of a query and of an item adds to the item's score."""

    model: Path
    """Folder that `finetune` wrote."""
    query: str
    """The query."""
    items: tuple[str, ...] = ()
    """Item ids to explain; by default the `top` best for the query."""
    top: int = 3
    """How many of the best items to explain where none are named."""
    permutations: int = 20
    """Orders in which words come in; more make the figures steadier."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour, for its catalogue."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda'."""
    json: Path | None = None
    """Write the figures to this file as well; it must not exist."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Explain, print and write."""
        import numpy as np

        from encoders.attributions import attribute_words
        from encoders.cache import EmbeddingCache
        from encoders.candidates import ExactSource
        from encoders.relevance import RelevanceModel
        from encoders.text import catalog_texts

        if self.json is not None:
            refuse_existing(self.json)
        model = RelevanceModel.load(self.model, device=self.device, cache=EmbeddingCache())
        catalog = read_source(self.source, progress=not self.quiet).catalog
        ids = catalog.frame["item_id"].astype(str).tolist()
        unknown = [name for name in self.items if name not in set(ids)]
        if unknown:
            raise InputError(f"the catalogue has no item {unknown[0]!r}", where="--items")
        if self.items:
            rows = [ids.index(name) for name in self.items]
        else:
            tables = model.tables(catalog, [self.query], progress=not self.quiet)
            best, _ = ExactSource(tables.item).search(tables.click_query, self.top)
            rows = best[0][best[0] >= 0].tolist()
        texts = catalog_texts(catalog, model.item_columns)
        (read,) = model.read(catalog, [self.query])
        if read != self.query:
            print(f"the query is read as: {read}")
        found = [
            attribute_words(model, read, texts[row], permutations=self.permutations, known_as=self.query)
            for row in rows
        ]
        for row, entry in zip(rows, found, strict=True):
            lines = []
            for side, base, words in (
                ("query", entry.query_base, entry.query_words),
                ("item", entry.item_base, entry.item_words),
            ):
                lines.append((side, "(no words)", f"{base:+.2f}"))
                lines += [("", share.word, f"{share.value:+.2f}") for share in words]
                total = base + float(np.sum([share.value for share in words]))
                lines.append(("", "in all", f"{total:+.2f}"))
            print_table(
                f"{ids[row]}: {entry.item}\nclick probability once looked at: {entry.probability:.3f}",
                ("text", "word", "adds to the logit"),
                lines,
            )
        if self.json is not None:
            with atomic_path(self.json) as temporary:
                text = json.dumps([entry.as_dict() for entry in found], indent=2, ensure_ascii=False)
                temporary.write_text(text + "\n", encoding="utf-8")
