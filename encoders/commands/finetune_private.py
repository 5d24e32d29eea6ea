"""`python -m encoders finetune-private`: fine-tune on a log with a promise to everyone in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from behavior.files import atomic_path, refuse_existing
from encoders.commands.common import named_encoder, print_table
from encoders.privacy.private import PrivacyConfig
from pipeline.config import SourceOptions
from pipeline.data import read_source

__all__ = ["FinetunePrivate"]


@dataclass(frozen=True, kw_only=True)
class FinetunePrivate:
    """Fine-tune the layers on top so that the model says little of any one person (differential privacy)."""

    out: Path
    """Folder to write the model to; it must not exist."""
    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)
    """The logged behaviour."""
    encoder: str = "minilm"
    """'minilm', a hub name, a model folder, or 'hash'."""
    config: Annotated[PrivacyConfig, tyro.conf.arg(name="")] = field(default_factory=PrivacyConfig)
    """The promise, and how to train."""
    device: str = "auto"
    """'auto', 'cpu' or 'cuda', for the encoder."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> None:
        """Train, write, say what was promised."""
        from encoders.cache import EmbeddingCache
        from encoders.privacy.finetuning import finetune_private

        refuse_existing(self.out)
        encoder = named_encoder(self.encoder, self.device)
        shop = read_source(self.source, progress=not self.quiet)
        model, report = finetune_private(
            encoder, shop.catalog, shop.train, self.config, cache=EmbeddingCache(), progress=not self.quiet
        )
        model.save(self.out)
        with atomic_path(self.out / "privacy.json") as temporary:
            temporary.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
        epsilon = "none: no promise" if report.epsilon is None else f"{report.epsilon:.3g}"
        print_table(
            f"{report.n_users} people, {report.steps} steps of {report.sample_rate:.3g} of them",
            ("promise", "value"),
            [
                ("epsilon", epsilon),
                ("delta", f"{report.delta:.2g}"),
                ("noise multiplier", f"{report.noise_multiplier:.3g}"),
                ("clipping length", f"{report.max_norm:g}"),
                ("accountant", report.accountant),
            ],
        )
        print(f"relevance model: {self.out}")
