"""`python -m encoders fuse`: tables of a relevance model joined with numbers, categories, behaviour and images."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from behavior.errors import InputError
from behavior.files import atomic_folder, refuse_existing
from encoders.commands.common import later_pairs, print_table
from encoders.fusion.learning import FusionConfig
from pipeline.config import SourceOptions
from pipeline.data import read_source

if TYPE_CHECKING:
    from encoders.fusion.source import FusedRelevance
    from encoders.measures.beside import Beside

__all__ = ["Fuse"]


@dataclass(frozen=True, kw_only=True)
class Fuse:
    """Join a relevance model with what else is known of items, say what each kind of knowledge adds, write tables.

    The tables take the place of those of `export`: `python train.py --relevance-tables OUT` and
    `python -m simulators fit --features OUT/features.npz`, with the same log and catalogue. Candidates are found by the
    relevance model as it was, and scored by all that is known.
    """

    model: Path
    """Folder that `finetune` wrote; it stays as it is."""
    out: Path
    """Folder to write `features.npz`, `candidates.npz` and `report.json` to; it must not exist."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour: its training part is learned from, its last sessions judge."""
    images: Path | None = None
    """Ready-made image vectors: .npy with a row an item in the order of the catalogue (nan: no image), or .parquet with
    item_id and a column of lists."""
    image_column: str = "image_vector"
    """The column of lists, in a .parquet file."""
    modalities: tuple[str, ...] = ()
    """Take these alone, out of numeric, categorical, image and behaviour; by default all that there are."""
    ablation: bool = True
    """Learn the fusion once more without each modality, to say what each adds; takes as long again for each."""
    config: Annotated[FusionConfig, tyro.conf.arg(name="")] = field(default_factory=FusionConfig)
    """The network, and how it learns."""
    table_width: int = 48
    """Width of the reduced vectors in the tables."""
    n_candidates: int = 50
    """Candidates per query in the tables."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda', for the encoder."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Learn, judge, write."""
        from encoders.build import build_features
        from encoders.cache import EmbeddingCache
        from encoders.candidates import build_candidates, rescored
        from encoders.fusion.ablation import ablate
        from encoders.fusion.modalities import read_image_vectors
        from encoders.fusion.source import read_log
        from encoders.relevance import RelevanceModel
        from encoders.storage import save_candidates, save_features

        refuse_existing(self.out)
        model = RelevanceModel.load(self.model, device=self.device, cache=EmbeddingCache())
        progress = not self.quiet
        shop = read_source(self.source, progress=progress)
        images = None
        if self.images is not None:
            images = read_image_vectors(self.images, shop.catalog, column=self.image_column)
        log = read_log(
            model,
            shop.catalog,
            shop.train,
            self.config,
            valid=shop.valid,
            images=images,
            progress=progress,
        )
        names = self._chosen(log.modalities.names)
        fused = log.fit(names, self.config, progress=progress)
        later = later_pairs(shop, self.source.data)
        truth = None if shop.truth is None else shop.truth.relevance
        rows = list(
            ablate(
                log,
                fused,
                shop.catalog,
                shop.queries,
                later,
                self.config,
                truth=truth,
                without=self.ablation,
                progress=progress,
            )
        )
        # Fused scores are learned among what was shown, so the whole catalogue is searched by text.
        finder = model.tables(shop.catalog, shop.queries, progress=False)
        features = build_features(
            shop.catalog,
            shop.queries,
            shop.train,
            fused,
            width=self.table_width,
            finder=finder,
            progress=progress,
        )
        candidates = rescored(
            build_candidates(features, self.n_candidates, relevance=finder), features.relevance
        )
        with atomic_folder(self.out) as folder:
            save_features(folder / "features.npz", features)
            save_candidates(folder / "candidates.npz", candidates)
            (folder / "report.json").write_text(
                json.dumps(_report(rows, fused, later.n_pairs), indent=2) + "\n", encoding="utf-8"
            )
        _print(rows, fused, later.n_pairs)
        print(f"tables: {self.out}: {features.n_items} items, {features.n_queries} queries")

    def _chosen(self, there: tuple[str, ...]) -> tuple[str, ...]:
        absent = [name for name in self.modalities if name not in there]
        if absent:
            raise InputError(
                f"there is no modality {absent[0]!r} in this shop",
                where="--modalities",
                mend=f"choose among {', '.join(there)}" + ("" if self.images else "; images need --images"),
            )
        return tuple(name for name in there if name in self.modalities) if self.modalities else there


def _known(fused: FusedRelevance) -> list[tuple[str, int, int, float]]:
    """Each modality with its columns, how many items have it, and its mean gate among those."""
    gates = fused.fusion.gates(fused.modalities)  # (I, M)
    found = []
    for place, name in enumerate(fused.fusion.unit.names):
        known = fused.modalities.known[name]
        mean = float(gates[known, place].mean()) if known.any() else 0.0
        found.append((name, fused.modalities.values[name].shape[1], int(known.sum()), mean))
    return found


def _report(rows: list[Beside], fused: FusedRelevance, n_pairs: int) -> dict[str, Any]:
    return {
        "steps": fused.fusion.steps,
        "pull": fused.fusion.pull,
        "shares": asdict(fused.shares),
        "pairs": n_pairs,
        "modalities": {
            name: {"columns": columns, "items": items, "mean_gate": gate}
            for name, columns, items, gate in _known(fused)
        },
        "ablation": [row.as_dict() for row in rows],
    }


def _print(rows: list[Beside], fused: FusedRelevance, n_pairs: int) -> None:
    print_table(
        "what is known of the items",
        ("modality", "columns", "items that have it", "mean gate"),
        [(name, str(columns), f"{items:,}", f"{gate:.2f}") for name, columns, items, gate in _known(fused)],
    )
    shares = fused.shares
    if not fused.fusion.steps:
        print("queries left out of learning gained nothing by it: the tables are those of text alone")
    else:
        print(
            f"taken of what it adds: {shares.click:.0%} to the logit of a click, {shares.purchase:.0%} to that of a "
            "purchase, as the validation sessions bear out"
        )
    print_table(
        f"{n_pairs:,} pairs of the log's last sessions",
        ("learned with", "measure", "text alone", "fused", "gain, 95 % interval"),
        [(row.name, *cells) for row in rows for cells in row.rows()],
    )
