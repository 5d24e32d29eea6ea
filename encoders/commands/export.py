"""`python -m encoders export`: write the tables of a relevance model, or the model itself in ONNX."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from behavior.errors import InputError
from behavior.files import refuse_existing
from encoders.commands.common import print_table
from pipeline.config import SourceOptions
from pipeline.data import read_source

if TYPE_CHECKING:
    from encoders.relevance import RelevanceModel
    from pipeline.data import ShopData

__all__ = ["Export"]


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write the feature and candidate tables of a model: what simulators and policies use in its place.

    With `--form onnx` or `onnx-int8`, write the model itself with its encoder in ONNX, which needs no torch, and check
    it against the original on the log; the folder takes the model's place in every command.
    """

    model: Path
    """Folder that `finetune` wrote."""
    out: Path
    """Folder to write `features.npz` and `candidates.npz` to, neither of which may exist; or the new model."""
    form: Literal["tables", "onnx", "onnx-int8"] = "tables"
    """What to write: tables, the model in float32, or the model with its matrix products in int8."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour (its training part gives the popularity)."""
    width: int = 48
    """Width of the reduced vectors in the tables."""
    n_candidates: int = 50
    """Candidates per query in the tables."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda'."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Build what was asked for and write it."""
        from encoders.cache import EmbeddingCache
        from encoders.relevance import RelevanceModel

        for path in self._paths():
            refuse_existing(path)
        model = RelevanceModel.load(self.model, device=self.device, cache=EmbeddingCache())
        shop = read_source(self.source, progress=not self.quiet)
        if self.form == "tables":
            self._tables(model, shop)
        else:
            self._onnx(model, shop)

    def _paths(self) -> tuple[Path, ...]:
        if self.form == "tables":
            return self.out / "features.npz", self.out / "candidates.npz"
        return (self.out,)

    def _tables(self, model: RelevanceModel, shop: ShopData) -> None:
        from encoders.build import build_features
        from encoders.candidates import build_candidates
        from encoders.storage import save_candidates, save_features

        tables, chosen = self._paths()
        features = build_features(
            shop.catalog, shop.queries, shop.train, model, width=self.width, progress=not self.quiet
        )
        save_features(tables, features)
        save_candidates(chosen, build_candidates(features, self.n_candidates))
        print(f"{tables}: {features.n_items} items, {features.n_queries} queries\n{chosen}")

    def _onnx(self, model: RelevanceModel, shop: ShopData) -> None:
        import copy
        import tempfile

        from encoders.bert import BertEncoder
        from encoders.exporting.check import check_export
        from encoders.exporting.export import export_onnx
        from encoders.pairs import count_pairs, examination_by_position

        if not isinstance(model.encoder, BertEncoder):
            raise InputError(
                f"only a BERT can be exported, but the model's encoder is a {type(model.encoder).__name__}",
                where=str(self.model),
                mend="fine-tune one with --encoder minilm, a model folder, or a hub name",
            )
        precision: Literal["float32", "int8"] = "int8" if self.form == "onnx-int8" else "float32"
        with tempfile.TemporaryDirectory() as scratch:
            encoder = export_onnx(model.encoder, Path(scratch) / "encoder", precision)
            exported = copy.copy(model)
            exported.encoder = encoder
            exported.save(self.out)
            original, other = (
                entry.tables(shop.catalog, shop.queries, progress=not self.quiet)
                for entry in (model, exported)
            )
        pairs = count_pairs(shop.test, examination_by_position(shop.train))
        check = check_export(
            original, other, pairs, truth=None if shop.truth is None else shop.truth.relevance
        )
        size = sum(file.stat().st_size for file in (self.out / "encoder").iterdir()) / 2**20
        print_table(
            f"{self.out}: {precision}, {size:.0f} MiB",
            ("against the original", "value"),
            [(name, f"{value:.4f}") for name, value in check.rows()],
        )
