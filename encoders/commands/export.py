"""`python -m encoders export`: write the tables of a relevance model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from behavior.files import refuse_existing
from pipeline.config import SourceOptions
from pipeline.data import read_source

__all__ = ["Export"]


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

    def run(self) -> None:
        """Build the tables and write them."""
        from encoders.build import build_features
        from encoders.cache import EmbeddingCache
        from encoders.candidates import build_candidates
        from encoders.relevance import RelevanceModel
        from encoders.storage import save_candidates, save_features

        paths = self.out / "features.npz", self.out / "candidates.npz"
        for path in paths:
            refuse_existing(path)
        model = RelevanceModel.load(self.model, device=self.device, cache=EmbeddingCache())
        shop = read_source(self.source, progress=not self.quiet)
        features = build_features(
            shop.catalog, shop.queries, shop.train, model, width=self.width, progress=not self.quiet
        )
        save_features(paths[0], features)
        save_candidates(paths[1], build_candidates(features, self.n_candidates))
        print(f"{paths[0]}: {features.n_items} items, {features.n_queries} queries\n{paths[1]}")
